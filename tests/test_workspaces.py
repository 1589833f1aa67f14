"""Workspaces: what they did, who was active, and how well they are, against the raw rows (see test_execution.py)."""

import psycopg
import pytest
from test_execution import ACME, OTHER, WINDOWS, close, records, same, world


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


RUNS = """
    SELECT count(*) AS total_runs, count(*) FILTER (WHERE status = 'completed') AS successful_runs,
        count(*) FILTER (WHERE status = 'failed') AS failed_runs, count(*) FILTER (WHERE status = 'timeout') AS timeout_runs,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled_runs,
        count(*) FILTER (WHERE status = 'completed')::float8
            / nullif(count(*) FILTER (WHERE status NOT IN ('queued', 'running')), 0) AS success_rate,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY runtime_seconds) AS p95_runtime_seconds,
        coalesce(sum(credits_consumed), 0) AS credits_consumed, coalesce(sum(tokens_used), 0) AS tokens_used,
        count(DISTINCT agent_id) AS active_agents, count(DISTINCT user_id) AS active_users, max(started_at) AS last_run_at
    FROM analytics.agent_runs WHERE workspace_id = %(w)s AND started_at >= %(f)s AND started_at < %(t)s"""


@pytest.mark.parametrize(("name", "start", "end"), WINDOWS, ids=[name for name, _, _ in WINDOWS])
def test_summary_and_list(still, name, start, end):
    listed = {
        str(row.pop("workspace_id")): row
        for row in records(
            still, "SELECT * FROM analytics.list_workspaces(from_time => %s, to_time => %s)", [start, end]
        )
    }
    assert set(listed) == {ACME, OTHER}
    for workspace in (ACME, OTHER):
        arguments = {"w": workspace, "f": start, "t": end}
        (expected,) = records(still, RUNS, arguments)
        same({column: listed[workspace][column] for column in expected}, expected)
        (given,) = records(
            still,
            "SELECT * FROM analytics.workspace_summary(%(w)s, from_time => %(f)s, to_time => %(t)s)",
            arguments,
        )
        same({column: given[column] for column in expected}, expected)
        assert given["total_agents"] == 4
        rated = still.rows(
            "SELECT count(user_rating), avg(user_rating)::float8 FROM analytics.agent_runs"
            " WHERE workspace_id = %(w)s AND started_at >= %(f)s AND started_at < %(t)s",
            arguments,
        )[0]
        assert given["total_ratings"] == rated[0]
        assert close(given["avg_rating"], rated[1])
        if name == "whole days":
            (before,) = records(still, RUNS, {"w": workspace, "f": "2026-03-24", "t": "2026-03-27"})
            assert given["previous_total_runs"] == before["total_runs"] > 0
            assert close(given["previous_success_rate"], before["success_rate"])
            assert given["previous_credits_consumed"] == before["credits_consumed"]
            assert given["previous_active_users"] == before["active_users"]
        if name == "everything":
            assert given["previous_total_runs"] is None


@pytest.mark.parametrize(
    ("bucket", "zone"),
    [("day", "UTC"), ("day", "Europe/Berlin"), ("day", "Asia/Kolkata"), ("week", None), ("hour", "UTC")],
)
def test_activity(still, bucket, zone):
    start, end = "2026-03-27 04:00+00", "2026-03-30 15:00+00"
    given = records(
        still,
        "SELECT * FROM analytics.workspace_activity(%s, bucket => %s, time_zone => %s, from_time => %s, to_time => %s)",
        [ACME, bucket, zone, start, end],
    )
    expected = records(
        still,
        "SELECT date_trunc(%s, started_at, %s) AS bucket_start, count(DISTINCT agent_id) AS active_agents,"
        " count(DISTINCT user_id) AS active_users, count(*) AS total_runs, sum(credits_consumed) AS credits_consumed"
        " FROM analytics.agent_runs WHERE workspace_id = %s AND started_at >= %s AND started_at < %s GROUP BY 1 ORDER BY 1",
        [bucket, zone or "Europe/Berlin", ACME, start, end],
    )
    assert len(expected) > (0 if bucket == "week" else 3)
    found = {row["bucket_start"]: row for row in given}
    assert len(given) >= len(expected)
    for row in expected:
        same({column: found[row["bucket_start"]][column] for column in row}, row)
    assert sum(row["total_runs"] for row in given) == sum(row["total_runs"] for row in expected)


def test_users(still):
    """A user of two agents is one user, and one who is in two workspaces is counted in each."""
    start, end = "2026-03-27 04:00+00", "2026-03-30 15:00+00"
    for workspace in (ACME, OTHER):
        given = records(
            still,
            "SELECT * FROM analytics.workspace_users(%s, max_rows => NULL, from_time => %s, to_time => %s)",
            [workspace, start, end],
        )
        expected = records(
            still,
            "SELECT user_id, count(*) AS total_runs, count(*) FILTER (WHERE status = 'completed') AS successful_runs,"
            " count(*) FILTER (WHERE status = 'failed') AS failed_runs, avg(runtime_seconds) AS avg_runtime_seconds,"
            " sum(credits_consumed) AS credits_consumed, count(DISTINCT agent_id) AS agents_used,"
            " avg(user_rating)::float8 AS avg_rating, max(started_at) AS last_run_at FROM analytics.agent_runs"
            " WHERE workspace_id = %s AND started_at >= %s AND started_at < %s AND user_id IS NOT NULL"
            " GROUP BY 1 ORDER BY 2 DESC, 1",
            [workspace, start, end],
        )
        assert len(expected) == 9
        for row, found in zip(given, expected, strict=True):
            same({column: row[column] for column in found}, found)
    top = still.rows("SELECT user_id FROM analytics.workspace_users(%s, 'all', 2)", [ACME])
    assert len(top) == 2
    assert still.rows("SELECT user_id FROM analytics.workspace_users(%s, 'all', 0)", [ACME]) == []


def health(db, workspace, *arguments) -> dict[str, dict]:
    query = f"SELECT * FROM analytics.workspace_health(%s{', %s' * len(arguments)})"
    return {row["component"]: row for row in records(db, query, [workspace, *arguments])}


def test_health(db):
    """Each component by hand: 19 of 20 runs completed, p95 of 30 s after 20 s, a wait of 70 s with a median of 20 s, one
    critical error, ratings of 4 on average."""
    workspace = db.workspace()
    agent = "00000000-0000-4000-8000-0000000000a1"
    runs = (
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds, user_rating)"
        " VALUES (%s, %s, %s, now() - make_interval(days => %s) - make_interval(mins => 10), %s, %s)"
    )
    for number in range(20):
        db.execute(
            runs,
            [workspace, agent, "failed" if number == 0 else "completed", 1, 30 if number > 15 else 20, None],
        )
        db.execute(runs, [workspace, agent, "completed", 8, 20, 3 if number == 1 else None])
    db.execute(
        "INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating) VALUES (%s, %s, 3), (%s, %s, 5)",
        [workspace, agent, workspace, agent],
    )
    db.execute(
        "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_severity)"
        " VALUES (%s, %s, 'E', 'critical'), (%s, %s, 'E', 'low')",
        [workspace, agent, workspace, agent],
    )
    db.execute(
        "INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, queued_at, started_at)"
        " VALUES (%s, %s, 'processing', now() - interval '100 seconds', now() - interval '30 seconds')",
        [workspace, agent],
    )
    found = health(db, workspace, "7d")
    assert list(found) == ["overall", "reliability", "performance", "queue", "errors", "satisfaction"]
    scores = {
        "reliability": 100 * (0.95 - 0.70) / 0.29,
        "performance": 50.0,
        "queue": 100 * (10 - 3.5) / 9,
        "errors": 0.0,  # 50 of 1000
        "satisfaction": 75.0,
    }
    values = {"reliability": 0.95, "performance": 1.5, "queue": 3.5, "errors": 50.0, "satisfaction": 4.0}
    weights = {"reliability": 0.35, "performance": 0.2, "queue": 0.15, "errors": 0.15, "satisfaction": 0.15}
    for name, score in scores.items():
        assert close(found[name]["score"], score, 0.001), found[name]
        assert close(found[name]["value"], values[name], 0.001), found[name]
        assert found[name]["weight"] == weights[name]
        assert found[name]["reason"]
    assert close(found["overall"]["score"], sum(scores[n] * weights[n] for n in scores), 0.001)
    assert found["overall"]["weight"] == 1.0
    assert found["overall"]["reason"] == "errors: 1 critical of 2 errors in 20 runs"
    assert found["reliability"]["reason"] == "95.0 % of 20 finished runs completed"

    whole = db.value("SELECT analytics.workspace_analytics(%s, '7d')", [workspace])
    assert close(whole["health"]["score"], found["overall"]["score"])
    assert whole["summary"]["total_runs"] == 20
    assert sum(day["total_runs"] for day in whole["daily"]) == 20
    assert [row["total_runs"] for row in whole["top_agents"]] == [20]
    assert whole["errors"] == [{"error_category": "unknown", "total_errors": 2, "recovery_rate": 0}]


def test_health_of_a_workspace_that_does_nothing(db):
    workspace = db.workspace()
    found = health(db, workspace)
    assert len(found) == 6
    assert {row["score"] for row in found.values()} == {None}
    assert found["overall"]["reason"] == "there was no run"
    db.execute(
        "INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating) VALUES (%s, gen_random_uuid(), 1)",
        [workspace],
    )
    assert health(db, workspace)["overall"]["score"] is None


@pytest.mark.parametrize("status", ["failed", "completed", "running"])
def test_health_of_one_run(db, status):
    workspace = db.workspace()
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds) VALUES (%s, gen_random_uuid(), %s, %s)",
        [workspace, status, 1 if status == "completed" else None],
    )
    found = health(db, workspace)
    score = {"failed": 0.0, "completed": 100.0, "running": None}[status]
    assert found["reliability"]["score"] == score
    # No critical error counts for what has run.
    weights = 0.15 if score is None else 0.5
    assert close(found["overall"]["weight"], weights)
    assert close(found["overall"]["score"], 100.0 if score is None else (score * 0.35 + 100 * 0.15) / 0.5)
    if status == "completed":
        assert found["overall"]["reason"] == "nothing to complain of"


def test_whoever_may_see_it(base, make_role):
    reader, writer = make_role("reader"), make_role("writer")
    base.execute("SELECT analytics.grant_access(%s, %s)", [reader, ACME])
    base.execute("SELECT analytics.grant_access(%s, %s, 'admin')", [writer, ACME])
    base.execute("SELECT analytics.grant_access(%s, %s, 'member')", [writer, OTHER])
    query = "SELECT workspace_id::text, access_level FROM analytics.list_workspaces('all')"
    assert base.connect(reader).execute(query).fetchall() == [(ACME, "viewer")]
    assert sorted(base.connect(writer).execute(query)) == [(ACME, "admin"), (OTHER, "member")]
    assert sorted(base.rows(query)) == [(ACME, "owner"), (OTHER, "owner")]
    connection = base.connect(reader)
    for name in (
        "workspace_summary",
        "workspace_health",
        "workspace_activity",
        "workspace_users",
        "workspace_analytics",
    ):
        call = f"SELECT * FROM analytics.{name}(%s, from_time => '2026-03-27', to_time => '2026-03-29')"
        assert connection.execute(call, [ACME]).fetchall() == base.rows(call, [ACME])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(call, [OTHER])


@pytest.mark.parametrize(
    "query",
    [
        *[
            f"SELECT * FROM analytics.{name}({workspace}, {timeframe})"
            for name in (
                "workspace_summary",
                "workspace_health",
                "workspace_activity",
                "workspace_users",
                "workspace_analytics",
            )
            for workspace, timeframe in (
                ("gen_random_uuid()", "'7d'"),
                (f"'{ACME}'", "'8d'"),
                ("NULL", "'7d'"),
            )
        ],
        "SELECT * FROM analytics.list_workspaces('8d')",
        f"SELECT * FROM analytics.workspace_activity('{ACME}', bucket => 'minute')",
        f"SELECT * FROM analytics.workspace_activity('{ACME}', bucket => NULL)",
        f"SELECT * FROM analytics.workspace_activity('{ACME}', time_zone => 'x')",
        f"SELECT * FROM analytics.workspace_users('{ACME}', max_rows => -1)",
    ],
)
def test_wrong_arguments(still, query):
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        still.execute(query)
    assert caught.value.diag.message_hint
