"""Comparisons: figures and ranks against Python, verdicts against groups that are known to differ or not."""

import math
import random
import statistics
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conftest import Database, Server

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WINDOW = "from_time => '2026-04-01 00:00+00', to_time => '2026-05-01 00:00+00'"


class Agents:
    def __init__(self, db: Database) -> None:
        self.db, self.workspace, self.random = db, db.workspace(), random.Random(11)
        self.runs: dict[str, list[tuple]] = {}
        self.ids: dict[str, uuid.UUID] = {}

    def add(
        self, name: str, number: int, success: float, median: float, days_ago: float = 10, credits: float = 1
    ) -> None:
        """Runs that succeed with this probability and take this long, all at about one time."""
        self.ids.setdefault(name, uuid.UUID(int=len(self.ids) + 1))
        r = self.random
        rows = [
            ("completed" if r.random() < success else "failed", round(median * math.exp(r.gauss(0, 0.8)), 4),
             NOW - timedelta(days=days_ago, seconds=r.randrange(3600)), credits)
            for _ in range(number)
        ]  # fmt: skip
        self.runs.setdefault(name, []).extend(rows)
        with self.db.connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds, started_at, credits_consumed)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [(self.workspace, self.ids[name], *row) for row in rows],
            )

    def compare(self, name: str, with_: str = "workspace") -> dict[str, dict]:
        cursor = self.db.execute(
            f"SELECT * FROM analytics.agent_comparison(%s, %s, {WINDOW}) WHERE compared_with = %s",
            [self.workspace, self.ids[name], with_],
        )
        names = [column.name for column in cursor.description]
        return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Database]:
    database = server.create_database(template="installed")
    yield database
    server.drop_database(database)


@pytest.fixture
def agents(shared) -> Agents:
    """In a workspace of their own."""
    return Agents(shared)


def p_of_z(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))


def test_against_the_workspace(agents):
    """Against all the other agents together, this one left out."""
    for name, number, success, median in [
        ("a", 240, 0.7, 9),
        ("b", 120, 0.95, 5),
        ("c", 60, 0.8, 4),
        ("d", 5, 1, 5),
    ]:
        agents.add(name, number, success, median)
    found = agents.compare("a")
    mine, others = agents.runs["a"], [run for name in "bcd" for run in agents.runs[name]]
    ok = [sum(run[0] == "completed" for run in runs) for runs in (mine, others)]
    n, m = len(mine), len(others)

    shares = found["success_rate"]
    p, q, pooled = ok[0] / n, ok[1] / m, sum(ok) / (n + m)
    z = (p - q) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    assert (shares["value"], shares["reference"]) == (pytest.approx(p), pytest.approx(q))
    assert shares["p_value"] == pytest.approx(p_of_z(z))
    assert shares["difference"] == pytest.approx(p - q)
    assert shares["difference_low"] < p - q < shares["difference_high"]
    assert shares["relative_difference"] == pytest.approx((p - q) / q)
    assert (shares["test"], shares["verdict"]) == ("two-proportion z", "worse")

    times = [[run[1] for run in runs] for runs in (mine, others)]
    means = found["avg_runtime_seconds"]
    assert means["value"] == pytest.approx(statistics.fmean(times[0]))
    assert means["reference"] == pytest.approx(statistics.fmean(times[1]))
    error = math.sqrt(statistics.variance(times[0]) / n + statistics.variance(times[1]) / m)
    # So many degrees of freedom are nearly a normal distribution.
    assert math.log(means["p_value"]) == pytest.approx(
        math.log(p_of_z((means["value"] - means["reference"]) / error)), rel=0.1
    )
    assert (means["test"], means["verdict"]) == ("Welch", "worse")

    ranks = found["p50_runtime_seconds"]
    wins = sum((x > y) + (x == y) / 2 for x in times[0] for y in times[1])
    assert ranks["effect_size"] == pytest.approx(2 * wins / n / m - 1)
    z = (abs(wins - n * m / 2) - 0.5) / math.sqrt(n * m * (n + m + 1) / 12)
    assert ranks["p_value"] == pytest.approx(p_of_z(z), rel=1e-3)
    assert (ranks["test"], ranks["verdict"]) == ("Mann-Whitney", "worse")
    assert found["total_runs"]["reference"] == pytest.approx(m / 3)
    assert found["credits_per_run"]["verdict"] == "not tested"
    assert found["credits_per_run"]["p_value"] is None


def test_ranks(agents):
    """1 is best: most successes, fewest seconds; equal ones share a rank."""
    for name, success, median in [("a", 0, 1), ("b", 1, 100), ("c", 1, 10)]:
        agents.add(name, 20, success, median)
    agents.add("idle", 3, 1, 1, days_ago=300)
    place = {
        name: {
            metric: (row["rank"], row["ranked_agents"], row["percentile"])
            for metric, row in agents.compare(name).items()
        }
        for name in "abc"
    }
    assert {name: p["success_rate"] for name, p in place.items()} == {
        "a": (3, 3, 0),
        "b": (1, 3, 0.5),
        "c": (1, 3, 0.5),
    }
    assert {name: p["p50_runtime_seconds"] for name, p in place.items()} == {
        "a": (1, 3, 1),
        "b": (3, 3, 0),
        "c": (2, 3, 0.5),
    }
    assert agents.compare("idle") == {}


@pytest.mark.parametrize(("change", "verdict"), [(0, "not significant"), (-0.2, "worse"), (0.2, "better")])
def test_against_the_period_before(agents, change, verdict):
    agents.add("a", 300, 0.7, 5, days_ago=40)
    agents.add("a", 300, 0.7 + change, 5 * (1 - change), days_ago=5)
    agents.add("a", 50, 0, 100, days_ago=70)  # before the period before
    found = agents.compare("a", "previous_period")
    assert found["total_runs"]["value"] == found["total_runs"]["reference"] == 300
    for metric in ("success_rate", "p50_runtime_seconds"):
        assert found[metric]["verdict"] == verdict, metric
        assert (found[metric]["p_value"] < 0.05) == (change != 0)
    assert found["success_rate"]["rank"] is None
    # Alone in its workspace.
    assert agents.compare("a") == {}


def test_noise_is_called_noise(agents):
    """Three percent more failures of forty runs are nothing, of forty thousand they are something."""
    test = "SELECT p_value FROM analytics.two_proportion_test(%s, %s, %s, %s)"
    assert agents.db.value(test, [37, 40, 38, 40]) > 0.5
    assert agents.db.value(test, [37000, 40000, 38000, 40000]) < 1e-20


def test_empty_and_wrong_arguments(shared):
    nothing = (None,) * 6
    assert shared.rows("SELECT * FROM analytics.two_proportion_test(1, NULL, 1, 2)") == [nothing]
    assert shared.rows("SELECT * FROM analytics.two_proportion_test(0, 0, 1, 2)") == [nothing]
    assert shared.rows("SELECT * FROM analytics.welch_test(1, 1, 1, 1, 1, 5)") == [nothing]
    assert shared.rows("SELECT * FROM analytics.welch_test('NaN', 1, 9, 1, 1, 5)") == [nothing]
    assert shared.rows("SELECT * FROM analytics.mann_whitney_test(NULL, NULL)") == [nothing]
    for call in ("two_proportion_test(-1, 5, 1, 2)", "two_proportion_test(6, 5, 1, 2)", "welch_test(1, -1, 5, 1, 1, 5)",
                 "welch_test(1, 1, -5, 1, 1, 5)"):  # fmt: skip
        with pytest.raises(Exception, match="is not allowed") as caught:
            shared.execute(f"SELECT * FROM analytics.{call}")
        assert caught.value.sqlstate == "22023"
        assert caught.value.diag.message_hint


def test_sketches_compare_as_their_values(shared):
    """Also beyond the size up to which a sketch holds the values themselves."""
    r = random.Random(3)
    for size in (100, 3000):
        a, b = ([math.exp(r.gauss(mu, 1)) for _ in range(size)] for mu in (0, 0.1))
        effect = shared.value(
            "SELECT effect_size FROM analytics.mann_whitney_test((SELECT analytics.percentile_agg(x) FROM unnest(%s::float8[]) AS x),"
            " (SELECT analytics.percentile_agg(x) FROM unnest(%s::float8[]) AS x))",
            [a, b],
        )
        merged = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
        below, wins = 0, 0
        for _, which in merged:
            below += which
            wins += below * (1 - which)
        assert effect == pytest.approx(2 * wins / size**2 - 1, abs=0.002)
