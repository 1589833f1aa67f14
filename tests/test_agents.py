"""Agents are registered by their first run, and no writer waits for another because of it."""

import uuid

import psycopg
import pytest
from conftest import Database
from psycopg import errors

INSERT = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (%s, %s, 'running')"
ISOLATION = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


def impatient(database: Database) -> psycopg.Connection:
    """A writer that fails rather than wait."""
    return database.connect(options="-c lock_timeout=300ms -c statement_timeout=5s")


def listed(database: Database, workspace: uuid.UUID) -> list[tuple]:
    return database.rows("SELECT agent_id, total_runs FROM analytics.list_agents(%s) ORDER BY 1", [workspace])


def registered(database: Database, workspace: uuid.UUID) -> list[uuid.UUID]:
    query = "SELECT agent_id FROM analytics.agents WHERE workspace_id = %s ORDER BY 1"
    return [agent for (agent,) in database.rows(query, [workspace])]


def settle(database: Database) -> None:
    """What setup() and every refresh do: agents leave the log."""
    database.execute("SELECT analytics.ensure_partitions()")
    assert database.value("SELECT count(*) FROM analytics_internal.agent_discoveries") == 0


@pytest.mark.parametrize("isolation", ISOLATION)
@pytest.mark.parametrize("first_ends_with", ["COMMIT", "ROLLBACK"])
def test_two_writers_meet_the_same_new_agent(db, isolation, first_ends_with):
    workspace, agent = db.workspace(), uuid.uuid4()
    first, second = db.connect(), impatient(db)
    for connection in (first, second):
        connection.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    first.execute(INSERT, [workspace, agent])
    second.execute(INSERT, [workspace, agent])
    second.execute(INSERT, [workspace, agent])
    second.execute("COMMIT")
    first.execute(first_ends_with)

    runs = 3 if first_ends_with == "COMMIT" else 2
    assert listed(db, workspace) == [(agent, runs)]
    settle(db)
    assert listed(db, workspace) == [(agent, runs)]
    assert registered(db, workspace) == [agent]
    # It is one that nobody announced.
    assert db.rows("SELECT name, discovered, lifecycle_state FROM analytics.agents") == [
        (str(agent), True, "draft")
    ]


def test_second_writer_commits_while_the_first_is_open(db):
    """The agent is known at once, and stays known when the first gives up."""
    workspace, agent = db.workspace(), uuid.uuid4()
    first, second = db.connect(autocommit=False), impatient(db)
    first.execute(INSERT, [workspace, agent])
    second.execute(INSERT, [workspace, agent])
    assert listed(db, workspace) == [(agent, 1)]
    assert db.value("SELECT total_runs FROM analytics.agent_performance(%s, %s)", [workspace, agent]) == 1
    first.rollback()
    second.execute(INSERT, [workspace, agent])
    assert listed(db, workspace) == [(agent, 2)]
    settle(db)
    assert registered(db, workspace) == [agent]


def test_copies_that_meet_the_same_new_agents(db, background):
    """Four at once, each with the same 200 new agents in another order."""
    workspace = db.workspace()
    agents = [uuid.uuid4() for _ in range(200)]

    def copy(connection, order):
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY analytics.agent_runs (workspace_id, agent_id, status) FROM STDIN") as rows,
        ):
            for agent in order:
                rows.write_row((workspace, agent, "running"))

    orders = [agents, agents[::-1], agents[100:] + agents[:100], sorted(agents)]
    for each in [background(copy, impatient(db), order) for order in orders]:
        each.result(60)
    assert listed(db, workspace) == [(agent, 4) for agent in sorted(agents)]
    settle(db)
    assert registered(db, workspace) == sorted(agents)


@pytest.mark.parametrize("number", [64, 65, 500])
def test_more_new_agents_than_a_transaction_may_lock(db, number):
    workspace = db.workspace()
    agents = sorted(uuid.uuid4() for _ in range(number))
    with db.connect(autocommit=False) as connection:
        for agent in agents:
            connection.execute(INSERT, [workspace, agent])
        held = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()[0]
        assert held == min(number, 64)
        connection.commit()
    assert listed(db, workspace) == [(agent, 1) for agent in agents]
    settle(db)
    assert registered(db, workspace) == agents


@pytest.mark.slow
def test_ten_thousand_new_agents_in_one_copy(db):
    """As many locks would not fit into the server's table of locks."""
    workspace, number = db.workspace(), 10_000
    agents = sorted(uuid.uuid4() for _ in range(number))
    connection = impatient(db)
    connection.execute("SET statement_timeout = '60s'")
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY analytics.agent_runs (workspace_id, agent_id, status) FROM STDIN") as rows,
    ):
        for agent in agents:
            rows.write_row((workspace, agent, "running"))
    assert [agent for agent, _ in listed(db, workspace)] == agents
    settle(db)
    assert registered(db, workspace) == agents


def test_discoveries_of_a_transaction_that_fails(db):
    """What a rolled-back part of a transaction registered is registered again by the next row."""
    workspace, agent = db.workspace(), uuid.uuid4()
    connection = db.connect(autocommit=False)
    connection.execute("SAVEPOINT a")
    connection.execute(INSERT, [workspace, agent])
    connection.execute("ROLLBACK TO SAVEPOINT a")
    connection.execute(INSERT, [workspace, agent])
    connection.commit()
    assert registered(db, workspace) == [agent]

    agent = uuid.uuid4()
    connection.execute(INSERT, [workspace, agent])
    connection.rollback()
    assert agent not in registered(db, workspace)
    connection.execute(INSERT, [workspace, agent])
    connection.commit()
    assert agent in registered(db, workspace)


@pytest.mark.parametrize("ends_with", ["COMMIT", "ROLLBACK"])
def test_discoveries_of_a_prepared_transaction(db, ends_with):
    """Two-phase commit: the writer's connection goes on while nobody knows how the transaction will end."""
    workspace, agent = db.workspace(), uuid.uuid4()
    writer = impatient(db)
    writer.execute("BEGIN")
    writer.execute(INSERT, [workspace, agent])
    writer.execute("PREPARE TRANSACTION 'x'")
    writer.execute(INSERT, [workspace, agent])
    assert listed(db, workspace) == [(agent, 1)]
    writer.execute(f"{ends_with} PREPARED 'x'")
    assert listed(db, workspace) == [(agent, 2 if ends_with == "COMMIT" else 1)]
    settle(db)
    assert registered(db, workspace) == [agent]


# ----------------------------------------------------------------- what a backend remembers must stay true


@pytest.mark.parametrize("isolation", ISOLATION)
def test_deleted_agent_comes_back_with_its_next_run(db, isolation):
    workspace, agent = db.workspace(), uuid.uuid4()
    writer = db.connect()
    writer.execute(f"SET default_transaction_isolation = '{isolation}'")
    writer.execute(INSERT, [workspace, agent])
    settle(db)
    writer.execute(INSERT, [workspace, agent])
    for _ in range(3):
        db.execute("DELETE FROM analytics.agents WHERE agent_id = %s", [agent])
        assert registered(db, workspace) == []
        writer.execute(INSERT, [workspace, agent])
        settle(db)
        assert registered(db, workspace) == [agent]


@pytest.mark.parametrize("isolation", ISOLATION)
def test_agent_deleted_during_the_transaction_of_a_writer(db, isolation):
    """A writer whose snapshot is older than the deletion does not see it; its next transaction does."""
    workspace, agent = db.workspace(), uuid.uuid4()
    db.execute(
        "INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (%s, %s, 'a')", [workspace, agent]
    )
    writer = db.connect()
    writer.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    writer.execute("SELECT count(*) FROM analytics.agents")
    db.execute("DELETE FROM analytics.agents WHERE agent_id = %s", [agent])
    writer.execute(INSERT, [workspace, agent])
    try:
        writer.execute("COMMIT")
    except errors.SerializationFailure:
        assert isolation == "SERIALIZABLE"
    writer.execute(INSERT, [workspace, agent])
    settle(db)
    assert registered(db, workspace) == [agent]


@pytest.mark.parametrize("isolation", ISOLATION)
def test_deleted_workspace_is_refused(db, isolation):
    workspace, agent = db.workspace(), uuid.uuid4()
    other = db.workspace("other")
    writer = db.connect()
    writer.execute(f"SET default_transaction_isolation = '{isolation}'")
    for _ in range(2):
        writer.execute(INSERT, [workspace, agent])
        writer.execute(INSERT, [other, agent])
    db.execute("DELETE FROM analytics.workspaces WHERE workspace_id = %s", [workspace])
    with pytest.raises(errors.ForeignKeyViolation):
        writer.execute(INSERT, [workspace, agent])
    writer.execute(INSERT, [other, agent])
    settle(db)
    assert db.rows("SELECT workspace_id, count(*) FROM analytics.agent_runs GROUP BY 1") == [(other, 3)]
    assert db.value("SELECT count(*) FROM analytics.agents") == 1


def test_agent_deleted_and_truncated_by_the_writer_itself(db):
    workspace, agent = db.workspace(), uuid.uuid4()
    writer = db.connect(autocommit=False)
    writer.execute(INSERT, [workspace, agent])
    writer.execute("DELETE FROM analytics.agents")
    writer.execute(INSERT, [workspace, agent])
    writer.commit()
    assert registered(db, workspace) == [agent]
    writer.execute("TRUNCATE analytics.agents CASCADE")
    writer.execute(INSERT, [workspace, agent])
    writer.commit()
    settle(db)
    assert registered(db, workspace) == [agent]


def test_workspace_deleted_while_a_writer_is_in_it(db, background):
    """The one waits for the other; afterwards no row is left without its workspace."""
    workspace, agent = db.workspace(), uuid.uuid4()
    writer, admin = db.connect(autocommit=False), db.connect()
    writer.execute(INSERT, [workspace, agent])
    deletion = background(admin.execute, "DELETE FROM analytics.workspaces")
    db.wait_until_blocked(admin)
    writer.execute(INSERT, [workspace, agent])
    writer.commit()
    deletion.result(60)
    # Rules of suggestions are of no workspace.
    left = {name for name, (count, _) in db.contents().items() if count and "internal" not in name}
    assert left == {"analytics.suggestion_rules"}

    with pytest.raises(errors.ForeignKeyViolation) as caught:
        writer.execute(INSERT, [workspace, agent])
    assert "analytics.workspaces" in caught.value.diag.message_hint


def test_workspace_that_is_new_since_the_snapshot(db):
    """REPEATABLE READ: the foreign key looks past the snapshot, and so must the trigger."""
    writer = db.connect()
    writer.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    writer.execute("SELECT count(*) FROM analytics.workspaces")
    workspace, agent = db.workspace(), uuid.uuid4()
    writer.execute(INSERT, [workspace, agent])
    writer.execute("COMMIT")
    assert listed(db, workspace) == [(agent, 1)]


@pytest.mark.parametrize("table", ["agent_errors", "agent_user_feedback", "execution_queue"])
def test_every_table_admits(db, table):
    extra = {"agent_errors": ", error_type", "agent_user_feedback": ", rating", "execution_queue": ""}[table]
    value = {"agent_errors": ", 'E'", "agent_user_feedback": ", 5", "execution_queue": ""}[table]
    insert = f"INSERT INTO analytics.{table} (workspace_id, agent_id{extra}) VALUES (%s, %s{value})"
    workspace, agent, other = db.workspace(), uuid.uuid4(), uuid.uuid4()
    first, second = db.connect(autocommit=False), impatient(db)
    first.execute(insert, [workspace, agent])
    second.execute(insert, [workspace, agent])
    first.rollback()
    assert listed(db, workspace) == [(agent, 0)]
    db.execute(f"UPDATE analytics.{table} SET agent_id = %s", [other])
    settle(db)
    assert registered(db, workspace) == sorted([agent, other])
    with pytest.raises(errors.ForeignKeyViolation) as caught:
        db.execute(insert, [uuid.uuid4(), agent])
    assert caught.value.diag.message_hint is not None
