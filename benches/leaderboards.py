"""Boards of 100,000 agents in 100 workspaces: refreshed, read, and ranked, against window functions over the raw runs.

The runs are clumped, as real ones are: an agent is active on some ten of 90 days, and runs some ten times on each, for two users. The
alternative is what one writes without rollups: for each timeframe one pass over agent_runs that groups by agent, with
percentile_cont and count(DISTINCT), then rank() for each criterion, written into a table with the same key. A second
part measures its SELECT alone. It ranks agents only; our refresh also does users, workspaces, achievements and history.

    LEADERBOARDS_RUNS=1000000 LEADERBOARDS_AGENTS=10000 tools/bench leaderboards      (a quick look)
"""

import contextlib
import os
import sys
import time

from common import Table, Times, install, seconds, timed, timed_pair

RUNS = int(os.environ.get("LEADERBOARDS_RUNS", "10000000"))
AGENTS = int(os.environ.get("LEADERBOARDS_AGENTS", "100000"))
WORKSPACES = 100
TIMEFRAMES = {
    "24h": "24 hours",
    "7d": "168 hours",
    "30d": "720 hours",
    "90d": "2160 hours",
    "all": "100 years",
}
DAYS = 10  # on which an agent is active

WORKSPACE = "('00000000-0000-4000-8000-' || lpad(to_hex({}), 12, '0'))::uuid"

MEASURES = """
    SELECT r.workspace_id, r.agent_id, count(*) AS total,
           count(*) FILTER (WHERE r.status = 'completed') AS successes,
           count(*) FILTER (WHERE r.status NOT IN ('queued', 'running')) AS finished,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.runtime_seconds) AS median,
           count(r.runtime_seconds) AS timed, sum(r.runtime_seconds) AS seconds,
           sum(r.credits_consumed) AS credits, count(DISTINCT r.user_id) AS users
    FROM analytics.agent_runs AS r
    WHERE r.started_at >= (SELECT window_end FROM analytics.window_bounds('24h')) - interval '{span}'
    GROUP BY r.workspace_id, r.agent_id"""

SCORES = """
    SELECT m.*, analytics.wilson_lower_bound(successes, finished) AS bound,
           exp(-2.4564505704532684 / sqrt(nullif(timed, 0))) / nullif(median, 0) AS speed,
           analytics.wilson_lower_bound(successes, finished)
               / nullif(sqrt((credits / total)::float8 * seconds / nullif(timed, 0)), 0) AS efficiency
    FROM ({measures}) AS m"""

BOARDS = """
    SELECT s.workspace_id, '{timeframe}' AS timeframe, c.criteria, s.agent_id, rank() OVER w AS rank,
           NULL::bigint AS previous_rank, 'new' AS rank_change, c.score, 100 * percent_rank() OVER w AS percentile,
           NULL::text AS badge, s.total, s.successes, s.successes::float8 / nullif(s.finished, 0) AS success_rate,
           s.median, s.credits, s.users, now() AS calculated_at
    FROM ({scores}) AS s
    CROSS JOIN LATERAL (VALUES ('runs', s.total::float8), ('success_rate', s.bound), ('speed', s.speed),
        ('efficiency', s.efficiency), ('popularity', s.users::float8)) AS c (criteria, score)
    WHERE c.score IS NOT NULL
    WINDOW w AS (PARTITION BY s.workspace_id, c.criteria ORDER BY c.score DESC)"""


def board_query(timeframe: str) -> str:
    measures = MEASURES.format(span=TIMEFRAMES[timeframe])
    return BOARDS.format(timeframe=timeframe, scores=SCORES.format(measures=measures))


ALL_BOARDS = " UNION ALL ".join(f"({board_query(timeframe)})" for timeframe in TIMEFRAMES)


def say(text: str) -> None:
    print(f"... {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def bulk_load(db):
    """Without what is done for each row: triggers, foreign keys (the rows are right) and the indexes that can be built after."""
    indexes = db.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = 'analytics.agent_runs'::regclass AND NOT indisunique"
    ).fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    db.execute("SET session_replication_role = replica")
    db.execute("ALTER TABLE analytics.agent_runs DISABLE TRIGGER capture_changes")
    yield
    db.execute("ALTER TABLE analytics.agent_runs ENABLE ALWAYS TRIGGER capture_changes")
    db.execute("RESET session_replication_role")
    for _, definition in indexes:
        db.execute(definition.replace(" ON ONLY ", " ON "))


def fill(db) -> None:
    db.execute(
        "INSERT INTO analytics.workspaces (workspace_id, name)"
        f" SELECT {WORKSPACE.format('w')}, 'workspace ' || w FROM generate_series(1, {WORKSPACES}) AS w"
    )
    db.execute("SELECT analytics.ensure_partitions()")
    per_day = max(RUNS // AGENTS // DAYS, 1)
    db.execute("SELECT setseed(0.5)")
    with bulk_load(db):
        db.execute(f"""
            INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed)
            SELECT {WORKSPACE.format(f"1 + a % {WORKSPACES}")}, {WORKSPACE.format("1000000 + a")},
                   {WORKSPACE.format(f"10000000 + 100 * (a % {WORKSPACES}) + (d.who + n % 2) % 50")},
                   CASE WHEN random() < 0.5 + (a % 50) / 100.0 THEN 'completed' ELSE 'failed' END,
                   d.started + random() * interval '4 hours', exp(3 * random() + a % 3), (1 + random() * 99)::integer * 0.01
            FROM generate_series(1, {AGENTS}) AS a
            CROSS JOIN LATERAL (SELECT now() - interval '5 hours' - random() * (a * 0 + 89) * interval '1 day' AS started,
                                       (random() * 1000)::integer AS who
                                FROM generate_series(1, {DAYS})) AS d
            CROSS JOIN generate_series(1, {per_day}) AS n""")
    say("runs are there")
    db.execute("VACUUM (ANALYZE) analytics.agent_runs")
    fill_rollups(db)
    say("rollups are there")
    db.execute("DELETE FROM analytics_internal.rollup_changes")
    db.execute("VACUUM (ANALYZE)")


def fill_rollups(db) -> None:
    """What refresh() would write, in one go for each table: benches/rollup.py measures refresh()."""
    columns = {
        "total_runs": "count(*)",
        "successful_runs": "count(*) FILTER (WHERE r.status = 'completed')",
        "failed_runs": "count(*) FILTER (WHERE r.status = 'failed')",
        "timeout_runs": "0",
        "cancelled_runs": "0",
        "running_runs": "0",
        "queued_runs": "0",
        "finished_runs": "count(*)",
        "runtime_sketch": "analytics.percentile_agg(r.runtime_seconds)",
        "runtime_stats": "analytics.stats_agg(r.runtime_seconds)",
        "users_sketch": "analytics.distinct_agg(r.user_id)",
        "unique_users": "count(DISTINCT r.user_id)",
        "credits_consumed": "sum(r.credits_consumed)",
        "first_run_at": "min(r.started_at)",
        "last_run_at": "max(r.started_at)",
    }
    for table, keys in {
        "agent_performance_hourly": "workspace_id, agent_id",
        "agent_performance_daily": "workspace_id, agent_id",
        "user_usage_daily": "workspace_id, agent_id, user_id",
        "execution_metrics_hourly": "workspace_id",
        "execution_metrics_daily": "workspace_id",
    }.items():
        present = db.execute(
            "SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND attname <> ALL (%s)",
            [f"analytics.{table}", ["bucket", *keys.split(", ")]],
        ).fetchall()
        chosen = {name: columns.get(name, "0") for name, required in present if required or name in columns}
        width = "1 hour" if table.endswith("hourly") else "24 hours"
        db.execute(f"""
            INSERT INTO analytics.{table} ({keys}, bucket, {", ".join(chosen)})
            SELECT {keys}, date_bin('{width}', r.started_at, 'epoch'), {", ".join(chosen.values())}
            FROM analytics.agent_runs AS r GROUP BY {keys}, date_bin('{width}', r.started_at, 'epoch')""")


def main() -> None:
    db = install()
    fill(db)
    runs, days = db.execute(
        "SELECT (SELECT count(*) FROM analytics.agent_runs), (SELECT count(*) FROM analytics.agent_performance_daily)"
    ).fetchone()
    print(
        f"\n{runs:,} runs of {AGENTS:,} agents, {days:,} rows of agent_performance_daily, load {os.getloadavg()[0]:.1f}"
    )

    # Each once: these take minutes, and the first refresh is the one that writes everything.
    db.execute("CREATE TABLE public.boards (LIKE analytics.agent_leaderboard INCLUDING ALL)")
    theirs = Times([seconds(lambda: db.execute(f"INSERT INTO boards {ALL_BOARDS}"))])
    select = Times(
        [seconds(lambda: db.execute(f"SELECT count(*), sum(rank), sum(score) FROM ({ALL_BOARDS}) AS b"))]
    )
    say("alternative done")
    start = time.perf_counter()
    done = db.execute("SELECT * FROM analytics.refresh_leaderboards()").fetchall()
    ours = Times([time.perf_counter() - start])
    for row in done:
        print("  ", *row)
    agents = Times([done[0][7]])
    (same,) = db.execute(
        "SELECT (SELECT count(*) FROM boards) = (SELECT count(*) FROM analytics.agent_leaderboard)"
    ).fetchone()
    assert same, "the boards have different sizes"
    (differ,) = db.execute(
        "SELECT count(*) FROM boards AS b JOIN analytics.agent_leaderboard AS l USING (workspace_id, timeframe, criteria, agent_id)"
        " WHERE b.rank <> l.rank AND b.criteria <> 'efficiency'"
    ).fetchone()
    assert differ == 0, f"{differ} ranks differ"

    table = Table(f"boards of {AGENTS:,} agents in {WORKSPACES} workspaces, {runs:,} runs")
    table.row("everything for the first time", ours, theirs, "rank() over raw runs, written")
    table.row("... boards of agents only", agents, theirs, "rank() over raw runs, written")
    table.row("... boards of agents only", agents, select, "rank() over raw runs, only read")

    db.execute("VACUUM (ANALYZE) analytics.agent_leaderboard")
    clean = timed(lambda: db.execute("SELECT * FROM analytics.refresh_leaderboards()"))
    table.row("nothing has changed", clean, theirs, "rank() over raw runs, written")

    workspace = f"'{db.execute('SELECT min(workspace_id::text) FROM analytics.workspaces').fetchone()[0]}'"
    changed = []
    for _ in range(3):
        db.execute(
            "INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed)"
            f" SELECT workspace_id, agent_id, user_id, 'completed', now(), 1, 1 FROM analytics.agent_runs WHERE workspace_id = {workspace} LIMIT 100"
        )
        db.execute("CALL analytics.refresh_all(materialized_views => false)")
        changed.append(seconds(lambda: db.execute("SELECT * FROM analytics.refresh_leaderboards()")))
    table.row("one workspace has changed", Times(changed), theirs, "rank() over raw runs, written")

    live, plain = timed_pair(
        lambda: db.execute(
            f"SELECT * FROM analytics.rank_agents({workspace}, '90d', 'success_rate')"
        ).fetchall(),
        lambda: db.execute(
            board_query("90d").replace("r.started_at >=", f"r.workspace_id = {workspace} AND r.started_at >=")
        ).fetchall(),
    )
    table.row("rank_agents(), 90d, one workspace, live", live, plain, "rank() over its raw runs")

    # The top of one board of 100,000.
    big = WORKSPACE.format(999)
    db.execute(f"""
        INSERT INTO analytics.agent_leaderboard
        SELECT {big}, '30d', 'runs', {WORKSPACE.format("a")}, a, NULL, 'new', {AGENTS} - a, 0, NULL, 1, 1, 1, 1, 1, 1, now()
        FROM generate_series(1, {AGENTS}) AS a""")
    db.execute("VACUUM (ANALYZE) analytics.agent_leaderboard")
    top = "SELECT * FROM analytics.agent_leaderboard WHERE workspace_id = {} AND timeframe = '30d' AND criteria = 'runs' ORDER BY rank, agent_id LIMIT 50"
    large, small = timed_pair(
        lambda: db.execute(top.format(big)).fetchall(),
        lambda: db.execute(top.format(workspace)).fetchall(),
        runs=200,
    )
    table.row(f"top 50 of {AGENTS:,}", large, small, f"top 50 of {AGENTS // WORKSPACES:,}")

    ranking = f"SELECT count(*) FROM (SELECT array_agg('b' || a % 25) AS b, array_agg({WORKSPACE.format('a')}) AS e, array_agg((a * 7919 % 1009)::float8) AS s FROM generate_series(1, {AGENTS}) AS a) AS x, LATERAL analytics.rank_scores(b, e, s)"
    window = f"SELECT count(*) FROM (SELECT rank() OVER w, dense_rank() OVER w, 100 * (count(*) OVER (PARTITION BY b ORDER BY s GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + (count(*) OVER (PARTITION BY b, s) - 1) / 2.0) / (count(*) OVER (PARTITION BY b) - 1) FROM (SELECT 'b' || a % 25 AS b, {WORKSPACE.format('a')} AS e, (a * 7919 % 1009)::float8 AS s FROM generate_series(1, {AGENTS}) AS a) AS y WINDOW w AS (PARTITION BY b ORDER BY s DESC)) AS z OFFSET 0"
    ours, theirs = timed_pair(lambda: db.execute(ranking), lambda: db.execute(window))
    table.row(
        f"rank_scores(), {AGENTS:,} scores on 25 boards",
        ours,
        theirs,
        "rank(), percentile by window functions",
    )
    table.show()


if __name__ == "__main__":
    main()
