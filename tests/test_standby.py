"""A hot standby answers every function that only reads, and says of the others that it cannot write."""

import psycopg
import pytest
from catalog_calls import A, W, callables, fill
from conftest import wait_until

COMPARED = [
    f"SELECT * FROM analytics.list_agents({W}, 'all')",
    f"SELECT * FROM analytics.agent_timeseries({W}, {A}, '7d', 'day', 'UTC')",
    f"SELECT * FROM analytics.rank_agents({W}, 'all')",
    f"SELECT * FROM analytics.workspace_users({W}, 'all')",
    f"SELECT * FROM analytics.metric_series({W}, 'runs', now() - interval '3 days', date_trunc('hour', now()))",
    "SELECT * FROM analytics.agent_analytics_summary ORDER BY 1, 2, 3",
    "SELECT * FROM analytics.bi_agent_daily ORDER BY 1, 2, 3",
]


def outcome(connection: psycopg.Connection, query: str) -> tuple[str | None, int]:
    """The SQLSTATE of the error, if there is one, and how many rows came."""
    try:
        return None, len(connection.execute(query).fetchall())
    except psycopg.Error as error:
        return error.sqlstate, 0


@pytest.fixture
def pair(make_server, make_replica):
    """A database, and the same on a replica that has seen all of it."""
    primary = make_server(fsync="off")
    db = primary.install(primary.create_database("analytics"))
    fill(db)
    replica = make_replica(primary)
    # Some of it is fresh: in no rollup, read from raw rows.
    db.execute(
        f"INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES ({W}, {A}, 'failed')"
    )
    position = db.value("SELECT pg_current_wal_lsn()")
    standby = replica.database("analytics")
    wait_until(
        lambda: standby.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position]),
        "the replica did not follow",
    )
    yield db, standby
    db.close()
    standby.close()


def test_a_standby_answers(pair):
    db, standby = pair
    assert standby.value("SELECT pg_is_in_recovery()")
    here, there = db.connect(), standby.connect()
    asked, answered, differ = 0, 0, []
    for function in callables(db, "analytics"):
        if function.kind == "p" or function.volatility == "v":
            continue
        query = function.statement({})
        asked += 1
        expected = outcome(here, query)
        answered += expected[0] is None
        if outcome(there, query) != expected:
            differ.append((query, expected, outcome(there, query)))
    assert not differ
    assert answered > 0.7 * asked, (answered, asked)
    for query in COMPARED:
        assert there.execute(query).fetchall() == here.execute(query).fetchall(), query


def test_a_standby_does_not_write(pair):
    _, standby = pair
    outcomes = {
        query: outcome(standby.connection, query)
        for query in [
            "SELECT * FROM analytics.refresh()",
            "SELECT analytics.setup()",
            "SELECT * FROM analytics.ensure_partitions()",
            f"SELECT analytics.start_run({W}, {A})",
            f"SELECT analytics.transition_agent({W}, {A}, 'testing')",
            "SELECT * FROM analytics.refresh_leaderboards()",
            "SELECT * FROM analytics.refresh_materialized_views()",
            "SELECT * FROM analytics.refresh_suggestions()",
            "SELECT * FROM analytics.refresh_trends()",
            "SELECT analytics.rebuild_rollup('user_usage')",
            "SELECT analytics.set_retention('agent_runs', '90 days')",
            "CALL analytics.refresh_all()",
            "CALL analytics.cleanup_old_data()",
        ]
    }
    read_only = dict.fromkeys(outcomes, ("25006", 0))
    assert outcomes == read_only
