"""Errors: summary, patterns, budgets and what is new, against Python; and who may read messages."""

import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import dict_row
from test_agent_analytics import FINAL, START, WINDOWS, World, world  # noqa: F401 (a fixture)


def within(world: World, agent: str | None, start, end) -> list[dict]:  # noqa: F811
    return [
        e for e in world.errors
        if (agent is None or e["agent_id"] == world.agents[agent])
        and (start is None or e["occurred_at"] >= start) and (end is None or e["occurred_at"] < end)
    ]  # fmt: skip


@pytest.mark.parametrize("agent", ["busy", "errors", "silent", None])
@pytest.mark.parametrize(("start", "end"), WINDOWS)
def test_summary(world, agent, start, end):  # noqa: F811
    rows = world.ask(
        "error_summary(%s, %s, 'all', from_time => %s, to_time => %s)",
        world.workspace,
        world.agents.get(agent),
        start,
        end,
    )
    mine = within(world, agent, start, end)
    groups: dict = {}
    for e in mine:
        groups.setdefault((e["error_category"], e["error_severity"]), []).append(e)
    assert {(row["error_category"], row["error_severity"]) for row in rows} == set(groups)
    for row in rows:
        group = groups[row["error_category"], row["error_severity"]]
        times = [e["recovery_time_seconds"] for e in group if e["recovery_time_seconds"] is not None]
        assert row["total_errors"] == len(group)
        assert row["error_share"] == pytest.approx(len(group) / len(mine))
        assert row["recovered_errors"] == sum(e["auto_recovered"] for e in group)
        assert row["recovery_attempts"] == sum(e["recovery_attempts"] for e in group)
        assert row["avg_recovery_seconds"] == (pytest.approx(sum(times) / len(times)) if times else None)
        assert row["affected_users"] == len({e["user_id"] for e in group} - {None})
        assert row["affected_agents"] == len({e["agent_id"] for e in group})
        assert row["first_error_at"] == min(e["occurred_at"] for e in group)
        assert row["last_error_at"] == max(e["occurred_at"] for e in group)


@pytest.mark.parametrize("agent", ["busy", "silent", None])
@pytest.mark.parametrize(("start", "end"), [*WINDOWS[1:5], WINDOWS[6]])
def test_patterns(world, agent, start, end):  # noqa: F811
    """Messages differ by user and number only, so that a type and category is a pattern."""
    rows = world.ask(
        "error_patterns(%s, %s, from_time => %s, to_time => %s)",
        world.workspace,
        world.agents.get(agent),
        start,
        end,
    )
    groups: dict = {}
    for e in within(world, agent, start, end):
        groups.setdefault(e["error_type"], []).append(e)
    ever = {
        kind: min(e["occurred_at"] for e in within(world, agent, None, None) if e["error_type"] == kind)
        for kind in groups
    }
    assert {row["error_type"] for row in rows} == set(groups)
    assert [row["total_errors"] for row in rows] == sorted(map(len, groups.values()), reverse=True)
    severities = ["low", "medium", "high", "critical"]
    for row in rows:
        group = groups[row["error_type"]]
        last = max(group, key=lambda e: e["occurred_at"])
        middle = start + (end - start) / 2
        before = sum(e["occurred_at"] < middle for e in group)
        after = len(group) - before
        assert row["total_errors"] == len(group)
        assert row["message_pattern"] == "no answer for [email] after <n> s"
        assert row["error_severity"] == max((e["error_severity"] for e in group), key=severities.index)
        assert row["affected_users"] == len({e["user_id"] for e in group} - {None})
        assert row["affected_agents"] == len({e["agent_id"] for e in group})
        assert (row["first_seen_at"], row["last_seen_at"]) == (ever[row["error_type"]], last["occurred_at"])
        assert (row["example_error_id"], row["example_message"]) == (last["error_id"], last["error_message"])
        assert row["recovery_rate"] == pytest.approx(sum(e["auto_recovered"] for e in group) / len(group))
        assert row["errors_per_day"] == pytest.approx(len(group) / ((end - start) / timedelta(days=1)))
        assert row["trend_ratio"] == (pytest.approx(after / before) if before else None)
        if ever[row["error_type"]] >= middle:
            assert row["trend"] == "new"
        elif abs(after - before) < 1.96 * len(group) ** 0.5:
            assert row["trend"] == "steady"
        else:
            assert row["trend"] == ("rising" if after > before else "falling")
        assert row["suggested_fix"]
    if rows:
        assert len(world.ask("error_patterns(%s, %s, max_rows => 1, from_time => %s, to_time => %s)",
                             world.workspace, world.agents.get(agent), start, end)) == 1  # fmt: skip


def test_get_error(world):  # noqa: F811
    error = within(world, "busy", None, None)[0]
    (row,) = world.ask("get_error(%s, %s)", world.workspace, error["error_id"])
    alike = [e for e in world.errors if e["error_type"] == error["error_type"]]
    assert (row["agent_name"], row["error_message"]) == ("busy", error["error_message"])
    assert row["similar_errors"] == len(alike) - 1
    assert row["first_seen_at"] == min(e["occurred_at"] for e in alike)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="error_id"):
        world.ask("get_error(%s, %s)", world.workspace, uuid.uuid4())


@pytest.mark.parametrize("agent", ["busy", "silent", None])
@pytest.mark.parametrize("target", [0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    ("start", "end"), [(START + timedelta(days=2), START + timedelta(days=12)), WINDOWS[5]]
)
def test_budget(world, agent, target, start, end):  # noqa: F811
    (row,) = world.ask(
        "error_budget(%s, %s, %s, 'all', %s, %s)",
        world.workspace,
        world.agents.get(agent),
        target,
        start,
        end,
    )

    def bad(since: datetime) -> tuple[int, int]:
        runs = [run for run in world.of(agent, since, end) if run["status"] in FINAL]
        return len(runs), sum(run["status"] != "completed" for run in runs)

    finished, failed = bad(start)
    allowed = (1 - target) * finished
    assert (row["finished_runs"], row["unsuccessful_runs"]) == (finished, failed)
    assert row["allowed_runs"] == pytest.approx(allowed)
    assert row["budget_remaining"] == (pytest.approx(1 - failed / allowed) if finished else None)
    assert row["burn_rate"] == (pytest.approx(failed / finished / (1 - target)) if finished else None)
    for hours in (1, 6, 24):
        some, lost = bad(end - timedelta(hours=hours))
        assert row[f"burn_rate_{hours}h"] == (pytest.approx(lost / some / (1 - target)) if some else None)
    lost = bad(end - timedelta(hours=24))[1]
    left = allowed - failed
    if not finished:
        assert row["exhausted_in_hours"] is None
    elif left <= 0:
        assert row["exhausted_in_hours"] == 0
    else:
        assert row["exhausted_in_hours"] == (pytest.approx(left / lost * 24) if lost else None)


NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def messages(db):
    """insert(days before NOW, message): an error of one type."""
    workspace, agent = db.workspace(), uuid.uuid4()

    def insert(days: float, message: str | None, kind: str = "E") -> None:
        db.execute(
            "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_message, occurred_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            [workspace, agent, kind, message, NOW - timedelta(days=days)],
        )

    insert.workspace, insert.agent = workspace, agent
    return insert


def test_new_and_regressed(db, messages):
    messages(40, "old and gone")
    messages(30, "comes back 1")
    messages(12, "goes on")
    messages(2, "goes on")
    messages(2, "comes back 2")
    messages(1, "never seen 7")
    messages(0.5, "never seen 8")
    call = "SELECT kind, total_errors, example_message FROM analytics.new_errors(%s, %s, %s, %s)"
    since = NOW - timedelta(days=7)
    wanted = [("new", 2, "never seen 7"), ("regressed", 1, "comes back 2")]
    assert db.rows(call, [messages.workspace, since, None, timedelta(days=14)]) == wanted
    assert db.rows(call, [messages.workspace, since, messages.agent, timedelta(days=14)]) == wanted
    # The quiet time counts from the last error before.
    assert ("regressed", 1, "goes on") in db.rows(call, [messages.workspace, since, None, timedelta(days=10)])
    assert db.rows(call, [messages.workspace, since, None, timedelta(days=60)]) == wanted[:1]
    assert db.rows(call, [messages.workspace, NOW, None, timedelta(days=14)]) == []


def test_fingerprint_follows_the_message(db, messages):
    """It is the database's: writers cannot give one, and a corrected message gets its own."""
    messages(1, "row 17 of 20 is broken")
    messages(1, "Row 3 of 9 is broken")
    messages(1, "row 3 of 9 is missing")
    messages(1, None)
    messages(1, "row 3 of 9 is missing", "F")
    count = "SELECT count(DISTINCT error_fingerprint), count(*) FROM analytics.agent_errors"
    assert db.rows(count) == [(4, 5)]
    db.execute(
        "UPDATE analytics.agent_errors SET error_message = 'row 5 of 5 is broken' WHERE error_type = 'E'"
    )
    assert db.rows(count) == [(2, 5)]
    with pytest.raises(psycopg.errors.GeneratedAlways):
        db.execute("UPDATE analytics.agent_errors SET error_fingerprint = 'x'")
    assert (
        db.value(
            "SELECT string_agg(DISTINCT length(error_fingerprint)::text, ',') FROM analytics.agent_errors"
        )
        == "16"
    )


def test_messages_are_masked(db, messages, make_role):
    """Viewers read patterns, examples and single errors without personal data; admins read what was written."""
    messages(1, "mail to ann@example.com bounced 3 times")
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, error_message, started_at)"
        " VALUES (%s, %s, 'failed', 'mail to ann@example.com bounced', %s)",
        [messages.workspace, messages.agent, NOW],
    )
    error = db.value("SELECT error_id FROM analytics.agent_errors")
    read: dict[str, str] = {}
    for level in ("viewer", "admin"):
        role = make_role(level)
        db.execute("SELECT analytics.grant_access(%s, %s, %s)", [role, messages.workspace, level])
        with db.connect(role, row_factory=dict_row) as connection:
            calls = [
                ("error_patterns(%s, timeframe => 'all')", [messages.workspace]),
                ("new_errors(%s, '2020-01-01')", [messages.workspace]),
                ("get_error(%s, %s)", [messages.workspace, error]),
                ("agent_executions(%s, timeframe => 'all')", [messages.workspace]),
            ]
            rows = [
                connection.execute(f"SELECT * FROM analytics.{call}", arguments).fetchall()
                for call, arguments in calls
            ]
            assert all(rows)
            read[level] = str(rows)
    assert "ann@example.com" not in read["viewer"]
    assert "[email]" in read["viewer"]
    assert read["admin"].count("mail to ann@example.com bounced") == 4


def test_patterns_read_the_window_only(db, messages):
    """By the index: errors of other times and agents are not looked at, nor are texts but for the examples."""
    db.execute(
        "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_message, occurred_at)"
        " SELECT %s, %s, 'E', 'row ' || n, '2020-01-01' FROM generate_series(1, 3000) AS n",
        [messages.workspace, messages.agent],
    )
    messages(1, "another")
    db.execute("ANALYZE analytics.agent_errors")
    with db.connect(autocommit=False) as connection:
        call = "SELECT total_errors FROM analytics.error_patterns(%s, %s, from_time => %s, to_time => %s)"
        arguments = [messages.workspace, messages.agent, NOW - timedelta(days=30), NOW]
        assert connection.execute(call, arguments).fetchall() == [(1,)]
        reads = (
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'agent_errors'"
        )
        assert connection.execute(reads).fetchone()[0] < 20
