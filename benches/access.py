"""What row security costs: one aggregate over one workspace, asked by the owner of the tables, whom no policy
holds back, and by a viewer of the workspace, through the policy.

The goal is at most 5 % more at 10 million runs. RUNS=300000 tries it with fewer; the default measures 1 and 10 million.
"""

import os

import psycopg
from common import Table, Times, connect, install, timed_pair

SIZES = [int(runs) for runs in os.environ.get("RUNS", "1000000 10000000").split()]
WORKSPACES = 4
TENANT = "bench_access_tenant"

FILL = """
    INSERT INTO analytics.agent_runs
        (workspace_id, run_id, agent_id, user_id, status, started_at, completed_at, runtime_seconds,
         credits_consumed, tokens_used, model_name)
    SELECT w.workspace_id, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
           (ARRAY['completed', 'completed', 'completed', 'completed', 'failed'])[1 + g %% 5],
           at.started_at, at.started_at + interval '30 seconds', 30 + g %% 100, g %% 10, g %% 5000, 'model-' || g %% 7
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS g
    CROSS JOIN LATERAL (SELECT date_trunc('month', now(), 'UTC') - g %% 7776000 * interval '1 second') AS at (started_at)
    JOIN pg_temp.bench AS w ON w.number = g %% %(workspaces)s
"""

QUERIES = {
    "all of a workspace": """
        SELECT count(*), sum(credits_consumed), avg(runtime_seconds), count(*) FILTER (WHERE status = 'failed')
        FROM analytics.agent_runs WHERE workspace_id = %s""",
    "per day": """
        SELECT date_trunc('day', started_at, 'UTC'), count(*), sum(tokens_used)
        FROM analytics.agent_runs WHERE workspace_id = %s GROUP BY 1 ORDER BY 1""",
    "7 days, by the index": """
        SELECT count(*), sum(credits_consumed), avg(runtime_seconds) FROM analytics.agent_runs
        WHERE workspace_id = %s AND started_at >= date_trunc('month', now(), 'UTC') - interval '7 days'""",
    "one run, by its key": """
        SELECT status FROM analytics.agent_runs WHERE workspace_id = %s ORDER BY started_at DESC LIMIT 1""",
}


def grow(db: psycopg.Connection, present: int, wanted: int) -> None:
    """More runs, without the triggers, which cost nothing that matters here. Batches keep the log of changes small."""
    db.execute("SET session_replication_role = replica")
    for first in range(present, wanted, 1_000_000):
        last = min(first + 1_000_000, wanted) - 1
        db.execute(FILL, {"first": first, "last": last, "workspaces": WORKSPACES})
    db.execute("RESET session_replication_role")
    db.execute("VACUUM (ANALYZE) analytics.agent_runs")


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
    db.execute(f"CREATE ROLE {TENANT} LOGIN")
    try:
        db.execute("SELECT analytics.grant_access(%s, %s)", [TENANT, workspace])
        tenant = connect(user=TENANT)
        present = 0
        for runs in SIZES:
            grow(db, present, runs)
            present = runs
            table = Table(f"row security, {runs:,} runs in {WORKSPACES} workspaces")
            for name, query in QUERIES.items():
                sides = [lambda c=c, q=query: c.execute(q, [workspace]).fetchall() for c in (tenant, db)]
                assert sides[0]() == sides[1](), name
                repeat = 200 if name.startswith("one run") else 1  # too short to be timed alone

                def often(side, times=repeat):
                    return lambda: [side() for _ in range(times)]

                with_policy, without = timed_pair(often(sides[0]), often(sides[1]), runs=9, warm_up=2)
                each = [Times([t / repeat for t in times.all]) for times in (with_policy, without)]
                table.row(name, *each, alternative="owner, no policy")
            table.show()
        tenant.close()
    finally:
        db.execute(f"DROP OWNED BY {TENANT}")
        db.execute(f"DROP ROLE {TENANT}")


if __name__ == "__main__":
    main()
