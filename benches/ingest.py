"""What our triggers, constraints, defaults and indexes cost a writer, and how fast demo data is generated.

The alternatives have the columns and the monthly partitions of analytics.agent_runs and
    same indexes   its primary key and indexes, but no trigger, default, CHECK or foreign key
    bare           no index either
"""

import os
import re
import subprocess
from collections.abc import Callable

import psycopg
from common import Table, Times, install, seconds

ROUNDS = 5
COPY_ROWS = 100_000
GENERATED_ROWS = 10 * 65_536
CLIENTS = 2
PGBENCH_SECONDS = 3

OURS = "analytics.agent_runs"
INDEXED = "bench.same_indexes"
BARE = "bench.bare"

# Parameters of the demo workload, as SQL; the times are fixed so that each run of this file measures the same.
UNTIL = "timestamptz '2026-06-01 00:00+00'"


def workload(runs: int) -> str:
    return f"{runs}, 42, 3, 24, 40, 90, {UNTIL}"


COLUMNS = (
    "workspace_id, run_id, agent_id, user_id, session_id, parent_run_id, agent_version, status, trigger_source,"
    " started_at, completed_at, runtime_seconds, credits_consumed, tokens_used, prompt_tokens, completion_tokens,"
    " model_name, model_provider, concurrent_runs, error_type, error_message, error_stack, user_rating, user_feedback"
)
GENERATED = COLUMNS.replace("credits_consumed", "credits_micros * 0.000001")
# What our table's defaults give; the others are told.
DEFAULTED = ", metadata, created_at"


def prepare(db: psycopg.Connection) -> None:
    db.execute("SELECT * FROM analytics.ensure_partitions(since => '2026-02-01')")
    db.execute("CREATE SCHEMA bench")
    for table in (INDEXED, BARE):
        indexes = "INCLUDING INDEXES" if table == INDEXED else ""
        db.execute(f"CREATE TABLE {table} (LIKE {OURS} {indexes}) PARTITION BY RANGE (started_at)")
        partitions = db.execute(
            "SELECT row_number() OVER (), pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits AS i"
            f" JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = '{OURS}'::regclass"
        ).fetchall()
        for number, bound in partitions:
            db.execute(f"CREATE TABLE {table}_{number} PARTITION OF {table} {bound}")
    names = "workspace_id, name, plan, time_zone"
    db.execute(
        f"INSERT INTO analytics.workspaces ({names})"
        f" SELECT {names} FROM analytics_internal.demo_workspaces({workload(COPY_ROWS)})"
    )
    names = "workspace_id, agent_id, name, agent_type, owner_id, lifecycle_state, created_at"
    db.execute(
        f"INSERT INTO analytics.agents ({names}) SELECT {names} FROM analytics_internal.demo_agents({workload(COPY_ROWS)})"
    )


def alternate(db: psycopg.Connection, action: Callable[[str], float]) -> dict[str, Times]:
    """Seconds of the action on each table, forwards and backwards in turn; the first round does not count."""
    tables = [OURS, INDEXED, BARE]
    measured: dict[str, list[float]] = {name: [] for name in tables}
    for number in range(1 + ROUNDS):
        for name in tables if number % 2 == 0 else tables[::-1]:
            db.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
            db.execute("CHECKPOINT")
            taken = action(name)
            if number > 0:
                measured[name].append(taken)
    return {name: Times(times) for name, times in measured.items()}


# ------------------------------------------------------------------------------------- single rows


def pgbench(table: str, workspace: str, synchronous_commit: str) -> float:
    """Seconds per row, as one of the clients sees it: 2 clients, each row a prepared statement and a transaction."""
    columns, values = "", ""
    if table != OURS:
        columns, values = f", credits_consumed{DEFAULTED}", ", 0, '{}', now()"
    script = (
        "\\set agent random(1, 24)\n\\set tokens random(1, 100000)\n"
        "INSERT INTO "
        + table
        + " (workspace_id, run_id, agent_id, status, started_at, completed_at, runtime_seconds,"
        " tokens_used, model_name" + columns + ")"
        f" VALUES ('{workspace}', gen_random_uuid(), md5(:agent::text)::uuid, 'completed', now(), now(), 1.5, :tokens,"
        " 'gpt-5-mini'" + values + ");\n"
    )
    options = ["--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", f"--jobs={CLIENTS}"]
    done = subprocess.run(
        ["pgbench", *options, f"--time={PGBENCH_SECONDS}", "--file=-"],
        input=script,
        env={**os.environ, "PGOPTIONS": f"-c synchronous_commit={synchronous_commit}"},
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(done.stdout)
    return 1 / float(found[1])


def single_rows(db: psycopg.Connection, table: Table, synchronous_commit: str) -> None:
    ((workspace,),) = db.execute("SELECT workspace_id FROM analytics.workspaces LIMIT 1").fetchall()
    times = alternate(db, lambda name: pgbench(name, workspace, synchronous_commit))
    what = f"single-row prepared INSERT, {CLIENTS} clients, synchronous_commit={synchronous_commit}"
    table.row(what, times[OURS], times[INDEXED], "same indexes", items=1)
    table.row(what, times[OURS], times[BARE], "bare", items=1)


# ------------------------------------------------------------------------------------------- COPY


def load(db: psycopg.Connection, table: str, data: bytes) -> float:
    columns = COLUMNS if table == OURS else COLUMNS + DEFAULTED

    def copy() -> None:
        with db.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as stream:
            for start in range(0, len(data), 65536):
                stream.write(data[start : start + 65536])

    taken = seconds(copy)
    ((rows,),) = db.execute(f"SELECT count(*) FROM {table}").fetchall()
    if rows != COPY_ROWS:
        raise RuntimeError(f"{rows} rows in {table}")
    return taken


def copies(db: psycopg.Connection, table: Table) -> None:
    def rows(more: str) -> bytes:
        chunks = range((COPY_ROWS + 65_535) // 65_536)
        source = " UNION ALL ".join(
            f"SELECT {GENERATED}{more} FROM analytics_internal.demo_runs({workload(COPY_ROWS)}, {chunk})"
            for chunk in chunks
        )
        with db.cursor() as cursor, cursor.copy(f"COPY ({source}) TO STDOUT") as stream:
            return b"".join(bytes(part) for part in stream)

    data = {OURS: rows(""), INDEXED: rows(", '{}'::jsonb, now()")}
    data[BARE] = data[INDEXED]
    times = alternate(db, lambda name: load(db, name, data[name]))
    what = f"COPY of {COPY_ROWS:,} rows, {len(data[OURS]) // COPY_ROWS} bytes each"
    table.row(what, times[OURS], times[INDEXED], "same indexes", items=COPY_ROWS)
    table.row(what, times[OURS], times[BARE], "bare", items=COPY_ROWS)


# --------------------------------------------------------------------------------------- demo data


def generate(db: psycopg.Connection) -> float:
    """Into a table that has the columns and nothing else."""
    db.execute(f"DROP TABLE IF EXISTS bench.generated; CREATE TABLE bench.generated (LIKE {OURS})")
    for name in ("metadata", "created_at"):
        db.execute(f"ALTER TABLE bench.generated ALTER COLUMN {name} DROP NOT NULL")

    def insert() -> None:
        for chunk in range(GENERATED_ROWS // 65_536):
            db.execute(
                f"INSERT INTO bench.generated ({COLUMNS}) SELECT {GENERATED}"
                f" FROM analytics_internal.demo_runs({workload(GENERATED_ROWS)}, {chunk})"
            )

    taken = seconds(insert)
    ((rows,),) = db.execute("SELECT count(*) FROM bench.generated").fetchall()
    if rows != GENERATED_ROWS:
        raise RuntimeError(f"{rows} rows were generated")
    return taken


def generate_demo_data(db: psycopg.Connection) -> float:
    db.execute("TRUNCATE analytics.workspaces CASCADE")
    call = f"SELECT inserted_count FROM analytics.generate_demo_data({workload(COPY_ROWS)}) WHERE table_name = 'agent_runs'"
    taken = seconds(lambda: db.execute(call))
    ((rows,),) = db.execute(f"SELECT count(*) FROM {OURS}").fetchall()
    if rows != COPY_ROWS:
        raise RuntimeError(f"{rows} runs were generated")
    return taken


def demo_data(db: psycopg.Connection, table: Table) -> None:
    bare = Times([generate(db) for _ in range(1 + ROUNDS)][1:])
    rate = GENERATED_ROWS / bare.median
    table.figure(
        f"demo_runs() into a bare table, {GENERATED_ROWS:,} runs",
        f"{rate:,.0f} runs/s",
        "the target",
        "200,000 runs/s",
        f"{200_000 / rate:.2f}",
    )
    every = Times([generate_demo_data(db) for _ in range(1 + ROUNDS)][1:])
    table.figure(
        f"generate_demo_data({COPY_ROWS:,}): runs, errors, feedback, queue",
        f"{COPY_ROWS / every.median:,.0f} runs/s",
    )


def main() -> None:
    db = install()
    prepare(db)
    table = Table("ingestion into analytics.agent_runs; a ratio above 1 is what our guarantees cost")
    for synchronous_commit in ("on", "off"):
        single_rows(db, table, synchronous_commit)
    copies(db, table)
    demo_data(db, table)
    table.show()


if __name__ == "__main__":
    main()
