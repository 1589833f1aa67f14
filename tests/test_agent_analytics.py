"""Each answer about agents equals the same question asked of the raw rows in Python.

One database for all tests of this file: random runs, errors and feedback around a change of clocks, half of them in
rollups and half newer than these, and agents that are odd in one way each.
"""

import math
import random
import statistics
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import psycopg
import pytest
from conftest import Database, Server
from psycopg.rows import dict_row

START = datetime(2026, 3, 20, tzinfo=UTC)
DAYS = 20
FINAL = ["completed", "failed", "timeout", "cancelled"]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe"]

RUN = [
    "workspace_id", "run_id", "agent_id", "user_id", "status", "started_at", "completed_at", "runtime_seconds",
    "credits_consumed", "tokens_used", "prompt_tokens", "completion_tokens", "model_name", "model_provider",
    "concurrent_runs", "error_message", "user_rating",
]  # fmt: skip
ERROR = [
    "workspace_id", "error_id", "agent_id", "user_id", "error_type", "error_category", "error_severity", "error_message",
    "auto_recovered", "recovery_attempts", "recovery_time_seconds", "occurred_at",
]  # fmt: skip


class World:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.workspace = db.workspace("acme")
        self.random = random.Random(4)
        self.agents = {
            name: uuid.UUID(int=n + 1)
            for n, name in enumerate(["busy", "other", "one", "failed", "live", "silent", "errors"])
        }
        self.runs: list[dict] = []
        self.errors: list[dict] = []
        db.execute("UPDATE analytics.workspaces SET time_zone = 'Europe/Berlin'")
        for name, agent in self.agents.items():
            db.execute("INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (%s, %s, %s)",
                       [self.workspace, agent, name])  # fmt: skip
        self.feedback: list[tuple] = []

    def time(self) -> datetime:
        return START + timedelta(
            seconds=self.random.randrange(DAYS * 86400), microseconds=self.random.randrange(10**6)
        )

    def run(self, agent: str, **given) -> dict:
        r = self.random
        started = given.get("started_at") or self.time()
        status = given.get("status") or r.choices([*FINAL, "running", "queued"], [70, 15, 5, 5, 3, 2])[0]
        runtime = round(math.exp(r.gauss(1.5, 1)), 3)
        final = status in FINAL
        known = r.random() < 0.5
        row = {
            "workspace_id": self.workspace, "run_id": uuid.UUID(int=r.getrandbits(128)), "agent_id": self.agents[agent],
            "user_id": uuid.UUID(int=1000 + r.randrange(15)) if r.random() < 0.9 else None, "status": status,
            "started_at": started, "completed_at": started + timedelta(seconds=runtime) if final else None,
            "runtime_seconds": runtime if status == "completed" or (final and r.random() < 0.7) else None,
            "credits_consumed": Decimal(r.randrange(10**6)) / 10**5, "tokens_used": r.randrange(5000) if known else None,
            "prompt_tokens": r.randrange(3000) if not known and r.random() < 0.8 else None,
            "completion_tokens": r.randrange(500) if not known else None,
            "model_name": r.choice(["large", "small", None]), "model_provider": r.choice(["one", None]),
            "concurrent_runs": r.choice([None, 1, 2, 7]), "error_message": None,
            "user_rating": r.choice([None, None, 1, 3, 4, 5]),
        } | given  # fmt: skip
        self.runs.append(row)
        return row

    def error(self, agent: str, **given) -> dict:
        r = self.random
        kind, category = r.choice(
            [("TimeoutError", "timeout"), ("RateLimit", "rate_limit"), ("ValueError", "validation")]
        )
        row = {
            "workspace_id": self.workspace, "error_id": uuid.UUID(int=r.getrandbits(128)), "agent_id": self.agents[agent],
            "user_id": uuid.UUID(int=1000 + r.randrange(15)) if r.random() < 0.9 else None, "error_type": kind,
            "error_category": category, "error_severity": r.choice(["low", "medium", "high", "critical"]),
            "error_message": f"no answer for user{r.randrange(9)}@example.com after {r.randrange(100)} s",
            "auto_recovered": r.random() < 0.4, "recovery_attempts": r.randrange(4),
            "recovery_time_seconds": r.choice([None, 1.5, 20.0]), "occurred_at": self.time(),
        } | given  # fmt: skip
        self.errors.append(row)
        return row

    def write(self, table: str, columns: list[str], rows: list[dict]) -> None:
        with (
            self.db.connection.cursor() as cursor,
            cursor.copy(f"COPY analytics.{table} ({', '.join(columns)}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row([row[column] for column in columns])

    def load(self, number: int) -> None:
        runs, errors = len(self.runs), len(self.errors)
        for _ in range(number):
            self.run(self.random.choice(["busy", "busy", "busy", "other"]))
        for _ in range(number // 6):
            self.error(self.random.choice(["busy", "busy", "other", "errors"]))
        self.write("agent_runs", RUN, self.runs[runs:])
        self.write("agent_errors", ERROR, self.errors[errors:])
        for _ in range(number // 20):
            opinion = (self.agents["busy"], self.random.randrange(1, 6), self.time())
            self.feedback.append(opinion)
            self.db.execute(
                "INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at) VALUES (%s, %s, %s, %s)",
                [self.workspace, *opinion],
            )

    def ask(self, call: str, *params) -> list[dict]:
        with self.db.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(f"SELECT * FROM analytics.{call}", params).fetchall()

    def of(self, agent: str | None, start: datetime | None = None, end: datetime | None = None) -> list[dict]:
        return [
            run for run in self.runs
            if (agent is None or run["agent_id"] == self.agents[agent])
            and (start is None or run["started_at"] >= start) and (end is None or run["started_at"] < end)
        ]  # fmt: skip


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    db = server.create_database(template="installed")
    db.execute("SET TimeZone = 'UTC'")
    world = World(db)
    world.load(900)
    db.execute("SELECT * FROM analytics.refresh(1000000)")
    world.run("one", status="completed", runtime_seconds=2.5, started_at=START + timedelta(days=3, hours=5))
    for _ in range(3):
        world.run("failed", status="failed", runtime_seconds=None)
    world.run("live", status="running")
    world.run("live", status="queued")
    world.write("agent_runs", RUN, world.runs[-6:])
    world.load(300)
    yield world
    server.drop_database(db)


# ------------------------------------------------------------------------------------------------------- in Python


def percentile(values: list[float], p: float) -> float | None:
    if not values:
        return None
    values = sorted(values)
    place = p * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def ratio(a: float, b: float) -> float | None:
    return float(a) / float(b) if b else None


def tokens(run: dict) -> int:
    if run["tokens_used"] is not None:
        return run["tokens_used"]
    if run["prompt_tokens"] is None or run["completion_tokens"] is None:
        return 0
    return run["prompt_tokens"] + run["completion_tokens"]


def measures(runs: list[dict]) -> dict:
    def count(status: str) -> int:
        return sum(run["status"] == status for run in runs)

    times = [run["runtime_seconds"] for run in runs if run["runtime_seconds"] is not None]
    ratings = [run["user_rating"] for run in runs if run["user_rating"] is not None]
    finished = sum(run["status"] in FINAL for run in runs)
    credits = sum((run["credits_consumed"] for run in runs), Decimal(0))
    concurrent = [run["concurrent_runs"] for run in runs if run["concurrent_runs"] is not None]
    return {
        "total_runs": len(runs), "successful_runs": count("completed"), "failed_runs": count("failed"),
        "timeout_runs": count("timeout"), "cancelled_runs": count("cancelled"), "running_runs": count("running"),
        "queued_runs": count("queued"), "success_rate": ratio(count("completed"), finished),
        "avg_runtime_seconds": statistics.fmean(times) if times else None,
        "p50_runtime_seconds": percentile(times, 0.5), "p75_runtime_seconds": percentile(times, 0.75),
        "p90_runtime_seconds": percentile(times, 0.9), "p95_runtime_seconds": percentile(times, 0.95),
        "p99_runtime_seconds": percentile(times, 0.99), "min_runtime_seconds": min(times, default=None),
        "max_runtime_seconds": max(times, default=None),
        "stddev_runtime_seconds": statistics.stdev(times) if len(times) > 1 else None,
        "credits_consumed": credits, "tokens_used": sum(map(tokens, runs)),
        "unique_users": len({run["user_id"] for run in runs} - {None}),
        "avg_rating": statistics.fmean(ratings) if ratings else None, "total_ratings": len(ratings),
        "credits_per_run": ratio(credits, len(runs)), "credits_per_success": ratio(credits, count("completed")),
        "tokens_per_run": ratio(sum(map(tokens, runs)), len(runs)),
        "avg_concurrent_runs": statistics.fmean(concurrent) if concurrent else None,
        "max_concurrent_runs": max(concurrent, default=None),
        "first_run_at": min((run["started_at"] for run in runs), default=None),
        "last_run_at": max((run["started_at"] for run in runs), default=None),
        "prompt_tokens": sum(run["prompt_tokens"] or 0 for run in runs),
        "completion_tokens": sum(run["completion_tokens"] or 0 for run in runs),
        "values": len(times),
    }  # fmt: skip


def same(row: dict, wanted: dict, context: object = "") -> None:
    """Every key that both have: exact, percentiles within 1 % beyond 250 values, floats up to rounding."""
    keys = row.keys() & wanted.keys()
    assert keys, "nothing is compared"
    for key in keys:
        a, b = row[key], wanted[key]
        if a is None or b is None or isinstance(b, datetime | str | uuid.UUID):
            equal = a == b
        else:
            loose = (
                0.0101 if key.startswith("p") and "runtime" in key and wanted.get("values", 0) > 250 else 1e-9
            )
            equal = math.isclose(a, b, rel_tol=loose, abs_tol=1e-12)
        assert equal, f"{context} {key}: {a!r} instead of {b!r}"


WINDOWS = [
    (None, None),
    (START + timedelta(days=2), START + timedelta(days=9)),
    (START + timedelta(hours=7, minutes=13, seconds=9), START + timedelta(days=11, hours=2, minutes=47)),
    (START + timedelta(hours=30, minutes=10), START + timedelta(hours=30, minutes=40)),
    (START - timedelta(days=40), START + timedelta(days=1)),
    (START - timedelta(days=40), START - timedelta(days=10)),
    (START + timedelta(days=400), START + timedelta(days=401)),
]


# ----------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("window", WINDOWS)
def test_performance(world, window):
    start, end = window
    for name, agent in world.agents.items():
        ((row),) = world.ask(
            "agent_performance(%s, %s, 'all', from_time => %s, to_time => %s)",
            world.workspace,
            agent,
            start,
            end,
        )
        runs = world.of(name, start, end)
        same(row, measures(runs), name)
        assert row["total_errors"] == sum(
            e["agent_id"] == agent and (not start or start <= e["occurred_at"] < end) for e in world.errors
        )
        opinions = [r for who, r, at in world.feedback if who == agent and (not start or start <= at < end)]
        assert row["total_feedback"] == len(opinions)
        assert row["avg_feedback_rating"] == (pytest.approx(statistics.fmean(opinions)) if opinions else None)
        assert (row["window_start"], row["window_end"]) == (start, end)
        (stats,) = world.ask(
            "agent_stats(%s, %s, 'all', from_time => %s, to_time => %s)", world.workspace, agent, start, end
        )
        same(stats, measures(runs), name)
        assert name in stats["summary"]
        assert f"{len(runs):,}" in stats["summary"]


@pytest.mark.parametrize("timeframe", ["24h", "7d", "30d", "90d"])
def test_timeframes_end_now(db, timeframe):
    """Two runs in the window, one an hour before it."""
    workspace, agent = db.workspace(), uuid.uuid4()
    insert = (
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at)"
        " SELECT %s, %s, 'failed', t FROM analytics.window_bounds(%s) AS w,"
        " unnest(ARRAY[window_start - interval '1 hour', window_start, now()]) AS t"
    )
    db.execute(insert, [workspace, agent, timeframe])
    for call in ("agent_performance", "agent_stats"):
        assert (
            db.value(f"SELECT total_runs FROM analytics.{call}(%s, %s, %s)", [workspace, agent, timeframe])
            == 2
        )
    document = db.value("SELECT analytics.agent_analytics(%s, %s, %s)", [workspace, agent, timeframe])
    assert document["performance"]["total_runs"] == 2
    assert document["performance"]["success_rate"] == 0
    previous = [c for c in document["comparison"] if c["compared_with"] == "previous_period"]
    assert [c["reference"] for c in previous if c["metric"] == "total_runs"] == [1]


SORTED_BY = [
    "total_runs", "success_rate", "failed_runs", "avg_runtime_seconds", "p50_runtime_seconds", "p95_runtime_seconds",
    "credits_consumed", "credits_per_run", "tokens_used", "unique_users", "avg_rating", "total_errors", "last_run_at",
]  # fmt: skip


@pytest.mark.parametrize(("start", "end"), WINDOWS[:3])
def test_list_agents(world, start, end):
    call = "list_agents(%s, 'all', from_time => %s, to_time => %s)"
    rows = world.ask(call, world.workspace, start, end)
    assert len(rows) == len(world.agents)
    for row in rows:
        same(row, measures(world.of(row["name"], start, end)), row["name"])


@pytest.mark.parametrize("key", [*SORTED_BY, "name"])
@pytest.mark.parametrize("descending", [True, False, None])
def test_pages_of_agents(world, key, descending):
    """Pages of any size are the whole list, in order, those without the measure last."""
    call = "list_agents(%s, 'all', %s, %s, max_rows => %s, after_agent_id => %s)"
    whole = world.ask(call, world.workspace, key, descending, None, None)
    falls = descending if descending is not None else key != "name"
    known = [row for row in whole if row[key] is not None]
    assert [row[key] for row in known] == sorted((row[key] for row in known), reverse=falls)
    assert whole[: len(known)] == known
    for size in (1, 3):
        pages, after = [], None
        while page := world.ask(call, world.workspace, key, descending, size, after):
            assert len(page) <= size
            pages += page
            after = page[-1]["agent_id"]
        assert pages == whole


def local_start(time: datetime, bucket: str, zone: ZoneInfo) -> datetime:
    local = time.astimezone(zone)
    if bucket == "hour":
        # The offset of the moment itself: an hour that occurs twice is two hours.
        passed = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return time - passed
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if bucket == "week":
        day -= timedelta(days=day.weekday())
    if bucket == "month":
        day = day.replace(day=1)
    return day.astimezone(UTC)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("bucket", ["hour", "day", "week", "month"])
def test_timeseries(world, zone, bucket):
    """Clocks change on 29 March in Berlin, on 5 April on Lord Howe (by half an hour)."""
    start, end = WINDOWS[2] if bucket != "month" else (START, START + timedelta(days=DAYS))
    if zone == "Australia/Lord_Howe":
        start, end = START + timedelta(days=14), START + timedelta(days=17)
    if bucket == "hour" and zone == "Australia/Lord_Howe":
        end = START + timedelta(days=15)  # an hour of 30 minutes has no start that everybody agrees on
    rows = world.ask(
        "agent_timeseries(%s, %s, 'all', %s, %s, %s, %s)",
        world.workspace,
        world.agents["busy"],
        bucket,
        zone,
        start,
        end,
    )
    groups: dict[datetime, list[dict]] = {}
    for run in world.of("busy", start, end):
        groups.setdefault(local_start(run["started_at"], bucket, ZoneInfo(zone)), []).append(run)
    assert len(groups) > 0
    for row in rows:
        same(row, measures(groups.get(row["bucket_start"], [])), row["bucket_start"])
    found = [row["bucket_start"] for row in rows]
    assert set(groups) <= set(found)
    # No gap and no bucket twice.
    steps = {local_start(start + timedelta(minutes=30 * n), bucket, ZoneInfo(zone))
             for n in range(int((end - start) / timedelta(minutes=30)) + 1)
             if start + timedelta(minutes=30 * n) < end}  # fmt: skip
    assert found == sorted(steps)
    counts = world.ask(
        "error_timeline(%s, %s, 'all', %s, %s, %s, %s)",
        world.workspace,
        world.agents["busy"],
        bucket,
        zone,
        start,
        end,
    )
    assert [row["bucket_start"] for row in counts] == found
    for row, series in zip(counts, rows, strict=True):
        mine = [
            e for e in world.errors
            if e["agent_id"] == world.agents["busy"] and start <= e["occurred_at"] < end
            and local_start(e["occurred_at"], bucket, ZoneInfo(zone)) == row["bucket_start"]
        ]  # fmt: skip
        assert row["total_errors"] == series["total_errors"] == len(mine)
        assert row["critical_errors"] == sum(e["error_severity"] == "critical" for e in mine)
        assert row["recovered_errors"] == sum(e["auto_recovered"] for e in mine)
        assert row["affected_users"] == len({e["user_id"] for e in mine} - {None})


def test_timeseries_of_everything(world):
    """all begins with the first hour, in the zone of the workspace, and ends with the current one."""
    rows = world.ask("agent_timeseries(%s, %s, 'all')", world.workspace, world.agents["busy"])
    first = min(
        [run["started_at"] for run in world.of("busy")]
        + [e["occurred_at"] for e in world.errors if e["agent_id"] == world.agents["busy"]]
    )
    assert rows[0]["bucket_start"] == local_start(first, "day", ZoneInfo("Europe/Berlin"))
    assert sum(row["total_runs"] for row in rows) == len(world.of("busy"))
    assert (
        rows[-1]["bucket_start"]
        <= world.db.value("SELECT now()")
        < rows[-1]["bucket_start"] + timedelta(hours=26)
    )
    assert world.ask("agent_timeseries(%s, %s, 'all')", world.workspace, world.agents["silent"]) == []


def test_usage_pattern(world):
    start, end = WINDOWS[1]
    rows = world.ask(
        "agent_usage_pattern(%s, %s, 'all', NULL, %s, %s)", world.workspace, world.agents["busy"], start, end
    )
    assert [(row["day_of_week"], row["hour_of_day"]) for row in rows] == [
        (d, h) for d in range(1, 8) for h in range(24)
    ]
    zone = ZoneInfo("Europe/Berlin")
    for row in rows:
        mine = [
            run for run in world.of("busy", start, end)
            if (local := run["started_at"].astimezone(zone)).isoweekday() == row["day_of_week"]
            and local.hour == row["hour_of_day"]
        ]  # fmt: skip
        same(row, measures(mine))


@pytest.mark.parametrize(("start", "end"), WINDOWS[:3])
def test_users_models_resources(world, start, end):
    window = "'all', from_time => %s, to_time => %s"
    groups: dict = {}
    for run in world.of("busy", start, end):
        if run["user_id"]:
            groups.setdefault(run["user_id"], []).append(run)
    rows = world.ask(
        f"agent_top_users(%s, %s, {window}, max_rows => NULL)",
        world.workspace,
        world.agents["busy"],
        start,
        end,
    )
    assert {row["user_id"] for row in rows} == set(groups)
    total = sum(map(len, groups.values()))
    for row in rows:
        wanted = measures(groups[row["user_id"]])
        assert row.pop("failed_runs") == wanted.pop("failed_runs")
        same(row, wanted)
        assert row["run_share"] == pytest.approx(row["total_runs"] / total)
    assert [row["total_runs"] for row in rows] == sorted((row["total_runs"] for row in rows), reverse=True)
    few = world.ask(
        f"agent_top_users(%s, %s, {window}, max_rows => 3)", world.workspace, world.agents["busy"], start, end
    )
    assert [row["user_id"] for row in few] == [row["user_id"] for row in rows][:3]

    for who in ("busy", None):
        groups = {}
        for run in world.of(who, start, end):
            key = (run["model_name"] or "unknown", run["model_provider"] or "unknown")
            groups.setdefault(key, []).append(run)
        rows = world.ask(f"model_usage(%s, %s, {window})", world.workspace, world.agents.get(who), start, end)
        assert {(row["model_name"], row["model_provider"]) for row in rows} == set(groups)
        credits = sum(run["credits_consumed"] for run in world.of(who, start, end))
        for row in rows:
            mine = groups[row["model_name"], row["model_provider"]]
            same(row, measures(mine))
            assert (row["total_calls"], row["agent_count"]) == (
                len(mine),
                len({run["agent_id"] for run in mine}),
            )
            assert row["credit_share"] == pytest.approx(float(row["credits_consumed"] / credits))

    rows = world.ask(f"agent_resources(%s, NULL, {window})", world.workspace, start, end)
    names = {agent: name for name, agent in world.agents.items()}
    assert {names[row["agent_id"]] for row in rows} == {n for n in world.agents if world.of(n, start, end)}
    everything = sum(run["credits_consumed"] for run in world.of(None, start, end))
    for row in rows:
        name = names[row["agent_id"]]
        same(row, measures(world.of(name, start, end)))
        assert row["credit_share"] == pytest.approx(float(row["credits_consumed"] / everything))
        assert world.ask(
            f"agent_resources(%s, %s, {window})", world.workspace, row["agent_id"], start, end
        ) == [row]
    (row,) = world.ask(
        f"agent_resources(%s, %s, {window})", world.workspace, world.agents["silent"], start, end
    )
    assert (row["total_runs"], row["credits_per_run"]) == (0, None)


def test_histogram(world):
    rows = world.ask("agent_runtime_histogram(%s, %s, 'all', 7)", world.workspace, world.agents["other"])
    times = [run["runtime_seconds"] for run in world.of("other") if run["runtime_seconds"] is not None]
    assert len(rows) == 7
    assert sum(row["run_count"] for row in rows) == len(times)
    assert (rows[0]["lower_seconds"], rows[-1]["upper_seconds"]) == (min(times), max(times))
    if len(times) <= 250:
        for row in rows[:-1]:
            assert row["run_count"] == sum(row["lower_seconds"] <= t < row["upper_seconds"] for t in times)
    assert world.ask("agent_runtime_histogram(%s, %s, 'all')", world.workspace, world.agents["failed"]) == []


def test_executions(world):
    """Pages through runs, some of which start at the same moment, with every filter."""
    order = lambda run: (run["started_at"], run["run_id"])  # noqa: E731
    call = (
        "agent_executions(%s, %s, 'all', status => %s, model_name => %s, user_id => %s, max_rows => %s,"
        " after_started_at => %s, after_run_id => %s)"
    )
    user = world.of("busy")[0]["user_id"] or uuid.UUID(int=1000)
    filters = [
        (world.agents["busy"], None, None, None),
        (None, "failed", None, None),
        (world.agents["busy"], "completed", "large", user),
    ]
    for agent, status, model, user_id in filters:
        wanted = sorted(
            (
                run for run in world.runs
                if (agent is None or run["agent_id"] == agent) and (status is None or run["status"] == status)
                and (model is None or run["model_name"] == model) and (user_id is None or run["user_id"] == user_id)
            ),
            key=order, reverse=True,
        )  # fmt: skip
        found, time, run = [], None, None
        while page := world.ask(call, world.workspace, agent, status, model, user_id, 100, time, run):
            found += page
            time, run = page[-1]["started_at"], page[-1]["run_id"]
        assert [row["run_id"] for row in found] == [row["run_id"] for row in wanted]
        assert [row["credits_consumed"] for row in found] == [row["credits_consumed"] for row in wanted]


def test_executions_that_start_together(db):
    workspace, agent = db.workspace(), uuid.uuid4()
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at)"
        " SELECT %s, %s, 'failed', '2026-03-01 00:00+00' FROM generate_series(1, 7)",
        [workspace, agent],
    )
    seen: list = []
    time = run = None
    while page := db.rows(
        "SELECT started_at, run_id FROM analytics.agent_executions(%s, %s, 'all', max_rows => 2, after_started_at => %s, after_run_id => %s)",
        [workspace, agent, time, run],
    ):
        seen += page
        time, run = page[-1]
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(("start", "end"), WINDOWS[:4])
def test_document(world, start, end):
    """agent_analytics() says what the relational functions say."""
    arguments = (world.workspace, world.agents["busy"], start, end)
    window = "'all', from_time => %s, to_time => %s"
    document = world.db.value(f"SELECT analytics.agent_analytics(%s, %s, {window})", arguments)
    runs = world.of("busy", start, end)
    same(
        document["performance"] | {"first_run_at": None},
        measures(runs) | {"first_run_at": None, "last_run_at": document["performance"]["last_run_at"]},
    )
    resources = document["resources"]
    same({k: v for k, v in resources.items() if k != "models"},
         {k: float(v) if isinstance(v, Decimal) else v for k, v in measures(runs).items()})  # fmt: skip
    assert [(m["model_name"], m["total_calls"]) for m in resources["models"]] == [
        (m["model_name"], m["total_calls"]) for m in world.ask(f"model_usage(%s, %s, {window})", *arguments)
    ]
    assert [
        (e["error_category"], e["error_severity"], e["total_errors"])
        for e in document["errors"]["by_category"]
    ] == [
        (e["error_category"], e["error_severity"], e["total_errors"])
        for e in world.ask(f"error_summary(%s, %s, {window})", *arguments)
    ]
    comparison = world.ask(f"agent_comparison(%s, %s, {window})", *arguments)
    assert [
        (c["metric"], c["compared_with"], c["value"], c["p_value"], c["rank"]) for c in document["comparison"]
    ] == [
        (c["metric"], c["compared_with"], pytest.approx(c["value"]), pytest.approx(c["p_value"]), c["rank"])
        for c in comparison
    ]
    days = {local_start(run["started_at"], "day", ZoneInfo("UTC")) for run in runs}
    trend = {datetime.fromisoformat(t["day"]): t["total_runs"] for t in document["trend"] if t["total_runs"]}
    assert set(trend) == days
    assert sum(trend.values()) == len(runs)
    assert document["users"]["unique_users"] == measures(runs)["unique_users"]
    first = local_start(start, "day", ZoneInfo("UTC")) if start else None
    last = (
        local_start(end - timedelta(microseconds=1), "day", ZoneInfo("UTC")) + timedelta(days=1)
        if end
        else None
    )
    users: dict = {}
    for run in world.of("busy", first, last):
        if run["user_id"]:
            users[str(run["user_id"])] = users.get(str(run["user_id"]), 0) + 1
    assert [u["total_runs"] for u in document["users"]["top_users"]] == sorted(users.values(), reverse=True)[
        :10
    ]
    assert all(users[u["user_id"]] == u["total_runs"] for u in document["users"]["top_users"])


@pytest.mark.parametrize("name", ["one", "failed", "live", "silent", "errors"])
def test_odd_agents(world, name):
    document = world.db.value(
        "SELECT analytics.agent_analytics(%s, %s, 'all')", [world.workspace, world.agents[name]]
    )
    wanted = measures(world.of(name))
    performance = document["performance"]
    for key in (
        "total_runs",
        "success_rate",
        "p50_runtime_seconds",
        "stddev_runtime_seconds",
        "running_runs",
    ):
        assert performance[key] == wanted[key], key
    assert document["agent"]["name"] == name
    mine = [e for e in world.errors if e["agent_id"] == world.agents[name]]
    assert document["errors"]["total_errors"] == len(mine)
    if not world.of(name):
        assert document["comparison"] == []
        assert document["users"]["top_users"] == []
    everything = world.ask("agent_executions(%s, %s, 'all')", world.workspace, world.agents[name])
    assert len(everything) == len(world.of(name))


def test_refresh_changes_no_answer(world, server):
    """The same before and after a refresh."""
    questions = [
        "agent_performance(%s, %s, 'all')", "agent_timeseries(%s, %s, 'all', 'week')", "agent_usage_pattern(%s, %s, 'all')",
        "agent_top_users(%s, %s, 'all')", "model_usage(%s, %s, 'all')", "error_summary(%s, %s, 'all')",
        "agent_comparison(%s, %s, 'all')",
    ]  # fmt: skip
    arguments = (world.workspace, world.agents["busy"])
    clock = {"throughput_per_hour"}

    def answers() -> list:
        return [
            [{k: v for k, v in row.items() if k not in clock} for row in world.ask(question, *arguments)]
            for question in questions
        ]

    before = answers()
    assert world.db.value("SELECT count(*) FROM analytics_internal.rollup_changes") > 0
    world.db.execute("SELECT * FROM analytics.refresh(1000000)")
    assert world.db.value("SELECT count(*) FROM analytics_internal.rollup_changes") == 0
    for was, is_, question in zip(before, answers(), questions, strict=True):
        assert len(was) == len(is_), question
        for a, b in zip(was, is_, strict=True):
            same(a, dict(b.items()) | {"values": 0}, question)


def test_reads_few_pages(world):
    """The cost follows rollup rows: no table scan of raw runs after a refresh, whatever the window."""
    world.db.execute("SELECT * FROM analytics.refresh(1000000)")
    reads = "SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0) FROM pg_stat_xact_user_tables WHERE relname ~ '^agent_runs'"
    with world.db.connect(autocommit=False) as connection:
        connection.execute(
            "SELECT analytics.agent_analytics(%s, %s, from_time => %s, to_time => %s)",
            [world.workspace, world.agents["busy"], START, START + timedelta(days=DAYS)],
        )
        assert connection.execute(reads).fetchone()[0] == 0
        # The question finds what is read.
        connection.execute("SELECT count(*) FROM analytics.agent_runs WHERE error_message IS NULL")
        assert connection.execute(reads).fetchone()[0] > 0


REFUSED = {
    "agent_performance(%s, %s, '1y')": "timeframe",
    "agent_performance(%s, %s, 'all', '2026-01-02', '2026-01-01')": "from_time",
    "agent_timeseries(%s, %s, '7d', 'minute')": "bucket",
    "agent_timeseries(%s, %s, '7d', 'day', 'Mars/Olympus')": "time_zone",
    "agent_timeseries(%s, %s, 'all', 'hour', 'UTC', '1900-01-01', '2026-01-01')": "bucket",
    "agent_runtime_histogram(%s, %s, '7d', 0)": "buckets",
    "agent_top_users(%s, %s, '7d', 0)": "max_rows",
    "agent_executions(%s, %s, '7d', 'walking')": "status",
    "agent_executions(%s, %s, max_rows => 1001)": "max_rows",
    "error_patterns(%s, %s, max_rows => 0)": "max_rows",
    "error_budget(%s, %s, 1)": "target_success_rate",
    "error_budget(%s, %s, 'NaN')": "target_success_rate",
    "new_errors(%s, NULL, %s)": "since",
    "list_suggestions(%s, %s, 'open')": "status",
    "list_agents(%s, '7d', 'beauty', after_agent_id => %s)": "sort_by",
}


@pytest.mark.parametrize("call", REFUSED)
def test_refusals(world, call):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=REFUSED[call]) as caught:
        world.ask(call, world.workspace, world.agents["busy"])
    assert caught.value.diag.message_hint


@pytest.mark.parametrize(
    "call",
    ["agent_performance", "agent_stats", "agent_timeseries", "agent_executions", "agent_usage_pattern", "agent_runtime_histogram",
     "agent_top_users", "agent_resources", "model_usage", "agent_comparison", "agent_analytics", "error_summary",
     "error_timeline", "error_patterns", "error_budget", "list_suggestions"],
)  # fmt: skip
def test_unknown_agents_are_errors(world, call):
    for workspace, agent in (
        (world.workspace, uuid.uuid4()),
        (uuid.uuid4(), world.agents["busy"]),
        (None, None),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            world.ask(f"{call}(%s, %s)", workspace, agent)
