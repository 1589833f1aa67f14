"""kill -9 of the server, or of one backend, in the middle of refresh, ingestion and clean-up: rollups and raw rows belong together still.

More of it: ``SHADOWER_CRASHES=200 make test-e2e ARGS='-k rollup_crash'``.
"""

import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from conftest import Server, start_server, wait_until
from rollup_oracle import QUESTIONS, Actor, Oracle, prepare, recent_start, refresh
from test_retention import ALL_TABLES, answers, old_rows
from test_rollup import refresh_until, work

CRASHES = int(os.environ.get("SHADOWER_CRASHES", "12"))


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """Durable, but for the waiting: what a crash of the machine would lose, a crash of the server does not."""
    server = start_server("rollup-crash", {"checkpoint_timeout": "30s", "fsync": "off"})
    yield server
    server.destroy()


def until_it_ends(action: Callable, *args) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        action(*args)


def test_kill_during_refresh_and_ingestion(durable, background, crash):
    """What the log holds and what the rollups hold belong together."""
    database = durable.install(durable.create_database())
    rng = random.Random(11)
    start = recent_start()
    oracle = Oracle(prepare(database, start), rng, start)
    batches = "SELECT count(DISTINCT refresh_id) FROM analytics.refresh_log"
    for number in range(CRASHES):
        stop = threading.Event()
        tasks = [
            background(until_it_ends, work, database, 10 * number + writer, oracle, stop, writer == 0, [])
            for writer in range(2)
        ]
        tasks.append(background(until_it_ends, refresh_until, database, stop, "READ COMMITTED"))
        try:
            watcher = database.connect()
            before = watcher.execute(batches).fetchone()[0]
            wait_until(
                lambda watcher=watcher, before=before: watcher.execute(batches).fetchone()[0] > before + 1,
                "nothing was refreshed",
            )
            stop.wait(rng.random() / 4)
            crash(database)
        finally:
            stop.set()
        for task in tasks:
            task.result(60)
        for _ in range(3):
            oracle.check(database.connection, f"after crash {number}", len(QUESTIONS))
        if number % 5 == 4:
            refresh(database.connection)
            oracle.check_tables(database.connection)
    oracle.check_all(database.connection, "at the end")
    refresh(database.connection)
    oracle.check_all(database.connection, "at the end")
    oracle.check_tables(database.connection)
    assert database.rows("SELECT * FROM analytics.verify_rollups()") == []


def test_kill_during_clean_up(durable, background, crash):
    """At each of its steps; what is asked of the old days is what it was."""
    database = durable.install(durable.create_database())
    workspace = database.workspace()
    rng = random.Random(3)
    keep = 400
    for days in (380, 330, 280, 230, 180, 130, 80):
        old_rows(database, workspace, days, 900)
    database.execute("SELECT * FROM analytics.ensure_partitions()")
    before = answers(database.connection, workspace)
    killed: list[str] = []
    # How far it got.
    state = """
        SELECT CASE WHEN EXISTS (SELECT FROM analytics_internal.retention WHERE floor > final) THEN 'rollups'
                    WHEN EXISTS (SELECT FROM analytics.execution_queue AS q, analytics_internal.retention AS t
                                 WHERE t.table_name = 'execution_queue' AND q.started_at < t.final) THEN 'rows'
                    ELSE 'done' END"""
    for number in range(max(CRASHES // 3, 6)):
        keep -= 50
        for table in ALL_TABLES:
            database.execute("SELECT analytics.set_retention(%s, make_interval(days => %s))", [table, keep])
        holder, cleaner = database.connect(), database.connect()
        holder.execute("BEGIN")
        if number % 3 < 2:
            # Something to bring up to date first; it stops there, or when rows are being removed.
            database.execute(
                "INSERT INTO analytics_internal.rollup_changes (sources, bucket, until) VALUES (31, '-infinity', 'infinity')"
            )
            stop_at = ("error_summary_hourly", "execution_queue")[number % 3]
            holder.execute(f"LOCK TABLE analytics.{stop_at} IN SHARE MODE")
        cleaning = background(until_it_ends, cleaner.execute, "CALL analytics.cleanup_old_data()")
        if number % 3 < 2:
            database.wait_until_blocked(cleaner)
        else:
            threading.Event().wait(rng.random() * 0.6)
        crash(database, cleaner)
        cleaning.result(60)
        killed.append(database.value(state))
        assert answers(database.connection, workspace) == before, killed
    assert {"rollups", "rows"} <= set(killed)
    print("killed when it was at:", killed)
    database.execute("CALL analytics.cleanup_old_data()")
    assert database.value(state) == "done"
    assert answers(database.connection, workspace) == before
    refresh(database.connection)
    assert answers(database.connection, workspace) == before
    assert database.rows("SELECT * FROM analytics.verify_rollups()") == []


def test_kill_during_rebuild_and_views(durable, background, crash):
    database = durable.install(durable.create_database())
    rng = random.Random(4)
    start = recent_start()
    oracle = Oracle(prepare(database, start), rng, start)
    actor = Actor(database.connection, rng, oracle)
    for action in ("bulk", "copy", "copy", "error", "error", "feedback", "enqueue"):
        actor.do(action)
    refresh(database.connection)

    def over_and_over() -> None:
        connection = database.connect()
        while True:
            connection.execute("SELECT analytics.rebuild_rollup('agent_performance')")
            connection.execute("UPDATE analytics_internal.rollup_state SET version = version + 1")
            connection.execute("SELECT * FROM analytics.refresh_materialized_views()")

    for number in range(3):
        working = background(until_it_ends, over_and_over)
        threading.Event().wait(0.2 + rng.random() * 0.3)
        crash(database)
        working.result(60)
        oracle.check_all(database.connection, f"after crash {number}")
        oracle.check_tables(database.connection)
    database.execute("SELECT * FROM analytics.refresh_materialized_views()")
    oracle.check_views(database.connection)
