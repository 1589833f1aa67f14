"""Views for BI tools: what tools need of them, and that they say what the functions and the raw rows say."""

import pytest
from test_execution import ACME, OTHER, close, records, world

VIEWS = """
    SELECT c.relname FROM pg_class AS c
    WHERE c.relnamespace = 'analytics'::regnamespace AND c.relname LIKE 'bi\\_%' ORDER BY 1"""
LONG = [
    "bi_agent_ts",
    "bi_error_ts",
    "bi_execution_minute_ts",
    "bi_execution_ts",
    "bi_model_ts",
    "bi_queue_ts",
    "bi_user_ts",
]


@pytest.fixture(scope="module")
def still(server):
    """The data, refreshed, for tests that only read."""
    database = server.create_database(template="installed")
    world(database)
    database.execute("CALL analytics.refresh_all()")
    yield database
    server.drop_database(database)


@pytest.fixture
def base(db):
    world(db)
    db.execute("CALL analytics.refresh_all()")
    return db


def test_shape(still):
    """Flat, typed and commented; nothing that a tool cannot show."""
    names = [name for (name,) in still.rows(VIEWS)]
    assert len(names) == 21
    assert set(LONG) < set(names)
    columns = still.rows(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum),"
        " obj_description(c.oid, 'pg_class') FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'analytics'::regnamespace AND c.relname LIKE 'bi\\_%' AND a.attnum > 0"
    )
    plain = {
        "timestamp with time zone",
        "uuid",
        "text",
        "bigint",
        "integer",
        "numeric",
        "double precision",
        "boolean",
    }
    for view, column, kind, comment, described in columns:
        assert kind in plain, f"{view}.{column}: {kind}"
        assert comment, f"{view}.{column} has no comment"
        assert described, f"{view} has no comment"
        if column.endswith("_rate"):
            assert kind == "double precision"
        if column.endswith("_count"):
            assert kind == "bigint"
        # What Metabase would take for something else.
        assert not any(word in column for word in ("number", "source", "comment")), f"{view}.{column}"
        if kind == "double precision" and column != "value":
            assert column.endswith(("_seconds", "_rate", "_rating", "_per_run")), (
                f"{view}.{column} has no unit"
            )
    for view in names:
        first = next(column for v, column, *_ in columns if v == view)
        assert first == ("workspace_id" if view in ("bi_workspaces", "bi_agents") else "time")


def test_long_forms(still):
    """A time, labels and exactly one number, with unique labels: what Grafana needs to draw and to alert."""
    for view in LONG:
        kinds = still.rows(
            "SELECT a.attname, format_type(a.atttypid, -1) FROM pg_attribute AS a WHERE a.attrelid = %s::regclass AND a.attnum > 0"
            " ORDER BY a.attnum",
            [f"analytics.{view}"],
        )
        numbers = [
            name for name, kind in kinds if kind in ("double precision", "numeric", "bigint", "integer")
        ]
        assert numbers == ["value"]
        labels = ", ".join(name for name, _ in kinds if name != "value")
        assert (
            still.rows(f"SELECT {labels} FROM analytics.{view} GROUP BY {labels} HAVING count(*) > 1") == []
        )
        if "minute" not in view:
            assert still.value(f"SELECT count(*) FROM analytics.{view}") > 0, view
        assert still.value(f"SELECT count(*) FROM analytics.{view} WHERE value IS NULL") == 0
    series = still.rows(
        "SELECT date_trunc('day', time, 'UTC') AS time, workspace_name, sum(value)::int FROM analytics.bi_execution_ts"
        " WHERE metric = 'run_count' AND value > 0 AND time BETWEEN '2026-03-26' AND '2026-04-02' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert series == still.rows(
        "SELECT date_trunc('day', r.started_at, 'UTC'), w.name, count(*)::int FROM analytics.agent_runs AS r"
        " JOIN analytics.workspaces AS w USING (workspace_id) GROUP BY 1, 2 ORDER BY 1, 2"
    )


@pytest.mark.parametrize(
    ("view", "time", "key", "raw"),
    [
        ("bi_agent_hourly", "hour", "agent_id", "analytics.agent_runs"),
        ("bi_agent_daily", "day", "agent_id", "analytics.agent_runs"),
        ("bi_execution_hourly", "hour", "workspace_id", "analytics.agent_runs"),
        ("bi_execution_daily", "day", "workspace_id", "analytics.agent_runs"),
        ("bi_user_daily", "day", "user_id", "analytics.agent_runs"),
        ("bi_model_daily", "day", "agent_id", "analytics.agent_runs"),
        ("bi_model_hourly", "hour", "agent_id", "analytics.agent_runs"),
    ],
)
def test_equals_the_raw_rows(still, view, time, key, raw):
    given = records(
        still,
        f"SELECT time, {key} AS key, sum(run_count) AS runs, sum(completed_run_count) AS completed, sum(credits_consumed) AS credits,"
        f" (sum(completed_run_count) / nullif(sum(completed_run_count / nullif(success_rate, 0)), 0))::float8 AS rate"
        f" FROM analytics.{view} WHERE workspace_id = %s GROUP BY 1, 2 HAVING sum(run_count) > 0 ORDER BY 1, 2",
        [ACME],
    )
    expected = records(
        still,
        f"SELECT date_trunc('{time}', started_at, 'UTC') AS time, {key} AS key, count(*) AS runs,"
        " count(*) FILTER (WHERE status = 'completed') AS completed, sum(credits_consumed) AS credits"
        f" FROM {raw} WHERE workspace_id = %s AND {key} IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2",
        [ACME],
    )
    assert len(given) == len(expected) > 5
    for row, found in zip(given, expected, strict=True):
        assert {name: row[name] for name in found} == found


def test_rates_and_measures(still):
    rows = records(
        still, "SELECT * FROM analytics.bi_execution_daily WHERE workspace_id = %s ORDER BY time", [ACME]
    )
    assert len(rows) == 6
    for row in rows:
        (found,) = records(
            still,
            "SELECT * FROM analytics.execution_summary(%s, from_time => %s, to_time => %s::timestamptz + interval '24 hours')",
            [ACME, row["time"], row["time"]],
        )
        for column in (
            "success_rate",
            "p95_runtime_seconds",
            "p95_queue_latency_seconds",
            "p50_total_latency_seconds",
        ):
            assert close(row[column], found[column]), column
            assert row[column] is not None
        assert row["error_count"] == found["total_errors"]
        assert row["user_count"] == found["unique_users"]


def test_queue(still):
    depths = still.rows(
        "SELECT time, waiting_count FROM analytics.bi_queue_hourly WHERE workspace_id = %s ORDER BY time",
        [ACME],
    )
    assert len(depths) > 100
    for time, waiting in depths[::20]:
        assert waiting == still.value(
            "SELECT count(*) FROM analytics.execution_queue WHERE workspace_id = %s AND queued_at < %s + interval '1 hour'"
            " AND coalesce(started_at, completed_at, 'infinity') >= %s + interval '1 hour'",
            [ACME, time, time],
        )
    assert still.value("SELECT count(*) FROM analytics.bi_queue_live") == still.value(
        "SELECT count(*) FROM analytics.execution_queue WHERE status IN ('queued', 'processing')"
    )
    assert still.value("SELECT count(*) FROM analytics.bi_queue_live WHERE wait_seconds IS NULL") == 0


def test_errors_and_dimensions(still):
    assert still.rows(
        "SELECT severity_type, sum(error_count)::int FROM analytics.bi_error_hourly GROUP BY 1 ORDER BY 1"
    ) == still.rows("SELECT error_severity, count(*)::int FROM analytics.agent_errors GROUP BY 1 ORDER BY 1")
    assert still.rows("SELECT sum(error_count)::int FROM analytics.bi_error_daily") == still.rows(
        "SELECT count(*)::int FROM analytics.agent_errors"
    )
    assert still.value("SELECT count(*) FROM analytics.bi_agents") == 8
    assert sorted(still.rows("SELECT workspace_name FROM analytics.bi_workspaces")) == [("Acme",), ("Other",)]


def test_readers_see_theirs(base, make_role):
    reader = make_role("reader")
    base.execute("SELECT analytics.grant_access(%s, %s)", [reader, OTHER])
    connection = base.connect(reader)
    for (view,) in base.rows(VIEWS):
        theirs = f"SELECT count(*), count(*) FILTER (WHERE workspace_id <> '{OTHER}') FROM analytics.{view}"
        count, foreign = connection.execute(theirs).fetchone()
        assert foreign == 0
        assert count == base.value(f"SELECT count(*) FROM analytics.{view} WHERE workspace_id = %s", [OTHER])
        if "minute" not in view:
            assert count > 0, view


def test_conditions_reach_the_rollups(base, make_role):
    """A dashboard asks for one workspace and some days of a rollup that holds all of them."""
    base.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) SELECT %s, %s, 'running', t"
        " FROM generate_series(timestamptz '2026-03-01', '2026-05-01', '1 hour') AS t",
        [OTHER, OTHER],
    )
    base.execute("CALL analytics.refresh_all()")
    base.execute("ANALYZE")
    reader = make_role("reader")
    base.execute(
        "SELECT analytics.grant_access(%s, %s), analytics.grant_access(%s, %s)", [reader, OTHER, reader, ACME]
    )
    connection = base.connect(reader)
    for view, index in (("bi_agent_hourly", "agent_performance_hourly"), ("bi_agent_ts", "agent_performance_hourly"),
                        ("bi_execution_ts", "execution_metrics_hourly")):  # fmt: skip
        query = f"SELECT * FROM analytics.{view} WHERE workspace_id = '{OTHER}' AND time >= '2026-03-28' AND time < '2026-03-29'"
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {query}"))
        assert f"Seq Scan on {index}" not in plan, plan
        condition = [line for line in plan.splitlines() if "Index Cond" in line and "bucket >=" in line]
        assert condition, plan
        assert "workspace_id =" in condition[0], plan
