"""Real runs, loaded as a user would load them; every answer against a computation that has no SQL in it."""

import csv
import gzip
import math
import statistics
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from conftest import ROOT, Database, assert_rows

LOAD = ROOT / "tests" / "ingest_agent_runs.sql"
HOUR = timedelta(hours=1)
WINDOWS = {"24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR, "90d": 2160 * HOUR}

STATUS = {
    "resolved": "completed",
    "resolved_despite_timeout": "completed",
    "failed_tests": "failed",
    "parse_error": "failed",
    "unknown_agent_error": "failed",
    "agent_installation_failed": "failed",
    "agent_timeout": "timeout",
    "test_timeout": "timeout",
}


@pytest.fixture(scope="module")
def file(shared_data):
    path = shared_data / "agent_runs" / "agent_runs.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return gzip.decompress(path.read_bytes()).decode()


def load(database: Database, workspace: uuid.UUID, text: str, **kwargs):
    return database.run(
        "psql",
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        f"--set=workspace={workspace}",
        f"--file={LOAD}",
        input=text,
        **kwargs,
    )


# --------------------------------------------------------------------- the same answers, without Postgres


def read(text: str) -> list[dict]:
    """The rows of the file as runs."""
    rows = list(csv.DictReader(text.splitlines()))
    starts: dict[str, datetime] = {}
    for row in rows:
        row["known_start"] = datetime.fromisoformat(row["started_at"]) if row["started_at"] else None
        if row["known_start"] is not None:
            job = row["session_id"]
            starts[job] = min(starts.get(job, row["known_start"]), row["known_start"])
    runs = []
    for row in rows:
        start = row["known_start"] or starts.get(row["session_id"])
        if start is None:
            start = datetime.strptime(row["session_id"][:8], "%Y%m%d").replace(tzinfo=UTC)
        tokens = [row["prompt_tokens"], row["completion_tokens"]]
        runs.append(
            {
                "agent": row["agent"],
                "status": STATUS[row["status"]],
                "started_at": start,
                "runtime": float(row["elapsed_s"]) if row["elapsed_s"] else None,
                "tokens": None if "" in tokens else sum(map(int, tokens)),
            }
        )
    return runs


def percentile(values: list[float], p: float) -> float | None:
    """Linear interpolation between the two nearest ranks."""
    if not values:
        return None
    ordered = sorted(values)
    place = p * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def within(
    runs: list[dict], now: datetime, timeframe: str
) -> tuple[list[dict], datetime | None, datetime | None]:
    """The runs of a window, which ends with the hour of now and is whole hours; and its bounds."""
    if timeframe == "all":
        return runs, None, None
    end = now.replace(minute=0, second=0, microsecond=0) + HOUR
    start = end - WINDOWS[timeframe]
    return [run for run in runs if start <= run["started_at"] < end], start, end


def measures(runs: list[dict]) -> dict:
    count = {
        status: sum(run["status"] == status for run in runs) for status in ("completed", "failed", "timeout")
    }
    times = [run["runtime"] for run in runs if run["runtime"] is not None]
    return {
        **count,
        "total": len(runs),
        "rate": count["completed"] / len(runs) if runs else None,
        "mean": math.fsum(times) / len(times) if times else None,
        "percentiles": [percentile(times, p) for p in (0.5, 0.75, 0.9, 0.95, 0.99)],
        "least": min(times, default=None),
        "greatest": max(times, default=None),
        "deviation": statistics.stdev(times) if len(times) > 1 else None,
        "tokens": Decimal(sum(run["tokens"] or 0 for run in runs)),
        "first": min((run["started_at"] for run in runs), default=None),
        "last": max((run["started_at"] for run in runs), default=None),
    }


def expected_list(workspace: uuid.UUID, runs: list[dict], now: datetime, timeframe: str) -> list[tuple]:
    rows = []
    inside, _, _ = within(runs, now, timeframe)
    for agent in {run["agent"] for run in runs}:
        m = measures([run for run in inside if run["agent"] == agent])
        p50, _, _, p95, _ = m["percentiles"]
        rows.append(
            (
                *(uuid.uuid5(workspace, agent), agent, "coding", "draft", False),
                *(m["total"], m["completed"], m["failed"], m["timeout"], 0),
                *(m["rate"], m["mean"], p50, p95, Decimal(0), m["tokens"], 0, None, m["last"]),
                *(Decimal(0) if m["total"] else None, 0, None),
            )
        )
    return sorted(rows, key=lambda row: (-row[5], row[1]))


def expected_performance(runs: list[dict], now: datetime, timeframe: str) -> tuple:
    inside, start, end = within(runs, now, timeframe)
    m = measures(inside)
    throughput = None
    if inside:
        hours = (min(end or now, now) - m["first"]) / HOUR
        throughput = len(inside) / max(hours, 1.0)
    return (
        *(start, end),
        *(m["total"], m["completed"], m["failed"], m["timeout"], 0, 0, 0),
        *(m["rate"], m["mean"], *m["percentiles"], m["least"], m["greatest"], m["deviation"]),
        *(throughput, Decimal(0), m["tokens"], 0, None),
    )


# Python has no infinite times.
PERFORMANCE = """
    SELECT window_start, window_end, total_runs, successful_runs, failed_runs,
        timeout_runs, cancelled_runs, running_runs, queued_runs, success_rate, avg_runtime_seconds, p50_runtime_seconds,
        p75_runtime_seconds, p90_runtime_seconds, p95_runtime_seconds, p99_runtime_seconds, min_runtime_seconds,
        max_runtime_seconds, stddev_runtime_seconds, throughput_per_hour, credits_consumed, tokens_used, unique_users,
        avg_rating
    FROM analytics.agent_performance(%s, %s, %s)"""


def assert_measures(found: list[tuple], expected: list[tuple], count: int, percentiles: range) -> None:
    """Equal rows, but for percentiles of more runs than a sketch holds exactly: these are within its bound."""
    close = []
    for row, wanted in zip(found, expected, strict=True):
        if wanted[count] > 250:
            for column in percentiles:
                assert row[column] == pytest.approx(wanted[column], rel=0.0101)
            row = (
                *row[: percentiles.start],
                *wanted[percentiles.start : percentiles.stop],
                *row[percentiles.stop :],
            )
        close.append(row)
    assert_rows(close, expected)


def compare(database: Database, workspace: uuid.UUID, runs: list[dict], timeframe: str) -> int:
    """Every answer about every agent; returns how many runs were in the window."""
    with database.connect(autocommit=False) as connection:
        # One transaction, one now().
        (now,) = connection.execute("SELECT now()").fetchone()
        found = connection.execute(
            "SELECT * FROM analytics.list_agents(%s, %s)", [workspace, timeframe]
        ).fetchall()
        expected = expected_list(workspace, runs, now, timeframe)
        assert_measures(found, expected, 5, range(12, 14))
        for agent in {run["agent"] for run in runs}:
            (row,) = connection.execute(
                PERFORMANCE, [workspace, uuid.uuid5(workspace, agent), timeframe]
            ).fetchall()
            its_runs = [run for run in runs if run["agent"] == agent]
            assert_measures([row], [expected_performance(its_runs, now, timeframe)], 2, range(11, 16))
        connection.rollback()
    return sum(row[5] for row in expected)


# -------------------------------------------------------------------------------------------- the tests


def test_the_file_is_what_the_documentation_says(file):
    runs = read(file)
    assert len(runs) == 5200
    assert len({run["agent"] for run in runs}) == 8
    assert sum(run["runtime"] is None for run in runs) == 104
    assert sum(run["tokens"] is None for run in runs) == 4255


def test_real_runs(db, file):
    """All of them, while they are in the default partition, and again after they have got their months."""
    workspace = db.workspace()
    runs = read(file)
    load(db, workspace, file)
    assert compare(db, workspace, runs, "all") == 5200

    contents = db.contents()
    load(db, workspace, file)
    assert db.contents() == contents, "the second time changes nothing"

    moved = dict(
        db.rows("SELECT partition_name, moved_count FROM analytics.ensure_partitions() WHERE moved_count > 0")
    )
    months = [run["started_at"].strftime("agent_runs_y%Ym%m") for run in runs]
    assert moved == {month: months.count(month) for month in set(months)}
    after = db.contents()
    for each in (contents, after):
        assert each.pop("analytics_internal.rollup_partitions"), "it knows which months there are"
    assert after == contents
    assert compare(db, workspace, runs, "all") == 5200

    unknown = db.rows(
        "SELECT count(*), count(completed_at), count(runtime_seconds), array_agg(DISTINCT status), array_agg(DISTINCT error_type)"
        " FROM analytics.agent_runs WHERE metadata @> '{\"time_known\": false}'"
    )
    assert unknown == [(104, 0, 0, ["failed"], ["unknown_agent_error"])]
    assert db.value("SELECT count(*) FROM analytics.agent_runs WHERE tokens_used IS NULL") == 4255
    assert db.value("SELECT count(*) FROM analytics.agent_runs WHERE tokens_used = 0") == sum(
        run["tokens"] == 0 for run in runs
    )
    assert db.value("SELECT count(*) FROM analytics.agent_runs WHERE model_name IS NULL") == 400
    assert db.rows("SELECT error_type, count(*) FROM analytics.agent_runs GROUP BY 1 ORDER BY 2 DESC") == [
        (None, 2118),
        ("failed_tests", 1528),
        ("agent_timeout", 1126),
        ("parse_error", 182),
        ("test_timeout", 132),
        ("unknown_agent_error", 110),
        ("agent_installation_failed", 4),
    ]


def test_real_runs_in_each_window(db, file):
    """The same runs, moved in time so that the last started half an hour ago."""
    workspace, shifted = db.workspace("as it was"), db.workspace("moved")
    runs = read(file)
    load(db, workspace, file)
    now = db.value("SELECT now()")
    shift = now - timedelta(minutes=30) - max(run["started_at"] for run in runs)
    db.execute("SELECT analytics.ensure_partitions(since => now() - interval '90 days')")
    db.execute(
        "INSERT INTO analytics.agents (workspace_id, agent_id, name, agent_type)"
        " SELECT %(to)s, analytics.agent_id(%(to)s, name), name, agent_type FROM analytics.agents"
        " WHERE workspace_id = %(from)s",
        {"from": workspace, "to": shifted},
    )
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, run_id, status, started_at, runtime_seconds, prompt_tokens, completion_tokens)"
        " SELECT %(to)s, analytics.agent_id(%(to)s, a.name), r.run_id, r.status, r.started_at + %(shift)s,"
        " r.runtime_seconds, r.prompt_tokens, r.completion_tokens"
        " FROM analytics.agent_runs AS r JOIN analytics.agents AS a USING (workspace_id, agent_id)"
        " WHERE r.workspace_id = %(from)s",
        {"from": workspace, "to": shifted, "shift": shift},
    )
    moved = [{**run, "started_at": run["started_at"] + shift} for run in runs]
    counts = [compare(db, shifted, moved, timeframe) for timeframe in (*WINDOWS, "all")]
    assert 0 < counts[0] < counts[1] < counts[2] < counts[3] == counts[4] == 5200
    # The window has two ends: nothing of the runs as they were, which lie months back.
    assert compare(db, workspace, runs, "24h") == 0
    assert compare(db, workspace, runs, "all") == 5200


HEADER = "run_id,session_id,agent,model,task,attempt,started_at,started_offset_s,elapsed_s,total_elapsed_s,prompt_tokens,completion_tokens,success,status\n"
RUN = "00000000-0000-4000-8000-00000000000{}"


def test_jobs_without_any_time(db):
    """Cases that the real file does not have."""
    text = HEADER + "".join(
        f"{RUN.format(number)},{job},a,m,t,1,,,,,,,f,{status}\n"
        for number, (job, status) in enumerate(
            [("20250102_job/1", "failed_tests"), ("20250102_job/1", "agent_timeout")]
        )
    )
    workspace = db.workspace()
    # The day is UTC's, wherever the client is.
    db.execute(f"ALTER DATABASE {db.name} SET timezone = 'Pacific/Auckland'")
    load(db, workspace, text)
    assert db.rows(
        "SELECT started_at AT TIME ZONE 'UTC', status, metadata->'time_known' FROM analytics.agent_runs ORDER BY run_id"
    ) == [
        (datetime(2025, 1, 2), "failed", False),
        (datetime(2025, 1, 2), "timeout", False),
    ]
    assert compare(db, workspace, read(text), "all") == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{RUN.format(1)},no-day,a,m,t,1,,,,,,,f,failed_tests", 'null value in column "started_at"'),
        (f"{RUN.format(1)},20250102_j,a,m,t,1,,,,,,,f,exploded", 'status "exploded" is not allowed'),
        (f"{RUN.format(1)},20250102_j,a,m,t,1,,,,,,,f,resolved", 'runtime_seconds "NULL" is not allowed'),
        (f"{RUN.format(1)},20250102_j,a,m,t,1,,,,,-5,1,f,failed_tests", 'tokens_used "-4" is not allowed'),
        (
            f"{RUN.format(1)},20250102_j,a,m,t,1,2025-01-02T00:00:00Z,0,-3,1,,,f,failed_tests",
            "is not allowed",
        ),
    ],
    ids=["no time at all", "status", "completed without runtime", "tokens", "runtime"],
)
def test_a_bad_row_is_refused_and_nothing_stored(db, row, message):
    workspace = db.workspace()
    good = f"{RUN.format(2)},20250102_j,a,m,t,1,2025-01-02T00:00:00Z,0,3,3,,,t,resolved\n"
    done = load(db, workspace, f"{HEADER}{good}{row}\n", check=False)
    assert done.returncode == 3
    assert message in done.stderr
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 0
    load(db, workspace, HEADER + good)
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 1


# The rules as SQL says them, for columns that is_valid_run() reads from Postgres's own representations.
RULES = {
    "started_at": ("isfinite(v)", ["-infinity", "infinity", "2026-01-01", "4714-11-24 BC", "294276-12-31"]),
    "completed_at": (
        "v >= timestamptz '2026-01-01 00:00+00' AND v < 'infinity'",
        ["infinity", "-infinity", "2025-12-31 23:59:59.999999+00", "2026-01-01 00:00+00", "294276-12-31"],
    ),
    "runtime_seconds": (
        "v >= 0 AND v < 'Infinity'",
        ["0", "-0", "5e-324", "-5e-324", "1.7e308", "Infinity", "-Infinity", "NaN", "-1"],
    ),
    "credits_consumed": (
        "v >= 0 AND v < 'Infinity'",
        # Short and long forms of numeric, both signs, and the special values.
        [
            "0",
            "-0",
            "0.000",
            "1",
            "-1",
            "1e-300",
            "-1e-300",
            "1e300",
            "-1e300",
            "1e130000",
            "-1e130000",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-16000",
            "-1e-16000",
            "9" * 5000,
            "-" + "9" * 5000,
        ],
    ),
    "tokens_used": ("v >= 0", ["0", "-1", "9223372036854775807", "-9223372036854775808"]),
    "prompt_tokens": ("v >= 0", ["0", "-1"]),
    "completion_tokens": ("v >= 0", ["0", "-1"]),
    "concurrent_runs": ("v >= 0", ["0", "-1", "2147483647", "-2147483648"]),
    "user_rating": ("v BETWEEN 1 AND 5", ["0", "1", "5", "6", "-1", "-32768", "32767"]),
}


@pytest.mark.parametrize("column", RULES)
def test_the_rules_of_a_run(db, column):
    rule, values = RULES[column]
    type_name = db.value(
        "SELECT format_type(atttypid, -1) FROM pg_attribute"
        " WHERE attrelid = 'analytics.agent_runs'::regclass AND attname = %s",
        [column],
    )
    connection = db.connect()
    outcomes = set()
    for value in [*values, None]:
        (allowed, shown) = connection.execute(
            f"SELECT coalesce({rule}, true), v::text FROM (SELECT %s::{type_name}) AS one (v)", [value]
        ).fetchone()
        arguments = {"status": "'running'", "started_at": "timestamptz '2026-01-01 00:00+00'"}
        arguments[column] = f"%s::{type_name}"
        named = ", ".join(f"{name} => {argument}" for name, argument in arguments.items())
        rest = [name for name in ["status", *RULES] if name not in arguments]
        named += "".join(f", {name} => NULL" for name in rest)
        call = f"SELECT analytics_internal.is_valid_run({named})"
        outcomes.add(allowed)
        if allowed:
            assert connection.execute(call, [value]).fetchone() == (True,), value
        else:
            with pytest.raises(psycopg.errors.CheckViolation) as caught:
                connection.execute(call, [value])
            assert f'"{shown}" is not allowed' in caught.value.diag.message_primary
            assert caught.value.diag.message_hint
    assert outcomes == {True, False}


def test_unknown_workspace(db, file):
    done = load(db, uuid.uuid4(), file, check=False)
    assert done.returncode == 3
    assert "workspace" in done.stderr
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 0


# --------------------------------------------------------------------- applications behind a connection pooler


class TransactionPooler:
    """What an application behind PgBouncer in transaction mode gets: each statement on another connection."""

    def __init__(self, database: Database, size: int = 5) -> None:
        # A pooler gives no prepared statements that outlive a transaction.
        self.connections = [database.connect(prepare_threshold=None) for _ in range(size)]
        self.turn = 0

    def value(self, statement: str, params=None):
        self.turn += 1
        ((value,),) = (
            self.connections[self.turn % len(self.connections)].execute(statement, params).fetchall()
        )
        return value

    def state(self) -> list:
        """What earlier statements left in the sessions."""
        return [
            connection.execute(
                "SELECT (SELECT array_agg(name || '=' || setting ORDER BY name) FROM pg_settings WHERE source = 'session'),"
                " (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),"
                " (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),"
                " (SELECT count(*) FROM pg_prepared_statements), current_user::text"
            ).fetchone()
            for connection in self.connections
        ]


def test_writers_through_a_transaction_pooler(db):
    """The life of a run, every statement of it sent three times, as after a lost answer."""
    pooler = TransactionPooler(db)
    before = pooler.state()
    workspace = pooler.value("INSERT INTO analytics.workspaces (name) VALUES ('acme') RETURNING workspace_id")
    agent = pooler.value("SELECT analytics.agent_id(%s, 'writer')", [workspace])
    times = 3
    for number in range(7):
        run, error, feedback = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        failed = number % 2 == 1
        started = [
            pooler.value("SELECT analytics.start_run(%s, %s, run_id => %s)", [workspace, agent, run])
            for _ in range(times)
        ]
        assert started == [run] * times
        if failed:
            for _ in range(times):
                call = "SELECT analytics.record_error(%s, %s, 'TimeoutError', agent_run_id => %s, error_id => %s)"
                assert pooler.value(call, [workspace, agent, run, error]) == error
        ended = [
            pooler.value(
                "SELECT analytics.finish_run(%s, %s, %s, runtime_seconds => %s, credits_consumed => 0.1, prompt_tokens => 10, completion_tokens => 1)",
                [workspace, run, "failed" if failed else "completed", number + 1],
            )
            for _ in range(times)
        ]
        assert ended == [True] + [False] * (times - 1)
        for _ in range(times):
            call = "SELECT analytics.record_feedback(%s, %s, 4, agent_run_id => %s, feedback_id => %s)"
            assert pooler.value(call, [workspace, agent, run, feedback]) == feedback
    pooler.value("SELECT count(*) FROM analytics.ensure_partitions(months_ahead => 5)")
    assert pooler.state() == before

    counts = "SELECT (SELECT count(*) FROM analytics.agent_runs), (SELECT count(*) FROM analytics.agent_errors), (SELECT count(*) FROM analytics.agent_user_feedback)"
    assert db.rows(counts) == [(7, 3, 7)]
    assert db.rows(
        "SELECT total_runs, successful_runs, failed_runs, success_rate, avg_runtime_seconds, credits_consumed, tokens_used"
        " FROM analytics.list_agents(%s)",
        [workspace],
    ) == [(7, 4, 3, 4 / 7, 4.0, Decimal("0.7"), Decimal(77))]


@pytest.mark.parametrize("given_start", [False, True], ids=["start-left-out", "start-given"])
def test_two_clients_start_the_same_run(db, background, given_start):
    """The second waits for the first, and then finds its run."""
    workspace, run = db.workspace(), uuid.uuid4()
    call = "SELECT analytics.start_run(%s, %s, run_id => %s, started_at => %s)"
    params = [workspace, uuid.uuid4(), run, datetime.now(UTC) if given_start else None]
    first, second = db.connect(autocommit=False), db.connect()
    assert first.execute(call, params).fetchone() == (run,)
    waiting = background(lambda: second.execute(call, params).fetchone())
    db.wait_until_blocked(second)
    first.commit()
    assert waiting.result(60) == (run,)
    assert db.value("SELECT count(*) FROM analytics.agent_runs") == 1

    # And when the first gives up, the second does it.
    params[2] = run = uuid.uuid4()
    first.execute(call, params)
    waiting = background(lambda: second.execute(call, params).fetchone())
    db.wait_until_blocked(second)
    first.rollback()
    assert waiting.result(60) == (run,)
    assert db.rows("SELECT count(*), count(DISTINCT run_id) FROM analytics.agent_runs") == [(2, 2)]


def test_many_clients_start_and_end_the_same_runs(db, background):
    """No order imposed: 8 clients, each starting and ending the same 20 runs."""
    workspace, agent = db.workspace(), uuid.uuid4()
    runs = [uuid.uuid4() for _ in range(20)]

    def client(connection):
        ended = 0
        for run in runs:
            connection.execute("SELECT analytics.start_run(%s, %s, run_id => %s)", [workspace, agent, run])
            ended += connection.execute("SELECT analytics.finish_run(%s, %s)", [workspace, run]).fetchone()[0]
        return ended

    clients = [background(client, db.connect()) for _ in range(8)]
    assert sum(each.result(120) for each in clients) == len(runs)
    assert db.rows(
        "SELECT count(*), count(DISTINCT run_id), min(status), max(status) FROM analytics.agent_runs"
    ) == [(20, 20, "completed", "completed")]
