"""What masking costs: the function alone, and error messages read as a viewer and as the owner of the tables.

MASKING_ROWS=20000 tools/bench masking      (a quick look)
"""

import os

from common import Table, connect, install, timed_pair

ROWS = int(os.environ.get("MASKING_ROWS", "200000"))
TENANT = "bench_masking_viewer"
WORKSPACE = "00000000-0000-4000-8000-0000000000b1"

TEXTS = {
    "a plain message": "TimeoutError: the model did not answer within 30 s (attempt 3 of 3, 15000 tokens)",
    "one with secrets": "smtp://bot:hunter2@mail.example.com refused ann@example.com, call +49 30 1234567",
    "a stack of 10 KB": '  File "/app/agents/execution.py", line 1234, in run_step\n' * 180,
}

QUERIES = {
    "messages of all rows": "SELECT count(error_message) FROM analytics.agent_errors_masked",
    "search in all messages": "SELECT count(*) FROM analytics.agent_errors_masked WHERE error_message LIKE '%attempt%'",
    "latest 50 messages": f"SELECT error_message FROM analytics.agent_errors_masked WHERE workspace_id = '{WORKSPACE}'"
    " ORDER BY occurred_at DESC LIMIT 50",
    "no text asked for": "SELECT error_type, count(*) FROM analytics.agent_errors_masked GROUP BY error_type",
}


def main() -> None:
    db = install()
    db.execute("INSERT INTO analytics.workspaces (workspace_id, name) VALUES (%s, 'bench')", [WORKSPACE])
    db.execute("SET session_replication_role = replica")
    db.execute(
        "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_message, occurred_at)"
        " SELECT %s, gen_random_uuid(), 'TimeoutError', %s || g, now() - g * interval '1 second'"
        " FROM generate_series(1, %s) AS g",
        [WORKSPACE, TEXTS["a plain message"], ROWS],
    )
    db.execute("RESET session_replication_role")
    db.execute("VACUUM (ANALYZE) analytics.agent_errors")

    table = Table(f"mask_text(), {ROWS:,} texts")
    query = "SELECT count({}) FROM (SELECT %s || g AS x FROM generate_series(1, %s) AS g OFFSET 0) AS texts"
    for name, text in TEXTS.items():
        ours, theirs = timed_pair(
            lambda t=text: db.execute(query.format("analytics.mask_text(x)"), [t, ROWS]),
            lambda t=text: db.execute(query.format("left(x, 200)"), [t, ROWS]),
            runs=3,
        )
        table.row(name, ours, theirs, alternative="left(x, 200)", items=ROWS)
    table.show()

    db.execute(f"CREATE ROLE {TENANT} LOGIN")
    try:
        db.execute("SELECT analytics.grant_access(%s, %s)", [TENANT, WORKSPACE])
        viewer = connect(user=TENANT)
        table = Table(f"agent_errors_masked for a viewer, {ROWS:,} errors")
        for name, query in QUERIES.items():
            ours, theirs = timed_pair(
                lambda q=query: viewer.execute(q).fetchall(),
                lambda q=query: db.execute(q.replace("_masked", "")).fetchall(),
                runs=5,
            )
            table.row(name, ours, theirs, alternative="owner, agent_errors")
        table.show()
        viewer.close()
    finally:
        db.execute(f"DROP OWNED BY {TENANT}")
        db.execute(f"DROP ROLE {TENANT}")


if __name__ == "__main__":
    main()
