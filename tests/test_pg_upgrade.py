"""pg_upgrade to a newer server, with the real binaries of both: nothing is lost, and the work goes on.

From 16 to 17, both from PyPI: pg_upgrade needs minor releases of the same round, and dumps of Debian's newest 15 have an
attribute option, pg_attver, that the 17 of the round before refuses, whatever the tables are.
"""

import subprocess

import pytest
from conftest import CLUSTERS, ROOT, Server

OLD, NEW = "16", "17"

ANSWERS = [
    "SELECT w.name, a.* FROM analytics.workspaces AS w, analytics.list_agents(w.workspace_id, 'all') AS a ORDER BY 1, 2",
    "SELECT w.name, r.* FROM analytics.workspaces AS w, analytics.rank_agents(w.workspace_id, 'all') AS r ORDER BY 1, 2, 3",
    "SELECT * FROM analytics.agent_leaderboard ORDER BY 1, 2, 3, 4",
    "SELECT agent_id, sequence, to_state FROM analytics.agent_lifecycle_events ORDER BY 1, 2",
]


@pytest.mark.late  # by then `make test` has built for both
@pytest.mark.timeout(1200)  # the extension is built for both, unless it is there
def test_pg_upgrade():
    subprocess.run([ROOT / "tools" / "build", "--quick", OLD], check=True)
    servers = [Server(f"{CLUSTERS}-{OLD}", "init", OLD, "fsync=off")]
    try:
        old = servers[0].install(servers[0].create_database("analytics"))
        old.execute("SELECT * FROM analytics.generate_demo_data(3000, as_of => '2026-04-01 00:00+00')")
        old.execute("CALL analytics.refresh_all()")
        # Some of it is fresh: in no rollup yet.
        old.execute("INSERT INTO analytics.agent_runs (workspace_id, agent_id, status)"
                    " SELECT workspace_id, agent_id, 'failed' FROM analytics.agents")  # fmt: skip
        contents, before = old.contents(), [old.rows(query) for query in ANSWERS]
        old.close()

        servers.append(Server(f"{CLUSTERS}-{NEW}", "upgrade", servers[0].name, NEW))
        new = servers[1].database("analytics")

        assert int(new.value("SHOW server_version_num")) // 10000 == int(NEW)
        assert new.contents() == contents
        assert [new.rows(query) for query in ANSWERS] == before
        new.execute("SELECT analytics.setup()")
        new.execute("CALL analytics.refresh_all()")
        assert new.rows("SELECT * FROM analytics.verify_rollups()") == []
        assert [new.rows(query) for query in ANSWERS[:2]] == before[:2]
        new.close()
    finally:
        for server in servers:
            server.destroy()
