"""What capturing changes costs a writer, what a refresh costs, and what a read costs, as the history grows.

SMALL and LARGE are the numbers of runs between which a refresh and a read shall not differ. With the defaults this
takes about a quarter of an hour, nearly all of it to load the runs: BENCH_SMALL and BENCH_LARGE shorten it.
"""

import os
import re
import subprocess

import psycopg
from common import Table, Times, duration, install, seconds, timed

SMALL = int(os.environ.get("BENCH_SMALL", "1000000"))
LARGE = int(os.environ.get("BENCH_LARGE", "10000000"))
AGENTS = 1000
CLIENTS = 2
PGBENCH_SECONDS = 4
ROUNDS = 5
# What capture costs is less than what a machine's speed changes from one round to the next.
INGEST_ROUNDS = 11
WORKSPACE = "00000000-0000-4000-8000-000000000001"
AGENT = "('00000000-0000-4000-9000-' || lpad(({})::text, 12, '0'))::uuid"

# The same summary over raw rows, as a materialized view would have it.
ALTERNATIVE = """
    CREATE MATERIALIZED VIEW bench.summary AS
    SELECT workspace_id, agent_id, date_bin('1 hour', started_at, timestamptz 'epoch') AS bucket, count(*) AS total_runs,
        count(*) FILTER (WHERE status = 'completed') AS successful_runs,
        count(*) FILTER (WHERE status = 'failed') AS failed_runs,
        avg(runtime_seconds) AS avg_runtime_seconds,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY runtime_seconds) AS percentiles,
        sum(credits_consumed) AS credits_consumed, sum(tokens_used) AS tokens_used, count(DISTINCT user_id) AS unique_users
    FROM analytics.agent_runs GROUP BY 1, 2, 3;
    CREATE UNIQUE INDEX ON bench.summary (workspace_id, agent_id, bucket)"""


def capture(db: psycopg.Connection, on: bool) -> None:
    db.execute(
        f"ALTER TABLE analytics.agent_runs {'ENABLE ALWAYS' if on else 'DISABLE'} TRIGGER capture_changes"
    )


def clean(db: psycopg.Connection) -> None:
    db.execute("TRUNCATE analytics.agent_runs, analytics_internal.rollup_changes CASCADE")
    db.execute("CHECKPOINT")


def pgbench(synchronous_commit: str) -> float:
    """Seconds per row, as one of the clients sees it."""
    script = (
        "\\set agent random(1, 24)\n"
        "INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at, completed_at, runtime_seconds,"
        f" tokens_used, model_name) VALUES ('{WORKSPACE}', gen_random_uuid(), md5(:agent::text)::uuid, 'completed', now(),"
        " now(), 1.5, 1000, 'gpt-5-mini');\n"
    )
    done = subprocess.run(
        ["pgbench", "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", f"--jobs={CLIENTS}",
         f"--time={PGBENCH_SECONDS}", "--file=-"],
        input=script, text=True, capture_output=True, check=True,
        env={**os.environ, "PGOPTIONS": f"-c synchronous_commit={synchronous_commit}"},
    )  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if found is None:
        raise RuntimeError(done.stdout)
    return 1 / float(found[1])


def with_and_without(db: psycopg.Connection, action) -> tuple[Times, Times]:
    """The action's own seconds with capture and without, A B B A; the first round does not count."""
    measured: dict[bool, list[float]] = {True: [], False: []}
    for number in range(1 + INGEST_ROUNDS):
        for on in (True, False) if number % 2 == 0 else (False, True):
            clean(db)
            capture(db, on)
            taken = action()
            if number > 0:
                measured[on].append(taken)
    capture(db, True)
    return Times(measured[True]), Times(measured[False])


def ingestion(db: psycopg.Connection, table: Table) -> None:
    for synchronous_commit in ("on", "off"):
        on, off = with_and_without(db, lambda mode=synchronous_commit: pgbench(mode))
        what = f"single-row prepared INSERT, {CLIENTS} clients, synchronous_commit={synchronous_commit}"
        table.row(what, on, off, "capture off", items=1)
    columns = "workspace_id, agent_id, status, started_at, runtime_seconds"
    with (
        db.cursor() as cursor,
        cursor.copy(
            f"COPY (SELECT '{WORKSPACE}', {AGENT.format('n % 24')}, 'completed',"
            " now() - n * interval '30 seconds', 1.5 FROM generate_series(1, 100000) AS n) TO STDOUT"
        ) as stream,
    ):
        data = b"".join(bytes(part) for part in stream)

    def copy() -> float:
        def load() -> None:
            with (
                db.cursor() as cursor,
                cursor.copy(f"COPY analytics.agent_runs ({columns}) FROM STDIN") as stream,
            ):
                for start in range(0, len(data), 65536):
                    stream.write(data[start : start + 65536])

        return seconds(load)

    on, off = with_and_without(db, copy)
    table.row("COPY of 100,000 rows, 24 agents, 35 days", on, off, "capture off", items=100_000)


def load(db: psycopg.Connection, first: int, last: int) -> None:
    """Runs of a thousand agents, evenly: the last 30 days hold the first SMALL, each further SMALL lies before.

    Loaded without capture, as a range that has changed: the refresh then computes day by day.
    """
    capture(db, False)
    ((began,),) = db.execute("SELECT now()").fetchall()
    for start in range(first, last, 250_000):
        db.execute(f"""
            INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds,
                credits_consumed, tokens_used)
            SELECT '{WORKSPACE}', {AGENT.format(f"n % {AGENTS}")}, {AGENT.format("n % 97")},
                CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'completed' END,
                date_trunc('hour', now()) - (n::float8 / {SMALL}) * interval '30 days', 0.1 + (n::bigint * 7919 % 10007) / 100.0,
                0.25, 1000
            FROM generate_series({start} + 1, {min(start + 250_000, last)}) AS n""")  # fmt: skip
    capture(db, True)
    db.execute(
        "INSERT INTO analytics_internal.rollup_changes (sources, bucket, until)"
        " SELECT 1, date_bin('1 day', min(started_at), 'epoch'), date_bin('1 day', max(started_at), 'epoch') + interval '1 day'"
        " FROM analytics.agent_runs WHERE created_at >= %s",
        [began],
    )
    while db.execute("SELECT DISTINCT status FROM analytics.refresh(50000)").fetchall() != [("clean",)]:
        pass
    db.execute("VACUUM ANALYZE")
    db.execute("CHECKPOINT")


def new_runs(db: psycopg.Connection, count: int, agents: int) -> None:
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds)"
        f" SELECT '{WORKSPACE}', {AGENT.format(f'n % {agents}')}, 'completed', n % 100 FROM generate_series(1, {count}) AS n"
    )


def refresh(db: psycopg.Connection, count: int, agents: int, runs: int = ROUNDS) -> Times:
    """The hour is emptied each time, so that each refresh computes as much as the first."""
    measured = []
    for _ in range(1 + runs):
        db.execute("DELETE FROM analytics.agent_runs WHERE started_at >= date_trunc('hour', now())")
        db.execute("SELECT * FROM analytics.refresh(50000)")
        db.execute("VACUUM analytics_internal.rollup_changes")
        new_runs(db, count, agents)
        measured.append(seconds(lambda: db.execute("SELECT * FROM analytics.refresh()")))
    return Times(measured[1:])


def read(db: psycopg.Connection) -> Times:
    return timed(lambda: db.execute(f"SELECT * FROM analytics.list_agents('{WORKSPACE}', '30d')").fetchall())


def main() -> None:
    db = install()
    db.execute("SET jit = off")
    db.execute("CREATE SCHEMA bench")
    months = max(2, LARGE // SMALL + 1)
    db.execute(f"SELECT * FROM analytics.ensure_partitions(since => now() - interval '{months * 31} days')")
    db.execute(f"INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('{WORKSPACE}', 'bench')")
    table = Table("capture; a ratio above 1 is what it costs a writer")
    ingestion(db, table)
    table.show()
    clean(db)
    db.execute("SELECT * FROM analytics.refresh(1000000)")

    table = Table("rollups; a ratio above 1 is what the larger history costs more")
    load(db, 0, SMALL)
    small = refresh(db, 10_000, AGENTS), refresh(db, 100, 1), read(db)
    load(db, SMALL, LARGE)
    large = refresh(db, 10_000, AGENTS), refresh(db, 100, 1), read(db)
    size = f"{LARGE:,} runs against {SMALL:,}"
    table.row(
        f"refresh() after 10,000 runs of {AGENTS:,} agents, {size}", large[0], small[0], f"{SMALL:,} runs"
    )
    table.row(f"refresh() after 100 runs of one agent, {size}", large[1], small[1], f"{SMALL:,} runs")
    table.row(f"list_agents('30d'), all refreshed, {size}", large[2], small[2], f"{SMALL:,} runs")
    new_runs(db, 10_000, AGENTS)
    dirty = read(db)
    table.row(f"list_agents('30d') with {AGENTS:,} changed buckets", dirty, large[2], "all refreshed")

    db.execute(ALTERNATIVE)
    refreshed = Times(
        [
            seconds(lambda: db.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY bench.summary"))
            for _ in range(2)
        ]
    )
    table.row(
        f"refresh() after 10,000 runs, {LARGE:,} runs",
        large[0],
        refreshed,
        "REFRESH MATERIALIZED VIEW CONCURRENTLY",
    )
    table.figure(
        "that is so many times faster",
        f"{refreshed.median / large[0].median:.0f}",
        "refresh()",
        duration(large[0].median),
    )
    ((buckets, rollups, raw),) = db.execute(
        "SELECT (SELECT count(*) FROM analytics.agent_performance_hourly),"
        " pg_total_relation_size('analytics.agent_performance_hourly') + pg_total_relation_size('analytics.agent_performance_daily'),"
        " (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('analytics.agent_runs'))::bigint"
    ).fetchall()
    table.figure(
        f"size of {buckets:,} hours and their days",
        f"{rollups / 1e6:.0f} MB",
        "raw rows",
        f"{raw / 1e6:.0f} MB",
        f"{rollups / raw:.2f}",
    )
    table.show()


if __name__ == "__main__":
    main()
