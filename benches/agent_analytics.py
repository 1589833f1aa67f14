"""An agent's page against what the original platform asked of raw rows: eight queries for one agent and 30 days.

The same questions at SMALL and at LARGE runs over 90 days, for the busiest agent of a workspace and for a typical one, in
alternating order in one session; the pages that each function of the dashboard reads; and the same questions to DuckDB.

    BENCH_SMALL=200000 BENCH_LARGE=1000000 tools/bench agent_analytics      (a quick look)
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import psycopg
from common import Table, Times, duration, install, seconds, timed_pair

SMALL = int(os.environ.get("BENCH_SMALL", "1000000"))
LARGE = int(os.environ.get("BENCH_LARGE", "10000000"))

OF_AGENT = "FROM analytics.agent_runs WHERE workspace_id = %(ws)s AND agent_id = %(agent)s AND started_at >= now() - interval '30 days'"
# What get_agent_analytics of the original sent, on our tables: performance, percentiles, resources, models, errors, users,
# days, and the workspace to compare with.
ORIGINAL = [
    f"SELECT count(*), count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),"
    f" avg(runtime_seconds), min(runtime_seconds), max(runtime_seconds), stddev(runtime_seconds), avg(user_rating) {OF_AGENT}",
    f"SELECT percentile_cont(ARRAY[0.5, 0.75, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY runtime_seconds) {OF_AGENT}",
    f"SELECT sum(credits_consumed), sum(tokens_used), avg(credits_consumed), sum(prompt_tokens), sum(completion_tokens) {OF_AGENT}",
    f"SELECT model_name, count(*), sum(credits_consumed), sum(tokens_used) {OF_AGENT} GROUP BY 1",
    "SELECT error_category, error_severity, count(*), avg(recovery_time_seconds) FROM analytics.agent_errors"
    " WHERE workspace_id = %(ws)s AND agent_id = %(agent)s AND occurred_at >= now() - interval '30 days' GROUP BY 1, 2",
    f"SELECT user_id, count(*) {OF_AGENT} GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
    f"SELECT date_trunc('day', started_at), count(*), percentile_cont(0.95) WITHIN GROUP (ORDER BY runtime_seconds) {OF_AGENT}"
    " GROUP BY 1 ORDER BY 1",
    "SELECT count(*), avg(runtime_seconds), avg((status = 'completed')::int) FROM analytics.agent_runs"
    " WHERE workspace_id = %(ws)s AND started_at >= now() - interval '30 days'",
]
OURS = "SELECT analytics.agent_analytics(%(ws)s, %(agent)s, '30d')"

DASHBOARD = {
    "list_agents": "SELECT * FROM analytics.list_agents(%(ws)s, '30d')",
    "agent_performance": "SELECT * FROM analytics.agent_performance(%(ws)s, %(agent)s, '30d')",
    "agent_timeseries, by day": "SELECT * FROM analytics.agent_timeseries(%(ws)s, %(agent)s, '30d')",
    "agent_usage_pattern": "SELECT * FROM analytics.agent_usage_pattern(%(ws)s, %(agent)s, '30d')",
    "agent_runtime_histogram": "SELECT * FROM analytics.agent_runtime_histogram(%(ws)s, %(agent)s, '30d')",
    "agent_comparison": "SELECT * FROM analytics.agent_comparison(%(ws)s, %(agent)s, '30d')",
    "model_usage": "SELECT * FROM analytics.model_usage(%(ws)s, %(agent)s, '30d')",
    "error_summary": "SELECT * FROM analytics.error_summary(%(ws)s, %(agent)s, '30d')",
    "error_budget": "SELECT * FROM analytics.error_budget(%(ws)s, %(agent)s, 0.95, '30d')",
    "agent_executions": "SELECT * FROM analytics.agent_executions(%(ws)s, %(agent)s, '30d')",
}
# The same questions to DuckDB, whose file holds the runs of all workspaces.
OF_DUCK = "FROM runs WHERE workspace_id = $ws AND started_at >= $since"
SUMS = (
    "count(*), count(*) FILTER (status = 'completed'), count(*) FILTER (status = 'failed'), avg(runtime_seconds),"
    " quantile_cont(runtime_seconds, [0.5, 0.95]), sum(credits_consumed), sum(tokens_used), count(DISTINCT user_id),"
    " avg(user_rating), max(started_at)"
)
DUCKDB = {
    "list_agents": f"SELECT agent_id, {SUMS} {OF_DUCK} GROUP BY 1 ORDER BY 2 DESC",
    "agent_performance": f"SELECT {SUMS}, quantile_cont(runtime_seconds, [0.75, 0.9, 0.99]), min(runtime_seconds),"
    f" max(runtime_seconds), stddev(runtime_seconds) {OF_DUCK} AND agent_id = $agent",
    "agent_timeseries, by day": f"SELECT date_trunc('day', started_at), {SUMS} {OF_DUCK} AND agent_id = $agent GROUP BY 1 ORDER BY 1",
    "agent_usage_pattern": "SELECT dayofweek(started_at), hour(started_at), count(*), avg(runtime_seconds)"
    f" {OF_DUCK} AND agent_id = $agent GROUP BY 1, 2 ORDER BY 1, 2",
    "agent_runtime_histogram": f"SELECT floor(ln(runtime_seconds) * 2), count(*) {OF_DUCK} AND agent_id = $agent AND runtime_seconds > 0"
    " GROUP BY 1 ORDER BY 1",
    "model_usage": "SELECT model_name, count(*), avg(runtime_seconds), sum(credits_consumed), sum(tokens_used)"
    f" {OF_DUCK} AND agent_id = $agent GROUP BY 1",
    "agent_executions": f"SELECT run_id, status, started_at, runtime_seconds {OF_DUCK} AND agent_id = $agent"
    " ORDER BY started_at DESC LIMIT 50",
}
COLUMNS = {
    "workspace_id": "UUID", "agent_id": "UUID", "run_id": "UUID", "user_id": "UUID", "status": "VARCHAR",
    "started_at": "TIMESTAMPTZ", "runtime_seconds": "DOUBLE", "credits_consumed": "DECIMAL(18, 6)", "tokens_used": "BIGINT",
    "model_name": "VARCHAR", "user_rating": "SMALLINT",
}  # fmt: skip
RAW_READERS = {
    "agent_top_users": "SELECT * FROM analytics.agent_top_users(%(ws)s, %(agent)s, '30d')",
    "error_patterns": "SELECT * FROM analytics.error_patterns(%(ws)s, %(agent)s, '30d')",
    "agent_analytics": OURS,
}


def load(db: psycopg.Connection, runs: int) -> dict[str, dict]:
    """So many runs, all of them in rollups; the busiest agent and one in the middle."""
    db.execute("TRUNCATE analytics.workspaces CASCADE")
    start = time.perf_counter()
    db.execute("SELECT * FROM analytics.generate_demo_data(%s)", [runs])
    loaded = time.perf_counter()
    while db.execute("SELECT bool_or(status = 'refreshed') FROM analytics.refresh(1000000)").fetchone()[0]:
        pass
    db.execute("VACUUM (ANALYZE)")
    db.execute("CHECKPOINT")
    print(
        f"{runs:,} runs: loaded in {loaded - start:.0f} s, refreshed in {time.perf_counter() - loaded:.0f} s",
        flush=True,
    )
    agents = db.execute(
        "SELECT w.workspace_id, a.agent_id, a.total_runs FROM analytics.workspaces AS w, analytics.list_agents(w.workspace_id, '30d') AS a"
        " WHERE a.total_runs > 0 ORDER BY a.total_runs DESC"
    ).fetchall()
    pick = lambda row: {"ws": row[0], "agent": row[1], "runs": row[2]}  # noqa: E731
    return {"busiest": pick(agents[0]), "typical": pick(agents[len(agents) // 2])}


def percentile_95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[18]


def buffers(db: psycopg.Connection, query: str, arguments: dict) -> int:
    (plan,) = db.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT JSON) {query}", arguments).fetchone()
    top = (plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"]


def repeated(action: Callable[[], object]) -> Times:
    return Times([seconds(action) for _ in range(7)])


def dashboard(db: psycopg.Connection, table: Table, agent: dict, runs: int) -> None:
    """Ten calls together, and what each call takes and reads."""

    def ask(query: str) -> None:
        db.execute(query, agent)

    ours = repeated(lambda: [ask(query) for query in DASHBOARD.values()])
    raw = repeated(lambda: ask(ORIGINAL[6]))
    table.row(
        f"ten calls of a dashboard, busiest agent, {runs:,} runs", ours, raw, "one query of raw rows by day"
    )
    for name, query in {**DASHBOARD, **RAW_READERS}.items():
        taken = repeated(lambda q=query: ask(q))
        table.figure(
            f"{name}, busiest agent, {runs:,} runs",
            duration(taken.median),
            "pages read",
            f"{buffers(db, query, agent):,}",
        )


def to_duckdb(db: psycopg.Connection, folder: Path) -> duckdb.DuckDBPyConnection:
    """The runs in a file of DuckDB's own."""
    text = folder / "runs.csv"
    names = ", ".join(COLUMNS)
    with (
        text.open("wb") as file,
        db.cursor().copy(f"COPY (SELECT {names} FROM analytics.agent_runs) TO STDOUT (FORMAT csv)") as stream,
    ):
        for part in stream:
            file.write(part)
    duck = duckdb.connect(folder / "runs.duckdb")
    duck.execute("SET timezone = 'UTC'")
    duck.execute(
        f"CREATE OR REPLACE TABLE runs AS SELECT * FROM read_csv('{text}', header = false, columns = {COLUMNS})"
    )
    duck.execute("CHECKPOINT")
    text.unlink()
    return duck


def against_duckdb(db: psycopg.Connection, table: Table, agent: dict, runs: int) -> None:
    """Question by question; DuckDB on all cores."""
    (since,) = db.execute("SELECT now() - interval '30 days'").fetchone()
    with tempfile.TemporaryDirectory() as folder:
        duck = to_duckdb(db, Path(folder))
        given = {"ws": agent["ws"], "agent": agent["agent"], "since": since}
        for name, query in DUCKDB.items():
            used = {key: value for key, value in given.items() if f"${key}" in query}
            ours, theirs = timed_pair(
                lambda n=name: db.execute(DASHBOARD[n], agent).fetchall(),
                lambda q=query, u=used: duck.execute(q, u).fetchall(),
            )
            table.row(f"{name}, busiest agent, {runs:,} runs", ours, theirs, "DuckDB")
        duck.close()


def main() -> None:
    db = install()
    table = Table(f"one agent, 30 days of 90, {SMALL:,} and {LARGE:,} runs")
    latency: dict[tuple[int, str], float] = {}
    for runs in (SMALL, LARGE):
        agents = load(db, runs)
        for kind, agent in agents.items():
            what = f"{runs:,} runs, {kind} agent ({agent['runs']:,} in 30 days)"
            ours, theirs = timed_pair(
                lambda a=agent: db.execute(OURS, a),
                lambda a=agent: [db.execute(query, a) for query in ORIGINAL],
                runs=7, warm_up=2,
            )  # fmt: skip
            table.row(f"agent_analytics: {what}", ours, theirs, "eight queries of raw rows")
            many = [seconds(lambda a=agent: db.execute(OURS, a)) for _ in range(200)]
            latency[runs, kind] = percentile_95(many)
            table.figure(f"p95 of 200 calls: {what}", duration(latency[runs, kind]))
        dashboard(db, table, agents["busiest"], runs)
        against_duckdb(db, table, agents["busiest"], runs)
    for kind in ("busiest", "typical"):
        table.figure(
            f"p95, {kind} agent, large over small", f"{latency[LARGE, kind] / latency[SMALL, kind]:.2f}"
        )
    table.show()


main()
