"""Lifecycle: time in state against window functions, transitions a second, proposals for many agents.

LIFECYCLE_EVENTS=10000000 (the default) observations of a hundredth as many things. Both sides get the same work_mem,
enough for all of it; without, a hash aggregate of so many groups spills as a sort does.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from common import Table, connect, install, timed, timed_pair

EVENTS = int(os.environ.get("LIFECYCLE_EVENTS", "10000000"))
THINGS = EVENTS // 100
UNTIL = "timestamptz '2026-03-01'"

LEAD = f"""
    SELECT count(*), sum(d) FROM (
        SELECT id, state, sum(coalesce(next, {UNTIL}) - at) AS d FROM (
            SELECT id, at, state, lead(at) OVER (PARTITION BY id ORDER BY at) AS next FROM observations) AS o
        GROUP BY id, state) AS g"""
OURS = f"""
    SELECT count(*), sum(v.duration) FROM (
        SELECT id, analytics.state_agg(at, state) AS s FROM observations GROUP BY id) AS g,
        analytics.into_values(s, to_time => {UNTIL}) AS v"""
LEAD_ONE = f"""
    SELECT count(*), sum(d) FROM (
        SELECT id, sum(coalesce(next, {UNTIL}) - at) FILTER (WHERE state = 'down') AS d FROM (
            SELECT id, at, state, lead(at) OVER (PARTITION BY id ORDER BY at) AS next FROM observations) AS o
        GROUP BY id) AS g"""
OURS_ONE = f"""
    SELECT count(*), sum(d) FROM (
        SELECT id, analytics.duration_in(analytics.state_agg(at, state), 'down', to_time => {UNTIL}) AS d
        FROM observations GROUP BY id) AS g"""


def time_in_state(db) -> None:
    db.execute("CREATE TABLE observations (id integer, at timestamptz, state text)")
    db.execute(
        "INSERT INTO observations SELECT 1 + (i::bigint * 7919) %% %s, timestamptz '2026-01-01' + i * interval '0.4 s',"
        " (ARRAY['running', 'idle', 'down', 'starting'])[1 + (hashint4(i) & 3)] FROM generate_series(1, %s) AS i",
        [THINGS, EVENTS],
    )
    db.execute("VACUUM ANALYZE observations")
    db.execute("SET work_mem = '2GB'")
    table = Table(f"time in state, {EVENTS:,} observations of {THINGS:,} things")
    for workers in (0, 2):
        db.execute(f"SET max_parallel_workers_per_gather = {workers}")
        for what, ours, lead in (("all states", OURS, LEAD), ("one state", OURS_ONE, LEAD_ONE)):
            assert db.execute(ours).fetchone()[0] > 0
            times = timed_pair(
                lambda q=ours: db.execute(q).fetchall(),
                lambda q=lead: db.execute(q).fetchall(),
                runs=3,
                warm_up=0,
            )
            table.row(f"{what}, {workers} workers", *times, alternative="lead() OVER", items=EVENTS)
    table.show()
    db.execute("RESET work_mem; RESET max_parallel_workers_per_gather; DROP TABLE observations")


def moves(workspace, agents, seconds: float) -> int:
    done = 0
    with connect() as connection:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for agent, target in ((a, t) for t in ("testing", "draft") for a in agents):
                connection.execute(
                    "SELECT sequence FROM analytics.transition_agent(%s, %s, %s)",
                    [workspace, agent, target],
                    prepare=True,
                )
                done += 1
    return done


def transitions(db) -> None:
    workspace = db.execute(
        "INSERT INTO analytics.workspaces (name) VALUES ('moves') RETURNING workspace_id"
    ).fetchone()[0]
    agents = [
        row[0]
        for row in db.execute(
            "INSERT INTO analytics.agents (workspace_id, name) SELECT %s, i::text FROM generate_series(1, 200) AS i RETURNING agent_id",
            [workspace],
        )
    ]
    table = Table("transition_agent(), 2 clients on agents of their own")
    for setting in ("on", "off"):
        db.execute(f"ALTER SYSTEM SET synchronous_commit = {setting}")
        db.execute("SELECT pg_reload_conf()")
        started = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            counts = list(pool.map(lambda own: moves(workspace, own, 5), (agents[:100], agents[100:])))
        rate = sum(counts) / (time.perf_counter() - started)
        table.figure(
            f"synchronous_commit {setting}",
            f"{rate:,.0f} a second",
            "asked for",
            "2,000 a second",
            f"{rate / 2000:.2f}",
        )
    db.execute("ALTER SYSTEM RESET synchronous_commit")
    db.execute("SELECT pg_reload_conf()")
    table.show()


def proposals(db) -> None:
    workspace = db.execute(
        "INSERT INTO analytics.workspaces (name) VALUES ('many') RETURNING workspace_id"
    ).fetchone()[0]
    db.execute(
        "INSERT INTO analytics.agents (workspace_id, name, owner_id, lifecycle_state) SELECT %s, i::text, gen_random_uuid(),"
        " (ARRAY['draft', 'testing', 'staging', 'production'])[1 + i %% 4] FROM generate_series(1, 10000) AS i",
        [workspace],
    )
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds, started_at)"
        " SELECT a.workspace_id, a.agent_id, CASE WHEN i = 1 THEN 'failed' ELSE 'completed' END, i, now() - i * interval '5 hours'"
        " FROM analytics.agents AS a, generate_series(1, 20) AS i WHERE a.workspace_id = %s",
        [workspace],
    )
    db.execute("CALL analytics.refresh_all()")
    db.execute("ANALYZE")
    table = Table("propose_transitions(), 10,000 agents, 200,000 runs")
    ours = timed(
        lambda: db.execute("SELECT count(*) FROM analytics.propose_transitions(%s)", [workspace]).fetchall(),
        runs=3,
    )
    one = db.execute(
        "SELECT agent_id FROM analytics.agents WHERE workspace_id = %s LIMIT 1", [workspace]
    ).fetchone()[0]
    single = timed(
        lambda: db.execute(
            "SELECT * FROM analytics.allowed_transitions(%s, %s)", [workspace, one]
        ).fetchall(),
        runs=5,
    )
    table.figure(
        "all agents",
        f"{ours.median:.2f} s",
        "allowed_transitions() for each",
        f"{single.median * 10000:.0f} s",
        f"{ours.median / single.median / 10000:.3f}",
    )
    table.show()


def main() -> None:
    db = install()
    transitions(db)
    proposals(db)
    time_in_state(db)


if __name__ == "__main__":
    main()
