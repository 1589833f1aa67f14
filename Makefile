# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
# The work is done by the small scripts in tools/, which install what is missing and put everything
# they make under target/.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The server versions to test or package: one, several, or all.
PG ?= 15 16 17 18
# More arguments for pytest, psql or the benchmarks: make test-e2e ARGS='-k restore'
ARGS ?=
# The Postgres that `make install` installs into.
PG_CONFIG ?= pg_config

.PHONY: help
help: ## this list
	@echo "make TARGET [PG='15 16 17 18'] [ARGS='...']"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r t d; do printf '  %-12s %s\n' "$$t" "$$d"; done

.PHONY: demo
demo: ## build, start a private server with generated agent runs, and print analytics of them
	@tools/demo

.PHONY: test
test: ## every level of tests on PostgreSQL 15, 16, 17 and 18 (PG=15: on one)
	@tools/test $(PG)

.PHONY: test-long
test-long: requirements ## the random tests at length: oracle, kills, sqlsmith (FACTOR=5: five times as long)
	@PG=$(firstword $(PG)) tools/test-long

.PHONY: lint
lint: requirements ## formatting, clippy, shellcheck, ruff, licences of the dependencies
	@tools/lint

.PHONY: test-crates
test-crates: requirements ## the algorithms' unit and property tests; no Postgres
	@tools/test-crates $(ARGS)

.PHONY: test-server
test-server: requirements ## the #[pg_test] functions, inside a server
	@tools/test-server $(firstword $(PG)) $(ARGS)

.PHONY: test-sql
test-sql: requirements ## the SQL suite of pg_test/ (TESTS='setup agents': some files)
	@tools/test-sql $(PG)

.PHONY: test-e2e
test-e2e: requirements ## the end-to-end tests of tests/ (ARGS='-k name': arguments for pytest)
	@PG=$(firstword $(PG)) tools/test-e2e $(ARGS)

.PHONY: bench
bench: requirements ## the benchmarks of benches/ (ARGS=name: only these)
	@PG=$(firstword $(PG)) tools/bench $(ARGS)

.PHONY: psql
psql: ## a psql session on the demo's database
	@tools/demo psql $(ARGS)

.PHONY: stop
stop: ## stop every private server of this clone
	@tools/stop

.PHONY: install
install: ## install into the Postgres of PG_CONFIG (PG_CONFIG=/path/to/pg_config)
	@tools/install "$(PG_CONFIG)"

.PHONY: package
package: requirements ## a Debian package per server version, in target/packages
	@tools/package $(PG)

.PHONY: test-package
test-package: requirements ## install the package for PostgreSQL 15 into a clean Debian root and try it (root only)
	@tools/test-package

.PHONY: clean
clean: ## stop the servers and remove everything that was made
	@tools/stop destroy
	rm -rf target

.PHONY: requirements
requirements:
	@tools/requirements
