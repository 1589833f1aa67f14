"""kill -9 in the middle of work: what was committed is there, what was not is gone, and work goes on."""

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from conftest import Database, Server, start_server, wait_until
from psycopg import errors

INSERT = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, run_id, status, started_at) VALUES (%s, %s, %s, 'running', %s)"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """One durable server for this file: each test has a database of its own, and starts the server again."""
    # Not own_server, which is a test's own.
    server = start_server("crash", {"checkpoint_timeout": "30s"})
    yield server
    server.destroy()


@pytest.fixture
def database(durable: Server):
    return durable.create_database()


@pytest.fixture
def kill(crash):
    """A crash of a server that waits for its disk, as all of this file shall be."""

    def kill_in(database: Database, connection: psycopg.Connection | None = None) -> None:
        crash(database, connection)
        assert "database system was not properly shut down" in database.server.log()
        assert database.value("SHOW fsync") == "on"
        assert database.value("SHOW synchronous_commit") == "on"

    return kill_in


class Writer:
    """Inserts rows one by one, as an application does, and notes which ones the server has acknowledged."""

    def __init__(self, database: Database, workspace: uuid.UUID, agent: uuid.UUID) -> None:
        self.acknowledged: list[uuid.UUID] = []
        self.attempted: list[uuid.UUID] = []
        self.connection = database.connect()
        self.workspace = workspace
        self.agent = agent

    def __call__(self) -> None:
        try:
            while True:
                run = uuid.uuid4()
                self.attempted.append(run)
                # Some into the current month, some into the default partition.
                start = datetime.now(UTC) if len(self.attempted) % 2 else datetime(2014, 5, 6, tzinfo=UTC)
                self.connection.execute(INSERT, [self.workspace, self.agent, run, start])
                self.acknowledged.append(run)
        except psycopg.OperationalError:
            return


def test_kill_during_inserts_and_copy(database, background, kill):
    db = database
    db.server.install(db)
    workspace, agents = db.workspace(), [uuid.uuid4() for _ in range(2)]
    acknowledged: set[uuid.UUID] = set()
    attempted: set[uuid.UUID] = set()
    for round_number in range(2):
        writers = [Writer(db, workspace, agent) for agent in agents]
        writing = [background(writer) for writer in writers]

        # A load in one transaction that does not get to its end.
        loader, loaded = db.connect(), threading.Event()
        unknown = uuid.uuid4()

        def load(connection=loader, loaded=loaded, agent=unknown) -> None:
            try:
                with (
                    connection.cursor() as cursor,
                    cursor.copy(
                        "COPY analytics.agent_runs (workspace_id, agent_id, status) FROM STDIN"
                    ) as rows,
                ):
                    for number in range(10_000_000):
                        rows.write_row((workspace, agent, "running"))
                        if number == 20_000:
                            loaded.set()
            except psycopg.OperationalError:
                return

        loading = background(load)
        assert loaded.wait(60)
        wait_until(
            lambda writers=writers: all(len(writer.acknowledged) > 200 for writer in writers), "too slow"
        )
        kill(db, loader if round_number else writers[0].connection)
        for each in [*writing, loading]:
            each.result(60)

        acknowledged.update(run for writer in writers for run in writer.acknowledged)
        attempted.update(run for writer in writers for run in writer.attempted)
        stored = {run for (run,) in db.rows("SELECT run_id FROM analytics.agent_runs")}
        assert acknowledged - stored == set(), "acknowledged, and lost"
        assert stored - attempted == set(), "rows of the load that did not get to its end"
        known = {agent for (agent,) in db.rows("SELECT agent_id FROM analytics.list_agents(%s)", [workspace])}
        assert known == set(agents)
        assert round_number or len(stored) > 400

    # Work goes on: the months of the rows in the default partition are made, and nothing is lost on the way.
    before = db.value("SELECT count(*) FROM analytics.agent_runs")
    late = db.value("SELECT count(*) FROM analytics.agent_runs_default")
    moved = db.rows(
        "SELECT partition_name, moved_count FROM analytics.ensure_partitions() WHERE moved_count > 0"
    )
    assert moved == [("agent_runs_y2014m05", late)]
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == before


def test_kill_during_setup(database, background, kill):
    db = database
    db.execute("CREATE EXTENSION shadower_analytics")
    everything = (
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace::regnamespace::text LIKE 'analytics%'"
    )
    assert db.rows(everything) == []
    # It stops in the middle: after the tables, before the months.
    db.execute("""
        CREATE FUNCTION public.stop() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'analytics.execution_queue') THEN
                PERFORM pg_sleep(300);
            END IF;
        END $$;
        CREATE EVENT TRIGGER stop ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.stop()""")
    caller = db.connect()
    calling = background(caller.execute, "SELECT * FROM analytics.setup()")
    state = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
    wait_until(lambda: db.value(state, [caller.info.backend_pid]) == "PgSleep", "setup() did not get there")
    kill(db, caller)
    with pytest.raises(psycopg.OperationalError):
        calling.result(60)

    assert db.rows(everything) == []
    with pytest.raises(errors.ObjectNotInPrerequisiteState):
        db.execute("SELECT analytics.ensure_partitions()")
    db.execute("DROP EVENT TRIGGER stop")
    steps = db.rows("SELECT name, action FROM analytics.setup()")
    assert ("execution", "applied") in steps
    db.execute("SELECT * FROM analytics.generate_demo_data(1000)")
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 1000
    # And an acknowledged setup() stays.
    kill(db, db.connect())
    assert {action for _, action in db.rows("SELECT name, action FROM analytics.setup()")} == {
        "present",
        "replaced",
    }
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 1000


def test_kill_while_rows_move_to_their_month(database, background, kill):
    db = database
    db.server.install(db)
    workspace = db.workspace()
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at)"
        " SELECT %s, gen_random_uuid(), analytics.agent_id(%s, (n %% 7)::text), 'running', timestamptz '2012-01-01 00:00+00' + n * interval '1 minute'"
        " FROM generate_series(1, 20000) AS n",
        [workspace, workspace],
    )
    db.execute(
        "INSERT INTO analytics.agent_errors (workspace_id, agent_id, agent_run_id, run_started_at, error_type)"
        " SELECT workspace_id, agent_id, run_id, started_at, 'E' FROM analytics.agent_runs LIMIT 1000"
    )
    before = db.contents()
    maker = db.connect()
    making = background(maker.execute, "SELECT * FROM analytics.ensure_partitions()")
    # It has its locks, so it is moving rows.
    locked = """
        SELECT count(*) FROM pg_locks
        WHERE pid = %s AND relation = 'analytics.agent_errors'::regclass AND mode = 'ShareRowExclusiveLock' AND granted"""
    wait_until(lambda: db.value(locked, [maker.info.backend_pid]), "no month was made")
    assert not making.done(), "it was over before it could be killed"
    kill(db, maker)
    with pytest.raises(psycopg.OperationalError):
        making.result(60)
    assert db.contents() == before
    assert db.value("SELECT count(*) FROM analytics.agent_runs_default") == 20_000
    assert db.value("SELECT sum(moved_count) FROM analytics.ensure_partitions()") == 20_000
    after = db.contents()
    assert after["analytics.agent_runs"] == before["analytics.agent_runs"]
    assert after["analytics.agent_errors"] == before["analytics.agent_errors"]


def test_kill_during_transitions_and_boards(database, background, kill):
    """An acknowledged transition is in the history, the state is that of the last one, and boards are whole."""
    db = database
    db.server.install(db)
    workspace, agents = db.workspace(), [uuid.uuid4() for _ in range(3)]
    for agent in agents:
        db.execute(
            "INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, runtime_seconds)"
            " SELECT %s, %s, gen_random_uuid(), 'completed', n FROM generate_series(1, 50) AS n",
            [workspace, agent],
        )
    acknowledged: dict[uuid.UUID, int] = dict.fromkeys(agents, 0)

    def move(agent: uuid.UUID) -> None:
        """To and fro; force, because only the history is of interest."""
        connection = db.connect()
        try:
            while True:
                state = "draft" if acknowledged[agent] % 2 else "testing"
                connection.execute(
                    "SELECT analytics.transition_agent(%s, %s, %s, 'crash', force => true)",
                    [workspace, agent, state],
                )
                acknowledged[agent] += 1
        except psycopg.OperationalError:
            return

    def refresh() -> None:
        connection = db.connect()
        try:
            while True:
                connection.execute("SELECT * FROM analytics.refresh()")
                connection.execute("SELECT * FROM analytics.refresh_leaderboards()")
                connection.execute("SELECT * FROM analytics.refresh_trends()")
                connection.execute("SELECT * FROM analytics.refresh_suggestions()")
                connection.execute("SELECT analytics.record_agent_health()")
        except psycopg.OperationalError:
            return

    for round_number in range(3):
        moving = [*(background(move, agent) for agent in agents), background(refresh)]
        wait_until(lambda least=50 * (round_number + 1): min(acknowledged.values()) > least, "too slow")
        kill(db)
        for each in moving:
            each.result(60)
        for agent in agents:
            events, last, first_sequence, last_sequence = db.rows(
                "SELECT count(*), (array_agg(to_state ORDER BY sequence DESC))[1], min(sequence), max(sequence)"
                " FROM analytics.agent_lifecycle_events WHERE agent_id = %s AND reason = 'crash'",
                [agent],
            )[0]
            # The one that was under way when the server went may be there or not.
            assert events - acknowledged[agent] in (0, 1)
            acknowledged[agent] = events
            assert last_sequence - first_sequence == events - 1, "a gap in the history"
            assert (
                db.value("SELECT lifecycle_state FROM analytics.agents WHERE agent_id = %s", [agent]) == last
            )
        kept = "SELECT agent_id, rank FROM analytics.agent_leaderboard WHERE timeframe = 'all' AND criteria = 'runs' ORDER BY 1"
        assert db.rows("SELECT * FROM analytics.refresh_leaderboards()")
        live = "SELECT agent_id, rank FROM analytics.rank_agents(%s, 'all', 'runs') ORDER BY 1"
        assert db.rows(kept) == db.rows(live, [workspace])
    assert db.rows("SELECT * FROM analytics.verify_rollups()") == []
