"""Capture, refresh, its log and its status, repair, materialized views, rights, and writers and refreshers at once.

That answers are exact whatever happens is in test_rollup_oracle.py, crashes are in test_rollup_crash.py.
"""

import contextlib
import random
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from conftest import Database, wait_until
from psycopg import errors
from rollup_oracle import (
    FIXED_START,
    QUESTIONS,
    ROLLUPS,
    TABLES,
    Actor,
    Oracle,
    prepare,
    recent_start,
    refresh,
)

RUN = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (%s, %s, 'running', %s)"
AGENT = uuid.UUID(int=7)
START = FIXED_START
STATUSES = "SELECT DISTINCT status FROM analytics.refresh()"


def logged(database: Database) -> int:
    return database.value("SELECT count(*) FROM analytics_internal.rollup_changes")


def total(connection: psycopg.Connection, workspace: uuid.UUID) -> int:
    query = "SELECT coalesce(sum(total_runs), 0)::int FROM analytics.list_agents(%s, 'all')"
    return connection.execute(query, [workspace]).fetchone()[0]


def oracle_of(database: Database, seed: int = 0, start: datetime = START) -> Oracle:
    return Oracle(prepare(database, start), random.Random(seed), start)


def filled(database: Database, seed: int = 0, start: datetime = START) -> Oracle:
    """Some of everything, refreshed."""
    oracle = oracle_of(database, seed, start)
    actor = Actor(database.connect(), oracle.rng, oracle)
    for action in ("bulk", "bulk", "copy", *["error", "feedback", "enqueue"] * 5):
        actor.do(action)
    refresh(database.connection)
    return oracle


# ------------------------------------------------------------------------------------------ capture


def test_one_log_row_for_each_transaction_and_bucket(db):
    workspace = db.workspace()
    writer = db.connect(autocommit=False)
    for number in range(100):
        writer.execute(RUN, [workspace, AGENT, START + timedelta(minutes=number)])
    assert logged(db) == 0
    writer.commit()
    assert logged(db) == 2
    rows = db.rows(
        "SELECT DISTINCT sources, workspace_id, entity_id, until, rollup FROM analytics_internal.rollup_changes"
    )
    assert rows == [(1, workspace, AGENT, None, None)]
    writer.execute(RUN, [workspace, AGENT, START])
    writer.rollback()
    assert logged(db) == 2


def test_each_table_is_captured_under_its_number(db):
    workspace = db.workspace()
    values = [workspace, AGENT, START]
    sources = "SELECT sources, date_part('hour', bucket AT TIME ZONE 'UTC')::int FROM analytics_internal.rollup_changes ORDER BY 1, 2"
    for statement, expected in [
        ("INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at) VALUES (%s, %s, 'E', %s)", [(2, 0)]),
        ("INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at) VALUES (%s, %s, 1, %s)", [(4, 0)]),
        ("INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at) VALUES (%s, %s, %s)", [(8, 0)]),
        ("UPDATE analytics.execution_queue SET started_at = queued_at + interval '3 hours'"
         " WHERE workspace_id = %s AND agent_id = %s AND queued_at = %s", [(8, 0), (16, 3)]),
        ("UPDATE analytics.execution_queue SET started_at = queued_at + interval '5 hours'"
         " WHERE workspace_id = %s AND agent_id = %s AND queued_at = %s", [(8, 0), (16, 3), (16, 5)]),
        ("UPDATE analytics.agent_errors SET occurred_at = occurred_at + interval '1 hour'"
         " WHERE workspace_id = %s AND agent_id = %s AND occurred_at = %s", [(2, 0), (2, 1)]),
    ]:  # fmt: skip
        db.execute(statement, values)
        assert db.rows(sources) == expected, statement
        db.execute("TRUNCATE analytics_internal.rollup_changes")


def test_several_tables_of_one_hour(db):
    """The second is noted although the hour of the agent is known already."""
    workspace = db.workspace()
    error = "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at) VALUES (%s, %s, 'E', %s)"
    with db.connect(autocommit=False) as writer:
        writer.execute(RUN, [workspace, AGENT, START])
        writer.execute(error, [workspace, AGENT, START])
        writer.execute(RUN, [workspace, AGENT, START])
    assert db.rows("SELECT sources FROM analytics_internal.rollup_changes") == [(3,)]


def test_days_of_a_bulk_load_are_computed_whole(db):
    """Where much of a day has changed, and hours where little has."""
    workspace = db.workspace()
    load = (
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at)"
        " SELECT %s, md5(a::text)::uuid, 'cancelled', timestamptz '2026-01-01 00:10+00' + h * interval '1 hour'"
        " FROM generate_series(1, %s::int) AS a, generate_series(%s::int, %s::int) AS h"
    )
    db.execute(load, [workspace, 60, 0, 16 * 24 - 1])
    db.execute(load, [workspace, 3, 20 * 24, 21 * 24 - 1])
    log = "SELECT count(*) FILTER (WHERE until IS NULL), count(*) FILTER (WHERE until IS NOT NULL) FROM analytics_internal.rollup_changes"
    assert db.rows(log) == [(16 * 24 * 60 + 3 * 24, 0)]
    db.execute("SELECT * FROM analytics.refresh()")
    assert db.rows(log) == [(3 * 24, 15)]
    # Days that hold much more than what has changed stay hours.
    refresh(db.connection)
    db.execute(
        "UPDATE analytics.execution_metrics_daily SET total_runs = 1000000 WHERE bucket < '2026-01-03'"
    )
    db.execute("UPDATE analytics.agent_runs SET status = 'timeout'")
    db.execute("SELECT * FROM analytics.refresh()")
    assert db.rows(log) == [(2 * 24 * 60 + 3 * 24, 13)]
    refresh(db.connection)
    assert db.rows("SELECT * FROM analytics.verify_rollups()") == []
    counted = "SELECT sum(total_runs)::int, sum(timeout_runs)::int FROM analytics.agent_performance_daily"
    assert db.rows(counted) == [(16 * 24 * 60 + 3 * 24,) * 2]


def test_rows_that_arrive_by_replication(db):
    """Its workers fire only triggers that are enabled ALWAYS or for replicas."""
    workspace = db.workspace()
    applier = db.connect(options="-c session_replication_role=replica")
    applier.execute(RUN, [workspace, AGENT, START])
    for table, column in (
        ("agent_errors", "occurred_at"),
        ("agent_user_feedback", "created_at"),
        ("execution_queue", "queued_at"),
    ):
        value = {"agent_errors": ", error_type", "agent_user_feedback": ", rating"}.get(table, "")
        more = ", '1'" if value else ""
        applier.execute(
            f"INSERT INTO analytics.{table} (workspace_id, agent_id, {column}{value}) VALUES (%s, %s, %s{more})",
            [workspace, AGENT, START],
        )
    applier.execute("UPDATE analytics.execution_queue SET started_at = queued_at")
    sources = "SELECT bit_or(sources) FROM analytics_internal.rollup_changes"
    assert db.value(sources) == 31
    refresh(db.connection)
    applier.execute("TRUNCATE analytics.execution_queue")
    assert db.value(sources) == 24


@pytest.mark.parametrize("ends_with", ["COMMIT", "ROLLBACK"])
def test_prepared_transaction(db, ends_with):
    workspace = db.workspace()
    writer = db.connect()
    writer.execute("BEGIN")
    writer.execute(RUN, [workspace, AGENT, START])
    writer.execute("PREPARE TRANSACTION 'rollup'")
    refresh(db.connection)
    assert total(writer, workspace) == 0
    writer.execute(f"{ends_with} PREPARED 'rollup'")
    expected = 1 if ends_with == "COMMIT" else 0
    assert total(writer, workspace) == expected
    refresh(db.connection)
    assert total(writer, workspace) == expected


@pytest.mark.parametrize("rolled_back", [False, True])
def test_more_buckets_than_memory_holds(db, rolled_back):
    """They are written early. Where a savepoint takes that back, what was noted before it counts still."""
    oracle = oracle_of(db)
    workspace = oracle.workspaces[0]
    with db.connect(autocommit=False) as writer:
        writer.execute(RUN, [workspace, AGENT, START])
        writer.execute("SAVEPOINT before")
        writer.execute(
            "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at)"
            " SELECT %s, ('00000000-0000-0000-0000-' || lpad((n %% 500)::text, 12, '0'))::uuid, 'running',"
            " %s::timestamptz + (n / 500) * interval '1 hour' FROM generate_series(0, 65999) AS n",
            [workspace, START],
        )
        if rolled_back:
            writer.execute("ROLLBACK TO SAVEPOINT before")
        expected = 1 if rolled_back else 66_001
        assert total(writer, workspace) == expected
        writer.commit()
    if rolled_back:
        assert total(db.connection, workspace) == expected
        refresh(db.connection, 100_000)
        assert total(db.connection, workspace) == expected
        oracle.check_tables(db.connection)
    else:
        assert logged(db) == 66_000


def test_log_needs_no_rights_of_the_writer(db, make_role):
    writer = make_role("writer")
    workspace = db.workspace()
    db.execute(f"GRANT USAGE ON SCHEMA analytics TO {writer}")
    db.execute(f"GRANT INSERT ON analytics.agent_runs TO {writer}")
    db.execute(f"GRANT EXECUTE ON FUNCTION analytics_internal.is_valid_run TO {writer}")
    db.execute("SELECT analytics.grant_access(%s, %s, 'member')", [writer, workspace])
    db.connect(writer).execute(RUN, [workspace, AGENT, START])
    assert logged(db) == 1
    with pytest.raises(errors.InsufficientPrivilege):
        db.connect(writer).execute("SELECT * FROM analytics.refresh()")


def test_months_that_we_make_change_nothing(db):
    workspace = db.workspace()
    db.execute(RUN, [workspace, AGENT, START])
    db.execute("SELECT * FROM analytics.ensure_partitions(since => '2025-01-01')")
    refresh(db.connection)
    known = "SELECT p::text FROM analytics_internal.rollup_partitions AS p ORDER BY 1"
    actual = "SELECT p::text FROM analytics_internal.source_partitions() AS p ORDER BY 1"
    assert db.rows(known) == db.rows(actual)
    db.execute("SELECT * FROM analytics.ensure_partitions(since => '2024-01-01')")
    assert db.rows(known) == db.rows(actual)
    assert logged(db) == 0
    db.execute("TRUNCATE analytics.agent_runs CASCADE")
    refresh(db.connection)
    db.execute("SELECT * FROM analytics.setup(default_partition => false)")
    assert db.rows(known) == db.rows(actual)
    db.execute("SELECT * FROM analytics.ensure_partitions(since => '2023-01-01')")
    assert db.rows(known) == db.rows(actual)
    db.execute("SELECT * FROM analytics.setup(default_partition => true)")
    assert db.rows(known) == db.rows(actual)
    assert logged(db) == 0


def test_partition_that_is_detached_changed_and_attached(db):
    """No trigger fires, and each step is seen at once."""
    workspace = oracle_of(db).workspaces[0]
    for hour in (0, 1, 2):
        db.execute(RUN, [workspace, AGENT, START + timedelta(hours=hour)])
    refresh(db.connection)
    reader = db.connect()
    assert total(reader, workspace) == 3
    db.execute("ALTER TABLE analytics.agent_runs DETACH PARTITION analytics.agent_runs_y2026m03")
    assert total(reader, workspace) == 0
    db.execute("DELETE FROM analytics.agent_runs_y2026m03 WHERE started_at = %s", [START])
    assert total(reader, workspace) == 0
    attach = """ALTER TABLE analytics.agent_runs ATTACH PARTITION analytics.agent_runs_y2026m03
                FOR VALUES FROM ('2026-03-01 00:00+00') TO ('2026-04-01 00:00+00')"""
    db.execute(attach)
    assert total(reader, workspace) == 2
    refresh(db.connection)
    assert total(reader, workspace) == 2
    assert db.value("SELECT sum(total_runs) FROM analytics.agent_performance_hourly") == 2
    db.execute("TRUNCATE analytics.agent_runs_y2026m03 CASCADE")
    assert total(reader, workspace) == 0
    refresh(db.connection)
    assert total(reader, workspace) == 0
    assert db.value("SELECT count(*) FROM analytics.agent_performance_hourly") == 0


# ------------------------------------------------------------------------------------------ refresh


def test_what_refresh_returns_and_logs(db):
    workspace = db.workspace()
    for hour in (0, 1, 30):
        db.execute(RUN, [workspace, AGENT, START + timedelta(hours=hour)])
    rows = db.rows(
        "SELECT object, status, bucket_count, read_count, written_count, removed_count FROM analytics.refresh(100)"
    )
    expected = [
        ("agent_performance_hourly", "refreshed", 3, 3, 3, 0),
        ("agent_performance_daily", "refreshed", 2, 3, 2, 0),
        ("execution_metrics_hourly", "refreshed", 3, 3, 3, 0),
        ("execution_metrics_daily", "refreshed", 2, 3, 2, 0),
        ("agent_model_usage_hourly", "refreshed", 3, 3, 3, 0),
        ("agent_model_usage", "refreshed", 2, 3, 2, 0),
        ("user_usage_daily", "refreshed", 2, 0, 0, 0),
    ]
    assert [row for row in rows if row[0] != "execution_metrics_minute"] == expected
    columns = "object, status, bucket_count, read_count, written_count, removed_count"
    log = f"SELECT {columns} FROM analytics.refresh_log WHERE triggered_by = %s AND attempt = 1 AND error_code IS NULL"
    assert set(db.rows(log, ["manual"])) == set(expected)
    assert db.value("SELECT count(DISTINCT refresh_id) FROM analytics.refresh_log") == 1
    assert db.rows(STATUSES) == [("clean",)]
    db.execute("DELETE FROM analytics.agent_runs WHERE started_at < '2026-03-31'")
    db.execute("SELECT analytics.refresh(100, 'cron')")
    assert set(db.rows(log + " AND removed_count > 0", ["cron"])) == {
        ("agent_performance_hourly", "refreshed", 2, 0, 0, 2),
        ("agent_performance_daily", "refreshed", 1, 0, 0, 1),
        ("execution_metrics_hourly", "refreshed", 2, 0, 0, 2),
        ("execution_metrics_daily", "refreshed", 1, 0, 0, 1),
        ("agent_model_usage_hourly", "refreshed", 2, 0, 0, 2),
        ("agent_model_usage", "refreshed", 1, 0, 0, 1),
    }
    for call in ("SELECT analytics.refresh(triggered_by => 'x''y')", "CALL analytics.refresh_all(triggered_by => 'x''y')",
                 "SELECT analytics.refresh_materialized_views('x')"):  # fmt: skip
        with pytest.raises(errors.InvalidParameterValue):
            db.execute(call)


def test_rows_that_are_the_same_stay(db):
    """What a refresh computes anew and finds as it is, it does not write."""
    workspace, busy, idle = db.workspace(), uuid.UUID(int=1), uuid.UUID(int=2)
    run = (
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds,"
        " credits_consumed) VALUES (%s, %s, %s, 'completed', %s, %s, 0.10)"
    )
    for user in (busy, idle):
        db.execute(run, [workspace, AGENT, user, START, 1])
    db.execute("SELECT analytics.refresh()")
    places = "SELECT user_id, ctid::text FROM analytics.user_usage_daily"
    hours = "SELECT ctid::text, p95_runtime_seconds FROM analytics.agent_performance_hourly"
    before = dict(db.rows(places))
    db.execute(run, [workspace, AGENT, busy, START, 2])
    db.execute("SELECT analytics.refresh()")
    after = dict(db.rows(places))
    assert after[idle] == before[idle]
    assert after[busy] != before[busy]

    # Nothing has changed at all; then a column that only people read is wrong.
    kept = db.rows(hours)
    db.execute("SELECT analytics.rebuild_rollup('agent_performance')")
    db.execute("SELECT analytics.refresh()")
    assert db.rows(hours) == kept
    db.execute("UPDATE analytics.agent_performance_hourly SET p95_runtime_seconds = 7")
    db.execute("SELECT analytics.rebuild_rollup('agent_performance')")
    db.execute("SELECT analytics.refresh()")
    assert [p95 for _, p95 in db.rows(hours)] == [p95 for _, p95 in kept]


def test_rows_of_another_source_touch_no_other_rollup(db):
    workspace = db.workspace()
    db.execute(
        "INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at) VALUES (%s, %s, %s)",
        [workspace, AGENT, START],
    )
    touched = {name for (name,) in db.rows("SELECT object FROM analytics.refresh()")}
    assert touched == {table for table in TABLES if table.startswith("execution_metrics")}


def test_second_refresher_returns_at_once(db):
    workspace = db.workspace()
    db.execute(RUN, [workspace, AGENT, START])
    first = db.connect(autocommit=False)
    assert first.execute(STATUSES).fetchall() == [("refreshed",)]
    second = db.connect(options="-c lock_timeout=300ms")
    assert second.execute(STATUSES).fetchall() == [("locked",)]
    second.execute("CALL analytics.refresh_all(materialized_views => false)")
    assert total(second, workspace) == 1
    first.rollback()
    assert second.execute(STATUSES).fetchall() == [("refreshed",)]
    assert second.execute(STATUSES).fetchall() == [("clean",)]


def test_refresh_leaves_what_it_did_not_see(db):
    """Of a writer that was open during the refresh, and for a reader whose snapshot is older than it."""
    workspace = db.workspace()
    writer, reader = db.connect(autocommit=False), db.connect()
    db.execute(RUN, [workspace, AGENT, START])
    writer.execute(RUN, [workspace, AGENT, START])
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert total(reader, workspace) == 1
    refresh(db.connection)
    writer.commit()
    assert (total(db.connection, workspace), logged(db)) == (2, 1)
    assert total(reader, workspace) == 1
    refresh(db.connection)
    assert total(reader, workspace) == 1
    assert total(db.connection, workspace) == 2
    reader.execute("COMMIT")
    assert total(reader, workspace) == 2


@pytest.mark.parametrize("value", [0, -1, 1_000_001])
def test_refresh_refuses(db, value):
    with pytest.raises(errors.InvalidParameterValue) as caught:
        db.execute("SELECT * FROM analytics.refresh(%s)", [value])
    assert caught.value.diag.message_hint is not None


def test_refresh_all(db):
    oracle = oracle_of(db)
    workspace = oracle.workspaces[0]
    late = datetime(2021, 7, 1, tzinfo=UTC)
    for hour in range(50):
        db.execute(RUN, [workspace, AGENT, late + timedelta(hours=hour)])
    db.execute("CALL analytics.refresh_all(max_buckets => 10)")
    oracle.check_tables(db.connection)
    oracle.check_views(db.connection)
    batches = db.value(
        "SELECT count(DISTINCT refresh_id) FROM analytics.refresh_log WHERE object = 'agent_performance_hourly'"
    )
    assert batches == 5
    assert db.value("SELECT to_regclass('analytics.agent_runs_y2021m07') IS NOT NULL")

    for hour in range(20):
        db.execute(RUN, [workspace, AGENT, late + timedelta(hours=hour)])
    views = db.rows(
        "SELECT rollup, version FROM analytics_internal.rollup_state WHERE rollup LIKE '%%agents%%'"
    )
    db.execute("CALL analytics.refresh_all('0 seconds', 10, materialized_views => false)")
    assert logged(db) == 10, "one batch, and the time was over"
    assert (
        db.rows("SELECT rollup, version FROM analytics_internal.rollup_state WHERE rollup LIKE '%%agents%%'")
        == views
    )
    with pytest.raises(errors.InvalidParameterValue):
        db.execute("CALL analytics.refresh_all('-1 seconds')")
    with (
        db.connect(autocommit=False) as connection,
        pytest.raises(errors.InvalidTransactionTermination) as caught,
    ):
        connection.execute("CALL analytics.refresh_all()")
    assert "refresh()" in caught.value.diag.message_hint


def slow_down(database: Database, table: str, seconds: float) -> None:
    database.execute(f"""
        CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
        CREATE TRIGGER dawdle BEFORE INSERT OR UPDATE ON analytics.{table}
            FOR EACH ROW EXECUTE FUNCTION public.dawdle()""")


@pytest.mark.parametrize("ended_by", ["pg_cancel_backend", "pg_terminate_backend"])
def test_refresh_all_that_is_stopped(db, background, ended_by):
    """What was committed stays, the rest is in the log still; watched from another session."""
    oracle = oracle_of(db)
    workspace = oracle.workspaces[0]
    for hour in range(40):
        db.execute(RUN, [workspace, AGENT, START + timedelta(hours=hour)])
    slow_down(db, "agent_model_usage", 0.1)
    progress = "SELECT pid, running_seconds, activity, dirty_rows FROM analytics.refresh_progress()"
    assert db.rows(progress) == []
    refresher = db.connect()
    pid = refresher.info.backend_pid
    refreshing = background(refresher.execute, "CALL analytics.refresh_all(max_buckets => 2)")
    seen: list[tuple] = []

    def some_batches() -> bool:
        seen.extend(db.rows(progress))
        return logged(db) <= 34

    wait_until(some_batches, "nothing was refreshed")
    db.value(f"SELECT {ended_by}(%s)", [pid])
    expected = errors.QueryCanceled if ended_by == "pg_cancel_backend" else errors.AdminShutdown
    with pytest.raises(expected):
        refreshing.result(60)
    wait_until(lambda: db.rows(progress) == [], "it holds its lock still")

    assert {row[0] for row in seen} == {pid}
    assert all(row[1] >= 0 for row in seen)
    assert any("analytics.refresh: agent_model_usage, 2 hours of agents" in row[2] for row in seen), seen
    assert sorted({row[3] for row in seen}, reverse=True)[:2] == [40, 38]

    assert 0 < logged(db) <= 34
    done = db.value("SELECT count(*) FROM analytics.agent_performance_hourly")
    assert done == 40 - logged(db)
    assert total(db.connection, workspace) == 40
    oracle.check_all(db.connection, "stopped")
    if ended_by == "pg_cancel_backend":
        assert refresher.execute("SELECT current_user, current_setting('jit')").fetchone() == (
            "postgres",
            db.value("SHOW jit"),
        )
    db.execute("DROP TRIGGER dawdle ON analytics.agent_model_usage")
    db.execute("CALL analytics.refresh_all()")
    oracle.check_tables(db.connection)


STATE = "SELECT rollup, consecutive_failures, error_code, error_message, retry_at > now(), dirty_buckets > 0 FROM analytics.rollup_status() WHERE rollup = %s"


def retry_now(database: Database) -> None:
    database.execute("UPDATE analytics_internal.rollup_state SET retry_at = now() - interval '1 second'")


@pytest.mark.parametrize("question", QUESTIONS, ids=ROLLUPS)
def test_rollup_that_fails(db, question):
    """Does not stop the others, is logged, waits longer each time; its reads stay exact, and it recovers."""
    oracle = filled(db)
    actor = Actor(db.connect(), oracle.rng, oracle)
    table = list(question.levels)[-1]
    counted = question.columns[0]
    db.execute(f"ALTER TABLE analytics.{table} ADD CONSTRAINT never CHECK ({counted} < 0) NOT VALID")
    db.execute("TRUNCATE analytics.refresh_log")
    for action in ("bulk", "error", "error", "feedback", "enqueue"):
        actor.do(action)
    rows = dict(db.rows("SELECT object, status FROM analytics.refresh()"))
    base = next(name for name in question.levels if not name.endswith("minute"))
    assert rows.pop(base) == "failed"
    assert set(rows) == set(TABLES) - set(question.levels)
    assert set(rows.values()) == {"refreshed"}
    oracle.check_all(db.connection, "it fails")

    failed = "SELECT object, error_code, attempt FROM analytics.refresh_log WHERE status = 'failed' ORDER BY attempt"
    assert db.rows(failed) == [(base, "23514", 1)]
    message = db.value("SELECT error_message FROM analytics.refresh_log WHERE status = 'failed'")
    assert '"never"' in message
    assert db.rows(STATE, [question.name]) == [(question.name, 1, "23514", message, True, True)]
    others = db.rows(
        "SELECT consecutive_failures, dirty_buckets, lag_seconds FROM analytics.rollup_status() WHERE rollup <> %s",
        [question.name],
    )
    assert set(others) == {(0, 0, 0.0)}
    waits = "SELECT extract(epoch FROM retry_at - clock_timestamp()) FROM analytics_internal.rollup_state WHERE rollup = %s"
    assert 0 < db.value(waits, [question.name]) <= 5
    # Not yet.
    assert db.rows(STATUSES) == [("clean",)]
    retry_now(db)
    assert db.rows(STATUSES) == [("failed",)]
    assert 5 < db.value(waits, [question.name]) <= 10
    retry_now(db)
    # What changes meanwhile is refreshed of the others.
    actor.do("bulk")
    actor.do("error")
    db.execute("CALL analytics.refresh_all()")
    oracle.check_all(db.connection, "it fails still")
    assert db.rows(STATE, [question.name])[0][1] >= 3
    assert [row[2] for row in db.rows(failed)] == list(range(1, len(db.rows(failed)) + 1))

    db.execute(f"ALTER TABLE analytics.{table} DROP CONSTRAINT never")
    retry_now(db)
    db.execute("CALL analytics.refresh_all()")
    assert db.rows(STATE, [question.name]) == [(question.name, 0, None, None, None, False)]
    attempts = db.value("SELECT max(attempt) FROM analytics.refresh_log WHERE status = 'refreshed'")
    assert attempts == len(db.rows(failed)) + 1
    oracle.check_tables(db.connection)


def test_workspace_that_comes_back_while_a_rollup_fails(db):
    """The removal of the first one, tried again, does not take what the second one has."""
    oracle = oracle_of(db)
    workspace = oracle.workspaces[0]
    db.execute(RUN, [workspace, AGENT, START])
    refresh(db.connection)
    db.execute("""
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
        CREATE TRIGGER refuse BEFORE DELETE ON analytics.agent_model_usage FOR EACH ROW EXECUTE FUNCTION public.refuse()""")
    db.execute("DELETE FROM analytics.workspaces WHERE workspace_id = %s", [workspace])
    db.execute("CALL analytics.refresh_all()")
    assert db.rows(STATE, ["agent_model_usage"])[0][1] == 1
    db.execute("DROP TRIGGER refuse ON analytics.agent_model_usage")
    db.execute("INSERT INTO analytics.workspaces (workspace_id, name) VALUES (%s, 'again')", [workspace])
    db.execute(RUN, [workspace, AGENT, START + timedelta(hours=3)])
    oracle.check_all(db.connection, "before it is tried again")
    retry_now(db)
    db.execute("CALL analytics.refresh_all()")
    oracle.check_all(db.connection, "after")
    oracle.check_tables(db.connection)


def test_refresh_all_warns_of_failures(db):
    workspace = db.workspace()
    db.execute(RUN, [workspace, AGENT, START])
    db.execute("ALTER TABLE analytics.agent_model_usage ADD CONSTRAINT never CHECK (total_calls < 0)")
    heard: list[str] = []
    connection = db.connect()
    connection.add_notice_handler(lambda diag: heard.append(f"{diag.severity}: {diag.message_primary}"))
    connection.execute("CALL analytics.refresh_all()")
    assert [
        text
        for text in heard
        if text.startswith("WARNING: not everything could be refreshed: agent_model_usage: ")
    ]


def test_whole_batch_that_fails(db):
    """What does not belong to one rollup, such as the log itself, ends the batch; it is logged and tried again."""
    workspace = db.workspace()
    db.execute(RUN, [workspace, AGENT, START])
    db.execute("""
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today' USING ERRCODE = 'P0001'; END $$;
        CREATE TRIGGER refuse BEFORE DELETE ON analytics_internal.rollup_changes FOR EACH ROW EXECUTE FUNCTION public.refuse()""")
    with pytest.raises(psycopg.Error, match="not today"):
        db.execute("SELECT analytics.refresh()")
    db.execute("CALL analytics.refresh_all(materialized_views => false)")
    assert db.rows("SELECT object, status, error_code, error_message FROM analytics.refresh_log") == [
        ("refresh", "failed", "P0001", "not today")] * 3  # fmt: skip
    assert (total(db.connection, workspace), logged(db)) == (1, 1)
    db.execute("DROP TRIGGER refuse ON analytics_internal.rollup_changes")
    db.execute("CALL analytics.refresh_all()")
    assert logged(db) == 0


def test_rows_that_were_there_before_the_rollups(db):
    """setup() on the tables of an older version."""
    oracle = oracle_of(db)
    workspace = oracle.workspaces[0]
    db.execute(RUN, [workspace, AGENT, START])
    db.execute("TRUNCATE analytics_internal.rollup_changes")
    assert total(db.connection, workspace) == 0, "what happens to the log without its trigger"
    db.execute(
        "INSERT INTO analytics_internal.rollup_changes (sources, bucket, until) VALUES (31, '-infinity', 'infinity')"
    )
    assert total(db.connection, workspace) == 1
    refresh(db.connection)
    oracle.check_tables(db.connection)


def test_nothing_stays_in_the_session(db):
    """As a pooler needs it, which gives each transaction another session."""
    filled(db)
    workspace = db.value("SELECT workspace_id FROM analytics.workspaces LIMIT 1")
    connection = db.connect(prepare_threshold=None)
    state = """
        SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
               (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors), current_user,
               (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
               (SELECT array_agg(name || '=' || setting ORDER BY name) FROM pg_settings)"""
    before = connection.execute(state).fetchone()
    for call in ("SELECT analytics.refresh()", "CALL analytics.refresh_all()", "CALL analytics.cleanup_old_data()",
                 "SELECT analytics.refresh_materialized_views()", "SELECT analytics.rebuild_rollup('user_usage')",
                 "SELECT analytics.verify_rollups()"):  # fmt: skip
        db.execute(RUN, [workspace, AGENT, START])
        connection.execute(call)
        after = connection.execute(state).fetchone()
        assert after[0] == 0
        # The plans that are kept belong to the backend and are not prepared statements of the session.
        assert after[:5] == before[:5], call
        assert set(before[5]) <= set(after[5]), call  # loading PL/pgSQL brings more
    # Transactions of one client in two sessions.
    sessions = [db.connect(prepare_threshold=None) for _ in range(2)]
    for number in range(6):
        sessions[number % 2].execute(RUN, [workspace, AGENT, START])
        assert sessions[(number + 1) % 2].execute(STATUSES).fetchall() == [("refreshed",)]


def test_refresh_in_a_transaction_restores_its_settings(db):
    oracle = filled(db)
    Actor(db.connection, oracle.rng, oracle).do("bulk")
    with db.connect(autocommit=False) as connection:
        connection.execute("SET LOCAL jit = on")
        connection.execute("SELECT analytics.refresh()")
        assert connection.execute("SELECT current_setting('jit'), current_user").fetchone() == (
            "on",
            "postgres",
        )


# ----------------------------------------------------------------------------------------- status, log


def test_rollup_status(db):
    status = "SELECT rollup, lag_seconds, dirty_buckets, dirty_ranges, oldest_dirty FROM analytics.rollup_status() ORDER BY 1"
    assert {row[0] for row in db.rows(status)} == set(ROLLUPS)
    workspace = db.workspace()
    for hour in (0, 5):
        db.execute(RUN, [workspace, AGENT, START + timedelta(hours=hour, minutes=10)])
    db.execute(
        "INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at) VALUES (%s, %s, %s)",
        [workspace, AGENT, START - timedelta(hours=1)],
    )
    rows = {row[0]: row[2:] for row in db.rows(status)}
    assert rows["agent_performance"] == (2, 0, START)
    assert rows["execution_metrics"] == (3, 0, START - timedelta(hours=1))
    assert rows["error_summary"] == (0, 0, None)
    refresh(db.connection)
    assert {row[1:] for row in db.rows(status)} == {(0.0, 0, 0, None)}
    succeeded = "SELECT rollup, last_success_at > now() - interval '1 minute', row_count IS NOT NULL, total_bytes > 0 FROM analytics.rollup_status()"
    assert {row[1:] for row in db.rows(succeeded) if row[0] != "error_summary"} == {(True, True, True)}
    db.execute(RUN, [workspace, AGENT, START])
    time.sleep(0.05)
    assert 0.05 <= db.rows(status)[0][1] < 60
    db.execute("TRUNCATE analytics.agent_errors")
    rows = {row[0]: row[2:4] for row in db.rows(status)}
    assert (rows["error_summary"], rows["user_usage"]) == ((0, 1), (1, 0))


# ----------------------------------------------------------------------------------- rebuild, verify

VERIFY = "SELECT DISTINCT object FROM analytics.verify_rollups()"


@pytest.mark.parametrize("question", QUESTIONS, ids=ROLLUPS)
def test_corruption_is_found_and_repaired(db, question):
    oracle = filled(db, start=recent_start())
    assert db.rows(VERIFY) == []
    counted = question.columns[0]
    for table in question.levels:
        corruptions = [
            f"UPDATE analytics.{table} SET {counted} = {counted} + 1 WHERE ctid = (SELECT min(ctid) FROM analytics.{table})",
            f"DELETE FROM analytics.{table} WHERE ctid = (SELECT min(ctid) FROM analytics.{table})",
            f"UPDATE analytics.{table} SET bucket = bucket - interval '40 days' WHERE ctid = (SELECT min(ctid) FROM analytics.{table})",
        ]
        for corruption in corruptions:
            assert db.execute(corruption).rowcount == 1
            if not table.endswith("minute"):
                assert (table,) in db.rows(VERIFY), corruption
            assert db.value("SELECT analytics.rebuild_rollup(%s)", [question.name]) > 0
            assert db.rows(VERIFY) == []
            oracle.check_tables(db.connection)
    # Of one day only.
    table = list(question.levels)[-1]
    db.execute(f"UPDATE analytics.{table} SET {counted} = {counted} + 1")
    ((first, last),) = db.rows(f"SELECT min(bucket), max(bucket) FROM analytics.{table}")
    db.execute(
        "SELECT analytics.rebuild_rollup(%s, %s, %s)", [question.name, last, last + timedelta(hours=1)]
    )
    wrong = {bucket for (bucket,) in db.rows("SELECT bucket FROM analytics.verify_rollups()")}
    assert first in wrong
    assert last not in wrong
    db.execute("SELECT analytics.rebuild_rollup(%s, '-infinity', %s)", [question.name, last])
    assert db.rows(VERIFY) == []
    oracle.check_tables(db.connection)


def test_verify_leaves_out_what_has_changed(db):
    oracle = filled(db)
    Actor(db.connection, oracle.rng, oracle).do("bulk")
    assert logged(db) > 0
    assert db.rows(VERIFY) == []
    row = db.execute("UPDATE analytics.agent_performance_daily SET total_errors = total_errors + 1").rowcount
    assert row > 0
    refresh(db.connection)
    found = db.rows(
        "SELECT object, expected ->> 'total_errors', stored ->> 'total_errors' FROM analytics.verify_rollups()"
    )
    assert found
    assert {(name, int(stored) - int(expected)) for name, expected, stored in found} == {
        ("agent_performance_daily", 1)
    }


def test_rebuild_refuses(db):
    with pytest.raises(errors.InvalidParameterValue, match="nothing") as caught:
        db.execute("SELECT analytics.rebuild_rollup('nothing')")
    assert "user_usage" in caught.value.diag.message_hint
    with pytest.raises(errors.InvalidParameterValue, match="sample"):
        db.execute("SELECT analytics.verify_rollups(0)")


# ------------------------------------------------------------------------------------ materialized views

REFRESH_VIEWS = "SELECT object, status FROM analytics.refresh_materialized_views()"
ORDER = ["agent_analytics_summary", "workspace_daily_summary", "error_daily_summary", "top_agents"]


def test_views_are_refreshed_in_order_when_their_inputs_have_changed(db):
    oracle = oracle_of(db)
    workspace = oracle.workspaces[0]
    first = db.rows(REFRESH_VIEWS)
    assert [name for name, _ in first] == ORDER
    assert db.rows(REFRESH_VIEWS) == [(name, "clean") for name in ORDER]
    db.execute(RUN, [workspace, AGENT, START])
    assert db.rows(REFRESH_VIEWS) == [(name, "clean") for name in ORDER], "they show what was refreshed"
    refresh(db.connection)
    changed = {"agent_analytics_summary", "workspace_daily_summary", "top_agents"}
    assert db.rows(REFRESH_VIEWS) == [(name, "refreshed" if name in changed else "clean") for name in ORDER]
    assert db.rows("SELECT total_runs FROM analytics.top_agents") == [(1,)]
    oracle.check_views(db.connection)
    db.execute(
        "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at) VALUES (%s, %s, 'E', %s)",
        [workspace, AGENT, START],
    )
    refresh(db.connection)
    assert db.rows(REFRESH_VIEWS) == [(name, "refreshed") for name in ORDER]
    oracle.check_views(db.connection)
    db.execute(
        "INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at) VALUES (%s, %s, %s)",
        [workspace, AGENT, START],
    )
    db.execute("SELECT analytics.refresh_agent_analytics_summary()")
    oracle.check_views(db.connection)
    assert db.rows(REFRESH_VIEWS) == [(name, "clean") for name in ORDER]
    logged_views = db.rows(
        "SELECT object FROM analytics.refresh_log WHERE object = ANY (%s) AND status = 'refreshed' ORDER BY started_at",
        [ORDER],
    )
    assert len(logged_views) >= 3 + 4 + 1


def test_view_that_fails(db):
    oracle = filled(db)
    db.execute(REFRESH_VIEWS)
    # Without a unique index a view cannot be refreshed concurrently.
    db.execute("DROP INDEX analytics_internal.error_daily_summary_key")
    Actor(db.connection, oracle.rng, oracle).do("bulk")
    for _ in range(5):
        Actor(db.connection, oracle.rng, oracle).do("error")
    refresh(db.connection)
    expected = [(name, "failed" if name == "error_daily_summary" else "refreshed") for name in ORDER]
    assert db.rows(REFRESH_VIEWS) == expected
    failure = "SELECT attempt, error_code FROM analytics.refresh_log WHERE object = 'error_daily_summary' AND status = 'failed' ORDER BY attempt"
    assert db.rows(failure) == [(1, "55000")]
    again = dict(db.rows(REFRESH_VIEWS))
    assert again.pop("error_daily_summary") == "failed"
    assert set(again.values()) == {"clean"}
    assert [attempt for attempt, _ in db.rows(failure)] == [1, 2]
    db.execute(
        "CREATE UNIQUE INDEX error_daily_summary_key ON analytics_internal.error_daily_summary (workspace_id, day, error_category, error_severity)"
    )
    assert dict(db.rows(REFRESH_VIEWS))["error_daily_summary"] == "refreshed"
    oracle.check_views(db.connection)


def test_readers_do_not_wait_for_views(db):
    oracle = filled(db)
    db.execute(REFRESH_VIEWS)
    Actor(db.connection, oracle.rng, oracle).do("bulk")
    refresh(db.connection)
    refresher = db.connect(autocommit=False)
    refresher.execute(REFRESH_VIEWS)
    reader = db.connect(options="-c lock_timeout=200ms")
    for name in ORDER:
        reader.execute(f"SELECT count(*) FROM analytics.{name}")
    refresher.rollback()


# ----------------------------------------------------------------------------------------------- rights

OWNERS_ONLY = [
    "SELECT analytics.refresh()", "CALL analytics.refresh_all()", "CALL analytics.cleanup_old_data()",
    "SELECT analytics.refresh_materialized_views()", "SELECT analytics.refresh_agent_analytics_summary()",
    "SELECT analytics.rebuild_rollup('user_usage')", "SELECT analytics.verify_rollups()",
    "SELECT * FROM analytics.rollup_status()", "SELECT * FROM analytics.refresh_progress()",
    "SELECT analytics.set_retention('agent_runs', '90 days')", "SELECT * FROM analytics.schedule()",
    "SELECT analytics.unschedule()", "SELECT * FROM analytics.schedule_status()", "SELECT * FROM analytics.refresh_log",
    "SELECT * FROM analytics_internal.rollup_changes", "SELECT * FROM analytics_internal.rollup_state",
    "SELECT * FROM analytics_internal.retention", "SELECT * FROM analytics_internal.agent_analytics_summary",
    "SELECT * FROM analytics_internal.top_agents", "SELECT analytics_internal.raise_floors()",
    "SELECT analytics_internal.make_final()", "SELECT analytics_internal.remove_rows('agent_runs', now(), 1)",
    "SELECT analytics_internal.unlink_runs(now())", "SELECT analytics_internal.remove_old('manual')",
    "SELECT analytics_internal.try_step('refresh', 'manual')", "UPDATE analytics.user_usage_daily SET total_runs = 0",
    "DELETE FROM analytics.agent_performance_hourly", "INSERT INTO analytics.refresh_log DEFAULT VALUES",
]  # fmt: skip


@pytest.mark.parametrize("level", ["viewer", "member", "admin", "owner"])
def test_tenants(db, make_role, level):
    """See rollups, reads and views of their workspace, and may not run any of the machinery."""
    oracle = filled(db)
    db.execute(REFRESH_VIEWS)
    Actor(db.connection, oracle.rng, oracle).do("bulk")  # some of it not refreshed
    mine, other = oracle.workspaces
    role, nobody = make_role("tenant"), make_role("nobody")
    db.execute("SELECT analytics.grant_access(%s, %s, %s)", [role, mine, level])
    tenant = db.connect(role)
    for statement in OWNERS_ONLY:
        with pytest.raises(errors.InsufficientPrivilege):
            tenant.execute(statement)
    for question in QUESTIONS:
        agent = "NULL, " if question.per_agent else ""
        columns = ", ".join([*question.keys, question.columns[0]])
        call = f"SELECT {columns} FROM analytics_internal.{question.name}_buckets(%s, {agent}'-infinity', 'infinity', '1 day') ORDER BY {columns}"
        assert tenant.execute(call, [mine]).fetchall() == db.rows(call, [mine])
        assert db.rows(call, [mine]) != []
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            tenant.execute(call, [other])
        with pytest.raises(errors.InsufficientPrivilege) as unknown:
            tenant.execute(call, [uuid.UUID(int=1)])
        assert str(caught.value).replace(str(other), "") == str(unknown.value).replace(
            str(uuid.UUID(int=1)), ""
        )
    for name in [*TABLES, *ORDER]:
        seen = f"SELECT DISTINCT workspace_id FROM analytics.{name}"
        if name.endswith("minute"):
            continue
        assert set(db.rows(seen)) == {(mine,), (other,)}, name
        assert tenant.execute(seen).fetchall() == [(mine,)], name
        with pytest.raises(errors.InsufficientPrivilege):
            db.connect(nobody).execute(seen)
    # Who may read, and has no workspace, sees nothing.
    db.execute("SELECT analytics.grant_access(%s, %s, 'owner')", [nobody, mine])
    db.execute("SELECT analytics.revoke_access(%s, %s)", [role, mine])
    tenant = db.connect(role)
    for name in [*TABLES, *ORDER]:
        with contextlib.suppress(errors.InsufficientPrivilege):
            assert tenant.execute(f"SELECT count(*) FROM analytics.{name}").fetchone() == (0,), name


# -------------------------------------------------------------------------------------- concurrency


def test_writers_never_wait_for_a_refresh(db):
    """Whatever they write, while a transaction holds a refresh, a rebuild and the views open."""
    oracle = filled(db, start=recent_start())
    workspace = oracle.workspaces[0]
    actor = Actor(db.connection, oracle.rng, oracle)
    for action in ("bulk", "error", "feedback", "enqueue", "upsert"):
        actor.do(action)
    refresher = db.connect(autocommit=False)
    assert ("refreshed",) in refresher.execute(STATUSES).fetchall()
    refresher.execute("SELECT analytics.rebuild_rollup('agent_performance')")
    refresher.execute(REFRESH_VIEWS)
    waits: list[float] = []
    writer = db.connect(options="-c lock_timeout=200ms")
    writing = Actor(writer, oracle.rng, oracle)
    usual = ["insert", "upsert", "bulk", "copy", "update", "delete", "error", "error_of_run", "feedback", "change_others",
             "enqueue", "change_queue", "savepoint", "into_partition", "forget_workspace"]  # fmt: skip
    for action in usual * 3:
        started = time.monotonic()
        done = writing.do(action)  # LockNotAvailable is not among what may be refused
        waits.append(time.monotonic() - started)
        assert "lock" not in done
        oracle.check(writer, action)
    print(
        f"writers beside an open refresh: median {sorted(waits)[len(waits) // 2]:.4f} s, most {max(waits):.4f} s"
    )
    assert total(writer, workspace) > 0
    refresher.commit()
    oracle.check_all(db.connection, "afterwards")
    refresh(db.connection)
    oracle.check_tables(db.connection)


class OwnRows(Actor):
    """One of several writers, who share buckets and have rows of their own."""

    def __init__(
        self, number: int, connection: psycopg.Connection, rng: random.Random, oracle: Oracle
    ) -> None:
        super().__init__(connection, rng, oracle)
        self.number = number

    def row(self) -> tuple:
        row = super().row()
        return (row[0], uuid.UUID(int=self.number << 32 | self.rng.randrange(500)), *row[2:])

    def runs(self) -> str:
        low, high = uuid.UUID(int=self.number << 32), uuid.UUID(int=(self.number + 1) << 32)
        mine = f"run_id >= '{low}' AND run_id < '{high}'"
        return super().runs().replace("FROM analytics.agent_runs", f"FROM analytics.agent_runs WHERE {mine}")

    def copy(self) -> None:
        with (
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY analytics.agent_runs ({self.FIELDS}) FROM STDIN") as rows,
        ):
            for _ in range(20):
                row = self.row()
                rows.write_row(
                    (row[0], uuid.UUID(int=self.number << 32 | self.rng.getrandbits(31)), *row[2:])
                )

    def update(self) -> None:
        """Ids that are drawn anew would be nobody's."""
        change = self.rng.choice(
            [
                "status = 'cancelled'",
                "started_at = started_at + interval '7 hours'",
                "user_id = NULL",
                "model_name = 'x'",
            ]
        )
        with contextlib.suppress(errors.UniqueViolation), self.connection.transaction():
            self.execute(f"UPDATE analytics.agent_runs SET {change} WHERE {self.runs()}")


WRITES = ["insert", "bulk", "copy", "update", "update", "delete", "error", "feedback", "enqueue", "savepoint"]


def work(
    database: Database, number: int, oracle: Oracle, stop: threading.Event, slow: bool, waits: list[float]
) -> int:
    """Writes until told to stop; a slow writer keeps its transactions open. A deadlock, or a wait, is an error."""
    rng = random.Random(number)
    connection = database.connect(options="-c lock_timeout=2s")
    actor = OwnRows(number + 1, connection, rng, oracle)
    done = 0
    while not stop.is_set():
        isolation = rng.choice(["READ COMMITTED", "REPEATABLE READ"])
        with contextlib.suppress(errors.SerializationFailure, ZeroDivisionError), connection.transaction():
            connection.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            for _ in range(rng.randrange(1, 4)):
                started = time.monotonic()
                getattr(actor, rng.choice(WRITES))()
                waits.append(time.monotonic() - started)
                if slow:
                    stop.wait(0.3)
            if rng.random() < 0.1:
                raise ZeroDivisionError
        done += 1
    return done


def refresh_until(database: Database, stop: threading.Event, isolation: str) -> int:
    connection = database.connect()
    connection.execute(f"SET default_transaction_isolation = '{isolation}'")
    done = 0
    while not stop.is_set():
        with contextlib.suppress(errors.SerializationFailure):
            rows = connection.execute("SELECT DISTINCT status FROM analytics.refresh(3)").fetchall()
            assert ("failed",) not in rows, connection.execute(
                "SELECT * FROM analytics.rollup_status()"
            ).fetchall()
            done += ("refreshed",) in rows
    return done


@pytest.mark.parametrize("start", [START, recent_start()], ids=["old", "recent"])
def test_writers_and_refreshers_at_once(db, background, start):
    oracle = oracle_of(db, 5, start)
    # Agents that are new to a workspace are registered one after the other.
    for workspace in oracle.workspaces:
        for agent in (1, 2, 3):
            db.execute(RUN, [workspace, uuid.UUID(int=agent), start])
    db.execute("SELECT * FROM analytics.ensure_partitions()")
    stop = threading.Event()
    waits: list[float] = []
    writing = [background(work, db, number, oracle, stop, number == 0, waits) for number in range(3)]
    refreshing = [
        background(refresh_until, db, stop, level) for level in ("READ COMMITTED", "REPEATABLE READ")
    ]
    reader = db.connect()
    try:
        for _ in range(12):
            with reader.transaction():
                reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                oracle.check(reader, "in one snapshot")
                oracle.check(reader, "in one snapshot")
            # One statement, which compares, is one snapshot too.
            oracle.check(reader, "meanwhile")
            failed = [each for each in [*writing, *refreshing] if each.done()]
            assert not failed, failed[0].result()
    finally:
        stop.set()
    assert min(each.result(60) for each in writing) > 0
    assert sum(each.result(60) for each in refreshing) > 5
    print(f"writers among refreshers: median {sorted(waits)[len(waits) // 2]:.4f} s, most {max(waits):.4f} s")
    oracle.check_all(db.connection, "afterwards")
    refresh(db.connection)
    oracle.check_all(db.connection, "at the end")
    oracle.check_tables(db.connection)
    assert db.rows("SELECT * FROM analytics.verify_rollups(100)") == []
