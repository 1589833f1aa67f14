"""Rollups are never wrong: whatever was written, and whether or not a refresh has run, each read equals the same
question asked of the raw rows.

The oracle (``test_oracle``) does random things, seeded, and asks after each of them. More of it:
``SHADOWER_ORACLE_SEEDS=100 make test-e2e ARGS='-k oracle'``.
"""

import contextlib
import os
import random
import threading
import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from conftest import Database, wait_until
from psycopg import errors

SEEDS = int(os.environ.get("SHADOWER_ORACLE_SEEDS", "6"))
STEPS = int(os.environ.get("SHADOWER_ORACLE_STEPS", "60"))

START = datetime(2026, 3, 30, 0, tzinfo=UTC)  # the days after it lie in two months
HOURS = 60

COLUMNS = [
    "total_runs", "successful_runs", "failed_runs", "timeout_runs", "cancelled_runs", "running_runs", "queued_runs",
    "runtime_sketch", "credits_consumed", "tokens_used", "prompt_tokens", "completion_tokens", "users_sketch",
    "total_ratings", "sum_ratings", "first_run_at", "last_run_at", "concurrency_count", "sum_concurrent_runs",
    "max_concurrent_runs", "total_errors", "total_feedback", "sum_feedback_ratings",
]  # fmt: skip

# The question, asked of the raw rows: one row per agent and bucket that has anything.
RAW = """
    WITH runs AS (
        SELECT agent_id, {run_bucket} AS bucket, count(*) AS total_runs,
            sum((status = 'completed')::int) AS successful_runs, sum((status = 'failed')::int) AS failed_runs,
            sum((status = 'timeout')::int) AS timeout_runs, sum((status = 'cancelled')::int) AS cancelled_runs,
            sum((status = 'running')::int) AS running_runs, sum((status = 'queued')::int) AS queued_runs,
            analytics.percentile_agg(runtime_seconds)::text AS runtime_sketch,
            sum(credits_consumed) AS credits_consumed,
            sum(CASE WHEN tokens_used IS NULL THEN prompt_tokens + completion_tokens ELSE tokens_used END) AS tokens_used,
            sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
            analytics.distinct_agg(user_id)::text AS users_sketch,
            count(user_rating) AS total_ratings, sum(user_rating) AS sum_ratings,
            min(started_at) AS first_run_at, max(started_at) AS last_run_at,
            count(concurrent_runs) AS concurrency_count, sum(concurrent_runs) AS sum_concurrent_runs,
            max(concurrent_runs) AS max_concurrent_runs
        FROM analytics.agent_runs WHERE workspace_id = %(ws)s AND started_at >= %(from)s AND started_at < %(to)s
        GROUP BY 1, 2
    ), problems AS (
        SELECT agent_id, {error_bucket} AS bucket, count(*) AS total_errors
        FROM analytics.agent_errors WHERE workspace_id = %(ws)s AND occurred_at >= %(from)s AND occurred_at < %(to)s
        GROUP BY 1, 2
    ), opinions AS (
        SELECT agent_id, {feedback_bucket} AS bucket, count(*) AS total_feedback, sum(rating) AS sum_feedback_ratings
        FROM analytics.agent_user_feedback
        WHERE workspace_id = %(ws)s AND created_at >= %(from)s AND created_at < %(to)s
        GROUP BY 1, 2
    ), keys AS (
        SELECT agent_id, bucket FROM runs UNION SELECT agent_id, bucket FROM problems
        UNION SELECT agent_id, bucket FROM opinions
    )
    SELECT k.agent_id, k.bucket, {columns}
    FROM keys AS k
    LEFT JOIN runs AS r ON r.agent_id = k.agent_id AND r.bucket IS NOT DISTINCT FROM k.bucket
    LEFT JOIN problems AS e ON e.agent_id = k.agent_id AND e.bucket IS NOT DISTINCT FROM k.bucket
    LEFT JOIN opinions AS f ON f.agent_id = k.agent_id AND f.bucket IS NOT DISTINCT FROM k.bucket
    ORDER BY 1, 2"""

NULLABLE = {"runtime_sketch", "users_sketch", "first_run_at", "last_run_at", "max_concurrent_runs"}


def raw_query(step: str | None) -> str:
    def bucket(column: str) -> str:
        return f"date_bin('{step}', {column}, timestamptz 'epoch')" if step else "NULL::timestamptz"

    return RAW.format(
        run_bucket=bucket("started_at"),
        error_bucket=bucket("occurred_at"),
        feedback_bucket=bucket("created_at"),
        columns=", ".join(name if name in NULLABLE else f"coalesce({name}, 0)" for name in COLUMNS),
    )


READ = "SELECT agent_id, bucket, {} FROM analytics_internal.agent_performance_buckets(%(ws)s, NULL, %(from)s, %(to)s, %(step)s) ORDER BY 1, 2".format(
    ", ".join(f"{name}::text" if name.endswith("sketch") else name for name in COLUMNS)
)
ROLLED = "SELECT agent_id, bucket, {} FROM analytics.agent_performance_{{}} WHERE workspace_id = %(ws)s ORDER BY 1, 2".format(
    ", ".join(f"{name}::text" if name.endswith("sketch") else name for name in COLUMNS)
)

# list_agents, as it was before there were rollups.
LISTED = """
    SELECT agent_id, count(*), count(*) FILTER (WHERE status = 'completed'),
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY runtime_seconds), sum(credits_consumed),
           count(DISTINCT user_id), sum(user_rating)::float8 / nullif(count(user_rating), 0), max(started_at)
    FROM analytics.agent_runs WHERE workspace_id = %s GROUP BY 1 ORDER BY 1"""
LIST = """
    SELECT agent_id, total_runs, successful_runs,
           CASE WHEN p50_runtime_seconds IS NOT NULL THEN ARRAY[p50_runtime_seconds, p95_runtime_seconds] END,
           credits_consumed, unique_users, avg_rating, last_run_at
    FROM analytics.list_agents(%s, 'all') WHERE total_runs > 0 ORDER BY 1"""

ALWAYS = {"from": "-infinity", "to": "infinity"}


def refresh(connection: psycopg.Connection, most: int = 5000) -> None:
    """Until nothing is left."""
    for _ in range(10_000):
        rows = connection.execute("SELECT DISTINCT status FROM analytics.refresh(%s)", [most]).fetchall()
        if rows == [("clean",)]:
            return
    pytest.fail("there is no end to it")


def check(connection: psycopg.Connection, workspaces: list[uuid.UUID], rng: random.Random, what: str) -> None:
    """What is read equals the raw question: everything by hour and as one, and some other window and step."""
    start = rng.randrange(-3, HOURS)
    window = {
        "from": START + timedelta(hours=start),
        "to": START + timedelta(hours=start + rng.choice([1, 5, 24, 29, 48, 60])),
    }
    questions = [
        (ALWAYS, "1 hour"),
        (ALWAYS, None),
        (window, rng.choice([None, "1 hour", "6 hours", "1 day", "24 hours", "48 hours"])),
    ]
    for workspace in workspaces:
        for bounds, step in questions:
            parameters = {"ws": workspace, **bounds}
            expected = connection.execute(raw_query(step), parameters).fetchall()
            actual = connection.execute(READ, {**parameters, "step": step}).fetchall()
            assert actual == expected, (what, workspace, bounds, step)
        expected = connection.execute(LISTED, [workspace]).fetchall()
        assert connection.execute(LIST, [workspace]).fetchall() == expected, what


def check_tables(connection: psycopg.Connection, workspaces: list[uuid.UUID]) -> None:
    """Once all is refreshed, the tables hold what raw rows give."""
    assert connection.execute("SELECT count(*) FROM analytics_internal.rollup_changes").fetchone() == (0,)
    for workspace in workspaces:
        parameters = {"ws": workspace, **ALWAYS}
        for table, step in (("hourly", "1 hour"), ("daily", "1 day")):
            expected = connection.execute(raw_query(step), parameters).fetchall()
            assert connection.execute(ROLLED.format(table), parameters).fetchall() == expected, table
    known = [str(workspace) for workspace in workspaces]
    for table in ("hourly", "daily"):
        query = (
            f"SELECT count(*) FROM analytics.agent_performance_{table} WHERE workspace_id <> ALL (%s::uuid[])"
        )
        assert connection.execute(query, [known]).fetchone() == (0,)


class Actor:
    """Does random things to the raw tables."""

    def __init__(
        self, connection: psycopg.Connection, rng: random.Random, workspaces: list[uuid.UUID]
    ) -> None:
        self.connection = connection
        self.rng = rng
        self.workspaces = workspaces
        self.agents = [uuid.UUID(int=number) for number in (1, 2, 3)]
        self.users = [uuid.UUID(int=number) for number in range(100, 105)]

    def execute(self, query: str, parameters=None) -> psycopg.Cursor:
        return self.connection.execute(query, parameters)

    def time(self) -> datetime:
        if self.rng.random() < 0.1:  # late, into the default partition
            return datetime(2019, 5, 1, tzinfo=UTC) + timedelta(hours=self.rng.randrange(50), minutes=1)
        return START + timedelta(hours=self.rng.randrange(HOURS), seconds=self.rng.randrange(3600))

    def row(self) -> tuple:
        rng = self.rng
        status = rng.choice(["completed", "completed", "failed", "timeout", "cancelled", "running", "queued"])
        runtime = rng.choice([0.5, 1.25, 3.75, 0.0]) if status == "completed" else rng.choice([None, 2.5])
        return (
            rng.choice(self.workspaces), uuid.UUID(int=rng.randrange(10_000, 10_300)), rng.choice(self.agents),
            rng.choice([None, *self.users]), status, self.time(), runtime, rng.randrange(5), rng.choice([None, 70]),
            rng.choice([None, 30]), rng.choice([None, 10]), rng.choice([None, 4]), rng.choice([None, 1, 5]),
        )  # fmt: skip

    FIELDS = (
        "workspace_id, run_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed, tokens_used,"
        " prompt_tokens, completion_tokens, concurrent_runs, user_rating"
    )
    INSERT = f"INSERT INTO analytics.agent_runs ({FIELDS}) VALUES ({', '.join(['%s'] * 13)})"

    def insert(self) -> None:
        self.execute(f"{self.INSERT} ON CONFLICT DO NOTHING", self.row())

    def upsert(self) -> None:
        self.execute(
            f"{self.INSERT} ON CONFLICT (workspace_id, run_id, started_at)"
            " DO UPDATE SET status = 'failed', agent_id = excluded.agent_id",
            self.row(),
        )

    def bulk(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(f"{self.INSERT} ON CONFLICT DO NOTHING", [self.row() for _ in range(30)])

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
            ("workspace_id = %s, run_id = gen_random_uuid()", (self.rng.choice(self.workspaces),)),
            ("started_at = started_at + interval '7 hours'", ()),
            ("started_at = %s, run_id = gen_random_uuid()", (self.time(),)),
            ("metadata = '{}'", ()),
        ]
        change, parameters = self.rng.choice(changes)
        self.execute(f"UPDATE analytics.agent_runs SET {change} WHERE {self.runs()}", parameters)

    def delete(self) -> None:
        self.execute(f"DELETE FROM analytics.agent_runs WHERE {self.runs()}")

    def error(self) -> None:
        self.execute(
            "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at) VALUES (%s, %s, 'E', %s)",
            [self.rng.choice(self.workspaces), self.rng.choice(self.agents), self.time()],
        )

    def error_of_run(self) -> None:
        self.execute(
            "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at, agent_run_id, run_started_at)"
            " SELECT workspace_id, agent_id, 'E', started_at, run_id, started_at FROM analytics.agent_runs LIMIT 2"
        )

    def feedback(self) -> None:
        self.execute(
            "INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at) VALUES (%s, %s, %s, %s)",
            [
                self.rng.choice(self.workspaces),
                self.rng.choice(self.agents),
                self.rng.choice([1, 3]),
                self.time(),
            ],
        )

    def change_others(self) -> None:
        table, time = self.rng.choice(
            [("agent_errors", "occurred_at"), ("agent_user_feedback", "created_at")]
        )
        table = f"analytics.{table}"
        if self.rng.random() < 0.5:
            self.execute(f"DELETE FROM {table} WHERE {self.some(table)}")
        else:
            self.execute(
                f"UPDATE {table} SET {time} = {time} + interval '90 minutes' WHERE {self.some(table)}"
            )

    def truncate(self) -> None:
        self.execute(f"TRUNCATE analytics.{self.rng.choice(['agent_runs', 'agent_errors'])} CASCADE")

    def truncate_partition(self) -> None:
        self.execute(f"TRUNCATE {self.rng.choice(self.partitions())} CASCADE")

    def partitions(self) -> list[str]:
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'analytics.agent_runs'::regclass ORDER BY 1"
        return [name for (name,) in self.execute(query)]

    def into_partition(self) -> None:
        """Past the partitioned table."""
        self.execute(
            "INSERT INTO analytics.agent_runs_y2026m03 (workspace_id, agent_id, status, started_at) VALUES (%s, %s, 'running', %s)",
            [self.rng.choice(self.workspaces), self.agents[0], START + timedelta(hours=1)],
        )

    def as_replica(self) -> None:
        """As logical replication applies changes."""
        self.execute("SET session_replication_role = replica")
        try:
            self.insert()
            self.delete()
        finally:
            self.execute("SET session_replication_role = DEFAULT")

    def detach(self) -> None:
        """And perhaps attach again, perhaps changed while it was away."""
        name, bounds = self.rng.choice(
            [("agent_runs_y2026m03", "FROM ('2026-03-01 00:00+00') TO ('2026-04-01 00:00+00')"),
             ("agent_runs_y2026m04", "FROM ('2026-04-01 00:00+00') TO ('2026-05-01 00:00+00')")]
        )  # fmt: skip
        table = f"analytics.{name}"
        if table in self.partitions():
            self.execute(f"ALTER TABLE analytics.agent_runs DETACH PARTITION {table}")
        if self.rng.random() < 0.7:
            if self.rng.random() < 0.5:
                self.execute(f"DELETE FROM {table} WHERE {self.some(table)}")
            self.execute(f"ALTER TABLE analytics.agent_runs ATTACH PARTITION {table} FOR VALUES {bounds}")

    def savepoint(self) -> None:
        with contextlib.suppress(ZeroDivisionError), self.connection.transaction():
            self.insert()
            with contextlib.suppress(ZeroDivisionError), self.connection.transaction():
                self.bulk()
                if self.rng.random() < 0.6:
                    raise ZeroDivisionError
            self.insert()
            if self.rng.random() < 0.3:
                raise ZeroDivisionError

    def forget_workspace(self) -> None:
        self.execute("DELETE FROM analytics.workspaces WHERE workspace_id = %s", [self.workspaces[-1]])
        self.execute(
            "INSERT INTO analytics.workspaces (workspace_id, name) VALUES (%s, 'again')",
            [self.workspaces[-1]],
        )

    def refresh_some(self) -> None:
        self.execute("SELECT * FROM analytics.refresh(%s)", [self.rng.choice([1, 3, 20])])

    def refresh_everything(self) -> None:
        refresh(self.connection, self.rng.choice([7, 5000]))

    def ensure_partitions(self) -> None:
        self.execute("SELECT * FROM analytics.ensure_partitions()")

    def do(self) -> str:
        """One of them; what the database refuses, such as to detach a partition that is referenced, is left."""
        usual = ["insert", "upsert", "bulk", "copy", "update", "update", "delete", "error", "error_of_run", "feedback",
                 "change_others", "savepoint", "refresh_some", "refresh_some", "refresh_everything"]  # fmt: skip
        rare = ["truncate", "truncate_partition", "into_partition", "as_replica", "detach", "forget_workspace",
                "ensure_partitions"]  # fmt: skip
        name = self.rng.choice(usual if self.rng.random() < 0.8 else rare)
        refused = (
            errors.IntegrityError, errors.UndefinedTable, errors.ObjectNotInPrerequisiteState, errors.DuplicateTable,
            errors.InvalidObjectDefinition, errors.FeatureNotSupported, errors.CheckViolation,
        )  # fmt: skip
        try:
            with self.connection.transaction():
                getattr(self, name)()
        except refused as refusal:
            name = f"{name}: {refusal}"
        return name


def prepare(database: Database) -> list[uuid.UUID]:
    database.execute("SELECT * FROM analytics.ensure_partitions(since => '2026-03-01')")
    return [database.workspace(f"w{number}") for number in range(2)]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_oracle(db, seed):
    rng = random.Random(seed)
    workspaces = prepare(db)
    connection = db.connect()
    actor = Actor(connection, rng, workspaces)
    done: list[str] = []
    for _ in range(STEPS):
        if rng.random() < 0.7:
            done.append(actor.do())
            check(connection, workspaces, rng, f"seed {seed}, after {done[-3:]}")
            continue
        # Several in one transaction, looked at from the inside, and from the outside when it is over.
        isolation = rng.choice(["READ COMMITTED", "REPEATABLE READ"])
        with contextlib.suppress(ZeroDivisionError), connection.transaction():
            connection.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            for _ in range(rng.randrange(1, 5)):
                done.append("in a transaction: " + actor.do())
                check(connection, workspaces, rng, f"seed {seed}, within {done[-5:]}")
            if rng.random() < 0.4:
                done.append("rolled back")
                raise ZeroDivisionError
        check(connection, workspaces, rng, f"seed {seed}, after {done[-5:]}")
    refresh(connection)
    check(connection, workspaces, rng, "at the end")
    check_tables(connection, workspaces)
    assert [name for name in done if ":" not in name], "everything was refused"


# ------------------------------------------------------------------------------------------ capture

RUN = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (%s, %s, 'running', %s)"
AGENT = uuid.UUID(int=7)


def logged(database: Database) -> int:
    return database.value("SELECT count(*) FROM analytics_internal.rollup_changes")


def total(connection: psycopg.Connection, workspace: uuid.UUID) -> int:
    query = "SELECT coalesce(sum(total_runs), 0)::int FROM analytics.list_agents(%s, 'all')"
    return connection.execute(query, [workspace]).fetchone()[0]


def test_one_log_row_for_each_transaction_and_bucket(db):
    workspace = db.workspace()
    writer = db.connect(autocommit=False)
    for number in range(100):
        writer.execute(RUN, [workspace, AGENT, START + timedelta(minutes=number)])
    assert logged(db) == 0
    writer.commit()
    assert logged(db) == 2
    assert db.rows(
        "SELECT DISTINCT sources, workspace_id, agent_id FROM analytics_internal.rollup_changes"
    ) == [(1, workspace, AGENT)]
    writer.execute(RUN, [workspace, AGENT, START])
    writer.rollback()
    assert logged(db) == 2


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
    workspace = db.workspace()
    db.execute("SELECT * FROM analytics.ensure_partitions(since => '2026-03-01')")
    with db.connect(autocommit=False) as writer:
        writer.execute(RUN, [workspace, AGENT, START])
        writer.execute("SAVEPOINT before")
        writer.execute(
            "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at)"
            " SELECT %s, ('00000000-0000-0000-0000-' || lpad((n %% 200)::text, 12, '0'))::uuid, 'running',"
            " %s::timestamptz + (n / 200) * interval '1 hour' FROM generate_series(0, 69999) AS n",
            [workspace, START],
        )
        if rolled_back:
            writer.execute("ROLLBACK TO SAVEPOINT before")
        expected = 1 if rolled_back else 70_001
        assert total(writer, workspace) == expected
        writer.commit()
    assert total(db.connection, workspace) == expected
    if not rolled_back:
        assert logged(db) == 70_000
    refresh(db.connection, 100_000)
    assert total(db.connection, workspace) == expected
    check_tables(db.connection, [workspace])


def test_log_needs_no_rights_of_the_writer(db, make_role):
    writer = make_role("writer")
    workspace = db.workspace()
    db.execute(f"GRANT USAGE ON SCHEMA analytics TO {writer}")
    db.execute(f"GRANT INSERT ON analytics.agent_runs TO {writer}")
    db.execute(f"GRANT EXECUTE ON FUNCTION analytics_internal.is_valid_run TO {writer}")
    db.connect(writer).execute(RUN, [workspace, AGENT, START])
    assert logged(db) == 1
    with pytest.raises(errors.InsufficientPrivilege):
        db.connect(writer).execute("SELECT * FROM analytics.refresh()")


# ------------------------------------------------------------------------------------------ refresh


def test_second_refresher_returns_at_once(db):
    workspace = db.workspace()
    db.execute(RUN, [workspace, AGENT, START])
    first = db.connect(autocommit=False)
    statuses = "SELECT DISTINCT status FROM analytics.refresh()"
    assert first.execute(statuses).fetchall() == [("refreshed",)]
    second = db.connect(options="-c lock_timeout=300ms")
    assert second.execute(statuses).fetchall() == [("locked",)]
    assert total(second, workspace) == 1
    first.rollback()
    assert second.execute(statuses).fetchall() == [("refreshed",)]
    assert second.execute(statuses).fetchall() == [("clean",)]


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
    workspace = db.workspace()
    late = datetime(2021, 7, 1, tzinfo=UTC)
    for hour in range(50):
        db.execute(RUN, [workspace, AGENT, late + timedelta(hours=hour)])
    db.execute("CALL analytics.refresh_all(max_buckets => 10)")
    assert logged(db) == 0
    check_tables(db.connection, [workspace])
    assert db.value("SELECT count(DISTINCT refresh_id) FROM analytics_internal.refresh_log") >= 5
    assert db.value("SELECT to_regclass('analytics.agent_runs_y2021m07') IS NOT NULL")

    for hour in range(20):
        db.execute(RUN, [workspace, AGENT, late + timedelta(hours=hour)])
    db.execute("CALL analytics.refresh_all('0 seconds', 10)")
    assert logged(db) == 10, "one batch, and the time was over"
    with pytest.raises(errors.InvalidParameterValue):
        db.execute("CALL analytics.refresh_all('-1 seconds')")
    with (
        db.connect(autocommit=False) as connection,
        pytest.raises(errors.InvalidTransactionTermination) as caught,
    ):
        connection.execute("CALL analytics.refresh_all()")
    assert "refresh()" in caught.value.diag.message_hint


def test_refresh_that_fails(db):
    """Is noted, tried again, and raised; nothing is lost, and answers stay exact."""
    workspace = db.workspace()
    db.execute(RUN, [workspace, AGENT, START])
    db.execute("ALTER TABLE analytics.agent_performance_daily ADD CONSTRAINT never CHECK (total_runs < 0)")
    with pytest.raises(errors.CheckViolation, match="never"):
        db.execute("CALL analytics.refresh_all()")
    assert db.rows("SELECT object, status, error_code FROM analytics_internal.refresh_log") == [
        ("refresh", "failed", "23514"),
        ("refresh", "failed", "23514"),
    ]
    assert (total(db.connection, workspace), logged(db)) == (1, 1)
    db.execute("ALTER TABLE analytics.agent_performance_daily DROP CONSTRAINT never")
    db.execute("CALL analytics.refresh_all()")
    check_tables(db.connection, [workspace])


def test_rows_that_were_there_before_the_rollups(db):
    """setup() on the tables of an older version."""
    workspace = db.workspace()
    db.execute(RUN, [workspace, AGENT, START])
    db.execute("TRUNCATE analytics_internal.rollup_changes")
    assert total(db.connection, workspace) == 0, "what happens to the log without its trigger"
    db.execute("INSERT INTO analytics_internal.rollup_changes (sources) VALUES (15)")
    assert total(db.connection, workspace) == 1
    refresh(db.connection)
    check_tables(db.connection, [workspace])


def test_months_that_we_make_change_nothing(db):
    workspace = db.workspace()
    db.execute(RUN, [workspace, AGENT, START])
    db.execute("SELECT * FROM analytics.ensure_partitions(since => '2025-01-01')")
    refresh(db.connection)
    known = "SELECT * FROM analytics_internal.rollup_partitions ORDER BY 1"
    actual = "SELECT * FROM analytics_internal.run_partitions() ORDER BY 1"
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


# -------------------------------------------------------------------------------------- concurrency


def work(
    database: Database, seed: int, workspaces: list[uuid.UUID], stop: threading.Event, slow: bool
) -> int:
    """Writes until told to stop; a slow writer keeps its transactions open."""
    rng = random.Random(seed)
    connection = database.connect(options="-c lock_timeout=20s")
    actor = Actor(connection, rng, workspaces)
    actor.agents = [uuid.UUID(int=number) for number in range(1, 6)]
    done = 0
    while not stop.is_set():
        isolation = rng.choice(["READ COMMITTED", "REPEATABLE READ"])
        with (
            contextlib.suppress(
                errors.IntegrityError, errors.SerializationFailure, errors.DeadlockDetected, ZeroDivisionError
            ),
            connection.transaction(),
        ):
            connection.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            for _ in range(rng.randrange(1, 4)):
                getattr(
                    actor,
                    rng.choice(["insert", "bulk", "update", "delete", "error", "feedback", "savepoint"]),
                )()
                if slow:
                    stop.wait(0.2)
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
            rows = connection.execute("SELECT status FROM analytics.refresh(3)").fetchall()
            done += ("refreshed",) in rows
    return done


def test_writers_and_refreshers_at_once(db, background):
    workspaces = prepare(db)
    stop = threading.Event()
    writing = [background(work, db, seed, workspaces, stop, seed == 0) for seed in range(4)]
    refreshing = [
        background(refresh_until, db, stop, level) for level in ("READ COMMITTED", "REPEATABLE READ")
    ]
    reader = db.connect()
    rng = random.Random(5)
    try:
        for _ in range(25):
            with reader.transaction():
                reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                check(reader, workspaces, rng, "meanwhile")
    finally:
        stop.set()
    assert min(each.result(60) for each in writing) > 0
    assert sum(each.result(60) for each in refreshing) > 5
    check(db.connection, workspaces, rng, "afterwards")
    refresh(db.connection)
    check(db.connection, workspaces, rng, "at the end")
    check_tables(db.connection, workspaces)


def test_crash_during_refresh_and_ingestion(make_server, background):
    """kill -9, several times: what the log holds and what the rollups hold belong together."""
    server = make_server(checkpoint_timeout="30s")
    database = server.install(server.create_database())
    workspaces = prepare(database)
    rng = random.Random(11)
    for number in range(int(os.environ.get("SHADOWER_CRASHES", "3"))):
        stop = threading.Event()

        def until_it_ends(action, *args) -> None:
            with contextlib.suppress(psycopg.OperationalError):
                action(*args)

        tasks = [
            background(until_it_ends, work, database, 100 * number + seed, workspaces, stop, False)
            for seed in range(2)
        ]
        tasks.append(background(until_it_ends, refresh_until, database, stop, "READ COMMITTED"))
        try:
            before = database.value("SELECT count(*) FROM analytics_internal.refresh_log")
            watcher = database.connect()
            wait_until(
                lambda watcher=watcher, before=before: (
                    watcher.execute("SELECT count(*) FROM analytics_internal.refresh_log").fetchone()[0]
                    > before + 5
                ),
                "nothing was refreshed",
            )
            stop.wait(rng.random() / 5)
            server.kill()
        finally:
            stop.set()
        for task in tasks:
            task.result(60)
        database.close()
        server.start()
        check(database.connection, workspaces, rng, f"after crash {number}")
    refresh(database.connection)
    check_tables(database.connection, workspaces)
