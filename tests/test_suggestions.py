"""Suggestions: each rule speaks when it should and not a little before, and what people decide is kept and measured."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from conftest import Database, Server

AS_OF = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Agent:
    """One agent, and what it did so many days before AS_OF."""

    def __init__(self, db: Database, workspace: uuid.UUID | None = None) -> None:
        self.db, self.workspace, self.id = db, workspace or db.workspace(), uuid.uuid4()
        db.execute(
            "INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (%s, %s, 'the agent')",
            [self.workspace, self.id],
        )

    def runs(
        self, number: int, days: float = 10, status: str = "completed", runtime: float | None = 1.0, **columns
    ) -> None:
        names = ["workspace_id", "agent_id", "started_at", "status", "runtime_seconds", *columns]
        values = [self.workspace, self.id, NOW - timedelta(days=days), status, runtime, *columns.values()]
        self.db.execute(
            f"INSERT INTO analytics.agent_runs ({', '.join(names)})"
            f" SELECT {', '.join(['%s'] * len(names))} FROM generate_series(1, {number})",
            values,
        )

    def errors(self, number: int, category: str = "network", **columns) -> None:
        names = ["workspace_id", "agent_id", "occurred_at", "error_type", "error_category", *columns]
        values = [self.workspace, self.id, NOW - timedelta(days=10), "E", category, *columns.values()]
        self.db.execute(
            f"INSERT INTO analytics.agent_errors ({', '.join(names)})"
            f" SELECT {', '.join(['%s'] * len(names))} FROM generate_series(1, {number})",
            values,
        )

    def refresh(self, as_of: datetime = AS_OF) -> tuple:
        return self.db.rows(
            "SELECT opened_count, updated_count, closed_count, measured_count FROM analytics.refresh_suggestions(%s, %s)",
            [self.workspace, as_of],
        )[0]

    def rules(self, status: str = "active") -> list[str]:
        return sorted(
            rule for (rule,) in self.db.rows(
                "SELECT rule_name FROM analytics.list_suggestions(%s, %s, %s)", [self.workspace, self.id, status])
        )  # fmt: skip

    def value(self, column: str, rule: str):
        return self.db.value(
            f"SELECT {column} FROM analytics.agent_optimization_suggestions WHERE workspace_id = %s AND rule_name = %s",
            [self.workspace, rule],
        )


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Database]:
    """A database for the tests that look at a workspace of their own only."""
    database = server.create_database(template="installed")
    yield database
    server.drop_database(database)


@pytest.fixture
def agent(shared) -> Agent:
    return Agent(shared)


@pytest.fixture
def lone_agent(db) -> Agent:
    """In a database of its own."""
    return Agent(db)


def ok(a: Agent) -> None:
    a.runs(100)


def hourly(a: Agent, at_noon: int, elsewhere: int) -> None:
    a.runs(970)
    a.runs(at_noon, days=10, status="timeout")
    for n in range(elsewhere):
        a.runs(1, days=10 + (n + 1) / 24, status="timeout")


def models(a: Agent, cheap_failures: int, price: float) -> None:
    a.runs(95, model_name="large", credits_consumed=1)
    a.runs(5, model_name="large", credits_consumed=1, status="failed")
    a.runs(95 - cheap_failures, model_name="small", credits_consumed=price)
    a.runs(5 + cheap_failures, model_name="small", credits_consumed=price, status="failed")


def rated(a: Agent, before: int, now: int, failures: int = 0) -> None:
    a.runs(100, days=40, user_rating=before)
    a.runs(100 - failures, user_rating=now)
    if failures:
        a.runs(failures, status="failed", user_rating=now)


# Rule: what makes it speak, and what nearly does.
CASES = {
    "high_failure_rate": (lambda a: (a.runs(94), a.runs(6, status="failed")), lambda a: (a.runs(95), a.runs(5, status="failed"))),
    "high_cost_per_run": (
        lambda a: (Agent(a.db, a.workspace).runs(1000, credits_consumed=1), a.runs(60, credits_consumed=3)),
        lambda a: (Agent(a.db, a.workspace).runs(1000, credits_consumed=1), a.runs(60, credits_consumed=2)),
    ),
    "slow_tail": (lambda a: (a.runs(90), a.runs(10, runtime=6)), lambda a: (a.runs(90), a.runs(10, runtime=5))),
    "slower_than_before": (
        lambda a: (a.runs(60, days=40), a.runs(60, runtime=1.6)), lambda a: (a.runs(49, days=40), a.runs(60, runtime=1.6))),
    "timeouts": (
        lambda a: (a.runs(96), a.runs(4, status="timeout")), lambda a: (a.runs(97), a.runs(3, status="timeout"))),
    "timeouts_at_one_hour": (lambda a: hourly(a, 6, 12), lambda a: hourly(a, 3, 9)),
    "useless_retries": (
        lambda a: (ok(a), a.errors(10, recovery_attempts=3)),
        lambda a: (ok(a), a.errors(10, recovery_attempts=3, auto_recovered=True)),
    ),
    "errors_stay": (lambda a: (ok(a), a.errors(20)), lambda a: (ok(a), a.errors(19))),
    "rate_limits": (
        lambda a: (ok(a), a.errors(10, "rate_limit"), a.errors(39)), lambda a: (ok(a), a.errors(10, "rate_limit"), a.errors(40))),
    "bad_input": (lambda a: (ok(a), a.errors(20, "validation")), lambda a: (ok(a), a.errors(19, "validation"))),
    "expired_credentials": (lambda a: (a.runs(1), a.errors(10, "auth")), lambda a: (a.runs(1), a.errors(9, "auth"))),
    "critical_errors": (
        lambda a: (a.runs(1), a.errors(1, error_severity="critical")), lambda a: (a.runs(1), a.errors(1, error_severity="high"))),
    "cheaper_model": (lambda a: models(a, 0, 0.5), lambda a: models(a, 25, 0.5)),
    "growing_cost": (
        lambda a: (a.runs(60, days=40, credits_consumed=1), a.runs(60, credits_consumed=1.4)),
        lambda a: (a.runs(60, days=40, credits_consumed=1), a.runs(60, credits_consumed=1.3)),
    ),
    "long_prompts": (
        lambda a: a.runs(60, prompt_tokens=31000, completion_tokens=1000),
        lambda a: a.runs(60, prompt_tokens=19000, completion_tokens=100),
    ),
    "feedback_falls": (lambda a: rated(a, 5, 4), lambda a: rated(a, 5, 4, failures=10)),
    "low_ratings": (lambda a: (ok(a), a.runs(20, user_rating=2)), lambda a: (ok(a), a.runs(19, user_rating=2))),
    "cancelled_by_users": (
        lambda a: (a.runs(89), a.runs(11, status="cancelled")), lambda a: (a.runs(90), a.runs(10, status="cancelled"))),
    "success_falls": (
        lambda a: (a.runs(500, days=40), a.runs(470), a.runs(30, status="cancelled")),
        lambda a: (a.runs(20, days=40), a.runs(47), a.runs(4, status="cancelled")),
    ),
    "hardly_used": (lambda a: (a.runs(100, days=40), a.runs(19)), lambda a: (a.runs(100, days=40), a.runs(20))),
}  # fmt: skip


@pytest.mark.parametrize("rule", CASES)
def test_rules(agent, rule):
    speaks, nearly = CASES[rule]
    speaks(agent)
    quiet = Agent(agent.db)
    nearly(quiet)
    agent.refresh()
    quiet.refresh()
    assert rule in agent.rules()
    assert rule not in quiet.rules()
    text = agent.value("concat_ws(' | ', title, description, estimated_impact)", rule)
    assert not set("{?") & set(text), text


def test_every_rule_is_tested(shared):
    rules = [rule for (rule,) in shared.rows("SELECT rule_name FROM analytics.suggestion_rules")]
    assert sorted(rules) == sorted(CASES)
    assert len(rules) >= 12


def test_an_agent_that_is_no_longer_used_at_all(agent):
    agent.runs(100, days=40)
    agent.refresh()
    assert agent.rules() == ["hardly_used"]


def test_figures_in_the_text(agent):
    """Every figure is computed from the rows."""
    agent.runs(90, credits_consumed=2)
    agent.runs(30, status="failed", runtime=None, credits_consumed=1)
    agent.refresh()
    assert agent.value("description", "high_failure_rate").startswith("25 % of the finished runs failed")
    assert agent.value("estimated_impact", "high_failure_rate") == (
        "Up to 30 more runs in 30 days end well; about 52.5 credits go into runs that do not."
    )
    assert agent.value(
        "(baseline_metrics ->> 'credits_per_success')::float8", "high_failure_rate"
    ) == pytest.approx(210 / 90)
    assert (
        agent.value("metric_value", "high_failure_rate"),
        agent.value("threshold", "high_failure_rate"),
    ) == (0.25, 0.05)


def test_open_update_close(agent):
    agent.runs(80)
    agent.runs(20, status="failed")
    assert agent.refresh() == (1, 0, 0, 0)
    assert agent.refresh() == (0, 1, 0, 0)
    agent.runs(20, status="failed")
    agent.refresh()
    assert agent.value("metric_value", "high_failure_rate") == pytest.approx(40 / 120)
    assert agent.value("estimated_impact", "high_failure_rate").startswith("Up to 40 ")
    agent.runs(2000)
    assert agent.refresh() == (0, 0, 1, 0)
    assert (agent.rules(), agent.rules("archived")) == ([], ["high_failure_rate"])
    # It comes back as a new one.
    agent.runs(900, status="failed")
    assert agent.refresh()[0] == 1
    assert agent.rules() == ["high_failure_rate"]


def test_rules_are_rows(lone_agent):
    """A changed threshold, a rule of one's own, and a disabled one; suggestions of people are left alone."""
    db = lone_agent.db
    lone_agent.runs(97)
    lone_agent.runs(3, status="failed")
    assert lone_agent.refresh() == (0, 0, 0, 0)
    db.execute("UPDATE analytics.suggestion_rules SET threshold = 0.02 WHERE rule_name = 'high_failure_rate'")
    db.execute(
        "INSERT INTO analytics.suggestion_rules (rule_name, suggestion_type, metric, divided_by, operator, threshold, title,"
        " description, impact) VALUES ('mine', 'cost', 'successful_runs', 'total_runs', '<=', 0.97, 'T', '{success_rate%}', '{x}')"
    )
    db.execute(
        "INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title)"
        " VALUES (%s, %s, 'cost', 'by hand')", [lone_agent.workspace, lone_agent.id],
    )  # fmt: skip
    assert lone_agent.refresh() == (2, 0, 0, 0)
    assert lone_agent.value("description", "mine") == "97 %"
    db.execute("UPDATE analytics.suggestion_rules SET enabled = false WHERE rule_name = 'mine'")
    assert lone_agent.refresh() == (0, 1, 1, 0)
    assert db.value("SELECT count(*) FROM analytics.list_suggestions(%s)", [lone_agent.workspace]) == 2
    db.execute("SELECT count(*) FROM analytics.setup()")
    assert (
        db.value("SELECT threshold FROM analytics.suggestion_rules WHERE rule_name = 'high_failure_rate'")
        == 0.02
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [("metric", "beauty"), ("divided_by", "beauty"), ("operator", "="), ("guard_metric", "total_runs"), ("threshold", "NaN"),
     ("suggestion_type", "speed"), ("effort_level", "none"), ("priority", 11)],
)  # fmt: skip
def test_wrong_rules_are_refused(shared, column, value):
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        shared.execute(
            f"UPDATE analytics.suggestion_rules SET {column} = %s WHERE rule_name = 'high_failure_rate'",
            [value],
        )
    assert caught.value.diag.message_hint


def decide(agent: Agent, what: str, *more) -> None:
    (suggestion,) = agent.db.rows(
        "SELECT suggestion_id FROM analytics.list_suggestions(%s)", [agent.workspace]
    )[0]
    places = ", ".join(["%s"] * (2 + len(more)))
    agent.db.execute(f"SELECT analytics.{what}({places})", [agent.workspace, suggestion, *more])


def test_dismissed_stays_quiet_for_a_while(agent):
    agent.runs(80)
    agent.runs(20, status="failed")
    agent.refresh()
    decide(agent, "dismiss_suggestion")
    agent.db.execute(
        "UPDATE analytics.agent_optimization_suggestions SET dismissed_at = %s WHERE workspace_id = %s",
        [AS_OF - timedelta(days=89), agent.workspace],
    )
    assert agent.refresh() == (0, 0, 0, 0)
    agent.db.execute(
        "UPDATE analytics.agent_optimization_suggestions SET dismissed_at = %s WHERE workspace_id = %s",
        [AS_OF - timedelta(days=91), agent.workspace],
    )
    assert agent.refresh() == (1, 0, 0, 0)


def test_the_effect_is_measured(agent):
    """Before: half fail. Then it is implemented, and hardly any do."""
    done = NOW - timedelta(days=20)
    agent.runs(100, days=25, credits_consumed=2)
    agent.runs(100, days=25, status="failed", runtime=3)
    agent.refresh(done)
    assert agent.rules() == ["high_failure_rate"]
    decide(agent, "implement_suggestion", done)
    assert agent.value("(baseline_metrics ->> 'success_rate')::float8", "high_failure_rate") == 0.5
    agent.runs(190, days=10)
    agent.runs(10, days=10, status="failed", runtime=3)
    assert agent.refresh() == (0, 0, 0, 1)
    after = "(post_implementation_metrics ->> '{}')::float8"
    assert agent.value(after.format("success_rate"), "high_failure_rate") == 0.95
    assert agent.value(after.format("total_runs"), "high_failure_rate") == 200
    (suggestion,) = agent.db.rows(
        "SELECT suggestion_id FROM analytics.list_suggestions(%s, NULL, NULL)", [agent.workspace]
    )[0]
    effect = {
        row[0]: row[1:]
        for row in agent.db.rows(
            "SELECT metric, before_value, after_value, difference, verdict, p_value FROM analytics.suggestion_effect(%s, %s, %s)",
            [agent.workspace, suggestion, NOW],
        )
    }
    assert effect["success_rate"][:4] == (0.5, 0.95, pytest.approx(0.45), "better")
    assert effect["success_rate"][4] < 1e-10
    assert effect["p50_runtime_seconds"][3] == "better"
    assert effect["credits_per_run"][:3] == (1, 0, -1)
    # Thirty days later nothing is measured any more.
    assert agent.refresh(AS_OF + timedelta(days=40))[3] == 0
    assert agent.value(after.format("total_runs"), "high_failure_rate") == 200


def test_decisions_are_made_once_by_admins(lone_agent, make_role):
    lone_agent.runs(80)
    lone_agent.runs(20, status="failed")
    lone_agent.refresh()
    db = lone_agent.db
    ((suggestion,),) = db.rows(
        "SELECT suggestion_id FROM analytics.list_suggestions(%s)", [lone_agent.workspace]
    )
    arguments = [lone_agent.workspace, suggestion]
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="no before and after"):
        db.execute("SELECT * FROM analytics.suggestion_effect(%s, %s)", arguments)
    for level in ("viewer", "member"):
        role = make_role(level)
        db.execute("SELECT analytics.grant_access(%s, %s, %s)", [role, lone_agent.workspace, level])
        with db.connect(role) as connection:
            assert connection.execute(
                "SELECT count(*) FROM analytics.list_suggestions(%s)", arguments[:1]
            ).fetchone() == (1,)
            for call in ("dismiss_suggestion(%s, %s)", "implement_suggestion(%s, %s)"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT analytics.{call}", arguments)
    role = make_role("admin")
    db.execute("SELECT analytics.grant_access(%s, %s, 'admin')", [role, lone_agent.workspace])
    with db.connect(role) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM analytics.refresh_suggestions()")
        connection.execute("SELECT analytics.implement_suggestion(%s, %s)", arguments)
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="the suggestion is implemented"):
            connection.execute("SELECT analytics.dismiss_suggestion(%s, %s)", arguments)
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="no such suggestion"):
            connection.execute(
                "SELECT analytics.dismiss_suggestion(%s, %s)", [lone_agent.workspace, uuid.uuid4()]
            )
    assert lone_agent.rules("implemented") == ["high_failure_rate"]


def test_workspaces_one_by_one(lone_agent):
    """NULL is all of them; an agent without a row in agents is left out."""
    lone_agent.runs(80)
    lone_agent.runs(20, status="failed")
    other = Agent(lone_agent.db)
    other.runs(80)
    other.runs(20, status="failed")
    lone_agent.db.execute("DELETE FROM analytics.agents WHERE agent_id = %s", [other.id])
    rows = lone_agent.db.rows(
        "SELECT workspace_id, opened_count FROM analytics.refresh_suggestions(as_of => %s)", [AS_OF]
    )
    assert sorted(rows) == sorted([(lone_agent.workspace, 1), (other.workspace, 0)])
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        lone_agent.db.execute("SELECT * FROM analytics.refresh_suggestions(%s)", [uuid.uuid4()])


def test_two_refreshes_at_once(lone_agent, background):
    """The second waits and finds nothing to open."""
    lone_agent.runs(80)
    lone_agent.runs(20, status="failed")
    first, second = lone_agent.db.connect(autocommit=False), lone_agent.db.connect()
    call = "SELECT opened_count FROM analytics.refresh_suggestions(%s, %s)"
    assert first.execute(call, [lone_agent.workspace, AS_OF]).fetchone() == (1,)
    waiting = background(second.execute, call, [lone_agent.workspace, AS_OF])
    lone_agent.db.wait_until_blocked(second)
    first.commit()
    assert waiting.result(60).fetchone() == (0,)
    assert lone_agent.rules() == ["high_failure_rate"]
