"""Execution of a workspace: every number against the same question asked of the raw rows.

The data are random and seeded. A part of them is refreshed, a part was changed since, and a part came after: what the
functions answer must not depend on it.
"""

import itertools
import math
import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from conftest import assert_rows

ACME = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
AGENTS = [f"00000000-0000-4000-8000-0000000000a{n}" for n in range(4)]
USERS = [f"00000000-0000-4000-8000-0000000000c{n}" for n in range(9)]
STATUS = ["completed"] * 12 + ["failed", "failed", "timeout", "cancelled", "running", "queued"]
# Around the change of clocks in Europe, on 29 March 2026.
FIRST = datetime(2026, 3, 26, 0, 0, tzinfo=UTC)
DAYS = 6

WINDOWS = [
    ("whole days", "2026-03-27 00:00+00", "2026-03-30 00:00+00"),
    ("not whole minutes", "2026-03-27 05:17:23.4+00", "2026-03-30 21:43:02+00"),
    ("within an hour", "2026-03-28 10:12:00+00", "2026-03-28 10:58:00+00"),
    ("begins before the data", "2025-12-01 00:00+00", "2026-03-28 00:00+00"),
    ("empty", "2025-12-01 00:00+00", "2025-12-08 00:00+00"),
    ("everything", "-infinity", "infinity"),
]


def run(rng: random.Random, workspace: str) -> tuple:
    status = rng.choice(STATUS)
    started = FIRST + timedelta(seconds=rng.randrange(DAYS * 86400), microseconds=rng.randrange(1_000_000))
    ended = status not in ("running", "queued")
    runtime = (
        round(rng.lognormvariate(3, 1.5), 3)
        if status == "completed" or (ended and rng.random() < 0.7)
        else None
    )
    completed = started + timedelta(seconds=runtime) if runtime is not None and rng.random() < 0.8 else None
    return (
        workspace, rng.choice(AGENTS), rng.choice([*USERS, None]), status, started, completed, runtime,
        rng.randrange(1000) / 100, rng.randrange(5000), rng.choice([None, 1, 2, 3, 4, 5]), rng.choice([None, 1, 2, 7]),
    )  # fmt: skip


def entry(rng: random.Random, workspace: str) -> tuple:
    queued = FIRST + timedelta(seconds=rng.randrange(DAYS * 86400))
    status = rng.choice(["completed"] * 8 + ["queued", "processing", "cancelled", "failed"])
    started = (
        queued + timedelta(seconds=rng.expovariate(1 / 900))
        if status not in ("queued", "cancelled")
        else None
    )
    completed = None
    if status in ("completed", "failed", "cancelled"):
        completed = (started or queued) + timedelta(seconds=rng.expovariate(1 / 300))
    return (
        workspace,
        rng.choice(AGENTS),
        status,
        rng.choice([0, 0, 1, 5]),
        queued,
        started,
        completed,
        rng.choice([None, 600]),
    )


def write(db, rng: random.Random, runs: int, entries: int) -> None:
    with db.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, completed_at, runtime_seconds,"
            " credits_consumed, tokens_used, user_rating, concurrent_runs) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [run(rng, rng.choice([ACME, ACME, ACME, OTHER])) for _ in range(runs)],
        )
        cursor.executemany(
            "INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, priority, queued_at, started_at, completed_at,"
            " estimated_wait_seconds) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [entry(rng, rng.choice([ACME, ACME, OTHER])) for _ in range(entries)],
        )
        cursor.execute(
            "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_severity, occurred_at)"
            " SELECT workspace_id, agent_id, 'E', CASE WHEN random() < 0.3 THEN 'critical' ELSE 'low' END, started_at"
            " FROM analytics.agent_runs WHERE status = 'failed'"
        )
        cursor.execute(
            "INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at)"
            " SELECT workspace_id, agent_id, user_rating, started_at + interval '1 minute' FROM analytics.agent_runs"
            " WHERE user_rating IS NOT NULL AND random() < 0.2"
        )


def world(db) -> None:
    rng = random.Random(7)
    db.execute("SET timezone = 'UTC'")
    db.execute(
        "INSERT INTO analytics.workspaces (workspace_id, name, time_zone) VALUES (%s, 'Acme', 'Europe/Berlin'), (%s, 'Other', 'UTC')",
        [ACME, OTHER],
    )
    # Within the statement, so that the months of the data have their partitions.
    db.execute("SELECT analytics.ensure_partitions()")
    write(db, rng, 1200, 500)
    db.execute("CALL analytics.refresh_all()")
    write(db, rng, 60, 40)
    db.execute(
        "DELETE FROM analytics.agent_runs WHERE run_id IN (SELECT run_id FROM analytics.agent_runs ORDER BY started_at LIMIT 15 OFFSET 300)"
    )
    db.execute(
        "UPDATE analytics.execution_queue SET status = 'completed', started_at = queued_at + interval '1 hour',"
        " completed_at = queued_at + interval '2 hours' WHERE queue_id IN"
        " (SELECT queue_id FROM analytics.execution_queue WHERE status = 'queued' ORDER BY queued_at LIMIT 10)"
    )


@pytest.fixture(scope="module")
def still(server):
    """The data, for tests that only read."""
    database = server.create_database(template="installed")
    world(database)
    yield database
    server.drop_database(database)


@pytest.fixture
def base(db):
    world(db)
    return db


def close(given, expected, tolerance: float = 1e-9) -> bool:
    if given is None or expected is None:
        return given is None and expected is None
    return math.isclose(float(given), float(expected), rel_tol=tolerance, abs_tol=1e-9)


def same(given: dict, expected: dict) -> None:
    """Equal; percentiles of more than 250 values within 1 %."""
    assert given.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, int | float) or value is None or name[:1] == "p":
            tolerance = 0.0101 if name[:1] == "p" and name[1:3].isdigit() else 1e-9
            assert close(given[name], value, tolerance), f"{name}: {given[name]} instead of {value}"
        else:
            assert given[name] == value, f"{name}: {given[name]} instead of {value}"


def records(db, query: str, params=None) -> list[dict]:
    cursor = db.execute(query, params)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


SUMMARY = """
    WITH r AS (SELECT * FROM analytics.agent_runs WHERE workspace_id = %(w)s AND started_at >= %(f)s AND started_at < %(t)s),
    q AS (SELECT extract(epoch FROM started_at - queued_at)::float8 AS wait, extract(epoch FROM completed_at - queued_at)::float8 AS total
          FROM analytics.execution_queue WHERE workspace_id = %(w)s AND queued_at >= %(f)s AND queued_at < %(t)s),
    d AS (SELECT count(*) AS n FROM analytics.execution_queue WHERE workspace_id = %(w)s
          AND coalesce(started_at, completed_at) >= %(f)s AND coalesce(started_at, completed_at) < %(t)s),
    e AS (SELECT count(*) AS n, count(*) FILTER (WHERE error_severity = 'critical') AS critical FROM analytics.agent_errors
          WHERE workspace_id = %(w)s AND occurred_at >= %(f)s AND occurred_at < %(t)s),
    p AS (SELECT max(n) AS n FROM (SELECT count(*) AS n FROM r GROUP BY date_trunc('minute', started_at)) AS m)
    SELECT count(*) AS total_runs, count(*) FILTER (WHERE status = 'completed') AS successful_runs,
        count(*) FILTER (WHERE status = 'failed') AS failed_runs, count(*) FILTER (WHERE status = 'timeout') AS timeout_runs,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled_runs, count(*) FILTER (WHERE status = 'running') AS running_runs,
        count(*) FILTER (WHERE status = 'queued') AS queued_runs,
        count(*) FILTER (WHERE status = 'completed')::float8 / nullif(count(*) FILTER (WHERE status NOT IN ('running', 'queued')), 0) AS success_rate,
        coalesce((SELECT n FROM p), 0) AS peak_runs_per_minute,
        avg(runtime_seconds) AS avg_runtime_seconds,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY runtime_seconds) AS p50_runtime_seconds,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY runtime_seconds) AS p95_runtime_seconds,
        (SELECT avg(wait) FROM q) AS avg_queue_latency_seconds,
        (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY wait) FROM q) AS p50_queue_latency_seconds,
        (SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY wait) FROM q) AS p95_queue_latency_seconds,
        (SELECT avg(total) FROM q) AS avg_total_latency_seconds,
        (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM q) AS p50_total_latency_seconds,
        (SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY total) FROM q) AS p95_total_latency_seconds,
        (SELECT count(*) FROM q) AS queue_arrivals, (SELECT n FROM d) AS queue_departures,
        coalesce(sum(credits_consumed), 0) AS credits_consumed, coalesce(sum(tokens_used), 0) AS tokens_used,
        count(DISTINCT user_id) AS unique_users, (SELECT n FROM e) AS total_errors, (SELECT critical FROM e) AS critical_errors
    FROM r"""


@pytest.mark.timeout(120)
def test_what_was_executed(still):
    for name, start, end in WINDOWS:
        arguments = {"w": ACME, "f": start, "t": end}
        (given,) = records(
            still,
            "SELECT * FROM analytics.execution_summary(%(w)s, from_time => %(f)s, to_time => %(t)s)",
            arguments,
        )
        (expected,) = records(still, SUMMARY, arguments)
        assert expected["total_runs"] > 0 or name == "empty"
        hours = given.pop("runs_per_hour")
        bounds = (given.pop("window_start"), given.pop("window_end"))
        assert (bounds[0] is None) == (name == "everything")
        same(given, expected)
        if name == "whole days":
            first = still.value(
                "SELECT min(started_at) FROM analytics.agent_runs WHERE workspace_id = %s AND started_at >= %s",
                [ACME, start],
            )
            assert close(hours, given["total_runs"] / ((bounds[1] - first).total_seconds() / 3600))
        metrics = still.value(
            "SELECT analytics.execution_metrics(%(w)s, from_time => %(f)s, to_time => %(t)s)", arguments
        )
        assert metrics["runs"]["total"] == expected["total_runs"]
        assert close(metrics["runs"]["success_rate"], expected["success_rate"])
        assert close(metrics["latency"]["queue"]["avg_seconds"], expected["avg_queue_latency_seconds"])
        assert close(
            metrics["latency"]["total"]["p95_seconds"], expected["p95_total_latency_seconds"], 0.0101
        )
        assert close(metrics["resources"]["credits_consumed"], expected["credits_consumed"])
        assert (metrics["previous"] is None) == (name == "everything")
        latency = records(
            still,
            "SELECT * FROM analytics.execution_latency(%(w)s, from_time => %(f)s, to_time => %(t)s)",
            arguments,
        )
        assert [row["latency_type"] for row in latency] == ["queue", "run", "total"]
        for row, kind in zip(latency, ("queue_latency", "runtime", "total_latency"), strict=True):
            for measure in ("avg", "p50", "p95"):
                assert close(row[f"{measure}_seconds"], expected[f"{measure}_{kind}_seconds"], 0.0101)
        exact = still.rows(
            "SELECT count(runtime_seconds), min(runtime_seconds), max(runtime_seconds), stddev(runtime_seconds) FROM analytics.agent_runs"
            " WHERE workspace_id = %(w)s AND started_at >= %(f)s AND started_at < %(t)s", arguments
        )[0]  # fmt: skip
        given = [
            latency[1][column] for column in ("value_count", "min_seconds", "max_seconds", "stddev_seconds")
        ]
        assert all(close(a, b, 1e-6) for a, b in zip(given, exact, strict=True)), (given, exact)
    previous = still.value(
        "SELECT analytics.execution_metrics(%s, from_time => '2026-03-28', to_time => '2026-03-30') -> 'previous' ->> 'total_runs'", [ACME]
    )  # fmt: skip
    assert int(previous) == still.value(
        "SELECT count(*) FROM analytics.agent_runs WHERE workspace_id = %s AND started_at >= '2026-03-26' AND started_at < '2026-03-28'", [ACME]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bucket", "zone", "start", "end"),
    [
        ("day", "UTC", "2026-03-26 00:00+00", "2026-04-01 00:00+00"),
        ("day", "Europe/Berlin", "2026-03-26 03:30+00", "2026-03-31 12:00+00"),
        ("day", "Asia/Kolkata", "2026-03-26 00:00+00", "2026-03-31 12:00+00"),
        ("hour", "Europe/Berlin", "2026-03-28 20:00+00", "2026-03-29 12:00+00"),
        ("hour", "Asia/Kolkata", "2026-03-28 20:00+00", "2026-03-29 12:00+00"),
        ("week", "Europe/Berlin", "2026-03-10 00:00+00", "2026-04-01 00:00+00"),
        ("month", "America/New_York", "2026-02-10 00:00+00", "2026-04-01 00:00+00"),
        ("15 minutes", "UTC", "2026-03-28 20:05+00", "2026-03-29 03:00+00"),
        ("minute", "UTC", "2026-03-28 20:05+00", "2026-03-28 22:00+00"),
    ],
)
def test_series(still, bucket, zone, start, end):
    arguments = {"w": ACME, "b": bucket, "z": zone, "f": start, "t": end}
    given = records(
        still,
        "SELECT * FROM analytics.execution_throughput(%(w)s, bucket => %(b)s, time_zone => %(z)s, from_time => %(f)s, to_time => %(t)s)",
        arguments,
    )
    floor = {
        "minute": "date_trunc('minute', {0})",
        "15 minutes": "date_bin('15 minutes', {0}, '2000-01-01 00:00+00')",
    }.get(bucket, "(date_trunc(%(b)s, {0} AT TIME ZONE %(z)s) AT TIME ZONE %(z)s)")
    if bucket == "hour":  # of two equal hours of a wall clock, the one that it is
        floor = "date_trunc('hour', {0}, %(z)s)"
    expected = {
        row["bucket_start"]: row
        for row in records(
            still,
            f"SELECT {floor.format('started_at')} AS bucket_start, count(*) AS total_runs,"
            " count(*) FILTER (WHERE status = 'completed') AS successful_runs,"
            " percentile_cont(0.95) WITHIN GROUP (ORDER BY runtime_seconds) AS p95_runtime_seconds,"
            " sum(credits_consumed) AS credits_consumed, count(DISTINCT user_id) AS unique_users FROM analytics.agent_runs"
            " WHERE workspace_id = %(w)s AND started_at >= %(f)s AND started_at < %(t)s GROUP BY 1",
            arguments,
        )
    }
    starts = [row["bucket_start"] for row in given]
    assert starts == sorted(set(starts))
    assert set(expected) <= set(starts)
    first, last = still.rows(f"SELECT {floor.format('%(f)s::timestamptz')}, %(t)s::timestamptz", arguments)[0]
    assert starts[0] == first
    for row in given:
        found = expected.get(row["bucket_start"])
        if found is None:
            assert (row["total_runs"], row["success_rate"], row["p95_runtime_seconds"]) == (0, None, None)
            assert (row["credits_consumed"], row["unique_users"], row["runs_per_hour"]) == (0, 0, 0)
        else:
            same({name: row[name] for name in found}, found)
    # Buckets have no gaps: each ends where the next begins, whatever clocks do.
    gaps = {b - a for a, b in itertools.pairwise(starts)}
    if bucket == "day" and zone == "Europe/Berlin":
        assert gaps == {timedelta(hours=23), timedelta(hours=24)}
        short = next(row for row in given if row["bucket_start"] == datetime(2026, 3, 28, 23, tzinfo=UTC))
        assert close(short["runs_per_hour"], short["total_runs"] / 23)
    elif bucket in ("minute", "15 minutes", "hour"):
        assert len(gaps) == 1
    assert sum(row["total_runs"] for row in given) == sum(row["total_runs"] for row in expected.values())

    depths = records(
        still,
        "SELECT * FROM analytics.queue_history(%(w)s, bucket => %(b)s, time_zone => %(z)s, from_time => %(f)s, to_time => %(t)s)",
        arguments,
    )
    assert [row["bucket_start"] for row in depths] == starts
    ends = [*starts[1:], last]
    waiting = (
        "SELECT count(*) FROM analytics.execution_queue WHERE workspace_id = %s AND queued_at < %s"
        " AND coalesce(started_at, completed_at, 'infinity') >= %s"
    )
    for row, end_ in list(zip(depths, ends, strict=True))[:: max(1, len(depths) // 25)]:
        assert row["depth_at_end"] == still.value(waiting, [ACME, end_, end_])
    assert depths[0]["depth_at_start"] == still.value(waiting, [ACME, start, start])
    assert [row["depth_at_start"] for row in depths[1:]] == [row["depth_at_end"] for row in depths[:-1]]
    assert max(row["depth_at_end"] for row in depths) > 0


def test_days_are_those_of_the_workspace(still):
    """And everything there is: from the first hour with anything to the current one."""
    query = "SELECT min(bucket_start), max(bucket_start), sum(total_runs) FROM analytics.execution_throughput(%s, 'all')"
    first, last, runs = still.rows(query, [ACME])[0]
    assert first == datetime(2026, 3, 25, 23, tzinfo=UTC)
    assert last >= datetime.now(UTC) - timedelta(days=1, hours=1)
    assert runs == still.value("SELECT count(*) FROM analytics.agent_runs WHERE workspace_id = %s", [ACME])


def test_the_queue_now(base):
    at = datetime.now(UTC)
    base.execute(
        "INSERT INTO analytics.execution_queue (workspace_id, agent_id, priority, queued_at) VALUES (%s, %s, 9, now() + interval '1 hour')",
        [ACME, AGENTS[0]],
    )
    given = records(base, "SELECT * FROM analytics.queue_depth(%s)", [ACME])
    assert [row["priority"] for row in given] == [None, 9, 5, 1, 0]
    assert (given[1]["waiting_count"], given[1]["oldest_waiting_seconds"]) == (0, None)
    rows = base.rows(
        "SELECT priority, status, queued_at FROM analytics.execution_queue WHERE workspace_id = %s AND queued_at < now()",
        [ACME],
    )
    for row in given:
        mine = [r for r in rows if row["priority"] in (None, r[0])]
        waits = sorted((at - queued).total_seconds() for _, status, queued in mine if status == "queued")
        assert row["waiting_count"] == len(waits)
        assert row["processing_count"] == sum(status == "processing" for _, status, _ in mine)
        if waits:
            assert abs(row["oldest_waiting_seconds"] - waits[-1]) < 30
            assert (
                abs(row["p50_waiting_seconds"] - (waits[(len(waits) - 1) // 2] + waits[len(waits) // 2]) / 2)
                < 30
            )
    live = records(base, "SELECT * FROM analytics.execution_realtime(%s)", [ACME])[0]
    assert (live["waiting_count"], live["processing_count"]) == (
        given[0]["waiting_count"],
        given[0]["processing_count"],
    )

    waits = records(
        base,
        "SELECT * FROM analytics.queue_waits(%s, from_time => '2026-03-27', to_time => '2026-03-29')",
        [ACME],
    )
    expected = records(
        base,
        "SELECT priority, count(*) AS entry_count, count(started_at) AS started_count,"
        " percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - queued_at)::float8) AS p95_wait_seconds,"
        " avg(extract(epoch FROM started_at - queued_at)::float8 - estimated_wait_seconds) AS avg_estimate_error_seconds"
        " FROM analytics.execution_queue WHERE workspace_id = %s AND queued_at >= '2026-03-27' AND queued_at < '2026-03-29'"
        " GROUP BY GROUPING SETS ((), (priority)) ORDER BY priority DESC NULLS FIRST",
        [ACME],
    )
    assert len(waits) == len(expected) == 4
    for row, found in zip(waits, expected, strict=True):
        for name, value in found.items():
            assert close(row[name], value)


def test_what_runs_now(base):
    base.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds)"
        " SELECT %s, %s, %s, s, now() - make_interval(secs => n * 40), CASE s WHEN 'completed' THEN n END"
        " FROM generate_series(1, 20) AS n CROSS JOIN (VALUES ('completed'), ('timeout'), ('running')) AS v (s)",
        [ACME, AGENTS[0], USERS[0]],
    )
    running = base.value(
        "SELECT count(*) FROM analytics.agent_runs WHERE workspace_id = %s AND status = 'running'", [ACME]
    )
    row = records(base, "SELECT * FROM analytics.execution_realtime(%s, 10)", [ACME])[0]
    assert row["running_runs"] == running
    assert row["recent_runs"] == 14 * 3
    assert (row["recent_successful_runs"], row["recent_failed_runs"], row["recent_success_rate"]) == (
        14,
        14,
        0.5,
    )
    assert close(row["recent_runs_per_minute"], 4.2)
    assert close(row["recent_p50_runtime_seconds"], 7.5)
    assert row["recent_users"] == 1
    oldest = base.value(
        "SELECT min(started_at) FROM analytics.agent_runs WHERE workspace_id = %s AND status = 'running'",
        [ACME],
    )
    assert abs(row["longest_running_seconds"] - (datetime.now(UTC) - oldest).total_seconds()) < 30


def levels(intervals: list[tuple[datetime, datetime]], start: datetime, end: datetime):
    """Peak, its first moment, mean and share of time with anything, by looking at each moment at which something changes."""
    clipped = [(max(a, start), min(b, end)) for a, b in intervals if a < end and b > start and a < b]
    moments = sorted({start, end, *(t for pair in clipped for t in pair)})
    peak, peak_at, total, occupied = 0, None, timedelta(), timedelta()
    for moment, following in itertools.pairwise(moments):
        level = sum(a <= moment < b for a, b in clipped)
        if level > peak:
            peak, peak_at = level, moment
        total += (following - moment) * level
        occupied += (following - moment) if level else timedelta()
    return peak, peak_at, total / (end - start), occupied / (end - start)


@pytest.mark.parametrize("agent", [None, AGENTS[1]])
def test_concurrency(base, agent):
    """One run lasts four days, which is more than the day that is looked back anyway."""
    base.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, completed_at, runtime_seconds)"
        " VALUES (%s, %s, 'completed', '2026-03-25 09:00+00', '2026-03-29 09:00+00', 345600)",
        [ACME, AGENTS[1]],
    )
    start, end = datetime(2026, 3, 27, 22, 30, tzinfo=UTC), datetime(2026, 3, 29, 4, 10, tzinfo=UTC)
    far = datetime.max.replace(tzinfo=UTC)
    intervals = []
    for status, started, completed, runtime, of in base.rows(
        "SELECT status, started_at, completed_at, runtime_seconds, agent_id::text FROM analytics.agent_runs WHERE workspace_id = %s",
        [ACME],
    ):
        if status == "queued" or agent not in (None, of):
            continue
        if status == "running":
            ended = far
        elif completed:
            ended = completed
        else:
            ended = started + timedelta(seconds=runtime or 0)
        intervals.append((started, ended))
    given = base.rows(
        "SELECT * FROM analytics.execution_concurrency(%s, bucket => 'hour', time_zone => 'UTC', agent_id => %s, from_time => %s, to_time => %s)",
        [ACME, agent, start, end],
    )
    assert len(given) == 31
    assert max(row[1] for row in given) > 3
    for bucket, *measures in given:
        expected = levels(intervals, max(bucket, start), min(bucket + timedelta(hours=1), end))
        assert (measures[0], measures[1]) == expected[:2], bucket
        assert close(measures[2], expected[2])
        assert close(measures[3], expected[3])


def test_concurrency_ends_now(base):
    base.execute("DELETE FROM analytics.agent_runs")
    base.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) SELECT %s, %s, 'running', now() - interval '3 hours'"
        " FROM generate_series(1, 3)",
        [ACME, AGENTS[0]],
    )
    rows = base.rows("SELECT * FROM analytics.execution_concurrency(%s, bucket => '15 minutes')", [ACME])
    assert len(rows) == 96
    now = datetime.now(UTC)
    for start, peak, _, mean, share in rows:
        if start > now:
            assert (peak, mean, share) == (0, None, None)
        elif start > now - timedelta(hours=2, minutes=45):
            assert (peak, mean, share) == (3, 3.0, 1.0)


NOTHING = [
    ("execution_summary", {"total_runs": 0, "success_rate": None, "runs_per_hour": None, "p95_runtime_seconds": None, "credits_consumed": 0}),
    ("execution_realtime", {"running_runs": 0, "waiting_count": 0, "oldest_waiting_seconds": None, "recent_success_rate": None}),
    ("queue_depth", {"priority": None, "waiting_count": 0, "oldest_queued_at": None}),
    ("queue_waits", {"priority": None, "entry_count": 0, "p95_wait_seconds": None}),
]  # fmt: skip


def test_no_runs(base):
    base.execute(
        "DELETE FROM analytics.agent_runs; DELETE FROM analytics.execution_queue; DELETE FROM analytics.agent_errors"
    )
    for function, expected in NOTHING:
        (row,) = records(base, f"SELECT * FROM analytics.{function}(%s)", [ACME])
        assert {name: row[name] for name in expected} == expected


def test_nothing_ever(db):
    workspace = db.workspace()
    for function in ("execution_throughput", "queue_history", "execution_concurrency"):
        assert db.rows(f"SELECT * FROM analytics.{function}(%s, 'all')", [workspace]) == []
        assert len(db.rows(f"SELECT * FROM analytics.{function}(%s, '7d', 'hour')", [workspace])) == 168
    assert db.value("SELECT analytics.execution_metrics(%s)", [workspace])["runs"]["total"] == 0
    assert [row[1] for row in db.rows("SELECT * FROM analytics.execution_latency(%s)", [workspace])] == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("status", ["failed", "running"])
def test_one_run(db, status):
    workspace = db.workspace()
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (%s, gen_random_uuid(), %s, now() - interval '10 minutes')",
        [workspace, status],
    )
    (row,) = records(db, "SELECT * FROM analytics.execution_summary(%s)", [workspace])
    assert (row["total_runs"], row["success_rate"]) == (1, 0.0 if status == "failed" else None)
    assert (row["avg_runtime_seconds"], row["p95_runtime_seconds"], row["peak_runs_per_minute"]) == (
        None,
        None,
        1,
    )
    # The rate of a first hour is not blown up.
    assert row["runs_per_hour"] == 1.0


CALLS = ["execution_summary", "execution_metrics", "execution_throughput", "execution_latency", "queue_history", "queue_waits", "execution_concurrency"]  # fmt: skip
WRONG = [
    *[(f"SELECT * FROM analytics.{name}('{OTHER[:-1]}f')", "workspace") for name in [*CALLS, "execution_realtime", "queue_depth"]],
    *[(f"SELECT * FROM analytics.{name}('{ACME}', '3d')", "timeframe") for name in CALLS],
    *[
        (f"SELECT * FROM analytics.{name}('{ACME}', from_time => '2026-02-01', to_time => '2026-01-01')", "from_time")
        for name in CALLS
    ],
    *[
        (f"SELECT * FROM analytics.{name}('{ACME}', bucket => '{bucket}')", "bucket")
        for name in ("execution_throughput", "queue_history", "execution_concurrency")
        for bucket in ("year", "7 minutes")
    ],
    (f"SELECT * FROM analytics.execution_throughput('{ACME}', bucket => NULL)", "bucket"),
    (f"SELECT * FROM analytics.execution_throughput('{ACME}', time_zone => 'Mars/Base')", "time_zone"),
    (f"SELECT * FROM analytics.execution_throughput('{ACME}', bucket => 'minute', from_time => '2000-01-01')", "bucket"),
    (f"SELECT * FROM analytics.execution_realtime('{ACME}', 0)", "minutes"),
    (f"SELECT * FROM analytics.execution_realtime('{ACME}', NULL)", "minutes"),
    (f"SELECT * FROM analytics.execution_concurrency('{ACME}', agent_id => '{OTHER}')", "agent"),
]  # fmt: skip


def test_wrong_arguments(still):
    for query, word in WRONG:
        with pytest.raises(psycopg.Error) as caught:
            still.execute(query)
        assert caught.value.sqlstate == "22023", f"{query}: {caught.value}"
        assert word in caught.value.diag.message_primary, f"{query}: {caught.value}"
        assert caught.value.diag.message_hint, query


def test_a_tenant_sees_theirs(base, make_role):
    """Through row security the numbers are the same, and another workspace is unknown."""
    reader = make_role("reader")
    base.execute("SELECT analytics.grant_access(%s, %s)", [reader, ACME])
    connection = base.connect(reader)
    queries = [
        f"SELECT * FROM analytics.{name}(%s, from_time => '2026-03-27', to_time => '2026-03-29')"
        for name in CALLS
    ]
    for query in queries:
        # How long the oldest entry has waited so far is another number in the next statement.
        query = (
            query.replace("SELECT * FROM", "SELECT m - 'queue' FROM") + " AS m"
            if "metrics" in query
            else query
        )
        own = base.rows(query, [ACME])
        assert_rows(connection.execute(query, [ACME]).fetchall(), own)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(query, [OTHER])
    for name in ("execution_realtime", "queue_depth"):
        assert connection.execute(f"SELECT * FROM analytics.{name}(%s)", [ACME]).fetchall()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT * FROM analytics.{name}(%s)", [OTHER])


def test_what_is_live_is_found_by_index(base, make_role):
    """However many runs and entries are over, also through row security."""
    base.execute(
        "INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, queued_at, started_at, completed_at)"
        " SELECT %s, %s, 'completed', now() - n * interval '1 second', now(), now() FROM generate_series(1, 5000) AS n",
        [ACME, AGENTS[0]],
    )
    base.execute("ANALYZE")
    reader = make_role("reader")
    base.execute("SELECT analytics.grant_access(%s, %s)", [reader, ACME])
    connection = base.connect(reader)
    for table, partition, statuses in (
        ("agent_runs", "agent_runs_y2026m03", "('queued', 'running')"),
        ("execution_queue", "execution_queue", "('queued', 'processing')"),
    ):
        query = (
            f"SELECT count(*) FROM analytics.{table} WHERE workspace_id = '{ACME}' AND status IN {statuses}"
        )
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {query}"))
        index = base.value(
            "SELECT indexname FROM pg_indexes WHERE tablename = %s AND indexdef LIKE %s",
            [partition, "%WHERE%queued%"],
        )
        assert index in plan, plan
        assert f"Seq Scan on {partition}" not in plan, plan
