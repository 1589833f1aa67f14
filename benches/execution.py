"""What a workspace's dashboard costs: ten calls against one query of the raw rows, and as the history grows.

SMALL and LARGE (BENCH_SMALL, BENCH_LARGE) are the numbers of runs between which the dashboard's latency shall not
differ. With the defaults this takes about a quarter of an hour, nearly all of it to load the runs.
"""

import json
import statistics

import psycopg
from common import Table, Times, install, timed, timed_pair

from rollup import AGENT, AGENTS, LARGE, SMALL, WORKSPACE, load

ROUNDS = 30
W = f"'{WORKSPACE}'"

CALLS = {
    "workspace_summary('30d')": f"SELECT * FROM analytics.workspace_summary({W}, '30d')",
    "workspace_health('30d')": f"SELECT * FROM analytics.workspace_health({W}, '30d')",
    "workspace_activity('30d', day)": f"SELECT * FROM analytics.workspace_activity({W}, '30d')",
    "workspace_users('30d', 10)": f"SELECT * FROM analytics.workspace_users({W}, '30d', 10)",
    "execution_metrics('30d')": f"SELECT analytics.execution_metrics({W}, '30d')",
    "execution_throughput('30d', day)": f"SELECT * FROM analytics.execution_throughput({W}, '30d')",
    "execution_throughput('7d', hour)": f"SELECT * FROM analytics.execution_throughput({W}, '7d', 'hour')",
    "execution_latency('30d')": f"SELECT * FROM analytics.execution_latency({W}, '30d')",
    "queue_history('30d', day)": f"SELECT * FROM analytics.queue_history({W}, '30d')",
    "execution_realtime()": f"SELECT * FROM analytics.execution_realtime({W})",
}

SINCE = f"workspace_id = {W} AND started_at >= date_trunc('hour', now()) - interval '719 hours'"
RAW = f"""
    SELECT count(*), count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
        avg(runtime_seconds), percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY runtime_seconds),
        sum(credits_consumed), sum(tokens_used), count(DISTINCT user_id)
    FROM analytics.agent_runs WHERE {SINCE}"""

DAY = f"workspace_id = {W} AND started_at >= now() - interval '24 hours' AND runtime_seconds IS NOT NULL"
SWEEP = f"SELECT * FROM analytics.execution_concurrency({W}, '24h')"
# The peak alone, of one bucket.
WINDOW = f"""
    SELECT max(level) FROM (
        SELECT sum(step) OVER (ORDER BY at, step ROWS UNBOUNDED PRECEDING) AS level FROM (
            SELECT started_at AS at, 1 AS step FROM analytics.agent_runs WHERE {DAY}
            UNION ALL
            SELECT started_at + make_interval(secs => runtime_seconds), -1 FROM analytics.agent_runs WHERE {DAY}
        ) AS e
    ) AS l"""


def queue(db: psycopg.Connection) -> None:
    """A tenth as many entries as runs in the last 30 days; some wait."""
    db.execute(f"""
        INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, priority, queued_at, started_at, completed_at)
        SELECT {W}, {AGENT.format(f"n % {AGENTS}")}, CASE WHEN n <= 500 THEN 'queued' ELSE 'completed' END, n % 3, t,
            CASE WHEN n > 500 THEN t + interval '20 seconds' END, CASE WHEN n > 500 THEN t + interval '90 seconds' END
        FROM generate_series(1, {SMALL // 10}) AS n
        CROSS JOIN LATERAL (SELECT now() - interval '2 minutes' - (n / {SMALL / 10}) * interval '30 days') AS v (t)""")


def dashboard(db: psycopg.Connection) -> None:
    for query in CALLS.values():
        db.execute(query).fetchall()


def buffers(db: psycopg.Connection, query: str) -> int:
    ((plan,),) = db.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}").fetchall()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]


def p95(times: Times) -> Times:
    return Times([statistics.quantiles(times.all, n=20)[18]])


def main() -> None:
    db = install()
    db.execute("SET jit = off")
    months = max(2, LARGE // SMALL + 1)
    db.execute(f"SELECT * FROM analytics.ensure_partitions(since => now() - interval '{months * 31} days')")
    db.execute(f"INSERT INTO analytics.workspaces (workspace_id, name) VALUES ({W}, 'bench')")
    table = Table(f"a workspace's dashboard; {AGENTS:,} agents; a ratio below 1 says that ours took less")

    queue(db)
    load(db, 0, SMALL)
    small = {
        name: timed(lambda q=query: db.execute(q).fetchall(), runs=ROUNDS, warm_up=3)
        for name, query in CALLS.items()
    }
    load(db, SMALL, LARGE)
    large = {
        name: timed(lambda q=query: db.execute(q).fetchall(), runs=ROUNDS, warm_up=3)
        for name, query in CALLS.items()
    }

    raw_seconds = timed(lambda: db.execute(RAW).fetchall(), runs=3)
    for name, query in CALLS.items():
        what = f"{name}, {buffers(db, query):,} buffers"
        table.row(what, large[name], raw_seconds, "one query of the raw rows")
    for name in CALLS:
        table.row(f"{name}, p95, {LARGE:,} runs", p95(large[name]), p95(small[name]), f"{SMALL:,} runs")
    ours, theirs = timed_pair(lambda: dashboard(db), lambda: db.execute(RAW).fetchall(), runs=5)
    table.row(f"the ten calls, {LARGE:,} runs", ours, theirs, "one query of the raw rows")
    ours, theirs = timed_pair(
        lambda: db.execute(SWEEP).fetchall(), lambda: db.execute(WINDOW).fetchall(), runs=5
    )
    table.row("execution_concurrency('24h'), 24 hours", ours, theirs, "window function, one peak")
    table.show()


if __name__ == "__main__":
    main()
