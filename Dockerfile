# PostgreSQL 15 with the extension and pg_cron, by the steps of docs/install.md:
#   docker build -t shadower_analytics . && docker run --rm -p 5432:5432 -e POSTGRES_PASSWORD=... shadower_analytics
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# Everything that is missing, then a Debian package, in target/packages.
RUN tools/requirements && make package PG=15

FROM postgres:15-bookworm
COPY --from=build /build/target/packages/postgresql-15-shadower-analytics_*.deb /tmp/
RUN apt-get update \
    && apt-get install -y --no-install-recommends /tmp/*.deb postgresql-15-cron \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/*
# The database that `docker run` makes has it; pg_cron runs what schedule() asks for.
RUN printf '%s\n' 'CREATE EXTENSION shadower_analytics;' 'SELECT analytics.setup();' \
    > /docker-entrypoint-initdb.d/shadower_analytics.sql
CMD ["postgres", "-c", "shared_preload_libraries=pg_cron"]
