"""Months of agent_runs: rows that wait in the default partition, two sessions at once, time zones, locks."""

import threading
import time
import uuid
from datetime import UTC, datetime

import psycopg
import pytest
from conftest import Database
from psycopg import errors

ENSURE = "SELECT partition_name, action, moved_count FROM analytics.ensure_partitions()"
INSERT = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (%s, %s, 'running', %s)"

# Where each row is stored, by the start of its month.
PLACES = """
    SELECT date_trunc('month', started_at, 'UTC') AT TIME ZONE 'UTC', tableoid::regclass::text, count(*)
    FROM analytics.agent_runs GROUP BY 1, 2 ORDER BY 1, 2"""


def contents(db) -> dict[str, tuple[int, str]]:
    """Of all tables but the one that knows which partitions there are."""
    found = db.contents()
    assert found.pop("analytics_internal.rollup_partitions")
    return found


def created(rows) -> dict[str, int]:
    return {name: moved for name, action, moved in rows if action == "created"}


def old_runs(database: Database, workspace: uuid.UUID, number: int = 100) -> None:
    """Finished runs of 2019 and 2020 of few agents with errors and feedback, in the default partition."""
    database.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at, completed_at, runtime_seconds, user_rating, metadata)"
        " SELECT %s, gen_random_uuid(), analytics.agent_id(%s, (n %% 5)::text), 'completed', at, at + interval '1 minute', 60, 1 + n %% 5, jsonb_build_object('n', n)"
        " FROM generate_series(1, %s) AS n, LATERAL (SELECT timestamptz '2019-03-01 00:00+00' + n * interval '100 hours') AS t (at)",
        [workspace, workspace, number],
    )
    database.execute(
        "INSERT INTO analytics.agent_errors (workspace_id, agent_id, agent_run_id, error_type)"
        " SELECT workspace_id, agent_id, run_id, 'E' FROM analytics.agent_runs, generate_series(1, 2)"
    )
    database.execute(
        "INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, agent_run_id, rating)"
        " SELECT workspace_id, agent_id, run_id, user_rating FROM analytics.agent_runs"
    )
    assert database.rows("SELECT DISTINCT tableoid::regclass::text FROM analytics.agent_runs") == [
        ("analytics.agent_runs_default",)
    ]


@pytest.mark.parametrize("trigger_fires", ["ORIGIN", "ALWAYS"])
def test_rows_move_with_all_that_hangs_on_them(db, trigger_fires):
    """Nothing is lost, nothing cascades, and no trigger of a user takes the move for a change."""
    workspace = db.workspace()
    old_runs(db, workspace)
    db.psql("""
        CREATE TABLE public.seen (what text);
        CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.seen VALUES (TG_OP || ' on ' || TG_TABLE_NAME); RETURN NULL; END $$;
        CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_runs FOR EACH ROW EXECUTE FUNCTION public.see();
        CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_errors FOR EACH ROW EXECUTE FUNCTION public.see();
        CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_user_feedback FOR EACH ROW EXECUTE FUNCTION public.see();
        CREATE TRIGGER see_default AFTER DELETE ON analytics.agent_runs_default FOR EACH STATEMENT EXECUTE FUNCTION public.see();
        """)
    if trigger_fires == "ALWAYS":
        db.execute("ALTER TABLE analytics.agent_errors ENABLE ALWAYS TRIGGER see")
        db.execute("ALTER TABLE analytics.agent_user_feedback ENABLE ALWAYS TRIGGER see")
    before = contents(db)
    assert [
        before[f"analytics.{name}"][0] for name in ("agent_runs", "agent_errors", "agent_user_feedback")
    ] == [100, 200, 100]
    expected: dict[str, int] = {}
    for (at,) in db.rows("SELECT started_at FROM analytics.agent_runs"):
        name = at.astimezone(UTC).strftime("agent_runs_y%Ym%m")
        expected[name] = expected.get(name, 0) + 1

    assert created(db.rows(ENSURE)) == expected
    assert contents(db) == before
    assert db.rows("SELECT * FROM public.seen") == []
    assert db.value("SELECT count(*) FROM analytics.agent_runs_default") == 0
    assert db.value("SHOW session_replication_role") == "origin"

    # The foreign keys and the triggers hold in the new months too.
    run = db.value("SELECT run_id FROM analytics.agent_runs_y2020m01 LIMIT 1")
    with pytest.raises(errors.ForeignKeyViolation):
        db.execute(
            "UPDATE analytics.agent_errors SET agent_run_id = gen_random_uuid() WHERE agent_run_id = %s",
            [run],
        )
    db.execute("DELETE FROM analytics.agent_runs WHERE run_id = %s", [run])
    assert db.rows("SELECT what, count(*) FROM public.seen GROUP BY 1 ORDER BY 1") == [
        ("DELETE on agent_errors", 2),
        ("DELETE on agent_runs_y2020m01", 1),
        ("DELETE on agent_user_feedback", 1),
    ]
    assert db.value("SELECT count(*) FROM analytics.agent_errors") == 198
    with pytest.raises(errors.ForeignKeyViolation):
        db.execute(INSERT, [uuid.uuid4(), uuid.uuid4(), datetime(2020, 1, 5, tzinfo=UTC)])
    assert created(db.rows(ENSURE)) == {}


def test_partition_with_columns_in_another_order(db):
    """What a user attached, and a column that a user dropped and added."""
    workspace = db.workspace()
    db.execute("ALTER TABLE analytics.agent_runs ADD COLUMN gone text, ADD COLUMN team text DEFAULT 'blue'")
    db.execute("ALTER TABLE analytics.agent_runs DROP COLUMN gone")
    db.execute(
        "ALTER TABLE analytics.agent_runs ADD COLUMN minutes double precision GENERATED ALWAYS AS (runtime_seconds / 60) STORED"
    )
    old_runs(db, workspace, 10)
    db.execute("UPDATE analytics.agent_runs SET team = 'red' WHERE user_rating = 3")
    before = contents(db)
    assert sum(created(db.rows(ENSURE)).values()) == 10
    assert contents(db) == before
    assert db.rows("SELECT team, count(*), min(minutes) FROM analytics.agent_runs GROUP BY 1 ORDER BY 1") == [
        ("blue", 8, 1.0),
        ("red", 2, 1.0),
    ]


# ------------------------------------------------------------------------------------------ at once


def test_two_sessions_at_once(db, background):
    workspace = db.workspace()
    old_runs(db, workspace)
    before = contents(db)
    first, second = db.connect(autocommit=False), db.connect()
    done_by_first = first.execute(ENSURE).fetchall()
    assert sum(created(done_by_first).values()) == 100
    waiting = background(lambda: second.execute(ENSURE).fetchall())
    db.wait_until_blocked(second)
    first.commit()
    assert created(waiting.result(60)) == {}
    assert contents(db) == before

    # And when the first gives up, the second does all of it.
    db.execute(INSERT, [workspace, uuid.uuid4(), datetime(2011, 1, 1, tzinfo=UTC)])
    assert created(first.execute(ENSURE).fetchall()) == {"agent_runs_y2011m01": 1}
    waiting = background(lambda: second.execute(ENSURE).fetchall())
    db.wait_until_blocked(second)
    first.rollback()
    assert created(waiting.result(60)) == {"agent_runs_y2011m01": 1}


def test_writer_that_is_open_when_its_month_is_made(db, background):
    """Its row is not visible yet, but belongs into the month: the month has to wait for it."""
    workspace = db.workspace()
    start = datetime(2012, 5, 6, tzinfo=UTC)
    db.execute(INSERT, [workspace, uuid.uuid4(), start])
    writer, maker = db.connect(autocommit=False), db.connect()
    writer.execute(INSERT, [workspace, uuid.uuid4(), start])
    making = background(lambda: maker.execute(ENSURE).fetchall())
    db.wait_until_blocked(maker)
    writer.commit()
    assert created(making.result(60)) == {"agent_runs_y2012m05": 2}
    assert db.rows(PLACES) == [(datetime(2012, 5, 1), "analytics.agent_runs_y2012m05", 2)]


# What applications do, with the locks in the order that comes natural to each.
def runs_alone(connection: psycopg.Connection, workspace: uuid.UUID, start: datetime) -> None:
    connection.execute(INSERT, [workspace, uuid.UUID(int=1), start])


def reads_then_writes(connection: psycopg.Connection, workspace: uuid.UUID, start: datetime) -> None:
    with connection.transaction():
        connection.execute("SELECT count(*) FROM analytics.agent_runs WHERE workspace_id = %s", [workspace])
        connection.execute(INSERT, [workspace, uuid.UUID(int=2), start])


def run_with_error(connection: psycopg.Connection, workspace: uuid.UUID, start: datetime) -> None:
    error = "INSERT INTO analytics.agent_errors (workspace_id, agent_id, agent_run_id, error_type) VALUES (%s, %s, %s, 'E')"
    agent, run = uuid.UUID(int=3), uuid.uuid4()
    with connection.transaction():
        connection.execute(error, [workspace, agent, None])
        connection.execute(
            "SELECT analytics.start_run(%s, %s, run_id => %s, started_at => %s)",
            [workspace, agent, run, start],
        )
        connection.execute(error, [workspace, agent, run])


def new_customer(connection: psycopg.Connection, workspace: uuid.UUID, start: datetime) -> None:
    with connection.transaction():
        connection.execute("INSERT INTO analytics.workspaces (name) VALUES ('new')")
        connection.execute(INSERT, [workspace, uuid.uuid4(), start])


def test_writers_during_the_making_of_months(db, background):
    """They write into months that are being made, all the time, and none of them gets an error."""
    workspace = db.workspace()
    stop = threading.Event()

    def write(number: int, connection: psycopg.Connection, action) -> int:
        written = 0
        while not stop.is_set():
            action(
                connection,
                workspace,
                datetime(2010 + written // 12 % 5, written % 12 + 1, 1 + number, tzinfo=UTC),
            )
            written += 1
            time.sleep(0.002)
        return written

    actions = [runs_alone, reads_then_writes, run_with_error, new_customer]
    writers = [background(write, number, db.connect(), action) for number, action in enumerate(actions)]
    moved = 0
    end = time.monotonic() + 4
    try:
        while time.monotonic() < end:
            try:
                moved += sum(created(db.rows(ENSURE)).values())
            except errors.LockNotAvailable:
                continue  # rather than in their way
    finally:
        stop.set()
    written = sum(each.result(60) for each in writers)
    moved += sum(created(db.rows(ENSURE)).values())
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == written
    assert moved > 0
    assert db.value("SELECT count(*) FROM analytics.agent_runs_default") == 0
    assert db.value("SELECT count(*) FROM analytics.agent_errors WHERE agent_run_id IS NULL") == db.value(
        "SELECT count(*) FROM analytics.agent_errors JOIN analytics.agent_runs ON run_id = agent_run_id"
    )


def test_reader_in_a_transaction_delays_nobody(db, background):
    """Making a month needs a lock that an open reader denies; whoever comes behind must not wait for long.

    Months that are there already need no such lock.
    """
    workspace = db.workspace()
    reader, maker, other = db.connect(autocommit=False), db.connect(), db.connect()
    db.execute(INSERT, [workspace, uuid.uuid4(), datetime(2013, 3, 3, tzinfo=UTC)])
    assert reader.execute("SELECT count(*) FROM analytics.agent_runs").fetchone() == (1,)
    maker.execute("SET lock_timeout = '1s'")
    other.execute("SET statement_timeout = '5s'")

    making = background(lambda: maker.execute(ENSURE).fetchall())
    db.wait_until_blocked(maker)
    started = time.monotonic()
    assert other.execute("SELECT count(*) FROM analytics.agent_runs").fetchone() == (1,)
    other.execute(INSERT, [workspace, uuid.uuid4(), datetime(2013, 3, 4, tzinfo=UTC)])
    assert time.monotonic() - started < 3
    with pytest.raises(errors.LockNotAvailable):
        making.result(60)

    # Nothing half done: it works as soon as the reader has gone.
    assert db.rows(PLACES) == [(datetime(2013, 3, 1), "analytics.agent_runs_default", 2)]
    reader.rollback()
    assert created(maker.execute(ENSURE).fetchall()) == {"agent_runs_y2013m03": 2}

    reader.execute("SELECT count(*) FROM analytics.agent_runs")
    assert created(maker.execute(ENSURE).fetchall()) == {}, "and here nobody is in its way"


def test_it_gives_up_by_itself(db, background):
    """As above, from a session that sets no lock_timeout, as pg_cron's do."""
    workspace = db.workspace()
    reader, maker = db.connect(autocommit=False), db.connect()
    db.execute(INSERT, [workspace, uuid.uuid4(), datetime(2013, 3, 3, tzinfo=UTC)])
    reader.execute("SELECT count(*) FROM analytics.agent_runs")
    with pytest.raises(errors.LockNotAvailable):
        maker.execute(ENSURE)
    assert maker.execute("SHOW lock_timeout").fetchone() == ("0",)
    reader.rollback()
    assert created(maker.execute(ENSURE).fetchall()) == {"agent_runs_y2013m03": 1}


# ------------------------------------------------------------------------------------------ without a default


def test_without_default_partition(bare_db):
    db = bare_db
    db.execute("CREATE EXTENSION shadower_analytics")
    db.execute("SELECT * FROM analytics.setup(default_partition => false)")
    workspace, agent = db.workspace(), uuid.uuid4()
    row = [workspace, agent, datetime(2015, 6, 7, tzinfo=UTC)]
    with pytest.raises(errors.CheckViolation) as caught:
        db.execute(INSERT, row)
    assert "before the oldest partition" in caught.value.diag.message_primary
    assert "ensure_partitions(since" in caught.value.diag.message_hint
    with pytest.raises(errors.CheckViolation, match="no partition"):
        db.execute(INSERT, [workspace, agent, datetime(2199, 1, 1, tzinfo=UTC)])
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 0

    # What the hint says; the guard moves to the new oldest month.
    months = created(db.rows("SELECT * FROM analytics.ensure_partitions(since => '2015-06-30 23:00-01')"))
    assert min(months) == "agent_runs_y2015m07"
    with pytest.raises(errors.CheckViolation, match="2015-07-01"):
        db.execute(INSERT, row)
    assert created(db.rows("SELECT * FROM analytics.ensure_partitions(since => '2015-06-07')")) == {
        "agent_runs_y2015m06": 0
    }
    db.execute(INSERT, row)
    assert db.rows(PLACES) == [(datetime(2015, 6, 1), "analytics.agent_runs_y2015m06", 1)]
    with pytest.raises(errors.CheckViolation, match="2015-06-01"):
        db.execute(INSERT, [workspace, agent, datetime(2015, 5, 31, 23, 59, 59, tzinfo=UTC)])
    assert created(db.rows(ENSURE)) == {}

    # There and back.
    db.execute("SELECT * FROM analytics.setup(default_partition => true)")
    db.execute(INSERT, [workspace, agent, datetime(2015, 5, 31, tzinfo=UTC)])
    db.execute(INSERT, [workspace, agent, datetime(2199, 1, 1, tzinfo=UTC)])
    before = db.dump()
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as caught:
        db.execute("SELECT * FROM analytics.setup(default_partition => false)")
    assert "ensure_partitions()" in caught.value.diag.message_hint
    assert db.dump() == before
    assert created(db.rows(ENSURE)) == {"agent_runs_y2015m05": 1}
    db.execute("DELETE FROM analytics.agent_runs WHERE started_at > '2100-01-01'")
    db.execute("SELECT * FROM analytics.setup(default_partition => false)")
    with pytest.raises(errors.CheckViolation, match="2015-05-01"):
        db.execute(INSERT, [workspace, agent, datetime(2015, 4, 30, tzinfo=UTC)])


# ------------------------------------------------------------------------------------------ time zones


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata"])
def test_months_are_of_utc_wherever_the_session_is(db, zone):
    """The same partitions, bounds included, as a session in UTC makes; and rows on the edges lie where they belong."""
    workspace, agent = db.workspace(), uuid.uuid4()
    session = db.connect()
    session.execute(f"SET timezone = '{zone}'; SET datestyle = 'SQL, DMY'; SET lc_messages = 'C'")
    edges = [
        datetime(2016, 2, 29, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2016, 3, 1, tzinfo=UTC),
        datetime(2016, 3, 31, 12, tzinfo=UTC),
        datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2017, 1, 1, tzinfo=UTC),
    ]
    for edge in edges:
        session.execute(INSERT, [workspace, agent, edge])
    assert created(session.execute(ENSURE).fetchall()) == {
        "agent_runs_y2016m02": 1,
        "agent_runs_y2016m03": 2,
        "agent_runs_y2016m12": 1,
        "agent_runs_y2017m01": 1,
    }
    session.execute(
        "SELECT * FROM analytics.ensure_partitions(months_ahead => 8, since => '2015-12-31 22:00-05')"
    )
    for edge in edges:
        session.execute(INSERT, [workspace, agent, edge])
    for month, place, _ in db.rows(PLACES):
        assert place == month.strftime("analytics.agent_runs_y%Ym%m")

    bounds = db.rows("""
        SELECT c.relname, b[1]::timestamptz AT TIME ZONE 'UTC', b[2]::timestamptz AT TIME ZONE 'UTC'
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid,
            regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \\('(.*)'\\) TO \\('(.*)'\\)$$) AS b
        WHERE i.inhparent = 'analytics.agent_runs'::regclass AND b IS NOT NULL""")
    now = datetime.now(UTC)
    # January 2016 (of UTC; since was the evening before in New York) to eight months ahead.
    assert len(bounds) == (now.year - 2016) * 12 + now.month + 8
    for name, lower, upper in bounds:
        assert (lower.day, lower.hour, lower.minute, upper.day, upper.hour) == (1, 0, 0, 1, 0)
        assert name == lower.strftime("agent_runs_y%Ym%m")
        assert (upper.year * 12 + upper.month) - (lower.year * 12 + lower.month) == 1


def test_a_detached_month_is_reported_and_left_alone(db):
    workspace = db.workspace()
    now = datetime.now(UTC)
    month = f"agent_runs_y{now.year}m{now.month:02}"
    db.execute(INSERT, [workspace, uuid.uuid4(), now])
    assert (month, "present", 0) in db.rows(ENSURE)
    db.execute(f"ALTER TABLE analytics.agent_runs DETACH PARTITION analytics.{month}")
    db.execute(INSERT, [workspace, uuid.uuid4(), now])
    assert (month, "detached", 0) in db.rows(ENSURE)
    assert db.value(f"SELECT count(*) FROM analytics.{month}") == 1
    assert (
        db.value("SELECT tableoid::regclass::text FROM analytics.agent_runs")
        == "analytics.agent_runs_default"
    )
