"""What the tests of rollups share: the same questions asked of rollups and of raw rows, and an actor who does random
things to the raw tables.

The questions to the raw rows are written by hand, without any SQL of the engine. Rows that a clean-up removed are
asked from copies (schema ``oracle``), which the oracle makes before it calls for the clean-up; an hour (a day, of
users) that is no longer kept counts as a whole, where it begins.
"""

import contextlib
import math
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from conftest import Database
from psycopg import errors

HOUR = timedelta(hours=1)
FIXED_START = datetime(2026, 3, 30, 0, tzinfo=UTC)  # the days after it lie in two months
HOURS = 60
KEPT_MINUTES = timedelta(hours=48)

# ---------------------------------------------------------------------------------------- questions to raw rows

SCHEMA = """
CREATE SCHEMA oracle;
CREATE TABLE oracle.runs_kept (LIKE analytics.agent_runs);
CREATE TABLE oracle.errors_kept (LIKE analytics.agent_errors);
CREATE TABLE oracle.feedback_kept (LIKE analytics.agent_user_feedback);
CREATE TABLE oracle.arrivals_kept (LIKE analytics.execution_queue);
CREATE TABLE oracle.departures_kept (LIKE analytics.execution_queue);
CREATE FUNCTION oracle.final(text) RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT coalesce((SELECT final FROM analytics_internal.retention WHERE table_name = $1), '-infinity') $$;
CREATE VIEW oracle.runs AS
    SELECT r.*, r.started_at AS happened_at, r.started_at AS happened_on FROM analytics.agent_runs AS r
    WHERE r.started_at >= (SELECT oracle.final('agent_runs'))
    UNION ALL
    SELECT k.*, date_trunc('hour', k.started_at, 'UTC'), date_trunc('day', k.started_at, 'UTC') FROM oracle.runs_kept AS k;
CREATE VIEW oracle.errors AS
    SELECT e.*, e.occurred_at AS happened_at FROM analytics.agent_errors AS e
    WHERE e.occurred_at >= (SELECT oracle.final('agent_errors'))
    UNION ALL
    SELECT k.*, date_trunc('hour', k.occurred_at, 'UTC') FROM oracle.errors_kept AS k;
CREATE VIEW oracle.feedback AS
    SELECT f.*, f.created_at AS happened_at FROM analytics.agent_user_feedback AS f
    WHERE f.created_at >= (SELECT oracle.final('agent_user_feedback'))
    UNION ALL
    SELECT k.*, date_trunc('hour', k.created_at, 'UTC') FROM oracle.feedback_kept AS k;
CREATE VIEW oracle.arrivals AS
    SELECT q.*, q.queued_at AS happened_at FROM analytics.execution_queue AS q
    WHERE q.queued_at >= (SELECT oracle.final('execution_queue'))
    UNION ALL
    SELECT k.*, date_trunc('hour', k.queued_at, 'UTC') FROM oracle.arrivals_kept AS k;
CREATE VIEW oracle.departures AS
    SELECT q.*, CASE WHEN q.started_at IS NULL THEN q.completed_at ELSE q.started_at END AS happened_at
    FROM analytics.execution_queue AS q
    WHERE (q.started_at IS NOT NULL OR q.completed_at IS NOT NULL)
      AND CASE WHEN q.started_at IS NULL THEN q.completed_at ELSE q.started_at END >= (SELECT oracle.final('execution_queue'))
    UNION ALL
    SELECT k.*, date_trunc('hour', CASE WHEN k.started_at IS NULL THEN k.completed_at ELSE k.started_at END, 'UTC')
    FROM oracle.departures_kept AS k;
"""

# The bucket of a row; the whole window is one bucket at infinity.
BIN = "coalesce(date_bin(%(step)s::interval, {}, timestamptz 'epoch'), 'infinity')"
WINDOW = "x.workspace_id = %(ws)s AND x.{0} >= %(from)s::timestamptz AND x.{0} < %(to)s::timestamptz"
OF_AGENT = " AND (%(agent)s::uuid IS NULL OR x.agent_id = %(agent)s::uuid)"


def rows_of(view: str, time: str = "happened_at", of_agent: bool = True) -> str:
    where = WINDOW.format(time) + (OF_AGENT if of_agent else "")
    return f"(SELECT x.*, {BIN.format('x.' + time)} AS bucket FROM oracle.{view} AS x WHERE {where})"


def status(*names: str) -> str:
    return "sum(CASE WHEN status = ANY ('{" + ",".join(names) + "}') THEN 1 ELSE 0 END)"


ALL_TOKENS = "sum(CASE WHEN tokens_used IS NULL THEN prompt_tokens + completion_tokens ELSE tokens_used END)"
RUN_SUMS = f"""
    count(*) AS total_runs, {status("completed")} AS successful_runs, {status("failed")} AS failed_runs,
    {status("timeout")} AS timeout_runs, {status("cancelled")} AS cancelled_runs, {status("running")} AS running_runs,
    {status("queued")} AS queued_runs, analytics.percentile_agg(runtime_seconds) AS runtime_sketch,
    sum(credits_consumed) AS credits_consumed, {ALL_TOKENS} AS tokens_used, sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens, analytics.distinct_agg(user_id) AS users_sketch,
    count(user_rating) AS total_ratings, sum(user_rating) AS sum_ratings, min(started_at) AS first_run_at,
    max(started_at) AS last_run_at, count(concurrent_runs) AS concurrency_count,
    sum(concurrent_runs) AS sum_concurrent_runs, max(concurrent_runs) AS max_concurrent_runs"""


def runtime_columns(
    prefix: str = "runtime", value: str = "runtime_seconds", points=(50, 75, 90, 95, 99)
) -> str:
    """Columns for people, which only the tables have."""
    columns = [f"avg({value}) AS avg_{prefix}_seconds"]
    columns += [
        f"percentile_cont({point / 100}) WITHIN GROUP (ORDER BY {value}) AS p{point}_{prefix}_seconds"
        for point in points
    ]
    return ", ".join(columns)


EXTREMES = "min(runtime_seconds) AS min_runtime_seconds, max(runtime_seconds) AS max_runtime_seconds"
USERS = "count(DISTINCT user_id) AS unique_users"
WAIT = "extract(epoch FROM started_at - queued_at)::float8"
TOTAL = "extract(epoch FROM completed_at - queued_at)::float8"


@dataclass
class Question:
    """One rollup: how it is read, what the same is of raw rows, and the tables that hold it."""

    name: str
    keys: list[str]
    columns: list[str]
    raw: str
    steps: list[str | None]
    levels: dict[str, str]
    derived: list[str] = field(default_factory=list)
    per_agent: bool = True
    # NULL, and not zero, where there is nothing.
    nullable: frozenset[str] = frozenset(
        ["runtime_sketch", "users_sketch", "first_run_at", "last_run_at", "max_concurrent_runs", "runtime_stats",
         "recovery_sketch", "first_error_at", "last_error_at", "queue_latency_sketch", "total_latency_sketch"]
    )  # fmt: skip

    def select(self, columns: list[str], raw: bool) -> str:
        """Sketches as text; of runtime_stats, whose sums depend on the order of its terms, what it tells."""
        expressions = []
        for name in columns:
            if name == "runtime_stats":
                told = [f"analytics.{each}({name})" for each in ("num_vals", "sum", "mean", "stddev")]
                expressions.append(f"ARRAY[{', '.join(told)}]::float8[] AS {name}")
            elif name.endswith("sketch"):
                expressions.append(f"{name}::text AS {name}")
            elif raw and name not in self.nullable and (name not in self.derived or name == "unique_users"):
                expressions.append(f"coalesce({name}, 0) AS {name}")
            else:
                expressions.append(name)
        return ", ".join(expressions)

    def finite_keys(self) -> str:
        return ", ".join([*self.keys[:-1], "nullif(bucket, 'infinity') AS bucket"])

    def call(self, *more: str) -> str:
        agent = "%(agent)s::uuid, " if self.per_agent else ""
        window = "%(from)s::timestamptz, %(to)s::timestamptz, %(step)s::interval"
        return (
            f"analytics_internal.{self.name}_buckets({', '.join([f'%(ws)s::uuid, {agent}{window}', *more])})"
        )

    def both(self, columns: list[str]) -> str:
        """The raw question and the read, in one statement and hence in one snapshot."""
        keys, wanted = ", ".join(self.keys), "columns => '{" + ",".join(columns) + "}'"
        call = self.call() if columns == self.columns else self.call(wanted)
        return (
            f"SELECT 'raw', {self.finite_keys()}, {self.select(columns, True)} FROM ({self.raw}) AS q"
            f" UNION ALL SELECT 'read', {keys}, {self.select(columns, False)} FROM {call} AS q"
        )

    def of_all_agents(self) -> str:
        """The read of each agent, put together here, and the read of all of them as one."""
        keys = ", ".join(self.keys[1:])
        sums = ", ".join(f"{self.merged(name)} AS {name}" for name in self.columns)
        agents = f"count(DISTINCT agent_id) FILTER (WHERE {self.columns[0]} > 0)"
        return (
            f"SELECT 'raw', {keys}, {self.select(self.columns, False)}, agents FROM (SELECT {keys}, {sums}, {agents} AS agents"
            f" FROM {self.call()} AS q GROUP BY {keys}) AS q"
            f" UNION ALL SELECT 'read', {keys}, {self.select(self.columns, False)}, agents"
            f" FROM {self.call('by_agent => false')} AS q"
        )

    @staticmethod
    def merged(name: str) -> str:
        if name.endswith(("sketch", "stats")):
            return f"analytics.rollup({name})"
        if name.startswith(("first_", "last_", "max_")):
            return f"{'min' if name.startswith('first_') else 'max'}({name})"
        return f"sum({name})"

    def stored(self, table: str) -> str:
        keys, columns = ", ".join(self.keys), self.columns + self.derived
        return (
            f"SELECT 'raw', {keys}, {self.select(columns, True)} FROM ({self.raw}) AS q"
            f" UNION ALL SELECT 'read', {keys}, {self.select(columns, False)} FROM analytics.{table}"
            " WHERE workspace_id = %(ws)s AND bucket >= %(from)s::timestamptz AND bucket < %(to)s::timestamptz"
        )


AGENT_PERFORMANCE = Question(
    name="agent_performance",
    keys=["agent_id", "bucket"],
    columns=[
        "total_runs", "successful_runs", "failed_runs", "timeout_runs", "cancelled_runs", "running_runs", "queued_runs",
        "runtime_sketch", "credits_consumed", "tokens_used", "prompt_tokens", "completion_tokens", "users_sketch",
        "total_ratings", "sum_ratings", "first_run_at", "last_run_at", "concurrency_count", "sum_concurrent_runs",
        "max_concurrent_runs", "total_errors", "total_feedback", "sum_feedback_ratings",
    ],
    derived=["avg_runtime_seconds", "p50_runtime_seconds", "p95_runtime_seconds", "min_runtime_seconds",
             "max_runtime_seconds", "unique_users"],
    raw=f"""
        SELECT * FROM (
            SELECT agent_id, bucket, {RUN_SUMS}, {runtime_columns(points=(50, 95))}, {EXTREMES}, {USERS}
            FROM {rows_of("runs")} AS r GROUP BY agent_id, bucket) AS r
        FULL JOIN (SELECT agent_id, bucket, count(*) AS total_errors FROM {rows_of("errors")} AS e GROUP BY 1, 2) AS e
            USING (agent_id, bucket)
        FULL JOIN (SELECT agent_id, bucket, count(*) AS total_feedback, sum(rating) AS sum_feedback_ratings
            FROM {rows_of("feedback")} AS f GROUP BY 1, 2) AS f USING (agent_id, bucket)""",
    steps=[None, "1 hour", "6 hours", "7 hours", "1 day", "48 hours"],
    levels={"agent_performance_hourly": "1 hour", "agent_performance_daily": "1 day"},
)  # fmt: skip

EXECUTION_METRICS = Question(
    name="execution_metrics",
    keys=["bucket"],
    columns=[
        "total_runs", "successful_runs", "failed_runs", "timeout_runs", "cancelled_runs", "running_runs", "queued_runs",
        "peak_runs_per_minute", "runtime_sketch", "credits_consumed", "tokens_used", "prompt_tokens",
        "completion_tokens", "users_sketch", "total_ratings", "sum_ratings", "concurrency_count", "sum_concurrent_runs",
        "max_concurrent_runs", "first_run_at", "last_run_at", "total_errors", "critical_errors", "total_feedback",
        "sum_feedback_ratings", "queue_arrivals", "queue_latency_sketch", "total_latency_sketch", "queue_departures",
    ],
    derived=[f"{what}_{of}_seconds" for of in ("runtime", "queue_latency", "total_latency")
             for what in ("avg", "p50", "p75", "p90", "p95", "p99")] + ["unique_users"],
    raw=f"""
        SELECT * FROM (
            SELECT bucket, {RUN_SUMS}, {runtime_columns()}, {USERS} FROM {rows_of("runs", of_agent=False)} AS r
            GROUP BY bucket) AS r
        FULL JOIN (SELECT bucket, max(n) AS peak_runs_per_minute FROM (
                SELECT bucket, date_trunc('minute', started_at), count(*) AS n FROM {rows_of("runs", of_agent=False)} AS r
                GROUP BY 1, 2) AS m GROUP BY 1) AS m USING (bucket)
        FULL JOIN (SELECT bucket, count(*) AS total_errors, sum((error_severity = 'critical')::int) AS critical_errors
            FROM {rows_of("errors", of_agent=False)} AS e GROUP BY 1) AS e USING (bucket)
        FULL JOIN (SELECT bucket, count(*) AS total_feedback, sum(rating) AS sum_feedback_ratings
            FROM {rows_of("feedback", of_agent=False)} AS f GROUP BY 1) AS f USING (bucket)
        FULL JOIN (SELECT bucket, count(*) AS queue_arrivals, analytics.percentile_agg({WAIT}) AS queue_latency_sketch,
                analytics.percentile_agg({TOTAL}) AS total_latency_sketch, {runtime_columns("queue_latency", WAIT)},
                {runtime_columns("total_latency", TOTAL)}
            FROM {rows_of("arrivals", of_agent=False)} AS q GROUP BY 1) AS q USING (bucket)
        FULL JOIN (SELECT bucket, count(*) AS queue_departures FROM {rows_of("departures", of_agent=False)} AS d
            GROUP BY 1) AS d USING (bucket)""",
    steps=[None, "1 minute", "5 minutes", "90 minutes", "1 hour", "6 hours", "1 day"],
    levels={"execution_metrics_minute": "1 minute", "execution_metrics_hourly": "1 hour",
            "execution_metrics_daily": "1 day"},
    per_agent=False,
)  # fmt: skip

AGENT_MODEL_USAGE = Question(
    name="agent_model_usage",
    keys=["agent_id", "model_name", "model_provider", "bucket"],
    columns=["total_calls", "successful_calls", "failed_calls", "finished_calls", "credits_consumed", "tokens_used",
             "prompt_tokens", "completion_tokens", "runtime_sketch"],
    derived=["avg_runtime_seconds", "p95_runtime_seconds"],
    raw=f"""
        SELECT agent_id, CASE WHEN model_name IS NULL THEN 'unknown' ELSE model_name END AS model_name,
            CASE WHEN model_provider IS NULL THEN 'unknown' ELSE model_provider END AS model_provider, bucket,
            count(*) AS total_calls, {status("completed")} AS successful_calls,
            {status("failed", "timeout")} AS failed_calls,
            {status("completed", "failed", "timeout", "cancelled")} AS finished_calls,
            sum(credits_consumed) AS credits_consumed, {ALL_TOKENS} AS tokens_used, sum(prompt_tokens) AS prompt_tokens,
            sum(completion_tokens) AS completion_tokens, analytics.percentile_agg(runtime_seconds) AS runtime_sketch,
            {runtime_columns(points=(95,))}
        FROM {rows_of("runs")} AS r GROUP BY 1, 2, 3, 4""",
    steps=[None, "1 hour", "5 hours", "1 day"],
    levels={"agent_model_usage_hourly": "1 hour", "agent_model_usage": "1 day"},
)  # fmt: skip

USER_USAGE = Question(
    name="user_usage",
    keys=["agent_id", "user_id", "bucket"],
    columns=["total_runs", "successful_runs", "failed_runs", "finished_runs", "runtime_stats", "credits_consumed",
             "tokens_used", "total_ratings", "sum_ratings", "first_run_at", "last_run_at"],
    raw=f"""
        SELECT agent_id, user_id, bucket, count(*) AS total_runs, {status("completed")} AS successful_runs,
            {status("failed")} AS failed_runs, {status("completed", "failed", "timeout", "cancelled")} AS finished_runs,
            analytics.stats_agg(runtime_seconds) AS runtime_stats, sum(credits_consumed) AS credits_consumed,
            {ALL_TOKENS} AS tokens_used, count(user_rating) AS total_ratings, sum(user_rating) AS sum_ratings,
            min(started_at) AS first_run_at, max(started_at) AS last_run_at
        FROM {rows_of("runs", "happened_on")} AS r WHERE user_id IS NOT NULL GROUP BY 1, 2, 3""",
    steps=[None, "1 day", "48 hours"],
    levels={"user_usage_daily": "1 day"},
)  # fmt: skip

ERROR_SUMMARY = Question(
    name="error_summary",
    keys=["agent_id", "error_category", "error_severity", "bucket"],
    columns=["total_errors", "recovered_errors", "recovery_attempts", "affected_users", "recovery_sketch",
             "users_sketch", "first_error_at", "last_error_at"],
    derived=["avg_recovery_seconds"],
    raw=f"""
        SELECT agent_id, error_category, error_severity, bucket, count(*) AS total_errors,
            sum(CASE WHEN auto_recovered THEN 1 ELSE 0 END) AS recovered_errors,
            sum(recovery_attempts) AS recovery_attempts, sum(affected_users) AS affected_users,
            analytics.percentile_agg(recovery_time_seconds) AS recovery_sketch,
            analytics.distinct_agg(user_id) AS users_sketch, min(occurred_at) AS first_error_at,
            max(occurred_at) AS last_error_at, avg(recovery_time_seconds) AS avg_recovery_seconds
        FROM {rows_of("errors")} AS e GROUP BY 1, 2, 3, 4""",
    steps=[None, "1 hour", "6 hours", "1 day"],
    levels={"error_summary_hourly": "1 hour", "error_summary_daily": "1 day"},
)  # fmt: skip

QUESTIONS = [AGENT_PERFORMANCE, EXECUTION_METRICS, AGENT_MODEL_USAGE, USER_USAGE, ERROR_SUMMARY]
ROLLUPS = [question.name for question in QUESTIONS]
TABLES = [table for question in QUESTIONS for table in question.levels]
ALWAYS = {"from": "-infinity", "to": "infinity"}

# list_agents, as it was before there were rollups; percentiles are exact of up to 250 values. As a replica, a server
# registers no agents: they come from where the runs come from.
LISTED = """
    WITH known_agents AS (SELECT workspace_id, agent_id FROM analytics.agents
        UNION ALL SELECT workspace_id, agent_id FROM analytics_internal.agent_discoveries)
    SELECT agent_id, count(*), count(*) FILTER (WHERE status = 'completed'),
           CASE WHEN count(*) <= 250 THEN percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY runtime_seconds) END,
           sum(credits_consumed),
           count(DISTINCT user_id), sum(user_rating)::float8 / nullif(count(user_rating), 0), max(started_at)
    FROM oracle.runs AS r WHERE workspace_id = %s AND (workspace_id, agent_id) IN
        (TABLE known_agents) GROUP BY 1 ORDER BY 1"""
LIST = """
    SELECT agent_id, total_runs, successful_runs,
           CASE WHEN p50_runtime_seconds IS NOT NULL AND total_runs <= 250 THEN ARRAY[p50_runtime_seconds, p95_runtime_seconds] END,
           credits_consumed, unique_users, avg_rating, last_run_at
    FROM analytics.list_agents(%s, 'all') WHERE total_runs > 0 ORDER BY 1"""


# Percentiles of many values are within their sketch's bound; the sketches themselves are compared, too.
BOUND = {True: 0.0101, False: 1e-9}


def same(a, b, is_percentile: bool = False) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=BOUND[is_percentile], abs_tol=1e-9)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def compare(rows: list[tuple], names: list[str], keys: int, what: object) -> int:
    """Rows marked raw against rows marked read; how many there were."""
    sides: dict[str, dict[tuple, tuple]] = {"raw": {}, "read": {}}
    for side, *row in rows:
        key = tuple(row[:keys])
        assert key not in sides[side], (what, f"two rows {side}", key)
        sides[side][key] = tuple(row[keys:])
    raw, read = sides["raw"], sides["read"]
    for key in raw.keys() | read.keys():
        assert key in read, (what, "is missing", key, raw[key])
        assert key in raw, (what, "should not be there", key, read[key])
        for name, expected, actual in zip(names[keys:], raw[key], read[key], strict=True):
            is_percentile = name[:1] == "p" and name[1:3].isdigit()
            assert same(actual, expected, is_percentile), (
                what,
                key,
                name,
                f"{actual!r} instead of {expected!r}",
            )
    return len(raw)


def refresh(connection: psycopg.Connection, most: int = 5000) -> None:
    """Until nothing is left; nothing may fail."""
    for _ in range(10_000):
        rows = connection.execute("SELECT DISTINCT status FROM analytics.refresh(%s)", [most]).fetchall()
        if rows == [("clean",)]:
            return
        assert rows == [("refreshed",)], connection.execute(
            "SELECT * FROM analytics.rollup_status()"
        ).fetchall()
    pytest.fail("there is no end to it")


class Oracle:
    """Compares what is read with the raw rows."""

    def __init__(
        self, workspaces: list[uuid.UUID], rng: random.Random, start: datetime = FIXED_START
    ) -> None:
        self.workspaces = workspaces
        self.rng = rng
        self.start = start
        # Before that, minutes are not what they were.
        self.final: datetime | None = None
        self.compared = 0

    def instant(self) -> str:
        """Of an hour, of a day, or of neither."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.15:
            return rng.choice(["-infinity", "infinity"])
        at = self.start + timedelta(hours=rng.randrange(-4, HOURS + 6))
        if kind < 0.4:
            at = at.replace(hour=0)
        elif kind > 0.7:
            at += timedelta(seconds=rng.randrange(3600), microseconds=rng.choice([0, 0, 1, 999_999]))
        return at.isoformat()

    def window(self) -> dict[str, str]:
        if self.rng.random() < 0.25:
            return dict(ALWAYS)
        start, end = self.instant(), self.instant()
        order = {"-infinity": "", "infinity": "z"}
        if self.rng.random() < 0.95 and order.get(start, start) > order.get(end, end):
            start, end = end, start
        return {"from": start, "to": end}

    def ask(self, connection: psycopg.Connection, question: Question, what: object, **parameters) -> None:
        step = parameters["step"]
        if step is not None and "minute" in step and self.final is not None:
            parameters["from"] = max(parameters["from"].replace("-infinity", ""), self.final.isoformat())
        columns = question.columns
        if self.rng.random() < 0.3:
            columns = self.rng.sample(columns, self.rng.randrange(1, len(columns)))
        rows = connection.execute(question.both(columns), parameters).fetchall()
        names = question.keys + columns
        self.compared += compare(rows, names, len(question.keys), (what, question.name, parameters))
        if question.per_agent and self.rng.random() < 0.3:
            rows = connection.execute(question.of_all_agents(), parameters).fetchall()
            names = [*question.keys[1:], *question.columns, "agents"]
            self.compared += compare(
                rows, names, len(question.keys) - 1, (what, question.name, "all", parameters)
            )

    def check(self, connection: psycopg.Connection, what: object, rollups: int = 2) -> None:
        """One random question to some of the rollups, about one of the workspaces."""
        rng = self.rng
        workspace = rng.choice(self.workspaces)
        window = self.window()
        agent = rng.choice([None, None, None, uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(int=99)])
        for question in rng.sample(QUESTIONS, rollups):
            step = rng.choice(question.steps)
            self.ask(connection, question, what, ws=workspace, agent=agent, step=step, **window)

    def check_all(self, connection: psycopg.Connection, what: object) -> None:
        """Everything of all workspaces by the finest step and as one, and the lists of agents."""
        for workspace in self.workspaces:
            for question in QUESTIONS:
                for step in question.steps[:2]:
                    self.ask(connection, question, what, ws=workspace, agent=None, step=step, **ALWAYS)
            expected = connection.execute(LISTED, [workspace]).fetchall()
            listed = connection.execute(LIST, [workspace]).fetchall()
            missing = [row for row in expected if row not in listed]
            assert listed == expected, (
                what,
                workspace,
                missing,
                [row for row in listed if row not in expected],
            )

    def check_tables(self, connection: psycopg.Connection) -> None:
        """Once all is refreshed, the tables hold what raw rows give, columns for people included."""
        assert connection.execute("SELECT count(*) FROM analytics_internal.rollup_changes").fetchone() == (0,)
        known = [str(workspace) for workspace in self.workspaces]
        for question in QUESTIONS:
            for table, step in question.levels.items():
                bounds = dict(ALWAYS)
                if table.endswith("minute"):
                    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
                    bounds["from"] = max(hour - KEPT_MINUTES, self.final or hour - KEPT_MINUTES).isoformat()
                names = question.keys + question.columns + question.derived
                for workspace in self.workspaces:
                    parameters = {"ws": workspace, "agent": None, "step": step, **bounds}
                    rows = connection.execute(question.stored(table), parameters).fetchall()
                    self.compared += compare(rows, names, len(question.keys), ("stored", table))
                others = f"SELECT count(*) FROM analytics.{table} WHERE workspace_id <> ALL (%s::uuid[])"
                assert connection.execute(others, [known]).fetchone() == (0,), table

    def check_views(self, connection: psycopg.Connection) -> None:
        """Once all is refreshed, the materialized views are what the raw rows of each day give."""
        for name, query in VIEWS.items():
            for workspace in self.workspaces:
                expected = connection.execute(query, {"ws": workspace}).fetchall()
                columns = ", ".join(VIEW_COLUMNS[name])
                read = f"SELECT {columns} FROM analytics.{name} WHERE workspace_id = %s ORDER BY 1, 2, 3, 4"
                actual = connection.execute(read, [workspace]).fetchall()
                assert len(actual) == len(expected), (name, actual, expected)
                for row, wanted in zip(actual, expected, strict=True):
                    assert same(list(row), list(wanted)), (name, row, wanted)


FINISHED = "nullif(sum((status NOT IN ('queued', 'running'))::int), 0)"
VIEW_COLUMNS = {
    "agent_analytics_summary": ["agent_id", "day", "total_runs", "total_errors", "total_feedback", "success_rate",
                                "p99_runtime_seconds", "credits_per_run", "unique_users", "avg_rating"],
    "workspace_daily_summary": ["day", "total_runs", "total_errors", "critical_errors", "active_agents", "active_users",
                                "p95_queue_latency_seconds", "success_rate"],
    "error_daily_summary": ["day", "error_category", "error_severity", "total_errors", "recovery_rate",
                            "avg_recovery_seconds", "affected_users", "affected_agents"],
    "top_agents": ["month", "runs_rank", "agent_id", "total_runs", "success_rate", "credits_consumed", "active_days"],
}  # fmt: skip


def day(time: str) -> str:
    return f"date_trunc('day', {time}, 'UTC') AS day"


VIEWS = {
    "agent_analytics_summary": f"""
        SELECT agent_id, day, coalesce(n, 0), coalesce(errors, 0), coalesce(feedback, 0), rate, p99, credits,
            coalesce(users, 0), rating
        FROM (SELECT agent_id, {day("happened_at")}, count(*) AS n,
                sum((status = 'completed')::int)::float8 / {FINISHED} AS rate,
                percentile_cont(0.99) WITHIN GROUP (ORDER BY runtime_seconds) AS p99, avg(credits_consumed) AS credits,
                count(DISTINCT user_id) AS users, avg(user_rating)::float8 AS rating
            FROM oracle.runs WHERE workspace_id = %(ws)s GROUP BY 1, 2) AS r
        FULL JOIN (SELECT agent_id, {day("happened_at")}, count(*) AS errors FROM oracle.errors
            WHERE workspace_id = %(ws)s GROUP BY 1, 2) AS e USING (agent_id, day)
        FULL JOIN (SELECT agent_id, {day("happened_at")}, count(*) AS feedback FROM oracle.feedback
            WHERE workspace_id = %(ws)s GROUP BY 1, 2) AS f USING (agent_id, day)
        ORDER BY 1, 2, 3, 4""",
    "workspace_daily_summary": f"""
        SELECT day, coalesce(n, 0), coalesce(errors, 0), coalesce(critical, 0), coalesce(agents, 0), coalesce(users, 0),
            p95, rate
        FROM (SELECT {day("happened_at")}, count(*) AS n, count(DISTINCT agent_id) AS agents,
                count(DISTINCT user_id) AS users, sum((status = 'completed')::int)::float8 / {FINISHED} AS rate
            FROM oracle.runs WHERE workspace_id = %(ws)s GROUP BY 1) AS r
        FULL JOIN (SELECT {day("happened_at")}, count(*) AS errors, sum((error_severity = 'critical')::int) AS critical
            FROM oracle.errors WHERE workspace_id = %(ws)s GROUP BY 1) AS e USING (day)
        FULL JOIN (SELECT {day("happened_at")} FROM oracle.feedback WHERE workspace_id = %(ws)s GROUP BY 1) AS f USING (day)
        FULL JOIN (SELECT {day("happened_at")}, percentile_cont(0.95) WITHIN GROUP (ORDER BY {WAIT}) AS p95
            FROM oracle.arrivals WHERE workspace_id = %(ws)s GROUP BY 1) AS q USING (day)
        FULL JOIN (SELECT {day("happened_at")} FROM oracle.departures WHERE workspace_id = %(ws)s GROUP BY 1) AS d USING (day)
        ORDER BY 1, 2, 3, 4""",
    "error_daily_summary": f"""
        SELECT {day("happened_at")}, error_category, error_severity, count(*), avg(auto_recovered::int)::float8,
            avg(recovery_time_seconds), count(DISTINCT user_id), count(DISTINCT agent_id)
        FROM oracle.errors WHERE workspace_id = %(ws)s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3, 4""",
    "top_agents": f"""
        SELECT date_trunc('month', happened_at, 'UTC'),
            rank() OVER (PARTITION BY date_trunc('month', happened_at, 'UTC') ORDER BY count(*) DESC), agent_id, count(*),
            sum((status = 'completed')::int)::float8 / {FINISHED}, sum(credits_consumed),
            count(DISTINCT date_trunc('day', happened_at, 'UTC'))
        FROM oracle.runs WHERE workspace_id = %(ws)s GROUP BY date_trunc('month', happened_at, 'UTC'), agent_id
        ORDER BY 1, 2, 3, 4""",
}


# ------------------------------------------------------------------------------------------------------ the actor

# Raw table, its copies, the time that counts.
RETAINED = {
    "agent_runs": [("runs_kept", "started_at")],
    "agent_errors": [("errors_kept", "occurred_at")],
    "agent_user_feedback": [("feedback_kept", "created_at")],
    "execution_queue": [
        ("arrivals_kept", "queued_at"),
        ("departures_kept", "coalesce(started_at, completed_at)"),
    ],
}

CATEGORIES = ["timeout", "network", "unknown"]
SEVERITIES = ["low", "critical"]

REFUSED = (
    errors.IntegrityError, errors.UndefinedTable, errors.ObjectNotInPrerequisiteState, errors.DuplicateTable,
    errors.InvalidObjectDefinition, errors.FeatureNotSupported, errors.CheckViolation,
)  # fmt: skip


class Actor:
    """Does random things to the raw tables."""

    def __init__(self, connection: psycopg.Connection, rng: random.Random, oracle: Oracle) -> None:
        self.connection = connection
        self.rng = rng
        self.oracle = oracle
        self.workspaces = oracle.workspaces
        self.start = oracle.start
        self.agents = [uuid.UUID(int=number) for number in (1, 2, 3)]
        self.users = [uuid.UUID(int=number) for number in range(100, 105)]
        self.hour_long_before = oracle.start.replace(day=2, hour=0) - timedelta(days=75)

    def execute(self, query: str, parameters=None) -> psycopg.Cursor:
        return self.connection.execute(query, parameters)

    def time(self) -> datetime:
        rng = self.rng
        if rng.random() < 0.1:  # late, into the default partition or the month that was made for it
            return self.hour_long_before + timedelta(hours=rng.randrange(50), minutes=1)
        return self.start + timedelta(hours=rng.randrange(HOURS), seconds=rng.randrange(3600))

    def row(self) -> tuple:
        rng = self.rng
        status = rng.choice(["completed", "completed", "failed", "timeout", "cancelled", "running", "queued"])
        runtime = rng.choice([0.5, 1.25, 3.75, 0.0]) if status == "completed" else rng.choice([None, 2.5])
        return (
            rng.choice(self.workspaces), uuid.UUID(int=rng.randrange(10_000, 10_300)), rng.choice(self.agents),
            rng.choice([None, *self.users]), status, self.time(), runtime, rng.randrange(5), rng.choice([None, 70]),
            rng.choice([None, 30]), rng.choice([None, 10]), rng.choice([None, 4]), rng.choice([None, 1, 5]),
            rng.choice([None, "unknown", "small", "large"]), rng.choice([None, "here", "there"]),
        )  # fmt: skip

    FIELDS = (
        "workspace_id, run_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed, tokens_used,"
        " prompt_tokens, completion_tokens, concurrent_runs, user_rating, model_name, model_provider"
    )
    INSERT = f"INSERT INTO analytics.agent_runs ({FIELDS}) VALUES ({', '.join(['%s'] * 15)})"

    def insert(self) -> None:
        self.execute(f"{self.INSERT} ON CONFLICT DO NOTHING", self.row())

    def upsert(self) -> None:
        self.execute(
            f"{self.INSERT} ON CONFLICT (workspace_id, run_id, started_at)"
            " DO UPDATE SET status = 'failed', agent_id = excluded.agent_id, user_id = excluded.user_id",
            self.row(),
        )

    def bulk(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(f"{self.INSERT} ON CONFLICT DO NOTHING", [self.row() for _ in range(20)])

    def copy(self) -> None:
        fields = self.FIELDS.replace("run_id, ", "")
        with (
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY analytics.agent_runs ({fields}) FROM STDIN") as rows,
        ):
            for _ in range(20):
                row = self.row()
                rows.write_row((row[0], *row[2:]))

    def some(self, table: str) -> str:
        """A condition that some rows fulfil."""
        return f"ctid IN (SELECT ctid FROM {table} ORDER BY md5({self.rng.randrange(9999)}::text || ctid::text) LIMIT 3)"

    def runs(self) -> str:
        """Rows by key: a ctid is unique within a partition only."""
        return (
            "(workspace_id, run_id, started_at) IN (SELECT workspace_id, run_id, started_at FROM analytics.agent_runs"
            f" ORDER BY md5({self.rng.randrange(9999)}::text || run_id::text) LIMIT 3)"
        )

    def update(self) -> None:
        changes = [
            ("status = 'cancelled', credits_consumed = 7", ()),
            ("agent_id = %s", (self.rng.choice(self.agents),)),
            ("user_id = %s", (self.rng.choice([None, *self.users]),)),
            ("model_name = %s, model_provider = 'moved'", (self.rng.choice([None, "large"]),)),
            ("workspace_id = %s, run_id = gen_random_uuid()", (self.rng.choice(self.workspaces),)),
            ("started_at = started_at + interval '7 hours'", ()),
            ("started_at = started_at + interval '1 minute'", ()),
            ("started_at = %s, run_id = gen_random_uuid()", (self.time(),)),
            ("metadata = '{}'", ()),
        ]
        change, parameters = self.rng.choice(changes)
        self.execute(f"UPDATE analytics.agent_runs SET {change} WHERE {self.runs()}", parameters)

    def delete(self) -> None:
        self.execute(f"DELETE FROM analytics.agent_runs WHERE {self.runs()}")

    def error(self) -> None:
        rng = self.rng
        self.execute(
            "INSERT INTO analytics.agent_errors (workspace_id, agent_id, user_id, error_type, error_category,"
            " error_severity, auto_recovered, recovery_attempts, recovery_time_seconds, affected_users, occurred_at)"
            " VALUES (%s, %s, %s, 'E', %s, %s, %s, %s, %s, %s, %s)",
            [rng.choice(self.workspaces), rng.choice(self.agents), rng.choice([None, *self.users]),
             rng.choice(CATEGORIES), rng.choice(SEVERITIES), rng.random() < 0.5, rng.randrange(3),
             rng.choice([None, 0.5, 4.0]), rng.randrange(4), self.time()],
        )  # fmt: skip

    def error_of_run(self) -> None:
        self.execute(
            "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at, agent_run_id, run_started_at)"
            " SELECT workspace_id, agent_id, 'E', started_at, run_id, started_at FROM analytics.agent_runs LIMIT 2"
        )

    def feedback(self) -> None:
        self.execute(
            "INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at) VALUES (%s, %s, %s, %s)",
            [self.rng.choice(self.workspaces), self.rng.choice(self.agents), self.rng.choice([1, 3]), self.time()],
        )  # fmt: skip

    def change_others(self) -> None:
        rng = self.rng
        name, time = rng.choice([("agent_errors", "occurred_at"), ("agent_user_feedback", "created_at")])
        table = f"analytics.{name}"
        changes = [f"{time} = {time} + interval '90 minutes'", f"agent_id = '{rng.choice(self.agents)}'"]
        if name == "agent_errors":
            changes += [
                f"error_category = '{rng.choice(CATEGORIES)}', error_severity = '{rng.choice(SEVERITIES)}'",
                "auto_recovered = NOT auto_recovered, recovery_time_seconds = 2.0",
            ]
        else:
            changes.append("rating = 6 - rating")
        if rng.random() < 0.4:
            self.execute(f"DELETE FROM {table} WHERE {self.some(table)}")
        else:
            self.execute(f"UPDATE {table} SET {rng.choice(changes)} WHERE {self.some(table)}")

    def enqueue(self) -> None:
        rng = self.rng
        at = self.time()
        started = at + timedelta(minutes=rng.randrange(200)) if rng.random() < 0.4 else None
        completed = (started or at) + timedelta(seconds=rng.randrange(9000)) if rng.random() < 0.3 else None
        status = "completed" if completed else "processing" if started else "queued"
        self.execute(
            "INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, queued_at, started_at, completed_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [rng.choice(self.workspaces), rng.choice(self.agents), status, at, started, completed],
        )

    def change_queue(self) -> None:
        """Taken from the queue, done, given up without a start, put back, moved, gone."""
        rng = self.rng
        table = "analytics.execution_queue"
        seconds = rng.randrange(20_000)
        wait = f"interval '{seconds} seconds'"
        changes = [
            (
                f"status = 'processing', started_at = queued_at + {wait}",
                "started_at IS NULL AND completed_at IS NULL",
            ),
            (f"status = 'completed', completed_at = started_at + {wait}", "started_at IS NOT NULL"),
            (f"status = 'cancelled', completed_at = queued_at + {wait}", "started_at IS NULL"),
            ("status = 'queued', started_at = NULL, completed_at = NULL", "true"),
            ("queued_at = queued_at - interval '1 hour'", "true"),
            (f"workspace_id = '{rng.choice(self.workspaces)}'", "true"),
            ("priority = priority + 1", "true"),
        ]
        change, condition = rng.choice(changes)
        if rng.random() < 0.2:
            self.execute(f"DELETE FROM {table} WHERE {self.some(table)}")
        else:
            self.execute(f"UPDATE {table} SET {change} WHERE {condition} AND {self.some(table)}")

    def truncate(self) -> None:
        table = self.rng.choice(["agent_runs", "agent_errors", "agent_user_feedback", "execution_queue"])
        self.execute(f"TRUNCATE analytics.{table} CASCADE")

    def truncate_partition(self) -> None:
        self.execute(f"TRUNCATE {self.rng.choice(self.partitions())} CASCADE")

    def partitions(self) -> list[str]:
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'analytics.agent_runs'::regclass ORDER BY 1"
        return [name for (name,) in self.execute(query)]

    def months(self) -> list[datetime]:
        """The months that the rows are of, but for late ones."""
        first = self.start.replace(day=1, hour=0)
        return sorted(
            {first, (self.start + HOURS * HOUR).replace(day=1, hour=0, minute=0, second=0, microsecond=0)}
        )

    def into_partition(self) -> None:
        """Past the partitioned table."""
        self.execute(
            f"INSERT INTO analytics.agent_runs_y{self.start:%Ym%m} (workspace_id, agent_id, status, started_at)"
            " VALUES (%s, %s, 'running', %s)",
            [self.rng.choice(self.workspaces), self.agents[0], self.start + HOUR],
        )

    def as_replica(self) -> None:
        """As logical replication applies changes."""
        self.execute("SET session_replication_role = replica")
        try:
            self.insert()
            self.enqueue()
            self.delete()
        finally:
            with contextlib.suppress(errors.InFailedSqlTransaction):
                self.execute("SET session_replication_role = DEFAULT")

    def detach(self) -> None:
        """And perhaps attach again, perhaps changed while it was away."""
        month = self.rng.choice(self.months())
        table = f"analytics.agent_runs_y{month:%Ym%m}"
        if table in self.partitions():
            self.execute(f"ALTER TABLE analytics.agent_runs DETACH PARTITION {table}")
        if self.rng.random() < 0.7:
            if self.rng.random() < 0.5:
                self.execute(f"DELETE FROM {table} WHERE {self.some(table)}")
            end = (month + timedelta(days=32)).replace(day=1)
            self.execute(
                f"ALTER TABLE analytics.agent_runs ATTACH PARTITION {table} FOR VALUES FROM ('{month}') TO ('{end}')"
            )

    def savepoint(self) -> None:
        with contextlib.suppress(ZeroDivisionError), self.connection.transaction():
            self.insert()
            with contextlib.suppress(ZeroDivisionError), self.connection.transaction():
                self.bulk()
                if self.rng.random() < 0.6:
                    raise ZeroDivisionError
            self.enqueue()
            self.insert()
            if self.rng.random() < 0.3:
                raise ZeroDivisionError

    def forget_workspace(self) -> None:
        workspace = self.workspaces[-1]
        self.execute("DELETE FROM analytics.workspaces WHERE workspace_id = %s", [workspace])
        # What is below the floor goes with it.
        for copies in RETAINED.values():
            for kept, _ in copies:
                self.execute(f"DELETE FROM oracle.{kept} WHERE workspace_id = %s", [workspace])
        self.execute(
            "INSERT INTO analytics.workspaces (workspace_id, name) VALUES (%s, 'again')", [workspace]
        )

    def refresh_some(self) -> None:
        self.execute("SELECT * FROM analytics.refresh(%s)", [self.rng.choice([1, 3, 20])])

    def refresh_everything(self) -> None:
        refresh(self.connection, self.rng.choice([20, 5000, 5000]))

    def rebuild(self) -> None:
        name = self.rng.choice(ROLLUPS)
        start, end = self.oracle.window().values()
        self.execute("SELECT analytics.rebuild_rollup(%s, %s, %s)", [name, start, end])

    def refresh_views(self) -> None:
        self.execute("SELECT * FROM analytics.refresh_materialized_views()")

    def ensure_partitions(self) -> None:
        self.execute("SELECT * FROM analytics.ensure_partitions()")

    def set_retention(self) -> None:
        table = self.rng.choice(list(RETAINED))
        keep = self.rng.choice(["80 days", "3 days", "2 days", "1 day", None])
        self.execute("SELECT analytics.set_retention(%s, %s)", [table, keep])

    def clean_up(self) -> None:
        """Not within a transaction. What goes is copied first."""
        floors = "SELECT t, oracle.final(t) FROM unnest(%s::text[]) AS t"
        infinite = datetime.min.replace(tzinfo=UTC)
        names = list(RETAINED)

        def finals() -> dict[str, datetime]:
            rows = self.execute(
                "SELECT t, nullif(f, '-infinity') FROM ("
                + floors.replace("oracle.final(t)", "oracle.final(t) AS f")
                + ") AS q",
                [names],
            ).fetchall()
            return {name: final or infinite for name, final in rows}

        before = finals()
        for name in names:
            self.execute(f"CREATE TEMP TABLE copy_of_{name} AS SELECT * FROM analytics.{name}")
        self.execute("CALL analytics.cleanup_old_data()")
        after = finals()
        for name, copies in RETAINED.items():
            for kept, time in copies:
                self.execute(
                    f"INSERT INTO oracle.{kept} SELECT * FROM copy_of_{name} WHERE {time} >= %s AND {time} < %s",
                    [before[name].isoformat() if before[name] != infinite else "-infinity", after[name]],
                )
            self.execute(f"DROP TABLE copy_of_{name}")
            gone = (
                copies[0][1]
                if name != "execution_queue"
                else "greatest(queued_at, coalesce(started_at, completed_at, 'infinity'))"
            )
            left = self.execute(f"SELECT count(*) FROM analytics.{name} WHERE {gone} < %s", [after[name]])
            assert left.fetchone() == (0,), name
        finite = [final for final in after.values() if final != infinite]
        self.oracle.final = max(finite, default=None)

    USUAL = (
        "insert", "upsert", "bulk", "copy", "update", "update", "delete", "error", "error_of_run", "feedback",
        "change_others", "enqueue", "enqueue", "change_queue", "change_queue", "savepoint", "refresh_some",
        "refresh_some", "refresh_everything",
    )  # fmt: skip
    RARE = ("truncate", "truncate_partition", "into_partition", "as_replica", "detach", "forget_workspace",
            "ensure_partitions", "rebuild", "refresh_views")  # fmt: skip

    def do(self, name: str | None = None) -> str:
        """One of them; what the database refuses, such as to detach a partition that is referenced, is left."""
        name = name or self.rng.choice(self.USUAL if self.rng.random() < 0.85 else self.RARE)
        try:
            with self.connection.transaction():
                getattr(self, name)()
        except REFUSED as refusal:
            name = f"{name}: {refusal}"
        return name


def recent_start() -> datetime:
    """So that minutes are kept of some of the hours, and some lie ahead."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - (HOURS - 3) * HOUR


def prepare(database: Database, start: datetime = FIXED_START) -> list[uuid.UUID]:
    """Two workspaces, the months from start on, and the oracle's views."""
    database.execute("SELECT * FROM analytics.ensure_partitions(since => %s)", [start])
    database.execute(SCHEMA)
    return [database.workspace(f"w{number}") for number in range(2)]
