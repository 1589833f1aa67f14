"""Retention: raw rows go, their rollups stay as they were, late rows are refused, and nothing else is lost."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from conftest import Database
from psycopg import errors
from rollup_oracle import QUESTIONS, Actor, Oracle, prepare, recent_start, refresh

AGENT = uuid.UUID(int=7)
RUN = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds) VALUES (%s, %s, 'completed', %s, 2)"
DAY = timedelta(days=1)
CLEAN_UP = "CALL analytics.cleanup_old_data()"


def today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def answers(connection: psycopg.Connection, workspace: uuid.UUID) -> dict[str, list[tuple]]:
    """All there is by the widest buckets that retention keeps, and as one."""
    found = {}
    for question in QUESTIONS:
        for step in ("1 day" if question.name == "user_usage" else "1 hour", None):
            agent = "NULL, " if question.per_agent else ""
            columns = ", ".join(
                f"{name}::text" if name.endswith(("sketch", "stats")) else name
                for name in question.keys + question.columns
            )
            call = f"SELECT {columns} FROM analytics_internal.{question.name}_buckets(%s, {agent}'-infinity', 'infinity', %s)"
            rows = connection.execute(call, [workspace, step]).fetchall()
            found[f"{question.name} {step}"] = sorted(rows, key=str)
    return found


def listen(connection: psycopg.Connection) -> list[str]:
    heard: list[str] = []
    connection.add_notice_handler(lambda diag: heard.append(f"{diag.severity}: {diag.message_primary}"))
    return heard


def old_rows(database: Database, workspace: uuid.UUID, days: int, count: int = 30) -> None:
    """Some of everything around a day so many days ago."""
    at = today() - days * DAY
    apart = timedelta(minutes=47) if count < 100 else DAY / count
    parameters = {"ws": workspace, "agent": AGENT, "at": at, "n": count, "apart": apart}
    for statement in (
        """INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds, user_id, model_name)
           SELECT %(ws)s, %(agent)s, 'completed', %(at)s::timestamptz + n * %(apart)s, n,
                  ('00000000-0000-0000-0000-' || lpad((n %% 5)::text, 12, '0'))::uuid, 'm' || n %% 2
           FROM generate_series(1, %(n)s) AS n""",
        """INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at, agent_run_id, run_started_at)
           SELECT workspace_id, agent_id, 'E', started_at + interval '1 minute', run_id, started_at FROM analytics.agent_runs
           WHERE workspace_id = %(ws)s AND started_at >= %(at)s AND started_at < %(at)s::timestamptz + interval '1 day' LIMIT 5""",
        """INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at, agent_run_id, run_started_at)
           SELECT workspace_id, agent_id, 4, started_at + interval '1 minute', run_id, started_at FROM analytics.agent_runs
           WHERE workspace_id = %(ws)s AND started_at >= %(at)s AND started_at < %(at)s::timestamptz + interval '1 day' LIMIT 5""",
        """INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at, started_at, completed_at)
           SELECT %(ws)s, %(agent)s, t, t + interval '1 minute', t + interval '5 minutes'
           FROM generate_series(1, 5) AS n, LATERAL (SELECT %(at)s::timestamptz + n * interval '1 hour' AS t) AS q""",
    ):
        database.execute(statement, parameters)


ALL_TABLES = ["agent_runs", "agent_errors", "agent_user_feedback", "execution_queue"]


@pytest.mark.parametrize("partitioning", ["native", "none"])
def test_old_rows_go_and_rollups_stay(bare_db, partitioning):
    db = bare_db
    db.execute("CREATE EXTENSION shadower_analytics")
    db.execute("SELECT * FROM analytics.setup(partitioning => %s)", [partitioning])
    db.execute("SELECT * FROM analytics.ensure_partitions(since => %s)", [today() - 140 * DAY])
    workspace = db.workspace()
    for days in (400, 130, 91, 89, 3):  # the first into the default partition
        old_rows(db, workspace, days)
    db.execute("CALL analytics.refresh_all()")
    old_rows(db, workspace, 120)  # and some that no refresh has seen
    before = answers(db.connection, workspace)
    months = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'analytics.agent_runs'::regclass ORDER BY 1"
    had = {name for (name,) in db.rows(months)}

    for table in ALL_TABLES:
        db.execute("SELECT analytics.set_retention(%s, '90 days')", [table])
    assert answers(db.connection, workspace) == before
    db.execute(CLEAN_UP)
    floor = today() - 90 * DAY
    rows = db.rows("SELECT table_name, floor, final FROM analytics_internal.retention ORDER BY 1")
    assert rows == [(table, floor, floor) for table in sorted(ALL_TABLES)]
    assert answers(db.connection, workspace) == before
    for table, time_column in zip(
        ALL_TABLES, ["started_at", "occurred_at", "created_at", "queued_at"], strict=True
    ):
        assert db.value(f"SELECT min({time_column}) >= %s FROM analytics.{table}", [floor]), table
    # Nothing of it makes work for a refresh.
    assert db.rows("SELECT DISTINCT status FROM analytics.refresh()") == [("clean",)]
    assert answers(db.connection, workspace) == before
    assert db.rows("SELECT * FROM analytics.verify_rollups()") == []
    db.execute(CLEAN_UP)
    removed = dict(
        db.rows(
            "SELECT object, sum(removed_count)::int FROM analytics.refresh_log WHERE status = 'removed' GROUP BY 1"
        )
    )
    assert (removed["agent_errors"], removed["agent_user_feedback"], removed["execution_queue"]) == (
        20,
        20,
        20,
    )
    assert sum(count for name, count in removed.items() if name.startswith("agent_runs")) == 4 * 30
    if partitioning == "native":
        gone = had - {name for (name,) in db.rows(months)}
        whole = {name for name in had if name[-7:].replace("m", "") < f"{floor:%Y%m}" and "_y" in name}
        assert gone == whole
        assert len(gone) >= 1
        assert {name for name in removed if "_y" in name} == {
            name.removeprefix("analytics.") for name in gone
        }
    # What comes later is as before.
    old_rows(db, workspace, 1)
    db.execute("TRUNCATE analytics.agent_errors")
    changed = answers(db.connection, workspace)
    assert changed != before
    refresh(db.connection)
    assert answers(db.connection, workspace) == changed
    for question in QUESTIONS:
        db.execute("SELECT analytics.rebuild_rollup(%s)", [question.name])
    assert answers(db.connection, workspace) == changed
    assert db.value("SELECT sum(total_errors) FROM analytics.error_summary_daily") == 20, "below the floor"
    db.execute("DELETE FROM analytics.workspaces")
    refresh(db.connection)
    assert db.value("SELECT count(*) FROM analytics.error_summary_daily") == 0


def test_many_rows_go_in_batches(bare_db):
    db = bare_db
    db.execute("CREATE EXTENSION shadower_analytics")
    db.execute("SELECT * FROM analytics.setup(partitioning => 'none')")
    workspace = db.workspace()
    old_rows(db, workspace, 50, 45_000)
    db.execute("SELECT analytics.set_retention('agent_runs', '20 days')")
    days = db.value("SELECT count(*) FROM analytics.agent_runs WHERE started_at < %s", [today() - 20 * DAY])
    before = answers(db.connection, workspace)["agent_performance None"]
    db.execute(CLEAN_UP)
    batches = db.rows(
        "SELECT removed_count FROM analytics.refresh_log WHERE object = 'agent_runs' ORDER BY started_at"
    )
    assert sum(count for (count,) in batches) == days
    assert all(count <= 20_000 for (count,) in batches)
    assert len(batches) == -(-days // 20_000)
    assert answers(db.connection, workspace)["agent_performance None"] == before


def test_errors_and_feedback_of_runs_that_go_stay(db):
    workspace = db.workspace()
    old_rows(db, workspace, 50)
    old_rows(db, workspace, 10)
    before = answers(db.connection, workspace)
    db.execute("SELECT analytics.set_retention('agent_runs', '20 days')")
    db.execute(CLEAN_UP)
    for table, time_column in (("agent_errors", "occurred_at"), ("agent_user_feedback", "created_at")):
        linked = f"SELECT agent_run_id IS NOT NULL, run_started_at IS NOT NULL, {time_column} > %s, count(*) FROM analytics.{table} GROUP BY 1, 2, 3 ORDER BY 3"
        assert db.rows(linked, [today() - 20 * DAY]) == [(False, False, False, 5), (True, True, True, 5)]
    assert answers(db.connection, workspace) == before
    assert db.rows("SELECT DISTINCT status FROM analytics.refresh()") == [("clean",)]
    # They count still, and may be changed.
    db.execute("DELETE FROM analytics.agent_errors WHERE agent_run_id IS NULL")
    assert (
        db.value(
            "SELECT sum(total_errors)::int FROM analytics_internal.error_summary_buckets(%s, NULL, '-infinity', 'infinity')",
            [workspace],
        )
        == 5
    )


def test_late_rows_are_refused(db):
    workspace = db.workspace()
    old_rows(db, workspace, 50)
    old_rows(db, workspace, 2)
    for table in ALL_TABLES:
        db.execute("SELECT analytics.set_retention(%s, '20 days')", [table])
    writer, later = db.connect(), db.connect()
    # Sessions that have written before, one in a transaction with an old snapshot.
    writer.execute(RUN, [workspace, AGENT, today() - 30 * DAY])
    later.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    later.execute("SELECT 1 FROM analytics.agent_runs")
    db.execute(CLEAN_UP)
    floor = today() - 20 * DAY
    late = floor - timedelta(seconds=1)
    statements: list[tuple[str, str, list]] = [
        ("started_at", RUN, [workspace, AGENT, late]),
        ("occurred_at", "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at) VALUES (%s, %s, 'E', %s)", [workspace, AGENT, late]),
        ("created_at", "INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at) VALUES (%s, %s, 1, %s)", [workspace, AGENT, late]),
        ("queued_at", "INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at) VALUES (%s, %s, %s)", [workspace, AGENT, late]),
        ("started_at", "UPDATE analytics.agent_runs SET started_at = %s", [late]),
        ("started_at", "INSERT INTO analytics.agent_runs_default (workspace_id, agent_id, status, started_at) VALUES (%s, %s, 'running', %s)", [workspace, AGENT, late - 400 * DAY]),
        ("occurred_at", "UPDATE analytics.agent_errors SET occurred_at = %s", [late]),
    ]  # fmt: skip
    for connection in (writer, later):
        for column, statement, parameters in statements:
            if connection is later and statement.startswith("UPDATE"):
                continue  # of rows that are gone meanwhile
            with pytest.raises(errors.CheckViolation) as caught, connection.transaction():
                connection.execute(statement, parameters)
            diag = caught.value.diag
            text = f"{diag.message_primary} {diag.message_hint}"
            assert column in diag.message_primary
            assert "are no longer kept" in text
            assert f"{floor:%Y-%m-%d}" in text
            assert "set_retention" in diag.message_hint
        with (
            pytest.raises(errors.CheckViolation),
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy(
                "COPY analytics.agent_runs (workspace_id, agent_id, status, started_at) FROM STDIN"
            ) as rows,
        ):
            rows.write_row((workspace, AGENT, "running", late))
    later.execute("ROLLBACK")
    writer.execute(RUN, [workspace, AGENT, floor])
    # The floor does not come down again: what is gone is gone.
    db.execute("SELECT analytics.set_retention('agent_runs', NULL)")
    db.execute(CLEAN_UP)
    with pytest.raises(errors.CheckViolation):
        writer.execute(RUN, [workspace, AGENT, late])
    db.execute("SELECT analytics.set_retention('agent_runs', '10 days')")
    db.execute(CLEAN_UP)
    with pytest.raises(errors.CheckViolation):
        writer.execute(RUN, [workspace, AGENT, floor])


def test_entries_that_wait_stay(db):
    """An entry of the queue goes when its wait is over, and before the floor."""
    workspace = db.workspace()
    entry = "INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at, started_at) VALUES (%s, %s, %s, %s)"
    long_ago = today() - 50 * DAY
    db.execute(entry, [workspace, AGENT, long_ago, None])
    db.execute(entry, [workspace, AGENT, long_ago, today() - DAY])
    db.execute(entry, [workspace, AGENT, long_ago, long_ago + DAY])
    before = answers(db.connection, workspace)
    db.execute("SELECT analytics.set_retention('execution_queue', '20 days')")
    db.execute(CLEAN_UP)
    assert db.value("SELECT count(*) FROM analytics.execution_queue") == 2
    assert answers(db.connection, workspace) == before
    db.execute(
        "UPDATE analytics.execution_queue SET status = 'processing', started_at = %s WHERE started_at IS NULL",
        [today()],
    )
    departures = "SELECT queue_arrivals, queue_departures FROM analytics_internal.execution_metrics_buckets(%s, '-infinity', 'infinity')"
    assert db.rows(departures, [workspace]) == [(3, 3)]
    refresh(db.connection)
    assert db.rows(departures, [workspace]) == [(3, 3)]
    # Those that are there still are counted by the rollup already: there is nothing to correct.
    assert db.value("SELECT analytics.rebuild_rollup('execution_metrics')") == 0
    assert db.rows(departures, [workspace]) == [(3, 3)]
    db.execute(
        "UPDATE analytics.execution_metrics_hourly SET queue_departures = 7 WHERE bucket >= %s", [today()]
    )
    assert db.value("SELECT analytics.rebuild_rollup('execution_metrics')") > 0
    assert db.rows(departures, [workspace]) == [(3, 3)]


def test_writer_that_is_open(db, background: Callable):
    """Is waited for; when that takes too long the clean-up is postponed, and nothing is lost."""
    workspace = db.workspace()
    old_rows(db, workspace, 50)
    refresh(db.connection)
    db.execute("SELECT analytics.set_retention('agent_runs', '20 days')")
    writer = db.connect(autocommit=False)
    writer.execute(RUN, [workspace, AGENT, today() - 40 * DAY])
    cleaner = db.connect()
    heard = listen(cleaner)
    started = time.monotonic()
    cleaner.execute(CLEAN_UP)
    assert 9 < time.monotonic() - started < 30
    assert [text for text in heard if text.startswith("WARNING: clean-up postponed")]
    assert db.rows("SELECT object, status FROM analytics.refresh_log WHERE status NOT IN ('refreshed')") == [
        ("cleanup_old_data", "postponed")
    ]
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 30
    # It may write what is old, which it was told it could, or be refused; what it commits counts.
    writer.commit()
    before = answers(db.connection, workspace)
    assert before["agent_performance None"][0][2] == 31

    # And one that ends in time.
    writer.execute(RUN, [workspace, AGENT, today() - 2 * DAY])
    cleaning = background(cleaner.execute, CLEAN_UP)
    time.sleep(0.5)
    assert not cleaning.done()
    writer.commit()
    cleaning.result(60)
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 1
    after = answers(db.connection, workspace)
    assert after["agent_performance None"][0][2] == 32
    assert len(after["agent_performance 1 hour"]) == len(before["agent_performance 1 hour"]) + 1


def test_rollup_that_fails_postpones(db):
    """Raw rows are not removed before their rollups are right."""
    workspace = db.workspace()
    old_rows(db, workspace, 50)
    db.execute("ALTER TABLE analytics.agent_model_usage ADD CONSTRAINT never CHECK (total_calls < 0)")
    db.execute("SELECT analytics.set_retention('agent_runs', '20 days')")
    heard = listen(db.connection)
    db.execute(CLEAN_UP)
    assert [text for text in heard if text.startswith("WARNING: clean-up postponed")]
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 30
    before = answers(db.connection, workspace)
    db.execute("ALTER TABLE analytics.agent_model_usage DROP CONSTRAINT never")
    db.execute(
        "UPDATE analytics_internal.rollup_state SET retry_at = now() - interval '1 second' WHERE retry_at IS NOT NULL"
    )
    db.execute(CLEAN_UP)
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 0
    assert answers(db.connection, workspace) == before


@pytest.mark.parametrize("change", ["DETACH", "TRUNCATE"])
def test_partition_that_changed_before_the_clean_up(db, change):
    """No refresh has seen yet that a partition went: its rollups are brought up to date before they are final."""
    workspace = db.workspace()
    db.execute("SELECT * FROM analytics.ensure_partitions(since => %s)", [today() - 60 * DAY])
    old_rows(db, workspace, 50)
    old_rows(db, workspace, 1)
    refresh(db.connection)
    name = f"analytics.agent_runs_y{today() - 50 * DAY:%Ym%m}"
    db.execute("ALTER TABLE analytics.agent_errors DROP CONSTRAINT agent_errors_run_fkey")
    db.execute("ALTER TABLE analytics.agent_user_feedback DROP CONSTRAINT agent_user_feedback_run_fkey")
    db.execute(
        f"ALTER TABLE analytics.agent_runs DETACH PARTITION {name}"
        if change == "DETACH"
        else f"TRUNCATE {name}"
    )
    before = answers(db.connection, workspace)
    assert before["agent_performance None"][0][2] == 30
    db.execute("SELECT analytics.set_retention('agent_runs', '20 days')")
    db.execute(CLEAN_UP)
    assert answers(db.connection, workspace) == before


def test_log_is_trimmed(db):
    line = "INSERT INTO analytics.refresh_log (refresh_id, object, triggered_by, status, started_at, duration_seconds) VALUES (gen_random_uuid(), 'x', 'manual', 'refreshed', now() - %s::interval, 0)"
    kept = "SELECT count(*) FROM analytics.refresh_log WHERE object = 'x'"
    for age in ("31 days", "29 days", "3 days"):
        db.execute(line, [age])
    db.execute(CLEAN_UP)
    assert db.value(kept) == 2, "30 days unless told otherwise"
    db.execute("SELECT analytics.set_retention('refresh_log', '5 days')")
    db.execute(CLEAN_UP)
    assert db.value(kept) == 1
    db.execute("SELECT analytics.set_retention('refresh_log', NULL)")
    db.execute(line, ["400 days"])
    db.execute(CLEAN_UP)
    assert db.value(kept) == 2


def test_minutes_are_trimmed(db):
    start = recent_start()
    oracle = Oracle(prepare(db, start), random.Random(1), start)
    actor = Actor(db.connection, oracle.rng, oracle)
    for action in ("bulk", "copy", "enqueue", "enqueue"):
        actor.do(action)
    refresh(db.connection)
    oldest = "SELECT min(bucket) FROM analytics.execution_metrics_minute"
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert hour - timedelta(hours=50) <= db.value(oldest)
    assert db.value("SELECT count(*) FROM analytics.execution_metrics_minute") > 5
    # As they were thirty days ago.
    db.execute("CREATE TEMP TABLE old AS SELECT * FROM analytics.execution_metrics_minute")
    db.execute("UPDATE old SET bucket = bucket - interval '30 days'")
    db.execute("INSERT INTO analytics.execution_metrics_minute SELECT * FROM old")
    assert db.value(oldest) < hour - timedelta(days=30)
    refresh(db.connection)
    assert hour - timedelta(hours=73) <= db.value(oldest)
    # Two days old, they are asked of raw rows.
    oracle.check_all(db.connection, "minutes")


def test_set_retention_refuses(db):
    for arguments in (
        ["agents", "90 days"],
        [None, "90 days"],
        ["agent_runs", "23 hours"],
        ["agent_runs", "-5 days"],
    ):
        with pytest.raises(errors.InvalidParameterValue) as caught:
            db.execute("SELECT analytics.set_retention(%s, %s)", arguments)
        assert caught.value.diag.message_hint
    with (
        db.connect(autocommit=False) as connection,
        pytest.raises(errors.InvalidTransactionTermination) as refused,
    ):
        connection.execute(CLEAN_UP)
    assert refused.value.diag.message_hint
    # For ever, which a floor cannot express, and a time before all times.
    db.execute("SELECT analytics.set_retention('agent_runs', '5000 years')")
    db.execute(CLEAN_UP)
    assert db.value("SELECT count(*) FROM analytics_internal.retention WHERE floor > '-infinity'") == 0


def test_clean_up_among_writers(db, background):
    """Writers go on, also those whose rows are old and are refused; no row and no bucket is lost."""
    workspace = db.workspace()
    old_rows(db, workspace, 50, 200)
    old_rows(db, workspace, 3, 200)
    db.execute("SELECT analytics.set_retention('agent_runs', '20 days')")
    stop = threading.Event()
    accepted = [0, 0]

    def write(number: int) -> None:
        connection = db.connect()
        rng = random.Random(number)
        while not stop.is_set():
            age = rng.choice([1, 2, 30, 45])
            try:
                connection.execute(
                    RUN, [workspace, AGENT, today() - age * DAY + timedelta(minutes=rng.randrange(600))]
                )
                accepted[number] += 1
            except errors.CheckViolation:
                assert age > 20

    writing = [background(write, number) for number in range(2)]
    try:
        time.sleep(0.3)
        for _ in range(4):
            db.execute(CLEAN_UP)
            db.execute("SELECT analytics.refresh()")
    finally:
        stop.set()
    for each in writing:
        each.result(60)
    expected = 400 + sum(accepted)
    counted = "SELECT total_runs::int FROM analytics_internal.agent_performance_buckets(%s, NULL, '-infinity', 'infinity')"
    assert db.rows(counted, [workspace]) == [(expected,)]
    refresh(db.connection)
    db.execute(CLEAN_UP)
    assert db.rows(counted, [workspace]) == [(expected,)]
    assert (
        db.value("SELECT count(*) FROM analytics.agent_runs WHERE started_at < %s", [today() - 20 * DAY]) == 0
    )
