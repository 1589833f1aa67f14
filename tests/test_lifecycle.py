"""The lifecycle of agents, from outside: races over real connections, levels, and independent computations.

Curves and tests of survival are compared with lifelines (its results are in the shared data), time in state and the
analysis of transitions with plain SQL, plain Python and pm4py, which share no code with what is tested.
"""

import csv
import itertools
import json
import math
import random
import statistics
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

PATHS = {
    "draft": ["testing", "archived"],
    "testing": ["staging", "draft", "archived"],
    "staging": ["production", "testing", "archived"],
    "production": ["deprecated", "staging", "paused"],
    "paused": ["production", "deprecated"],
    "deprecated": ["production", "archived"],
    "archived": [],
}
MOVE = "SELECT sequence FROM analytics.transition_agent(%s, %s, %s, 'test', force => %s)"


@pytest.fixture
def workspace(db):
    return db.workspace()


def make_agents(db, workspace, count: int) -> list:
    return [
        row[0]
        for row in db.rows(
            "INSERT INTO analytics.agents (workspace_id, name) SELECT %s, 'agent ' || i FROM generate_series(1, %s) AS i"
            " RETURNING agent_id",
            [workspace, count],
        )
    ]


def history(db, workspace) -> dict:
    """Agent -> its events as (sequence, type, from, to, at), in order."""
    events = defaultdict(list)
    for agent, *event in db.rows(
        "SELECT agent_id, sequence, event_type, from_state, to_state, occurred_at FROM analytics.agent_lifecycle_events"
        " WHERE workspace_id = %s ORDER BY agent_id, sequence",
        [workspace],
    ):
        events[agent].append(tuple(event))
    return events


def require_sound(db, workspace) -> None:
    """No illegal event, none lost, and every agent is in the state of its last event."""
    events = history(db, workspace)
    states = dict(
        db.rows("SELECT agent_id, lifecycle_state FROM analytics.agents WHERE workspace_id = %s", [workspace])
    )
    assert events.keys() == states.keys()
    for agent, own in events.items():
        assert [event[0] for event in own] == list(range(1, len(own) + 1))
        for before, after in itertools.pairwise(own):
            assert after[2] == before[3]
            assert after[3] in PATHS[after[2]]
            assert after[4] >= before[4]
        assert states[agent] == own[-1][3]


# ------------------------------------------------------------------------------------------ survival


@pytest.fixture
def waltons(shared_data):
    with (shared_data / "survival" / "waltons.csv").open() as file:
        rows = [(float(row["T"]), row["E"] == "1", row["group"]) for row in csv.DictReader(file)]
    reference = json.loads((shared_data / "survival" / "waltons.reference.json").read_text())
    return rows, reference


def test_kaplan_meier_is_that_of_lifelines(db, waltons):
    rows, reference = waltons
    curves = {"all": reference["waltons_by_group"]["all"], **reference["waltons_by_group"]["groups"]}
    assert len(curves) == 3
    for name, curve in curves.items():
        chosen = [row for row in rows if name in ("all", row[2])]
        arrays = [[row[0] for row in chosen], [row[1] for row in chosen]]
        steps = db.rows(
            "SELECT time, survival, ci_low, ci_high, at_risk, events, censored FROM analytics.kaplan_meier(%s, %s)",
            arrays,
        )
        assert len(steps) == len(curve["table"])
        for step, wanted in zip(steps, curve["table"], strict=True):
            # The reference is rounded to eight places.
            for ours, theirs in zip(
                step[:4], (wanted[k] for k in ("t", "survival", "ci_lo", "ci_hi")), strict=True
            ):
                assert abs(ours - theirs) <= 0.5e-8 + 1e-12, (name, step, wanted)
            assert step[4:] == (wanted["at_risk"], wanted["observed"], wanted["censored"])
        assert db.value("SELECT analytics.survival_median(%s, %s)", arrays) == curve["median"]


def test_kaplan_meier_to_the_last_digit(db, waltons):
    """The product and Greenwood's sum, computed here."""
    rows, _ = waltons
    arrays = [[row[0] for row in rows], [row[1] for row in rows]]
    survival, greenwood = 1.0, 0.0
    steps = db.rows("SELECT * FROM analytics.kaplan_meier(%s, %s)", arrays)
    for time, at_risk, events, _censored, estimate, std_err, low, high in steps[:-1]:
        assert at_risk == sum(row[0] >= time for row in rows)
        survival *= 1 - events / at_risk
        greenwood += events / (at_risk * (at_risk - events))
        assert math.isclose(estimate, survival, rel_tol=1e-9)
        assert math.isclose(std_err, survival * math.sqrt(greenwood), rel_tol=1e-9, abs_tol=1e-15)
        if events and survival < 1:
            middle = math.log(-math.log(survival))
            width = statistics.NormalDist().inv_cdf(0.975) * math.sqrt(greenwood) / -math.log(survival)
            assert math.isclose(low, math.exp(-math.exp(middle + width)), rel_tol=1e-9)
            assert math.isclose(high, math.exp(-math.exp(middle - width)), rel_tol=1e-9)


def test_log_rank_is_that_of_lifelines(db, waltons):
    rows, reference = waltons
    wanted = reference["waltons_logrank"]
    arrays = [list(column) for column in zip(*rows, strict=True)]
    statistic, freedom, p_value = db.rows("SELECT * FROM analytics.log_rank_test(%s, %s, %s)", arrays)[0]
    assert freedom == 1
    assert math.isclose(statistic, wanted["test_statistic"], rel_tol=1e-9)
    assert math.isclose(p_value, wanted["p"], rel_tol=1e-9)


# ------------------------------------------------------------------------------------- time in state

LEAD = """
    SELECT id, state, sum(greatest(least(coalesce(next, until), until) - at, interval '0')) FROM (
        SELECT id, at, state, lead(at) OVER (PARTITION BY id ORDER BY at, n NULLS FIRST, state COLLATE "C") AS next,
               timestamptz '2026-02-01' AS until
        FROM data) AS d
    GROUP BY id, state ORDER BY id, state COLLATE "C" """
OURS = """
    SELECT id, v.state, v.duration FROM (SELECT id, analytics.state_agg(at, state, n) AS s FROM data GROUP BY id) AS g,
         analytics.into_values(s, to_time => '2026-02-01') AS v ORDER BY id, v.state COLLATE "C" """


@pytest.fixture
def observations(db):
    """Random observations of 60 things, with ties, sequence numbers for some, repeated states, and strange names."""
    db.execute("CREATE TABLE data (id integer, at timestamptz, state text, n bigint, part integer)")
    random.seed(8)
    states = ["running", "down", "", "ünïcödé", "a" * 300]
    many = [f"state {i}" for i in range(40)]
    with db.connection.cursor().copy("COPY data FROM STDIN") as copy:
        for thing in range(60):
            for _ in range(random.choice([1, 5, 200])):
                at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(30 * 24 * 6) * 10)
                sequence = random.choice([None, random.randrange(5)]) if thing % 2 else None
                copy.write_row(
                    (thing, at, random.choice(many if thing == 7 else states), sequence, random.randrange(4))
                )
    db.execute("ANALYZE data")
    return db


def test_durations_are_those_of_lead(observations):
    expected = observations.rows(LEAD)
    assert len(expected) > 150
    assert observations.rows(OURS) == expected


def test_merging_in_any_order_and_parallel(observations):
    whole = observations.rows(
        "SELECT id, analytics.state_agg(at, state, n)::text FROM data GROUP BY id ORDER BY id"
    )
    parts = """
        SELECT id, analytics.rollup(s ORDER BY {})::text
        FROM (SELECT id, part, analytics.state_agg(at, state, n) AS s FROM data GROUP BY id, part) AS p GROUP BY id ORDER BY id"""
    for order in ("part", "part DESC", "s::text"):
        assert observations.rows(parts.format(order)) == whole
    observations.execute(
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;"
        " SET max_parallel_workers_per_gather = 2; SET enable_sort = off"
    )
    query = "SELECT id, analytics.state_agg(at, state, n)::text FROM data GROUP BY id ORDER BY id"
    plan = "\n".join(row[0] for row in observations.rows(f"EXPLAIN {query}"))
    assert "Partial HashAggregate" in plan, plan
    assert observations.rows(query) == whole


def test_timelines_fill_the_time(observations):
    """Each begins where the one before it ends; together they last from the first observation to to_time."""
    rows = observations.rows(
        "SELECT id, v.state, v.start_time, v.end_time, analytics.first_time(s)"
        " FROM (SELECT id, analytics.state_agg(at, state, n) AS s FROM data GROUP BY id) AS g,"
        " analytics.state_timeline(s, to_time => '2026-03-01') WITH ORDINALITY AS v (state, start_time, end_time, n) ORDER BY id, v.n"
    )
    by_thing = defaultdict(list)
    for thing, *row in rows:
        by_thing[thing].append(row)
    assert len(by_thing) == 60
    for timeline in by_thing.values():
        assert timeline[0][1] == timeline[0][3]
        assert timeline[-1][2] == datetime(2026, 3, 1, tzinfo=UTC)
        for before, after in itertools.pairwise(timeline):
            assert before[2] == after[1]
            assert before[0] != after[0]


# ------------------------------------------------------------------------------------------- races


def test_two_sessions_one_agent(db, workspace, background):
    (agent,) = make_agents(db, workspace, 1)
    first, second = db.connect(autocommit=False), db.connect()
    first.execute(MOVE, [workspace, agent, "testing", False])
    waiting = background(lambda: second.execute(MOVE, [workspace, agent, "archived", False]))
    db.wait_until_blocked(second)
    first.commit()
    with pytest.raises(psycopg.errors.SerializationFailure) as caught:
        waiting.result(60)
    assert "was moved from draft to testing by another session" in caught.value.diag.message_primary
    assert caught.value.diag.message_hint == "Look at its state and try again."
    require_sound(db, workspace)
    # When the first rolls back, the second goes on.
    first.execute(MOVE, [workspace, agent, "draft", False])
    waiting = background(lambda: second.execute(MOVE, [workspace, agent, "archived", False]).fetchone())
    db.wait_until_blocked(second)
    first.rollback()
    assert waiting.result(60) == (3,)
    require_sound(db, workspace)


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_any_sequence_of_calls(db, workspace, background, isolation):
    """Four sessions move three agents at random: whatever was answered is in the history, and nothing else."""
    agents = make_agents(db, workspace, 3)

    def move(seed: int) -> Counter:
        rng = random.Random(seed)
        outcome = Counter()
        with db.connect() as connection:
            connection.execute(f"SET default_transaction_isolation = '{isolation}'")
            for _ in range(60):
                # Nothing leads out of archived: hardly ever there.
                agent, target = rng.choice(agents), rng.choices(list(PATHS), [10, 10, 10, 10, 10, 10, 0.1])[0]
                try:
                    with connection.transaction(force_rollback=rng.random() < 0.1) as transaction:
                        connection.execute(MOVE, [workspace, agent, target, rng.random() < 0.8])
                    outcome["undone" if transaction.force_rollback else "moved"] += 1
                except psycopg.Error as error:
                    outcome[error.sqlstate] += 1
        return outcome

    total = sum((task.result(120) for task in [background(move, seed) for seed in range(4)]), Counter())
    assert set(total) <= {"moved", "undone", "55000", "40001"}, total
    events = history(db, workspace)
    assert sum(len(own) - 1 for own in events.values()) == total["moved"] > 30, total
    require_sound(db, workspace)


def test_one_key_one_event(db, workspace, background):
    (agent,) = make_agents(db, workspace, 1)
    call = "SELECT sequence, repeated FROM analytics.transition_agent(%s, %s, 'testing', idempotency_key => 'once')"
    barrier = threading.Barrier(4)

    def move():
        connection = db.connect()
        barrier.wait(30)
        return connection.execute(call, [workspace, agent]).fetchone()

    answers = [task.result(60) for task in [background(move) for _ in range(4)]]
    assert sorted(answers) == [(2, False), (2, True), (2, True), (2, True)]
    require_sound(db, workspace)


def test_rules_do_not_change_under_a_transition(db, workspace, background):
    (agent,) = make_agents(db, workspace, 1)
    first, second = db.connect(autocommit=False), db.connect()
    first.execute(MOVE, [workspace, agent, "testing", False])
    rules = '{"states": [{"state": "draft", "terminal": true}], "transitions": []}'
    waiting = background(
        lambda: second.execute("SELECT analytics.configure_lifecycle(%s, %s)", [workspace, rules])
    )
    db.wait_until_blocked(second)
    first.commit()
    with pytest.raises(
        psycopg.errors.ForeignKeyViolation, match='state "testing" cannot go while agents are in it'
    ):
        waiting.result(60)
    # And the other way round.
    first.execute(MOVE, [workspace, agent, "draft", False])
    first.commit()
    first.execute("SELECT analytics.configure_lifecycle(%s, %s)", [workspace, rules])
    waiting = background(lambda: second.execute(MOVE, [workspace, agent, "testing", False]))
    db.wait_until_blocked(second)
    first.commit()
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="it is not a state of the lifecycle"):
        waiting.result(60)


def test_two_halves_of_a_circle(db, workspace, background):
    a, b = make_agents(db, workspace, 2)
    insert = "INSERT INTO analytics.agent_dependencies (workspace_id, agent_id, depends_on_agent_id) VALUES (%s, %s, %s)"
    first, second = db.connect(autocommit=False), db.connect()
    first.execute(insert, [workspace, a, b])
    waiting = background(lambda: second.execute(insert, [workspace, b, a]))
    db.wait_until_blocked(second)
    first.commit()
    with pytest.raises(
        psycopg.errors.CheckViolation,
        match=r"the dependencies form a circle: agent \d -> agent \d -> agent \d",
    ):
        waiting.result(60)
    assert db.value("SELECT count(*) FROM analytics.agent_dependencies") == 1


def test_listeners_hear_of_their_workspace_only(db, workspace):
    other = db.workspace("other")
    (agent,), (foreign,) = make_agents(db, workspace, 1), make_agents(db, other, 1)
    listener = db.connect()
    listener.execute(f"LISTEN analytics_lifecycle_{workspace.hex}")
    db.execute(MOVE, [other, foreign, "testing", False])
    db.execute(MOVE, [workspace, agent, "testing", False])
    with db.connect() as undone, undone.transaction(force_rollback=True):
        undone.execute(MOVE, [workspace, agent, "draft", False])
    heard = list(listener.notifies(timeout=5, stop_after=1)) + list(listener.notifies(timeout=0.2))
    assert [json.loads(notice.payload) for notice in heard] == [{"agent_id": str(agent), "sequence": 2}]


# ------------------------------------------------------------------------------------------- guards


def test_guards_see_the_runs_of_this_transaction(db, workspace):
    """Exact-fresh: a run that was written a moment ago counts, refreshed or not."""
    (agent,) = make_agents(db, workspace, 1)
    db.execute(MOVE, [workspace, agent, "testing", False])
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        db.execute(MOVE, [workspace, agent, "staging", False])
    assert (
        "minimum_runs (7d) is 0, at least 10 is needed; success_rate (7d) is not known"
        in caught.value.diag.message_primary
    )
    with db.connect() as connection, connection.transaction():
        connection.execute(
            "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds)"
            " SELECT %s, %s, 'completed', 1 FROM generate_series(1, 9)",
            [workspace, agent],
        )
        connection.execute(
            "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (%s, %s, 'timeout')",
            [workspace, agent],
        )
        connection.execute(MOVE, [workspace, agent, "staging", False])
    guards = db.value(
        "SELECT guards FROM analytics.agent_lifecycle_events WHERE sequence = 3 AND agent_id = %s", [agent]
    )
    assert {guard["check"]: guard["value"] for guard in guards} == {"minimum_runs": 10, "success_rate": 0.9}


def test_every_metric(db, workspace):
    """Each word of the vocabulary, just within and just outside its threshold."""
    (agent,) = make_agents(db, workspace, 1)
    db.execute(
        "UPDATE analytics.agents SET owner_id = gen_random_uuid() WHERE workspace_id = %s", [workspace]
    )
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds, credits_consumed, user_rating)"
        " SELECT %s, %s, CASE WHEN i <= 2 THEN 'failed' ELSE 'completed' END, i, 2, 4 FROM generate_series(1, 20) AS i",
        [workspace, agent],
    )
    db.execute(
        "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_severity, auto_recovered)"
        " VALUES (%s, %s, 'E', 'critical', false), (%s, %s, 'E', 'critical', true), (%s, %s, 'E', 'high', false)",
        [workspace, agent] * 3,
    )
    p95 = 1 + 0.95 * 19
    (health,) = [row[3] for row in db.rows("SELECT * FROM analytics.agent_health(%s)", [workspace])]
    bounds = {
        "minimum_runs": (20, 21), "success_rate": (0.9, 0.91), "p95_runtime_seconds": (p95 + 1e-9, p95 - 1e-9),
        "cost_per_run": (2, 1.99), "error_budget": (0.1, 0.09), "avg_rating": (4, 4.01), "open_critical_errors": (1, 0),
        "hours_in_state": (0, 1), "health_score": (health - 0.01, health + 0.01),
    }  # fmt: skip
    vocabulary = {row[0] for row in db.rows("SELECT metric FROM analytics_internal.lifecycle_metrics()")}
    assert vocabulary == {*bounds, "owner_present"}
    for metric, thresholds in bounds.items():
        for threshold, passes in zip(thresholds, (True, False), strict=True):
            rules = {
                "states": [{"state": "draft"}, {"state": "live", "terminal": True}],
                "transitions": [
                    {
                        "from": "draft",
                        "to": "live",
                        "guards": [{"metric": metric, "threshold": threshold}, {"metric": "owner_present"}],
                    }
                ],
            }
            db.execute("SELECT analytics.configure_lifecycle(%s, %s)", [workspace, json.dumps(rules)])
            allowed, problems = db.rows(
                "SELECT allowed, problems FROM analytics.transition_agent(%s, %s, 'live', dry_run => true)",
                [workspace, agent],
            )[0]
            assert allowed == passes, (metric, threshold, problems)
            assert bool(problems) != passes
    db.execute("UPDATE analytics.agents SET owner_id = NULL WHERE workspace_id = %s", [workspace])
    problems = "SELECT problems FROM analytics.transition_agent(%s, %s, 'live', dry_run => true)"
    assert "owner_present: nobody answers for the agent" in db.value(problems, [workspace, agent])


# ------------------------------------------------------------------------------------------- levels


def test_who_may_do_what(db, workspace, make_role):
    other = db.workspace("other")
    (agent,), (foreign,) = make_agents(db, workspace, 1), make_agents(db, other, 1)
    roles = {level: make_role(level) for level in ("viewer", "member", "admin", "owner")}
    for level, role in roles.items():
        db.execute("SELECT analytics.grant_access(%s, %s, %s)", [role, workspace, level])
    connections = {level: db.connect(role) for level, role in roles.items()}

    def outcome(level: str, query: str, *params) -> str | None:
        with connections[level].transaction(force_rollback=True):
            try:
                with connections[level].transaction():
                    connections[level].execute(query, params)
            except psycopg.Error as error:
                return error.sqlstate
        return None

    def allowed(query: str, *params) -> list[str]:
        results = {level: outcome(level, query, *params) for level in roles}
        assert set(results.values()) <= {None, "42501"}, results
        return [level for level, result in results.items() if result is None]

    everyone = ["viewer", "member", "admin", "owner"]
    assert (
        allowed("SELECT * FROM analytics.explain_transition(%s, %s, 'testing')", workspace, agent) == everyone
    )
    assert allowed("SELECT * FROM analytics.propose_transitions(%s)", workspace) == everyone
    assert allowed("SELECT analytics.agent_lifecycle(%s, %s)", workspace, agent) == everyone
    assert allowed("SELECT * FROM analytics.retirement_candidates(%s)", workspace) == everyone
    assert allowed(MOVE, workspace, agent, "testing", False) == ["admin", "owner"]
    assert allowed(MOVE, workspace, agent, "testing", True) == ["owner"]
    assert allowed("SELECT analytics.register_version(%s, %s, '1.0.0')", workspace, agent) == everyone[1:]
    assert allowed("SELECT analytics.record_agent_health(%s)", workspace) == ["admin", "owner"]
    assert allowed("SELECT analytics.configure_lifecycle(%s, NULL)", workspace) == ["owner"]
    db.execute("SELECT analytics.register_version(%s, %s, '1.0.0')", [workspace, agent])
    assert allowed("SELECT analytics.deploy_version(%s, %s, '1.0.0')", workspace, agent) == ["admin", "owner"]
    # Nobody writes the history by hand, nor in another workspace.
    event = "INSERT INTO analytics.agent_lifecycle_events (workspace_id, agent_id, sequence, event_type, to_state, occurred_at, actor_role)"
    assert (
        allowed(f"{event} VALUES (%s, %s, 2, 'registered', 'production', now(), 'me')", workspace, agent)
        == []
    )
    assert allowed(MOVE, other, foreign, "testing", False) == []
    assert allowed("SELECT analytics.agent_lifecycle(%s, %s)", other, foreign) == []
    assert allowed("UPDATE analytics.lifecycle_requests SET status = 'approved'") == []
    assert connections["owner"].execute(
        "SELECT count(*) FROM analytics.agent_lifecycle_events"
    ).fetchone() == (1,)


def test_approvals(db, workspace, make_role, background):
    """Each from somebody else; two at once carry the transition out once."""
    (agent,) = make_agents(db, workspace, 1)
    rules = {
        "states": [{"state": "draft"}, {"state": "live", "terminal": True}],
        "transitions": [{"from": "draft", "to": "live", "access_level": "member", "required_approvals": 2}],
    }
    db.execute("SELECT analytics.configure_lifecycle(%s, %s)", [workspace, json.dumps(rules)])
    people = [make_role(name) for name in ("asks", "first", "second", "third")]
    for role in people:
        db.execute("SELECT analytics.grant_access(%s, %s, 'member')", [role, workspace])
    asks, *others = [db.connect(role) for role in people]
    request = asks.execute(
        "SELECT analytics.request_transition(%s, %s, 'live', 'ready')", [workspace, agent]
    ).fetchone()[0]
    approve = "SELECT status, approvals, sequence FROM analytics.approve_transition(%s, %s)"
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match="who asks for a transition cannot approve it"
    ):
        asks.execute(approve, [workspace, request])
    barrier = threading.Barrier(3)

    def decide(connection):
        barrier.wait(30)
        try:
            return connection.execute(approve, [workspace, request]).fetchone()
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            return error.diag.message_primary

    answers = [task.result(60) for task in [background(decide, other) for other in others]]
    assert sorted(answers, key=str) == [("done", 2, 2), ("pending", 1, None), "the request is done"]
    assert db.rows(
        "SELECT actor_role = ANY (%s), reason FROM analytics.agent_lifecycle_events WHERE sequence = 2",
        [people[1:]],
    ) == [(True, "ready")]


# ----------------------------------------------------------------------------------------- analysis


@pytest.fixture
def log(db, workspace):
    """A generated history of 200 agents: (agent, [(state, entered at), ...])."""
    random.seed(11)
    agents = make_agents(db, workspace, 200)
    db.execute("UPDATE analytics.agents SET created_at = '2026-01-01' WHERE workspace_id = %s", [workspace])
    db.execute("ALTER TABLE analytics.agent_lifecycle_events DISABLE TRIGGER USER")
    db.execute("UPDATE analytics.agent_lifecycle_events SET occurred_at = '2026-01-01'")
    db.execute("ALTER TABLE analytics.agent_lifecycle_events ENABLE TRIGGER USER")
    cases = {}
    with db.connection.cursor().copy(
        "COPY analytics.agent_lifecycle_events (workspace_id, agent_id, sequence, event_type, from_state, to_state,"
        " occurred_at, actor_role) FROM STDIN"
    ) as copy:
        for agent in agents:
            at, state = datetime(2026, 1, 1, tzinfo=UTC), "draft"
            case = [(state, at)]
            for sequence in range(2, random.randrange(2, 9)):
                if not PATHS[state]:
                    break
                at += timedelta(seconds=round(random.lognormvariate(11, 1)))
                target = random.choice(PATHS[state])
                copy.write_row((workspace, agent, sequence, "transition", state, target, at, "test"))
                state = target
                case.append((state, at))
            cases[agent] = case
    return cases


def test_analysis_is_that_of_plain_python(db, workspace, log):
    dwell, left = defaultdict(list), Counter()
    for case in log.values():
        for (a, start), (b, end) in itertools.pairwise(case):
            dwell[a, b].append((end - start).total_seconds())
            left[a] += 1
    standing = Counter(case[-1][0] for case in log.values())
    matrix = {
        (a, b): (n, p, still)
        for a, b, n, p, still in db.rows("SELECT * FROM analytics.transition_matrix(%s)", [workspace])
        if b
    }
    assert matrix.keys() == dwell.keys()
    for edge, (n, probability, still) in matrix.items():
        assert n == len(dwell[edge])
        assert math.isclose(probability, n / left[edge[0]])
        assert still == standing[edge[0]]
    flow = {
        (a, b): rest for a, b, *rest in db.rows("SELECT * FROM analytics.lifecycle_flow(%s)", [workspace])
    }
    for edge, (n, agents, mean, median, p90, forced) in flow.items():
        times = sorted(dwell[edge])
        assert (n, forced) == (len(times), 0)
        assert 1 <= agents <= n
        assert math.isclose(mean, statistics.fmean(times))
        assert math.isclose(median, statistics.median(times))
        place = 0.9 * (len(times) - 1)
        low = times[int(place)]
        high = times[min(int(place) + 1, len(times) - 1)]
        assert math.isclose(p90, low + (place - int(place)) * (high - low))
    variants = Counter(tuple(state for state, _ in case) for case in log.values())
    found = {
        tuple(path): n
        for path, n, *_ in db.rows("SELECT * FROM analytics.lifecycle_variants(%s)", [workspace])
    }
    assert found == variants


@pytest.fixture(scope="module")
def pm4py() -> Path:
    """A Python that has pm4py, installed once."""
    folder = Path(sys.prefix).parent / "pm4py"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        # Not compiled: a run imports a small part of it, and keeps byte code elsewhere.
        pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet", "--no-compile"]
        pip += ["--disable-pip-version-check", "--only-binary=:all:", "pm4py==2.7.23.11"]
        subprocess.run(pip, check=True, timeout=600)
        (folder / "complete").touch()
    return python


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_analysis_is_that_of_pm4py(db, workspace, log, pm4py, tmp_path):
    rows = [(str(agent), state, at.isoformat()) for agent, case in log.items() for state, at in case]
    script = Path(__file__).with_name("pm4py_answers.py")
    answer = tmp_path / "answer.json"
    subprocess.run([pm4py, script, answer], input=json.dumps(rows), text=True, check=True, timeout=120)
    theirs = json.loads(answer.read_text())
    edges = {(a, b): (count, mean, median) for a, b, count, mean, median in theirs["edges"]}
    matrix = db.rows("SELECT * FROM analytics.transition_matrix(%s)", [workspace])
    assert {(a, b): n for a, b, n, *_ in matrix if b} == {edge: count for edge, (count, *_) in edges.items()}
    flow = db.rows("SELECT * FROM analytics.lifecycle_flow(%s)", [workspace])
    assert len(flow) == len(edges) > 5
    for a, b, n, _, mean, median, *_ in flow:
        count, their_mean, their_median = edges[a, b]
        assert n == count
        assert math.isclose(mean, their_mean)
        assert math.isclose(median, their_median)
    variants = db.rows("SELECT * FROM analytics.lifecycle_variants(%s)", [workspace])
    assert {tuple(path): n for path, n, *_ in variants} == {
        tuple(path): count for path, count in theirs["variants"]
    }


def test_funnel_bounce_backs_and_survival(db, workspace, log):
    way = ["draft", "testing", "staging", "production", "deprecated", "archived"]
    furthest = [max(way.index(state) for state, _ in case if state in way) for case in log.values()]
    funnel = db.rows("SELECT state, agents FROM analytics.promotion_funnel(%s)", [workspace])
    assert funnel == [(state, sum(f >= i for f in furthest)) for i, state in enumerate(way)]
    back = sum(
        a in way and b in way and way.index(b) < way.index(a)
        for case in log.values()
        for (a, _), (b, _) in itertools.pairwise(case)
    )
    assert db.value("SELECT count(*) FROM analytics.lifecycle_bounce_backs(%s)", [workspace]) == back > 10
    stays = [
        end - start
        for case in log.values()
        for (a, start), (_, end) in itertools.pairwise(case)
        if a == "testing"
    ]
    events = db.value("SELECT sum(events) FROM analytics.state_survival(%s, 'testing')", [workspace])
    censored = db.value("SELECT sum(censored) FROM analytics.state_survival(%s, 'testing')", [workspace])
    assert events == len(stays)
    assert censored == sum(case[-1][0] == "testing" for case in log.values())


def test_an_anomaly_is_found(db, workspace, log):
    usual = db.value("SELECT count(*) FROM analytics.anomalous_transitions(%s, 'all', 0)", [workspace])
    agent, case = next((agent, case) for agent, case in log.items() if case[-1][0] == "draft")
    db.execute(
        "INSERT INTO analytics.agent_lifecycle_events (workspace_id, agent_id, sequence, event_type, from_state, to_state,"
        " occurred_at, actor_role) VALUES (%s, %s, %s, 'transition', 'draft', 'testing', %s, 'test')",
        [workspace, agent, len(case) + 1, case[-1][1] + timedelta(days=200)],
    )
    rows = db.rows("SELECT agent_id, reasons FROM analytics.anomalous_transitions(%s, 'all', 0)", [workspace])
    assert len(rows) == usual + 1
    assert (agent, ["stayed unusually long"]) in rows


def test_mermaid_counts(db, workspace, log):
    text = db.value("SELECT analytics.lifecycle_mermaid(%s)", [workspace])
    assert text.startswith("stateDiagram-v2\n")
    edges = Counter((a, b) for case in log.values() for (a, _), (b, _) in itertools.pairwise(case))
    for (a, b), n in edges.items():
        assert f"    {a} --> {b} : {n}\n" in text + "\n"


def test_versions_that_do_not_differ(db, workspace):
    """The p-values of equal versions are spread evenly: about one in twenty is below 0.05."""
    random.seed(5)
    agents = make_agents(db, workspace, 120)
    with db.connection.cursor().copy(
        "COPY analytics.agent_runs (workspace_id, agent_id, agent_version, status, runtime_seconds, credits_consumed) FROM STDIN"
    ) as copy:
        for agent in agents:
            for i in range(80):
                runtime, credits = random.lognormvariate(1, 0.7), random.expovariate(2)
                status = "completed" if random.random() < 0.7 else "failed"
                copy.write_row((workspace, agent, f"1.{i % 2}.0", status, runtime, round(credits, 4)))
    low = dict(
        db.rows(
            "SELECT c.metric, count(*) FILTER (WHERE c.p_value < 0.05) FROM unnest(%s::uuid[]) AS a"
            " CROSS JOIN LATERAL analytics.compare_versions(%s, a, '1.0.0', '1.1.0') AS c GROUP BY 1",
            [agents, workspace],
        )
    )
    for metric in ("success_rate", "runtime_seconds", "cost_per_run"):
        assert 0 < low[metric] < 16, low  # 6 are expected


def test_demo_data_and_the_whole_picture(db):
    """Every function has an answer for a workload of some size, and the views agree with the tables."""
    db.execute("SELECT * FROM analytics.generate_demo_data(20000)")
    workspace = db.value("SELECT workspace_id FROM analytics.workspaces ORDER BY name LIMIT 1")
    agents = db.value("SELECT count(*) FROM analytics.agents WHERE workspace_id = %s", [workspace])
    assert (
        db.value("SELECT count(*) FROM analytics.agent_lifecycle_status WHERE workspace_id = %s", [workspace])
        == agents
    )
    assert (
        db.value("SELECT count(*) FROM analytics.agent_health(%s) WHERE score BETWEEN 0 AND 100", [workspace])
        == agents
    )
    assert db.value("SELECT analytics.record_agent_health()") == db.value(
        "SELECT count(*) FROM analytics.agents"
    )
    demoted = {
        row[0]
        for row in db.rows(
            "SELECT agent_id FROM analytics.propose_transitions(%s) WHERE proposal = 'demotion'", [workspace]
        )
    }
    failing = {
        row[0]
        for row in db.rows(
            "SELECT l.agent_id FROM analytics.list_agents(%s, '30d') AS l JOIN analytics.agents AS a USING (agent_id)"
            " WHERE l.lifecycle_state = 'production' AND (l.success_rate < 0.95 OR a.owner_id IS NULL OR EXISTS ("
            "   SELECT FROM analytics.agent_errors AS e WHERE e.agent_id = l.agent_id AND e.error_severity = 'critical'"
            "   AND NOT e.auto_recovered AND e.occurred_at >= (SELECT window_start FROM analytics.window_bounds('7d'))))",
            [workspace],
        )
    }
    assert demoted == failing
    require_registered = "SELECT count(*) FROM analytics.agents AS a WHERE NOT EXISTS (SELECT FROM analytics.agent_lifecycle_events AS e WHERE e.agent_id = a.agent_id AND e.to_state = a.lifecycle_state)"
    assert db.value(require_registered) == 0
