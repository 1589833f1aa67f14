"""Reading needs nothing but the right to read: no transaction id, no writable transaction, no leader process."""

import pytest

WORKSPACE = "00000000-0000-4000-8000-000000000001"
AGENT = "00000000-0000-4000-8000-0000000000a1"

READS = [
    f"SELECT * FROM analytics.list_agents('{WORKSPACE}', 'all')",
    f"SELECT total_runs FROM analytics.agent_performance('{WORKSPACE}', '{AGENT}', 'all')",
    "SELECT * FROM analytics.window_bounds('7d')",
    "SELECT * FROM analytics.agent_run_details",
    "SELECT analytics.schema_version()",
    "SELECT analytics.percentiles(runtime_seconds, '{0.5,0.9}') FROM analytics.agent_runs",
    "SELECT analytics.approx_percentile(0.5, analytics.percentile_agg(runtime_seconds)) FROM analytics.agent_runs",
]


@pytest.fixture
def filled(db):
    db.execute(f"INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('{WORKSPACE}', 'Acme')")
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds) "
        f"SELECT '{WORKSPACE}', '{AGENT}', 'completed', i FROM generate_series(1, 5) AS i"
    )
    return db


@pytest.mark.parametrize("query", READS)
def test_a_read_assigns_no_transaction_id(filled, query):
    connection = filled.connect(autocommit=False)
    assert connection.execute(query).fetchall()
    assert connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == (None,)
    connection.rollback()


@pytest.mark.parametrize("query", READS)
def test_a_read_runs_in_a_read_only_transaction(filled, query):
    connection = filled.connect(autocommit=False)
    connection.execute("SET TRANSACTION READ ONLY")
    assert connection.execute(query).fetchall()
    connection.rollback()


@pytest.mark.parametrize("query", READS)
def test_a_read_runs_in_a_parallel_worker(filled, query):
    connection = filled.connect()
    setting = "force_parallel_mode" if connection.info.server_version < 160000 else "debug_parallel_query"
    in_leader = connection.execute(query).fetchall()
    connection.execute(f"SET {setting} = on")
    assert connection.execute(query).fetchall() == in_leader
