"""Forecasts against Prophet and statsforecast, the streaming detector alone, and what a refresh costs.

Prophet and statsforecast come from PyPI into an environment of their own, target/forecast-venv: they are large, and
nothing but this benchmark needs them. Make it first:

    python3 -m venv target/forecast-venv && target/forecast-venv/bin/pip install prophet statsforecast psycopg[binary]

Without it their rows are left out. They run in the same process as our queries, one thread, taking turns with us.

    TRENDS_SERIES=1000 tools/bench trends      (a quick look; the bound is meant for 10,000)
"""

import json
import os
import subprocess
from pathlib import Path

from common import Table, Times, duration, install, timed

POINTS = int(os.environ.get("TRENDS_POINTS", "1000000"))
SERIES = int(os.environ.get("TRENDS_SERIES", "10000"))
PYTHON = Path(__file__).resolve().parent.parent / "target" / "forecast-venv" / "bin" / "python"

HOURLY = """
CREATE TEMP TABLE hourly AS
SELECT timestamptz '2026-01-01 00:00+00' + h * interval '1 hour' AS ts,
       100 + 10 * sin(h * pi() / 12) + 5 * sin(h * pi() / 84) + 6 * (random() + random() + random() - 1.5) AS y
FROM generate_series(0, 999) AS h
"""
FORECAST = """
SELECT f.* FROM (SELECT array_agg(ts ORDER BY ts) AS t, array_agg(y ORDER BY ts) AS v FROM hourly) AS s
CROSS JOIN LATERAL analytics.forecast(s.t, s.v, 24) AS f
"""

# The same series, fitted and forecast for 24 hours with an interval; times in seconds.
THEIRS = """
import json, logging, os, sys, time
for name in ("OMP_NUM_THREADS", "STAN_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
logging.disable(logging.CRITICAL)
import numpy as np, pandas as pd
from prophet import Prophet
from statsforecast.models import AutoETS
y = np.array(json.load(sys.stdin))
frame = pd.DataFrame({"ds": pd.date_range("2026-01-01", periods=len(y), freq="h"), "y": y})
def prophet():
    model = Prophet(interval_width=0.95).fit(frame)
    model.predict(model.make_future_dataframe(24, freq="h", include_history=False))
def ets():
    AutoETS(season_length=24).forecast(y, h=24, level=[95])
times = {"prophet": [], "ets": []}
for run in range(6):
    for name, action in (("prophet", prophet), ("ets", ets)):
        start = time.perf_counter(); action(); taken = time.perf_counter() - start
        if run: times[name].append(taken)
print(json.dumps(times))
"""


def forecasts(db) -> None:
    table = Table("forecast of 1,000 hourly values, 24 ahead, with intervals")
    db.execute("SELECT setseed(0.5)")
    db.execute(HOURLY)
    ours = timed(lambda: db.execute(FORECAST).fetchall(), runs=50, warm_up=5)
    if not PYTHON.exists():
        table.figure("forecast()", duration(ours.median))
        print(f"{PYTHON} is not there: see the head of this file")
    else:
        values = [y for (y,) in db.execute("SELECT y FROM hourly ORDER BY ts").fetchall()]
        done = subprocess.run(
            [PYTHON, "-c", THEIRS], input=json.dumps(values), capture_output=True, text=True, check=True
        )
        theirs = json.loads(done.stdout.splitlines()[-1])
        # Again, after them: neither profits from a quiet moment.
        ours = Times(ours.all + timed(lambda: db.execute(FORECAST).fetchall(), runs=50).all)
        for name, alternative, promised in (
            ("prophet", "Prophet", 100),
            ("ets", "statsforecast AutoETS", 20),
        ):
            other = Times(theirs[name])
            table.row("forecast()", ours, other, alternative)
            table.figure("", f"{other.median / ours.median:.0f} times faster", f"promised {promised}")
    table.show()


def stream(db) -> None:
    table = Table(f"anomaly_score() OVER, {POINTS:,} values")
    db.execute(
        f"CREATE TEMP TABLE points AS SELECT i, random() + sin(i / 100.0) AS x FROM generate_series(1, {POINTS}) AS i"
    )
    db.execute("ANALYZE points")
    # Without the sort both share the scan and the window.
    ours = timed(
        lambda: db.execute(
            "SELECT max(s) FROM (SELECT analytics.anomaly_score(x) OVER (ROWS UNBOUNDED PRECEDING) AS s FROM points) AS q"
        ).fetchall()
    )
    theirs = timed(
        lambda: db.execute(
            "SELECT max(s) FROM (SELECT avg(x) OVER (ROWS UNBOUNDED PRECEDING) AS s FROM points) AS q"
        ).fetchall()
    )
    table.row("one pass", ours, theirs, "avg() OVER", items=POINTS)
    table.show()


def refresh(db) -> None:
    """The same new hour, after a month and after a year of history."""
    table = Table(f"refresh_trends(), {SERIES:,} series of one workspace")
    workspace = db.execute(
        "INSERT INTO analytics.workspaces (name) VALUES ('bench') RETURNING workspace_id"
    ).fetchone()[0]
    agents = max(SERIES // 5, 1)
    taken = []
    for label, first, last in (("after 60 days", 305, 365), ("after a year", 0, 305)):
        db.execute(
            """
            INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at, completed_at, runtime_seconds)
            SELECT %(w)s, gen_random_uuid(), md5(a::text)::uuid, 'completed', t, t + interval '3 seconds', 3
            FROM generate_series(1, %(agents)s) AS a, generate_series(%(first)s, %(last)s - 1) AS d
            CROSS JOIN LATERAL (SELECT timestamptz '2025-01-01 00:00+00' + d * interval '1 day' + (a %% 24) * interval '1 hour') AS x (t)
            """,
            {"w": workspace, "agents": agents, "first": first, "last": last},
        )
        db.execute("CALL analytics.refresh_all('1 hour', materialized_views => false)")
        db.execute(
            """
            INSERT INTO analytics.anomaly_rules (workspace_id, metric, agent_id)
            SELECT %(w)s, m, md5(a::text)::uuid FROM generate_series(1, %(agents)s) AS a,
                   unnest(ARRAY['runs', 'failed_runs', 'credits', 'errors', 'p95_runtime']) AS m
            ON CONFLICT DO NOTHING
            """,
            {"w": workspace, "agents": agents},
        )
        hour = "2026-01-01 00:30+00" if label == "after 60 days" else "2026-01-01 01:30+00"
        times = timed(
            lambda hour=hour: db.execute(
                "SELECT * FROM analytics.refresh_trends(max_series => 1000000, as_of => %s)", [hour]
            ).fetchall(),
            runs=1,
            warm_up=0,
        )
        taken.append(times)
        table.figure(label, f"{duration(times.median)}, {SERIES / times.median:,.0f} series/s")
    table.figure("flat in history", f"{taken[1].median / taken[0].median:.2f}", "ratio of the two")
    table.show()


def main() -> None:
    db = install()
    db.execute("SET jit = off")
    db.execute("SET max_parallel_workers_per_gather = 0")
    forecasts(db)
    stream(db)
    refresh(db)


if __name__ == "__main__":
    main()
