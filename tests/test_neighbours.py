"""Other extensions in the same process: of what Postgres has a fixed number of, we take one."""

import subprocess
import uuid

import psycopg
import pytest
from conftest import BIN, ROOT, TARGET

# As many as Citus takes, and one more.
TAKEN = 6
AGENT = uuid.UUID(int=7)


@pytest.fixture
def neighbour(db):
    """A session that has loaded another library, tests/relcache_slots.c."""
    headers = subprocess.run(
        [BIN / "pg_config", "--includedir-server"], check=True, capture_output=True, text=True
    )
    # Where the user of the server can read it.
    library = TARGET / "tmp" / f"{db.name}.so"
    library.parent.mkdir(exist_ok=True)
    source = ROOT / "tests" / "relcache_slots.c"
    command = ["gcc", "-shared", "-fPIC", f"-I{headers.stdout.strip()}", "-o", library, source]
    subprocess.run(command, check=True)
    db.execute(
        f"CREATE FUNCTION public.take_relcache_slots(integer) RETURNS void LANGUAGE c AS '{library}', 'take_relcache_slots'"
    )
    yield db.connect()
    library.unlink()


def test_places_for_relcache_callbacks(db, neighbour, make_role):
    workspace = db.workspace()
    viewer = make_role("viewer")
    db.execute("SELECT analytics.grant_access(%s, %s, 'viewer')", [viewer, workspace])
    neighbour.execute("SELECT public.take_relcache_slots(%s)", [TAKEN])
    neighbour.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (%s, %s, 'running')",
        [workspace, AGENT],
    )
    total = "SELECT total_runs::int FROM analytics.list_agents(%s)"
    assert neighbour.execute(total, [workspace]).fetchall() == [(1,)]
    assert ("refreshed",) in neighbour.execute("SELECT status FROM analytics.refresh()").fetchall()
    # Who passes no row security asks for its memberships, too.
    neighbour.execute(f'SET ROLE "{viewer}"')
    assert neighbour.execute(total, [workspace]).fetchall() == [(1,)]
    neighbour.execute("RESET ROLE")

    # It is the places that count: with none left, Postgres ends the process.
    with pytest.raises(psycopg.Error, match="out of relcache_callback_list slots"):
        neighbour.execute("SELECT public.take_relcache_slots(10)")
