"""Leaderboards against window functions of plain SQL and formulas computed here, from raw rows.

Kept boards must equal the live ones, which must equal what is computed without any code of ours. All data are seeded.
"""

import csv
import gzip
import math
import random
import statistics
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

Z = 1.959963984540054
TIMEFRAMES = {"24h": 24, "7d": 168, "30d": 720, "90d": 2160, "all": None}
AGENT_CRITERIA = ("runs", "success_rate", "speed", "efficiency", "popularity")
USER_CRITERIA = ("activity", "efficiency", "contribution", "savings")
WORKSPACE_CRITERIA = ("activity", "efficiency", "growth", "innovation")
ENDED = ("completed", "failed", "timeout", "cancelled")


def uid(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


def add_runs(db, rows) -> None:
    """(workspace, agent, user, status, started_at, runtime, credits)"""
    columns = "workspace_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed"
    with db.connection.cursor().copy(f"COPY analytics.agent_runs ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def hour(db) -> datetime:
    """Start of the current hour, by the clock of the server. (A test that runs across it would be wrong.)"""
    now = db.value("SELECT now()")
    if now.astimezone(UTC).minute == 59:
        db.execute("SELECT pg_sleep(61 - extract(second FROM now()))")
        now = db.value("SELECT now()")
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def runs(rng: random.Random, workspace, end: datetime, count: int, agents: int, users: int):
    """Runs with ties among agents, some of a few runs, over 200 days and close to the bounds of the windows."""
    for _ in range(count):
        agent = int(rng.triangular(0, agents, 0))
        back = rng.choice([rng.uniform(0, 30), rng.uniform(0, 800), rng.uniform(0, 4800)])
        edge = rng.choice([0, 0, 0, 24, 168, 720, 2160])
        started = end + timedelta(hours=1) - timedelta(hours=edge or back)
        started += timedelta(seconds=rng.choice([0, 0, -1, 1])) if edge else timedelta(0)
        started = min(started, end)
        status = rng.choice(["completed"] * (1 + agent % 4) + ["failed", "timeout", "cancelled", "running"])
        runtime = round(rng.lognormvariate(agent % 3, 1), 3) if status in ("completed", "failed") else None
        user = uid(1000 + rng.randrange(users)) if rng.random() < 0.95 else None
        yield workspace, uid(100 + agent), user, status, started, runtime, rng.randrange(0, 50) / 10


def wilson(k: int, n: int) -> float:
    """The usual form."""
    if n == 0:
        return 0.0
    p = k / n
    root = math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return max(0.0, (p + Z * Z / (2 * n) - Z * root) / (1 + Z * Z / n))


def cost(total: float, count: int, average: float) -> float:
    return 1.0 if not average or not count else (total / average + 20) / (count + 20)


def in_window(rows, end: datetime, timeframe: str, back: int = 0):
    """Rows of a timeframe that ends with the hour; back moves it into the past by its own length."""
    span = TIMEFRAMES[timeframe]
    if span is None:
        return list(rows)
    last = end + timedelta(hours=1 - span * back)
    return [row for row in rows if last - timedelta(hours=span) <= row[4] < last]


def agent_scores(rows, criteria: str) -> dict[uuid.UUID, float]:
    by_agent = defaultdict(list)
    for row in rows:
        by_agent[row[1]].append(row)
    timed = {a: [r[5] for r in own if r[5] is not None] for a, own in by_agent.items()}
    medians = sorted((statistics.median(times), len(times)) for times in timed.values() if times)
    half, reached, reference = sum(n for _, n in medians) / 2, 0, 0.0
    for median, n in medians:
        reached += n
        if reached >= half:
            reference = median
            break
    all_times = [t for times in timed.values() for t in times]
    credits_per_run = sum(r[6] for r in rows) / len(rows) if rows else 0
    seconds_per_run = sum(all_times) / len(all_times) if all_times else 0
    scores = {}
    for agent, own in by_agent.items():
        finished = sum(r[3] in ENDED for r in own)
        bound = wilson(sum(r[3] == "completed" for r in own), finished)
        times = timed[agent]
        if criteria == "runs":
            scores[agent] = float(len(own))
        elif criteria == "success_rate" and finished:
            scores[agent] = bound
        elif criteria == "speed" and times:
            certainty = math.exp(-Z * math.sqrt(math.pi / 2) / math.sqrt(len(times)))
            scores[agent] = reference / statistics.median(times) * certainty
        elif criteria == "efficiency" and finished:
            money = cost(sum(r[6] for r in own), len(own), credits_per_run)
            time = cost(sum(times), len(times), seconds_per_run)
            scores[agent] = bound / math.sqrt(money * time)
        elif criteria == "popularity":
            scores[agent] = float(len({r[2] for r in own} - {None}))
    return scores


def user_scores(rows, criteria: str) -> dict[uuid.UUID, float]:
    by_user, by_agent = defaultdict(list), defaultdict(list)
    for row in rows:
        if row[2] is not None:
            by_user[row[2]].append(row)
            by_agent[row[1]].append(row[6])
    known = [row for own in by_user.values() for row in own]
    scores = {}
    for user, own in by_user.items():
        finished = sum(r[3] in ENDED for r in own)
        successes = sum(r[3] == "completed" for r in own)
        if criteria == "activity":
            scores[user] = float(len(own))
        elif criteria == "efficiency" and finished:
            average = sum(r[6] for r in known) / len(known)
            scores[user] = wilson(successes, finished) / cost(sum(r[6] for r in own), len(own), average)
        elif criteria == "contribution":
            total = sum(r[3] == "completed" for r in known)
            scores[user] = successes / total if total else 0.0
        elif criteria == "savings":
            scores[user] = sum(statistics.fmean(by_agent[r[1]]) - r[6] for r in own)
    return scores


def workspace_scores(rows, end: datetime, timeframe: str, criteria: str) -> dict[uuid.UUID, float]:
    window = in_window(rows, end, timeframe)
    span = "90d" if timeframe == "all" else timeframe
    scores = {}
    for workspace in {row[0] for row in rows}:
        own = [r for r in window if r[0] == workspace]
        if criteria == "growth":
            now = len([r for r in in_window(rows, end, span) if r[0] == workspace])
            before = len([r for r in in_window(rows, end, span, 1) if r[0] == workspace])
            if now or before:
                scores[workspace] = (now - before) / (before + 20)
            continue
        finished = sum(r[3] in ENDED for r in own)
        if criteria == "activity" and own:
            scores[workspace] = float(len(own))
        elif criteria == "innovation" and own:
            older = {r[1] for r in rows if r[0] == workspace} if timeframe != "all" else set()
            older = {a for a in older if any(r[0] == workspace and r[1] == a and r not in own for r in rows)}
            active = {r[1] for r in own}
            scores[workspace] = len(active - older) / (len(active) + 5)
        elif criteria == "efficiency" and finished:
            times = [r[5] for r in window if r[5] is not None]
            own_times = [r[5] for r in own if r[5] is not None]
            money = cost(sum(r[6] for r in own), len(own), sum(r[6] for r in window) / len(window))
            time = cost(sum(own_times), len(own_times), sum(times) / len(times) if times else 0)
            scores[workspace] = wilson(sum(r[3] == "completed" for r in own), finished) / math.sqrt(
                money * time
            )
    return scores


RANKED = """
    SELECT e, s, rank() OVER w,
           CASE WHEN count(*) OVER () = 1 THEN 50 ELSE 100 * (count(*) OVER lower + (count(*) OVER ties - 1) / 2.0)::float8
                / (count(*) OVER () - 1) END
    FROM unnest(%s::uuid[], %s::float8[]) AS x (e, s)
    WINDOW w AS (ORDER BY s DESC), ties AS (PARTITION BY s),
           lower AS (ORDER BY s GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"""


def assert_board(db, board: list[tuple], expected: dict[uuid.UUID, float], what: str) -> None:
    """(entity, score, rank, percentile), against scores computed here, ranked by window functions of SQL."""
    assert {row[0] for row in board} == set(expected), what
    for entity, score, _, _ in board:
        assert math.isclose(score, expected[entity], rel_tol=1e-9, abs_tol=1e-9), f"{what}: {entity}"
    ranked = db.rows(RANKED, [[row[0] for row in board], [row[1] for row in board]])
    assert sorted(board) == sorted(ranked), what
    order = [(-row[1], row[0]) for row in board]
    assert order == sorted(order), f"{what}: not in order"


def refresh(db) -> dict[str, dict]:
    """Rollups, then boards."""
    db.execute("CALL analytics.refresh_all(materialized_views => false)")
    cursor = db.execute("SELECT * FROM analytics.refresh_leaderboards()")
    names = [column.name for column in cursor.description]
    return {row[0]: dict(zip(names, row, strict=True)) for row in cursor}


def kept(db, table: str) -> list[tuple]:
    """A kept board's rows without the times at which they were written."""
    return db.rows(f"SELECT to_jsonb(l) - '{{calculated_at}}'::text[] FROM {table} AS l ORDER BY 1")


@pytest.fixture
def world(db):
    """Two busy workspaces, a small one and an empty one."""
    db.execute("SET jit = off")
    end = hour(db)
    rng = random.Random(7)
    spaces = [db.workspace(name) for name in ("big", "other", "small", "empty")]
    rows = [*runs(rng, spaces[0], end, 1500, 25, 12), *runs(rng, spaces[1], end, 300, 10, 5)]
    rows += runs(rng, spaces[2], end, 7, 3, 2)
    add_runs(db, rows)
    return db, spaces, rows, end


# ------------------------------------------------------------------------------------------------ the boards


@pytest.mark.parametrize("refreshed", [False, True])
def test_live_boards_are_those_of_plain_sql(world, refreshed):
    db, spaces, rows, end = world
    if refreshed:
        refresh(db)
        # Runs since: the live boards know them.
        more = list(runs(random.Random(8), spaces[0], end, 60, 25, 12))
        add_runs(db, more)
        rows = rows + more
    ties = 0
    for workspace in spaces:
        own = [row for row in rows if row[0] == workspace]
        for timeframe in TIMEFRAMES:
            window = in_window(own, end, timeframe)
            for criteria in AGENT_CRITERIA:
                board = db.rows(
                    "SELECT agent_id, score, rank, percentile FROM analytics.rank_agents(%s, %s, %s)",
                    [workspace, timeframe, criteria],
                )
                assert_board(db, board, agent_scores(window, criteria), f"agents {timeframe} {criteria}")
                ties += len(board) - len({row[2] for row in board})
            for criteria in USER_CRITERIA:
                board = db.rows(
                    "SELECT user_id, score, rank, percentile FROM analytics.rank_users(%s, %s, %s)",
                    [workspace, timeframe, criteria],
                )
                assert_board(db, board, user_scores(window, criteria), f"users {timeframe} {criteria}")
    assert ties > 20
    for timeframe in TIMEFRAMES:
        for criteria in WORKSPACE_CRITERIA:
            board = db.rows(
                "SELECT workspace, score, rank, percentile FROM analytics.rank_workspaces(%s, %s, %s)",
                [spaces[3], timeframe, criteria],
            )
            expected = workspace_scores(rows, end, timeframe, criteria)
            assert_board(db, board, expected, f"workspaces {timeframe} {criteria}")


def test_kept_boards_are_the_live_ones(world):
    db, spaces, _, _ = world
    done = refresh(db)
    assert {row["status"] for row in done.values()} == {"refreshed"}
    for workspace in spaces:
        for timeframe in TIMEFRAMES:
            for table, function, entity, columns, all_criteria in (
                ("agent_leaderboard", "rank_agents", "agent_id",
                 "badge, total_runs, successful_runs, success_rate, p50_runtime_seconds, credits_consumed, unique_users",
                 AGENT_CRITERIA),
                ("user_leaderboard", "rank_users", "user_id",
                 "total_runs, successful_runs, success_rate, credits_consumed, credits_saved", USER_CRITERIA),
            ):  # fmt: skip
                for criteria in all_criteria:
                    live = db.rows(
                        f"SELECT {entity}, rank, score, percentile, {columns}"
                        f" FROM analytics.{function}(%s, %s, %s)",
                        [workspace, timeframe, criteria],
                    )
                    written = db.rows(
                        f"SELECT {entity}, rank, score, percentile, {columns} FROM analytics.{table}"
                        f" WHERE workspace_id = %s AND timeframe = %s AND criteria = %s ORDER BY rank, {entity}",
                        [workspace, timeframe, criteria],
                    )
                    assert live == written, f"{function} {timeframe} {criteria}"
    for timeframe in TIMEFRAMES:
        for criteria in WORKSPACE_CRITERIA:
            live = db.rows(
                "SELECT workspace, rank, score, percentile, tier, total_runs, board_size"
                " FROM analytics.rank_workspaces(%s, %s, %s)",
                [spaces[0], timeframe, criteria],
            )
            written = db.rows(
                "SELECT workspace_id, rank, score, percentile, tier, total_runs, board_size"
                " FROM analytics.workspace_leaderboard WHERE timeframe = %s AND criteria = %s"
                " ORDER BY rank, workspace_id",
                [timeframe, criteria],
            )
            assert live == written, f"workspaces {timeframe} {criteria}"
    assert (
        db.value("SELECT count(*) FROM analytics.agent_leaderboard WHERE workspace_id = %s", [spaces[3]]) == 0
    )


def test_a_refresh_writes_what_differs(world):
    db, spaces, _, end = world
    refresh(db)
    before = {table: kept(db, table) for table in TABLES}
    times = db.rows("SELECT workspace_id, max(calculated_at) FROM analytics.agent_leaderboard GROUP BY 1")

    # Nothing has changed: nothing is looked at, nothing is written.
    done = refresh(db)
    assert {(r["status"], r["workspace_count"], r["written_count"]) for r in done.values()} == {
        ("clean", 0, 0)
    }
    assert {table: kept(db, table) for table in TABLES} == before

    # Without refresh(), what the log of the rollups holds is seen, too.
    with db.connection.transaction(force_rollback=True):
        add_runs(db, [(spaces[2], uid(100), uid(1000), "failed", end, 2.0, 1.0)])
    assert db.rows("SELECT workspace_count FROM analytics.refresh_leaderboards()")[0] == (0,)
    add_runs(db, [(spaces[2], uid(100), uid(1000), "failed", end, 2.0, 1.0)])
    assert db.rows("SELECT workspace_count, changed_count > 0 FROM analytics.refresh_leaderboards()")[0] == (
        1,
        True,
    )
    refresh(db)
    times = db.rows("SELECT workspace_id, max(calculated_at) FROM analytics.agent_leaderboard GROUP BY 1")

    # A run of one workspace, 40 days ago: no board of a shorter timeframe is written, nor any of another workspace.
    ranks = dict(db.rows(OLD_RANKS, [spaces[0]]))
    late = end - timedelta(days=40)
    add_runs(db, [(spaces[0], uid(124), uid(1000), "completed", late, 2.0, 1.0)] * 40)
    done = refresh(db)
    assert done["agent_leaderboard"]["workspace_count"] == 1
    assert done["agent_leaderboard"]["changed_count"] == 10
    written = db.rows("SELECT DISTINCT workspace_id, timeframe FROM analytics.agent_leaderboard WHERE calculated_at > %s",
                      [max(time for _, time in times)])  # fmt: skip
    assert sorted(written) == [(spaces[0], "90d"), (spaces[0], "all")]

    # The change of rank is that between the two boards, for each of them.
    changes = db.rows(
        "SELECT timeframe || criteria || agent_id, rank, previous_rank, rank_change FROM analytics.agent_leaderboard"
        " WHERE workspace_id = %s AND timeframe IN ('90d', 'all')", [spaces[0]])  # fmt: skip
    for key, rank, previous, change in changes:
        assert previous == ranks.get(key), key
        expected = (
            "new" if previous is None else "up" if rank < previous else "down" if rank > previous else "same"
        )
        assert change == expected, key
    assert {change for *_, change in changes} >= {"up", "down", "same"}

    # The runs are deleted: their ranks go back, and an agent that has none left leaves the boards.
    db.execute("DELETE FROM analytics.agent_runs WHERE agent_id = %s", [uid(124)])
    done = refresh(db)
    assert done["agent_leaderboard"]["removed_count"] > 0
    assert db.value("SELECT count(*) FROM analytics.agent_leaderboard WHERE agent_id = %s AND workspace_id = %s",
                    [uid(124), spaces[0]]) == 0  # fmt: skip


TABLES = ("analytics.agent_leaderboard", "analytics.user_leaderboard", "analytics.workspace_leaderboard")
OLD_RANKS = (
    "SELECT timeframe || criteria || agent_id, rank FROM analytics.agent_leaderboard WHERE workspace_id = %s"
)


def test_windows_move_on(world):
    """Boards that were kept and moved on are those that are computed at once for the later time."""
    db, *_ = world
    refresh(db)
    content = (
        "SELECT to_jsonb(l) - '{calculated_at,previous_rank,rank_change}'::text[] FROM %s AS l ORDER BY 1"
    )
    changed = []
    for hours in (1, 25, 24 * 8, 24 * 100, 24 * 400):
        (agents, *_) = db.rows(
            "SELECT * FROM analytics_internal.refresh_boards(now() + make_interval(hours => %s), 180)",
            [hours],
        )
        changed.append(agents[4])
        moved = [db.rows(content % table) for table in TABLES]
        with db.connection.transaction(force_rollback=True):
            db.execute("TRUNCATE analytics_internal.leaderboard_state, analytics.agent_leaderboard,"
                       " analytics.user_leaderboard, analytics.workspace_leaderboard")  # fmt: skip
            db.rows(
                "SELECT * FROM analytics_internal.refresh_boards(now() + make_interval(hours => %s), 180)",
                [hours],
            )
            assert [db.rows(content % table) for table in TABLES] == moved, hours
    assert all(changed[:4])
    assert db.rows("SELECT DISTINCT timeframe FROM analytics.agent_leaderboard") == [("all",)]
    # From here on nothing enters or leaves a window.
    later = "SELECT workspace_count FROM analytics_internal.refresh_boards(now() + make_interval(hours => 9700), 180)"
    assert db.rows(later)[0] == (0,)


def test_minimum_evidence(world):
    db, spaces, rows, end = world
    own = in_window([row for row in rows if row[0] == spaces[0]], end, "30d")
    finished = defaultdict(int)
    for row in own:
        finished[row[1]] += row[3] in ENDED
    enough = {agent for agent, count in finished.items() if count >= 15}
    everybody = {row[1] for row in own}
    assert 0 < len(enough) < len(everybody)

    def board(criteria, *options):
        query = f"SELECT agent_id FROM analytics.rank_agents(%s, '30d', %s{', %s' * len(options)})"
        return {agent for (agent,) in db.rows(query, [spaces[0], criteria, *options])}

    assert board("success_rate", 15) == board("efficiency", 15) == enough
    assert board("runs", 15) == board("popularity", 15) == everybody
    refresh(db)
    db.execute("SELECT analytics.set_leaderboard_options(%s, 15)", [spaces[0]])
    assert board("success_rate") == enough
    done = refresh(db)
    assert done["agent_leaderboard"]["workspace_count"] == 1
    written = "SELECT agent_id FROM analytics.agent_leaderboard WHERE workspace_id = %s AND timeframe = '30d' AND criteria = 'success_rate'"
    assert {agent for (agent,) in db.rows(written, [spaces[0]])} == enough


def test_explanations_end_with_the_score(world):
    db, spaces, *_ = world
    for board, function, entity, all_criteria in (
        ("agent", "rank_agents", "agent_id", AGENT_CRITERIA),
        ("user", "rank_users", "user_id", USER_CRITERIA),
        ("workspace", "rank_workspaces", "workspace", WORKSPACE_CRITERIA),
    ):
        for criteria in all_criteria:
            for ranked, score in db.rows(
                f"SELECT {entity}, score FROM analytics.{function}(%s, '90d', %s) LIMIT 3",
                [spaces[0], criteria],
            ):
                terms = db.rows(
                    "SELECT term, value FROM analytics.explain_score(%s, %s, '90d', %s, %s)",
                    [spaces[0], ranked, criteria, board],
                )
                assert terms[-1] == ("score", score)
                assert len(terms) > 1


def test_neighbours(world):
    db, spaces, *_ = world
    board = db.rows("SELECT agent_id, rank FROM analytics.rank_agents(%s, '90d', 'popularity')", [spaces[0]])
    assert len({rank for _, rank in board}) < len(board)
    around = "SELECT entity, rank, is_asked FROM analytics.leaderboard_around(%s, %s, '90d', 'popularity', neighbours => %s)"
    for place, (agent, _) in enumerate(board):
        for count in (0, 2, 100):
            expected = board[max(0, place - count) : place + count + 1]
            shown = db.rows(around, [spaces[0], agent, count])
            assert [row[:2] for row in shown] == expected
            assert [entity for entity, _, asked in shown if asked] == [agent]
    user = db.value("SELECT user_id FROM analytics.rank_users(%s) LIMIT 1", [spaces[0]])
    mine = db.rows("SELECT rank, board_size FROM analytics.my_rank(%s, user_id => %s)", [spaces[0], user])
    assert mine == [(1, 12)]
    assert db.rows("SELECT * FROM analytics.my_rank(%s, user_id => %s)", [spaces[0], uid(1)]) == []


# ----------------------------------------------------------------------------------------- history, achievements


def test_history(world):
    db, spaces, *_ = world
    refresh(db)
    agent, rank = db.rows(
        "SELECT agent_id, rank FROM analytics.rank_agents(%s, '90d', 'runs') LIMIT 1", [spaces[0]]
    )[0]
    # Ten days ago it was third and not first; five days ago it was not there.
    for days, ids, ranks in (
        (10, [uid(1), uid(2), agent], [1, 2, 3]),
        (5, [uid(1)], [1]),
        (3, [uid(1), agent], [1, 2]),
    ):
        db.execute(
            "INSERT INTO analytics.leaderboard_history VALUES (%s, 'agent', '90d', 'runs',"
            " (now() AT TIME ZONE 'UTC')::date - %s::integer, %s, %s, %s, %s)",
            [spaces[0], days, len(ids), ids, ranks, [0.5] * len(ids)],
        )
    history = "SELECT (now() AT TIME ZONE 'UTC')::date - captured_on, rank, board_size FROM analytics.rank_history(%s, %s, '90d', 'runs', days => %s)"
    size = db.value("SELECT count(*) FROM analytics.rank_agents(%s, '90d', 'runs')", [spaces[0]])
    expected = [(d, 3, 3) for d in range(10, 5, -1)] + [(d, 2, 2) for d in (3, 2, 1)] + [(0, rank, size)]
    assert db.rows(history, [spaces[0], agent, 30]) == expected
    assert db.rows(history, [spaces[0], agent, 8]) == expected[3:]
    assert db.rows(history, [spaces[0], agent, 1]) == expected[-1:]
    line = db.value("SELECT analytics.rank_sparkline(%s, %s, '90d', 'runs')", [spaces[0], agent])
    assert (len(line), line[0], line[-1]) == (9, "▁", "█")
    # Retention.
    db.execute("SELECT * FROM analytics.refresh_leaderboards(history_days => 4)")
    assert db.rows(history, [spaces[0], agent, 30]) == expected[5:]


def test_achievements(db):
    workspace = db.workspace()
    ann, bob = uid(1), uid(2)
    day = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def run(user, days, agent=100, credits=0.0, status="completed"):
        return workspace, uid(agent), user, status, day + timedelta(days=days), 1.0, credits

    # Ann: a run a day for nine days, a gap, then ten in a row; the hundredth run on the day 40.
    rows = [run(ann, d) for d in [*range(9), *range(10, 20)]]
    rows += [run(ann, 30)] * 80 + [run(ann, 40)] * 2
    # Bob uses a fifth agent on the day 4, and none of it succeeds.
    rows += [run(bob, d, 100 + d, status="failed") for d in range(5)]
    add_runs(db, rows)
    refresh(db)
    achieved = "SELECT achievement, achieved_on::text FROM analytics.user_achievements WHERE user_id = %s ORDER BY 2, 1"
    expected = [
        ("first_run", "2026-01-01"),
        ("ten_day_streak", "2026-01-20"),
        ("first_100_runs", "2026-02-10"),
        ("hundred_successes", "2026-02-10"),
    ]
    assert db.rows(achieved, [ann]) == expected
    assert db.rows(achieved, [bob]) == [("first_run", "2026-01-01"), ("explorer", "2026-01-05")]
    kept = "SELECT achievements FROM analytics.user_leaderboard WHERE user_id = %s AND timeframe = 'all' AND criteria = 'activity'"
    assert [(a["achievement"], a["achieved_on"]) for a in db.value(kept, [ann])] == expected

    # Awarded once: an earlier run does not move the day, and deleting runs takes nothing away.
    awarded = db.rows("SELECT * FROM analytics.user_achievements ORDER BY 1, 2, 3")
    add_runs(db, [run(ann, -5)])
    refresh(db)
    assert db.rows("SELECT * FROM analytics.user_achievements ORDER BY 1, 2, 3") == awarded
    db.execute("DELETE FROM analytics.agent_runs WHERE user_id = %s", [ann])
    refresh(db)
    assert db.rows("SELECT * FROM analytics.user_achievements ORDER BY 1, 2, 3") == awarded

    # A rule of one's own; and one that is switched off.
    db.execute(
        "UPDATE analytics_internal.achievement_rules SET is_active = false WHERE achievement = 'first_run'"
    )
    db.execute(
        "INSERT INTO analytics_internal.achievement_rules VALUES ('saver', 'Saver', 'Saved 5.', 'saved_credits', 5)"
    )
    cleo = uid(3)
    add_runs(db, [run(cleo, 50), run(bob, 50, credits=20.0)])
    refresh(db)
    assert db.rows(achieved, [cleo]) == [("saver", "2026-02-20")]
    with pytest.raises(psycopg.errors.CheckViolation, match="measure"):
        db.execute("INSERT INTO analytics_internal.achievement_rules VALUES ('x', 'x', 'x', 'luck', 5)")


# ----------------------------------------------------------------------------------------------- real agents


def test_real_agents(db, shared_data):
    """Eight coding agents by success, against plain proportions.

    With hundreds of runs each the bound lies a few percentage points below the proportion, and the order is the same;
    with the first runs of each only, it differs where one has far fewer runs than another.
    """
    workspace = db.workspace()
    plain = defaultdict(lambda: [0, 0])
    rows = []
    with gzip.open(shared_data / "agent_runs" / "agent_runs.csv.gz", "rt") as file:
        for run in csv.DictReader(file):
            status = "completed" if run["success"] == "t" else "failed"
            started = run["started_at"] or "2025-07-01T00:00:00Z"
            rows.append((run["agent"], status, started, run["elapsed_s"] or "0"))
            plain[run["agent"]][0] += status == "completed"
            plain[run["agent"]][1] += 1
    assert len(plain) == 8
    ids = {name: db.value("SELECT analytics.agent_id(%s, %s)", [workspace, name]) for name in plain}
    add_runs(db, [(workspace, ids[a], None, s, t, e, 0) for a, s, t, e in rows])
    refresh(db)
    board = db.rows(
        "SELECT agent_id, score, success_rate, badge FROM analytics.rank_agents(%s, 'all')", [workspace]
    )
    names = {value: key for key, value in ids.items()}
    for agent, score, rate, _ in board:
        k, n = plain[names[agent]]
        assert rate == k / n
        assert math.isclose(score, wilson(k, n), rel_tol=1e-12)
        assert score < rate
    ours = [names[agent] for agent, *_ in board]
    by_bound = sorted(plain, key=lambda name: -wilson(*plain[name]))
    by_proportion = sorted(plain, key=lambda name: -plain[name][0] / plain[name][1])
    assert ours == by_bound
    # Where the order differs from that of plain proportions, the one that fell behind has fewer runs.
    for place, name in enumerate(ours):
        for other in ours[place + 1 :]:
            if by_proportion.index(other) < by_proportion.index(name):
                assert plain[other][1] < plain[name][1], (name, other)
    assert [badge for *_, badge in board[:4]] == ["gold", "silver", "bronze", None]

    # The leader with its first runs only, in the proportion that it has: so few show less than the many of the next.
    leader, second = ours[:2]
    few = [row for row in rows if row[0] == leader and row[1] == "completed"][:17]
    few += [row for row in rows if row[0] == leader and row[1] == "failed"][:13]
    assert plain[second][0] / plain[second][1] < 17 / 30
    other = db.workspace("few")
    kept_rows = [row for row in rows if row[0] != leader] + few
    add_runs(db, [(other, ids[a], None, s, t, e, 0) for a, s, t, e in kept_rows])
    order = [names[a] for (a,) in db.rows("SELECT agent_id FROM analytics.rank_agents(%s, 'all')", [other])]
    assert order.index(second) < order.index(leader)


# -------------------------------------------------------------------------------------------------- tenants


def test_tenants(world, make_role):
    db, spaces, *_ = world
    refresh(db)
    viewer, admin, nobody = make_role("viewer"), make_role("admin"), make_role("nobody")
    db.execute("SELECT analytics.grant_access(%s, %s)", [viewer, spaces[0]])
    db.execute("SELECT analytics.grant_access(%s, %s, 'admin')", [admin, spaces[1]])
    own = db.connect(viewer)
    for table in TABLES:
        seen = own.execute(f"SELECT DISTINCT workspace_id FROM {table}").fetchall()
        assert seen == [(spaces[0],)], table
    for function in ("rank_agents", "rank_users"):
        same = f"SELECT * FROM analytics.{function}(%s)"
        assert own.execute(same, [spaces[0]]).fetchall() == db.rows(same, [spaces[0]])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.execute(same, [spaces[1]])

    # The board of workspaces: all places, the others without a name or measure.
    query = "SELECT * FROM analytics.rank_workspaces(%s, 'all')"
    everything, shown = db.rows(query, [spaces[0]]), own.execute(query, [spaces[0]]).fetchall()
    assert [row[2] for row in everything] == spaces[:3]
    assert shown == [everything[0]] + [
        (row[0], False, None, None, *row[4:7], None, None, None, row[10]) for row in everything[1:]
    ]
    # The admins of the other workspace show theirs. Nobody else can.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        own.execute("SELECT analytics.set_leaderboard_options(%s, show_name => true)", [spaces[0]])
    other = db.connect(admin)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        other.execute("SELECT analytics.set_leaderboard_options(%s, show_name => true)", [spaces[0]])
    other.execute("SELECT analytics.set_leaderboard_options(%s, show_name => true)", [spaces[1]])
    assert own.execute(query, [spaces[0]]).fetchall() == everything[:2] + shown[2:]
    other.execute("SELECT analytics.set_leaderboard_options(%s, show_name => false)", [spaces[1]])
    assert own.execute(query, [spaces[0]]).fetchall() == shown

    # How the score of a foreign workspace came about is no business of theirs.
    explain = "SELECT term, value FROM analytics.explain_score(%s, %s, 'all', board => 'workspace')"
    assert own.execute(explain, [spaces[0], spaces[0]]).fetchall() == db.rows(explain, [spaces[0], spaces[0]])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        own.execute(explain, [spaces[0], spaces[1]])
    # Of foreign history neither; refreshing is for the owner of the tables.
    history = "SELECT count(*) FROM analytics.rank_history(%s, %s, 'all', board => 'workspace')"
    assert own.execute(history, [spaces[0], spaces[0]]).fetchone() == (1,)
    assert own.execute(history, [spaces[0], spaces[1]]).fetchone() == (0,)
    for connection in (own, other):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM analytics.refresh_leaderboards()")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.connect(nobody).execute(query, [spaces[0]])


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("analytics.rank_agents(%(w)s, '31d')", "24h, 7d, 30d, 90d, all"),
        ("analytics.rank_agents(%(w)s, NULL)", "24h, 7d, 30d, 90d, all"),
        ("analytics.rank_agents(%(w)s, '7d', 'luck')", "runs, success_rate, speed, efficiency, popularity"),
        ("analytics.rank_agents(%(w)s, '7d', NULL)", "runs, success_rate, speed, efficiency, popularity"),
        ("analytics.rank_agents(%(w)s, ranking => 'olympic')", "competition, dense, ordinal"),
        ("analytics.rank_agents(%(w)s, minimum_runs => -1)", "least number of runs"),
        ("analytics.rank_agents(gen_random_uuid())", "workspaces"),
        ("analytics.rank_users(%(w)s, '7d', 'runs')", "activity, efficiency, contribution, savings"),
        ("analytics.rank_workspaces(%(w)s, '7d', 'speed')", "activity, efficiency, growth, innovation"),
        ("analytics.rank_workspaces(%(w)s, '8d')", "24h, 7d, 30d, 90d, all"),
        ("analytics.rank_workspaces(%(w)s, ranking => 'x')", "competition, dense, ordinal"),
        ("analytics.leaderboard_around(%(w)s, gen_random_uuid())", "list_agents"),
        (
            "analytics.leaderboard_around(%(w)s, gen_random_uuid(), board => 'planet')",
            "agent, user, workspace",
        ),
        ("analytics.leaderboard_around(%(w)s, gen_random_uuid(), neighbours => -1)", "zero or more"),
        ("analytics.rank_history(%(w)s, gen_random_uuid(), board => 'user', days => 0)", "one or more"),
        ("analytics.rank_history(%(w)s, gen_random_uuid(), board => NULL)", "agent, user, workspace"),
        ("analytics.explain_score(%(w)s, gen_random_uuid(), criteria => 'activity')", "runs, success_rate"),
        ("analytics.explain_score(%(w)s, gen_random_uuid(), board => 'workspace')", "workspaces"),
        ("analytics.my_rank(%(w)s)", "token"),
        ("analytics.refresh_leaderboards(0)", "one or more"),
        ("analytics.wilson_lower_bound(3, 2)", "0 <= successes <= trials"),
        ("analytics.rank_scores('{a}', ARRAY[gen_random_uuid()], '{NaN}')", "NULL"),
        ("analytics.rank_scores('{a,b}', ARRAY[gen_random_uuid()], '{1}')", "three arrays"),
    ],
)
def test_bad_input(db, call, hint):
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        db.execute(f"SELECT * FROM {call}", {"w": db.workspace()})
    assert hint in caught.value.diag.message_hint


def test_nobody_to_rank(db):
    workspace = db.workspace()
    for timeframe in TIMEFRAMES:
        for criteria in AGENT_CRITERIA:
            assert (
                db.rows("SELECT * FROM analytics.rank_agents(%s, %s, %s)", [workspace, timeframe, criteria])
                == []
            )
        for criteria in USER_CRITERIA:
            assert (
                db.rows("SELECT * FROM analytics.rank_users(%s, %s, %s)", [workspace, timeframe, criteria])
                == []
            )
        for criteria in WORKSPACE_CRITERIA:
            assert (
                db.rows(
                    "SELECT * FROM analytics.rank_workspaces(%s, %s, %s)", [workspace, timeframe, criteria]
                )
                == []
            )
    assert (
        db.rows("SELECT * FROM analytics.explain_score(%s, %s, board => 'user')", [workspace, uid(1)]) == []
    )
    assert {row["status"] for row in refresh(db).values()} == {"clean"}


def test_extreme_numbers(db):
    """Scores are finite whatever the numbers are, and boards that are read only are."""
    workspace = db.workspace()
    now = hour(db)
    amounts = (0, "1e-30", "1e300", "9" * 400)
    add_runs(db, [(workspace, uid(100 + i), uid(i), "completed", now, t, c)
                  for i, c in enumerate(amounts) for t in (0, 5e-324, 1e-300, 1e300)])  # fmt: skip
    refresh(db)
    with db.connection.transaction():
        db.execute("SET TRANSACTION READ ONLY")
        for function, all_criteria in (("rank_agents", AGENT_CRITERIA), ("rank_users", USER_CRITERIA)):
            for criteria in all_criteria:
                board = db.rows(
                    f"SELECT score, percentile FROM analytics.{function}(%s, 'all', %s)",
                    [workspace, criteria],
                )
                assert len(board) == 4
                assert all(math.isfinite(value) for row in board for value in row), criteria
    scores = db.rows("SELECT score FROM analytics.agent_leaderboard")
    assert len(scores) == 4 * 5 * 5
    assert all(math.isfinite(score) for (score,) in scores)


def test_one_refresh_at_a_time(world):
    db, spaces, *_ = world
    db.execute("CALL analytics.refresh_all(materialized_views => false)")
    first = db.connect(autocommit=False)
    first.execute("SELECT * FROM analytics.refresh_leaderboards()")
    assert {row[1] for row in db.rows("SELECT * FROM analytics.refresh_leaderboards()")} == {"locked"}
    first.rollback()
    # Nothing of what the first had taken is lost.
    assert {row["status"] for row in refresh(db).values()} == {"refreshed"}
    db.execute("DELETE FROM analytics.agents WHERE workspace_id = %s", [spaces[1]])
    db.execute("DELETE FROM analytics.agent_runs WHERE workspace_id = %s", [spaces[1]])
    db.execute("DELETE FROM analytics.workspaces WHERE workspace_id = %s", [spaces[1]])
    refresh(db)
    for table in (*TABLES, "analytics.leaderboard_history", "analytics_internal.workspace_inputs"):
        assert db.value(f"SELECT count(*) FROM {table} WHERE workspace_id = %s", [spaces[1]]) == 0, table
        assert db.value(f"SELECT count(*) FROM {table} WHERE workspace_id = %s", [spaces[0]]) > 0, table


def test_the_top_comes_from_an_index(world):
    """Reading the top of a kept board sorts nothing and reads no more than it shows."""
    db, spaces, *_ = world
    refresh(db)
    db.execute("ANALYZE analytics.agent_leaderboard")
    db.execute("SET enable_seqscan = off")
    plan = "\n".join(
        line
        for (line,) in db.rows(
            "EXPLAIN SELECT * FROM analytics.agent_leaderboard WHERE workspace_id = %s AND timeframe = '90d'"
            " AND criteria = 'runs' ORDER BY rank, agent_id LIMIT 5",
            [spaces[0]],
        )
    )
    assert "Index Scan using agent_leaderboard_pkey" in plan
    assert "Sort" not in plan
