"""Reading needs nothing but the right to read: no transaction id, no writable transaction, no leader process."""

import itertools
from collections.abc import Iterator

import pytest
from conftest import Database

WORKSPACE = "00000000-0000-4000-8000-000000000001"
AGENT = "00000000-0000-4000-8000-0000000000a1"

READS = [
    f"SELECT * FROM analytics.list_agents('{WORKSPACE}', 'all')",
    f"SELECT total_runs FROM analytics.agent_performance('{WORKSPACE}', '{AGENT}', 'all')",
    "SELECT * FROM analytics.window_bounds('7d')",
    f"SELECT analytics.execution_metrics('{WORKSPACE}')",
    f"SELECT running_runs, recent_runs FROM analytics.execution_realtime('{WORKSPACE}')",
    # What runs counts up to now: the last bucket differs from one call to the next.
    f"SELECT bucket_start, peak_runs FROM analytics.execution_concurrency('{WORKSPACE}')",
    f"SELECT * FROM analytics.queue_depth('{WORKSPACE}')",
    "SELECT * FROM analytics.list_workspaces()",
    f"SELECT analytics.workspace_analytics('{WORKSPACE}')",
    "SELECT * FROM analytics.bi_workspaces",
    f"SELECT * FROM analytics.explain_transition('{WORKSPACE}', '{AGENT}', 'testing')",
    f"SELECT agent_id, reliability FROM analytics.agent_health('{WORKSPACE}')",
    f"SELECT * FROM analytics.transition_matrix('{WORKSPACE}')",
    "SELECT * FROM analytics.agent_run_details",
    "SELECT count(*) FROM analytics.accessible_workspaces()",
    "SELECT analytics.schema_version()",
    "SELECT analytics.percentiles(runtime_seconds, '{0.5,0.9}') FROM analytics.agent_runs",
    "SELECT analytics.approx_percentile(0.5, analytics.percentile_agg(runtime_seconds)) FROM analytics.agent_runs",
]


_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["owner of the tables", "viewer", "gateway"])
def place(server, request) -> Iterator[tuple[Database, str | None, str]]:
    """A database that all tests read, somebody who may read it, and as what; the last two through row security."""
    db = server.create_database(template="installed")
    role = None if request.param == "owner of the tables" else f"reads_{next(_numbers)}"
    db.execute(f"INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('{WORKSPACE}', 'Acme')")
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds) "
        f"SELECT '{WORKSPACE}', '{AGENT}', 'completed', i FROM generate_series(1, 5) AS i"
    )
    if role:
        db.execute(f"CREATE ROLE {role} LOGIN")
    if request.param == "viewer":
        db.execute("SELECT analytics.grant_access(%s, %s)", [role, WORKSPACE])
    elif request.param == "gateway":
        db.execute("SELECT analytics.trust_gateway(%s)", [role])
    yield db, role, request.param
    server.drop_database(db)
    if role:
        server.admin().execute(f"DROP ROLE {role}")


@pytest.fixture
def reader(place):
    """reader(): a connection of the one who may read."""
    db, role, kind = place
    connections = []

    def connect(**kwargs):
        connection = db.connect(role, **kwargs)
        connections.append(connection)
        if kind == "gateway":
            claims = f"""SELECT set_config('request.jwt.claims', '{{"workspaceId": "{WORKSPACE}"}}', false)"""
            connection.execute(claims)
            connection.commit()
        return connection

    yield connect
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("query", READS)
def test_a_read_assigns_no_transaction_id(reader, query):
    connection = reader(autocommit=False)
    assert connection.execute(query).fetchall()
    assert connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == (None,)
    connection.rollback()


@pytest.mark.parametrize("query", READS)
def test_a_read_runs_in_a_read_only_transaction(reader, query):
    connection = reader(autocommit=False)
    connection.execute("SET TRANSACTION READ ONLY")
    assert connection.execute(query).fetchall()
    connection.rollback()


@pytest.mark.parametrize("fresh", [False, True], ids=["known", "fresh"])
@pytest.mark.parametrize("query", READS)
def test_a_read_runs_in_a_parallel_worker(reader, query, fresh):
    """Also in the first statement of a session, when the leader has not yet asked who may see what."""
    connection = reader()
    setting = "force_parallel_mode" if connection.info.server_version < 160000 else "debug_parallel_query"
    in_leader = (reader() if fresh else connection).execute(query).fetchall()
    connection.execute(f"SET {setting} = on")
    assert connection.execute(query).fetchall() == in_leader
