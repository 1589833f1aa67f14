"""Rollups are never wrong: whatever was written, and whether or not a refresh has run, each read equals the same
question asked of the raw rows.

Random things are done, seeded, and questions asked after each of them. More of it, besides ``make test-long``:
``SHADOWER_ORACLE_SEEDS=100 make test-e2e ARGS='-k oracle'``; one of them: ``SHADOWER_ORACLE_FIRST=17 ...SEEDS=1``.
"""

import contextlib
import os
import random

import pytest
from rollup_oracle import FIXED_START, Actor, Oracle, prepare, recent_start, refresh

FIRST = int(os.environ.get("SHADOWER_ORACLE_FIRST", "0"))
SEEDS = int(os.environ.get("SHADOWER_ORACLE_SEEDS", "9"))
STEPS = int(os.environ.get("SHADOWER_ORACLE_STEPS", "200"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_oracle(db, seed):
    """Seeds in turn: of days long ago, of the last days, and of the last days with retention."""
    rng = random.Random(seed)
    kind = ("old", "recent", "retained")[seed % 3]
    start = FIXED_START if kind == "old" else recent_start()
    oracle = Oracle(prepare(db, start), rng, start)
    connection = db.connect()
    actor = Actor(connection, rng, oracle)
    done: list[str] = []
    for step in range(STEPS):
        where = f"seed {seed}, step {step}"
        if kind == "retained" and step > STEPS // 6 and rng.random() < 0.06:
            done.append(actor.do("set_retention"))
            actor.clean_up()
            done.append("clean_up")
            oracle.check_all(connection, (where, done[-3:]))
        elif rng.random() < 0.75:
            done.append(actor.do())
            oracle.check(connection, (where, done[-4:]))
        else:
            # Several in one transaction, looked at from the inside, and from the outside when it is over.
            isolation = rng.choice(["READ COMMITTED", "REPEATABLE READ"])
            with contextlib.suppress(ZeroDivisionError), connection.transaction():
                connection.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
                for _ in range(rng.randrange(1, 5)):
                    done.append("in a transaction: " + actor.do())
                    oracle.check(connection, (where, done[-5:]))
                if rng.random() < 0.4:
                    done.append("rolled back")
                    raise ZeroDivisionError
            oracle.check(connection, (where, done[-5:]))
        if step % 25 == 0:
            oracle.check_all(connection, (where, done[-5:]))
    refresh(connection)
    oracle.check_all(connection, "at the end")
    oracle.check_tables(connection)
    connection.execute("SELECT * FROM analytics.refresh_materialized_views()")
    oracle.check_views(connection)
    assert connection.execute("SELECT * FROM analytics.verify_rollups()").fetchall() == []
    assert oracle.compared > 20 * STEPS, "questions about nothing"
    assert [name for name in done if ":" not in name], "everything was refused"
