"""What row security costs: questions about one workspace of several, asked by the owner of the tables, whom no policy
holds back, and by a viewer of the workspace, through the policy.

The goal is at most 5 % more at 10 million runs. ROWS=300000 tries it with fewer.
"""

import os

import psycopg
from common import Table, Times, connect, duration, install, timed, timed_pair

ROWS = int(os.environ.get("ROWS", "10000000"))
WORKSPACES = 4
AGENTS = 50  # in each workspace
TENANT = "bench_access_tenant"

FILL = """
    INSERT INTO analytics.agent_runs
        (workspace_id, agent_id, user_id, status, started_at, completed_at, runtime_seconds, credits_consumed, tokens_used)
    SELECT w.workspace_id, analytics.agent_id(w.workspace_id, 'agent ' || g / %(workspaces)s %% %(agents)s), gen_random_uuid(),
           (ARRAY['completed', 'completed', 'completed', 'completed', 'failed'])[1 + g %% 5],
           at.started_at, at.started_at + interval '30 seconds', 30 + g %% 100, g %% 10, g %% 5000
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS g
    CROSS JOIN LATERAL (SELECT date_bin('1 hour', now(), 'epoch') - g * interval '90 days' / %(rows)s) AS at (started_at)
    JOIN pg_temp.bench AS w ON w.number = g %% %(workspaces)s
"""

# The question, and how often it is asked to be long enough for the clock.
QUERIES = {
    "every run of the workspace": (
        "SELECT count(*), sum(credits_consumed), avg(runtime_seconds), count(*) FILTER (WHERE status = 'failed')"
        " FROM analytics.agent_runs WHERE workspace_id = %(workspace)s",
        1,
    ),
    "list_agents, 30 days": ("SELECT * FROM analytics.list_agents(%(workspace)s, '30d')", 1),
    "count of 30 days": (
        "SELECT count(*) FROM analytics.agent_runs WHERE workspace_id = %(workspace)s"
        " AND started_at >= date_bin('1 hour', now(), 'epoch') - interval '30 days'",
        1,
    ),
    "one agent, 7 days, by its index": (
        "SELECT count(*), sum(credits_consumed), avg(runtime_seconds) FROM analytics.agent_runs"
        " WHERE workspace_id = %(workspace)s AND agent_id = %(agent)s"
        " AND started_at >= date_bin('1 hour', now(), 'epoch') - interval '7 days'",
        20,
    ),
    "the newest run, one row": (
        "SELECT status FROM analytics.agent_runs WHERE workspace_id = %(workspace)s ORDER BY started_at DESC LIMIT 1",
        500,
    ),
}


def fill(db: psycopg.Connection) -> None:
    """Without the triggers, which make no difference to a reader. Batches keep each statement's memory small."""
    db.execute("SET session_replication_role = replica")
    for first in range(0, ROWS, 1_000_000):
        last = min(first + 1_000_000, ROWS) - 1
        values = {"first": first, "last": last, "rows": ROWS, "workspaces": WORKSPACES, "agents": AGENTS}
        db.execute(FILL, values)
    db.execute("RESET session_replication_role")
    db.execute(
        "INSERT INTO analytics.agents (workspace_id, agent_id, name)"
        " SELECT w.workspace_id, analytics.agent_id(w.workspace_id, 'agent ' || n), 'agent ' || n"
        " FROM pg_temp.bench AS w, generate_series(0, %s::integer) AS n",
        [AGENTS - 1],
    )
    db.execute("VACUUM (ANALYZE) analytics.agent_runs, analytics.agents")


def compare(owner: psycopg.Connection, tenant: psycopg.Connection, arguments: dict) -> None:
    table = Table(f"row security, {ROWS:,} runs in {WORKSPACES} workspaces")
    for name, (query, repeat) in QUERIES.items():
        sides = [lambda c=c, q=query: c.execute(q, arguments).fetchall() for c in (tenant, owner)]
        assert sides[0]() == sides[1](), name

        def often(side, times=repeat):
            return lambda: [side() for _ in range(times)]

        pair = timed_pair(often(sides[0]), often(sides[1]), runs=9, warm_up=1)
        table.row(name, *(Times([t / repeat for t in times.all]) for times in pair), "owner, no policy")
    ask = "SELECT * FROM analytics.accessible_workspaces()"
    first = Times([])
    for _ in range(9):
        with connect(user=TENANT) as fresh:
            fresh.execute("SELECT 1")
            first.all.extend(timed(lambda c=fresh: c.execute(ask).fetchall(), runs=1, warm_up=0).all)
    table.figure("accessible_workspaces(), first in a session", duration(first.median))
    again = timed(lambda: [tenant.execute(ask).fetchall() for _ in range(500)], runs=5)
    table.figure("accessible_workspaces(), from then on", duration(again.median / 500))
    table.show()


def main() -> None:
    db = install()
    db.execute("SELECT * FROM analytics.ensure_partitions(since => now() - interval '100 days')")
    db.execute(
        "CREATE TEMPORARY TABLE bench AS SELECT g AS number, gen_random_uuid() AS workspace_id"
        " FROM generate_series(0, %s::integer) AS g",
        [WORKSPACES - 1],
    )
    db.execute(
        "INSERT INTO analytics.workspaces (workspace_id, name) SELECT workspace_id, 'bench' FROM pg_temp.bench"
    )
    (workspace,) = db.execute("SELECT workspace_id FROM pg_temp.bench WHERE number = 1").fetchone()
    (agent,) = db.execute("SELECT analytics.agent_id(%s, 'agent 7')", [workspace]).fetchone()
    fill(db)
    db.execute(f"CREATE ROLE {TENANT} LOGIN")
    try:
        db.execute("SELECT analytics.grant_access(%s, %s)", [TENANT, workspace])
        with connect(user=TENANT) as tenant:
            compare(db, tenant, {"workspace": workspace, "agent": agent})
    finally:
        db.execute(f"DROP OWNED BY {TENANT}")
        db.execute(f"DROP ROLE {TENANT}")


if __name__ == "__main__":
    main()
