"""Percentiles, sketches, distinct counts and statistics against what Postgres and tdigest offer.

10 million values in one group, and in 1,000 groups of 10,000. All statements of a part take turns, forward and
backward, so that a warm cache or a quiet moment favours none of them. The table shows the fastest run of each, since
what else the machine does only ever adds time, and by how much the median was above it; and ratios against the bounds
that were promised. JIT compilation is off, and the last part shows what it would change.

    PERCENTILES_ROWS=1000000 tools/bench percentiles      (a quick look; the bounds are meant for 10 million)
"""

import os
import re
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from common import duration, install, seconds

ROWS = int(os.environ.get("PERCENTILES_ROWS", "10000000"))
SKETCHES = ROWS // 10
RUNS = int(os.environ.get("PERCENTILES_RUNS", "5"))
SLOW_RUNS = min(RUNS, 3)  # of statements that take several seconds
FIVE = "'{0.5,0.9,0.95,0.99,0.999}'::float8[]"

COUNT = "SELECT count(x) FROM numbers"
AVG = "SELECT avg(x) FROM numbers"
CONT = f"SELECT percentile_cont({FIVE}) WITHIN GROUP (ORDER BY x) FROM numbers"
CONT_ONE = "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM numbers"
EXACT = f"SELECT percentiles(x, {FIVE}) FROM numbers"
EXACT_ONE = "SELECT percentile(x, 0.5) FROM numbers"
SKETCH = "SELECT percentile_agg(x) FROM numbers"
STATS = "SELECT stats_agg(x) FROM numbers"
FOUR = "SELECT count(x), avg(x), stddev(x), sum(x), min(x), max(x) FROM numbers"
DISTINCT = "SELECT distinct_agg(x) FROM numbers"
TDIGEST = "SELECT tdigest(x, 100)::text FROM numbers"


def grouped(query: str) -> str:
    """One answer per group; the groups themselves are not sent to the client."""
    expression = re.fullmatch(r"SELECT (.*) FROM numbers", query)[1]
    return f"SELECT count(answer) FROM (SELECT g, {expression} AS answer FROM numbers GROUP BY g) AS groups"


class Part:
    """Statements that take turns under the same settings."""

    def __init__(self, db: psycopg.Connection, **settings: object) -> None:
        self.db = db
        self.times: dict[str, list[float]] = {}
        db.execute("RESET ALL")
        db.execute("SET search_path = analytics, public")
        for name, value in {
            "jit": "off",
            "max_parallel_workers_per_gather": 0,
            "work_mem": "64MB",
            **settings,
        }.items():
            db.execute(f"SET {name} = '{value}'")

    def measure(self, queries: list[str], runs: int) -> "Part":
        for query in queries:
            self.db.execute(query)
            self.times[query] = []
        for run in range(runs):
            for query in queries if run % 2 == 0 else reversed(queries):
                self.times[query].append(seconds(lambda q=query: self.db.execute(q)))
            print(f"... {time.strftime('%H:%M:%S')}", file=sys.stderr, flush=True)
        return self

    def fastest(self, query: str) -> float:
        return min(self.times[query])

    def shown(self, query: str) -> str:
        above = statistics.median(self.times[query]) / self.fastest(query) - 1
        return f"{duration(self.fastest(query))} +{above:.0%}"


@dataclass
class Line:
    what: str
    ours: str
    other: str
    which: str
    ratio: str
    bound: str = ""
    kept: str = ""


LINES: list[Line] = []


def slower(what: str, part: Part, ours: str, other: str, which: str, at_most: float | None = None) -> None:
    """Ours takes so many times as long as the other."""
    ratio = part.fastest(ours) / part.fastest(other)
    bound = f"at most {at_most}" if at_most else ""
    kept = ("yes" if ratio <= at_most else "**no**") if at_most else ""
    LINES.append(
        Line(what, part.shown(ours), part.shown(other), which, f"{ratio:.2f} times the time", bound, kept)
    )


def faster(
    what: str,
    part: Part,
    ours: str,
    other: str,
    which: str,
    at_least: float | None = None,
    other_part: Part | None = None,
) -> None:
    """Ours is so many times as fast as the other."""
    other_part = other_part or part
    ratio = other_part.fastest(other) / part.fastest(ours)
    bound = f"at least {at_least}" if at_least else ""
    kept = ("yes" if ratio >= at_least else "**no**") if at_least else ""
    LINES.append(
        Line(
            what, part.shown(ours), other_part.shown(other), which, f"{ratio:.2f} times as fast", bound, kept
        )
    )


def check_quiet() -> None:
    load = os.getloadavg()[0]
    if load > 0.5:
        print(
            f"warning: the machine is not quiet (load {load:.1f}); ratios hold better than times", flush=True
        )


def peak_memory(db: psycopg.Connection, query: str) -> tuple[float, float]:
    """Seconds, and MB by which the private memory of a fresh backend grows at most."""
    with psycopg.connect(autocommit=True) as fresh:
        fresh.execute("SET search_path = analytics, public")
        fresh.execute("SET jit = off")
        fresh.execute("SET max_parallel_workers_per_gather = 0")
        fresh.execute("SELECT rollup(s) FROM (SELECT percentile_agg(1) AS s) AS one")
        status = Path(f"/proc/{fresh.info.backend_pid}/status")

        def used() -> int:
            return int(re.search(r"^RssAnon:\s+(\d+)", status.read_text(), re.MULTILINE)[1])

        start = peak = used()
        ended = threading.Event()

        def sample() -> None:
            nonlocal peak
            while not ended.wait(0.01):
                peak = max(peak, used())

        thread = threading.Thread(target=sample)
        thread.start()
        taken = seconds(lambda: fresh.execute(query))
        ended.set()
        thread.join()
        return taken, (max(peak, used()) - start) / 1024


def main() -> None:
    db = install()
    db.execute("SET search_path = analytics, public")
    db.execute("SELECT setseed(0.3)")
    # Run times: most are short, some are long.
    db.execute(f"""
        CREATE UNLOGGED TABLE public.numbers AS
        SELECT i % 1000 AS g, exp(3 * (random() + random() + random() - 1.5)) AS x FROM generate_series(1, {ROWS}) AS i""")
    db.execute("ALTER TABLE numbers SET (parallel_workers = 2)")
    db.execute("VACUUM (FREEZE, ANALYZE) numbers")
    has_tdigest = bool(db.execute("SELECT FROM pg_available_extensions WHERE name = 'tdigest'").fetchall())
    if has_tdigest:
        db.execute("CREATE EXTENSION tdigest SCHEMA public")
    tdigest = [TDIGEST] if has_tdigest else []
    check_quiet()

    (same,) = db.execute(
        f"SELECT percentiles(x, {FIVE}) = percentile_cont({FIVE}) WITHIN GROUP (ORDER BY x) FROM numbers"
    ).fetchone()
    assert same, "the answers differ"

    serial = Part(db, work_mem="1GB").measure(
        [COUNT, AVG, EXACT, EXACT_ONE, SKETCH, STATS, FOUR, DISTINCT, *tdigest], RUNS
    )
    slow = Part(db, work_mem="1GB").measure([EXACT, CONT, EXACT_ONE, CONT_ONE], SLOW_RUNS)
    spilling = Part(db, work_mem="4MB").measure([EXACT, CONT], SLOW_RUNS)
    parallel = Part(db, max_parallel_workers_per_gather=2, work_mem="1GB").measure(
        [COUNT, AVG, EXACT, EXACT_ONE, SKETCH, STATS, DISTINCT, *tdigest], RUNS
    )
    parallel_slow = Part(db, max_parallel_workers_per_gather=2, work_mem="1GB").measure(
        [EXACT, CONT], SLOW_RUNS
    )
    groups = Part(db, work_mem="1GB").measure(
        [grouped(q) for q in (AVG, EXACT, SKETCH, CONT, *tdigest)], SLOW_RUNS
    )
    parallel_groups = Part(db, max_parallel_workers_per_gather=2, work_mem="1GB").measure(
        [grouped(q) for q in (AVG, EXACT, SKETCH)], SLOW_RUNS
    )
    jit = Part(db, jit="on", jit_above_cost=0, work_mem="1GB").measure(
        [COUNT, AVG, EXACT, SKETCH, STATS], SLOW_RUNS
    )

    slower("avg(x): the floor", serial, AVG, COUNT, "count(x)")
    slower("percentiles(x, 5)", serial, EXACT, AVG, "avg(x)", at_most=1.4)
    slower("percentile(x, 0.5)", serial, EXACT_ONE, AVG, "avg(x)")
    faster(
        "percentiles(x, 5), sort in memory (work_mem 1 GB)",
        slow,
        EXACT,
        CONT,
        "percentile_cont(5)",
        at_least=3,
    )
    faster("percentile(x, 0.5), the same", slow, EXACT_ONE, CONT_ONE, "percentile_cont(0.5)")
    faster(
        "percentiles(x, 5), sort spills (work_mem 4 MB)",
        spilling,
        EXACT,
        CONT,
        "percentile_cont(5)",
        at_least=3,
    )
    faster("percentiles(x, 5), 2 workers", parallel_slow, EXACT, CONT, "percentile_cont(5)", at_least=4.5)
    faster(
        "percentiles(x, 5), 1,000 groups",
        groups,
        grouped(EXACT),
        grouped(CONT),
        "percentile_cont(5)",
        at_least=4,
    )
    slower("percentile_agg(x)", serial, SKETCH, AVG, "avg(x)", at_most=1.25)
    if has_tdigest:
        faster("percentile_agg(x)", serial, SKETCH, TDIGEST, "tdigest(x, 100)", at_least=2)
        faster("percentile_agg(x), 2 workers", parallel, SKETCH, TDIGEST, "tdigest(x, 100)", at_least=2)
        faster(
            "percentile_agg(x), 1,000 groups", groups, grouped(SKETCH), grouped(TDIGEST), "tdigest(x, 100)"
        )
    slower("percentile_agg(x), 1,000 groups", groups, grouped(SKETCH), grouped(AVG), "avg(x)")
    slower("stats_agg(x)", serial, STATS, AVG, "avg(x)")
    faster("stats_agg(x)", serial, STATS, FOUR, "count, avg, stddev, sum, min, max")
    slower("distinct_agg(x)", serial, DISTINCT, AVG, "avg(x)")
    names = {
        AVG: "avg(x)",
        EXACT: "percentiles(x, 5)",
        EXACT_ONE: "percentile(x, 0.5)",
        SKETCH: "percentile_agg(x)",
    }
    names |= {STATS: "stats_agg(x)", DISTINCT: "distinct_agg(x)"}
    for query, name in names.items():
        bound = None if query == AVG else 1.7
        faster(
            f"{name}, 2 workers", parallel, query, query, f"{name}, serial", at_least=bound, other_part=serial
        )
    for query in (EXACT, SKETCH):
        faster(
            f"{names[query]}, 1,000 groups, 2 workers",
            parallel_groups,
            grouped(query),
            grouped(query),
            f"{names[query]}, 1,000 groups, serial",
            other_part=groups,
        )
    slower("percentiles(x, 5), jit on", jit, EXACT, AVG, "avg(x), jit on")
    slower("percentile_agg(x), jit on", jit, SKETCH, AVG, "avg(x), jit on")

    db.execute("RESET ALL")
    db.execute("SET search_path = analytics, public")
    db.execute(f"""
        CREATE UNLOGGED TABLE public.sketches AS
        SELECT (SELECT percentile_agg(exp(sin(s * 50 + i) * 3)) FROM generate_series(1, 50) AS i) AS sketch
        FROM generate_series(1, {SKETCHES}) AS s""")
    db.execute("VACUUM (FREEZE, ANALYZE) sketches")
    rollups = Part(db).measure(
        ["SELECT rollup(sketch) FROM sketches", "SELECT count(num_vals(sketch)) FROM sketches"], SLOW_RUNS
    )
    rolled, scanned = rollups.times
    rate = SKETCHES / rollups.fastest(rolled)
    _, grown = peak_memory(db, rolled)
    slower(
        f"rollup of {SKETCHES:,} sketches of 50 values", rollups, rolled, scanned, "count(num_vals(sketch))"
    )
    LINES.append(Line("... its rate", f"{rate:,.0f} sketches/s, {rate * 50:,.0f} values/s", "", "", ""))
    LINES.append(Line("... memory of the backend", f"grows by {grown:.1f} MB at most", "", "", ""))

    check_quiet()
    (version,) = db.execute("SHOW server_version").fetchone()
    print(
        f"\nPostgreSQL {version}, {ROWS:,} values, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, jit off, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| what | ours | alternative | which is | ratio | promised | kept |")
    print("|---|---|---|---|---|---|---|")
    for line in LINES:
        print(
            f"| {line.what} | {line.ours} | {line.other} | {line.which} | {line.ratio} | {line.bound} | {line.kept} |"
        )


if __name__ == "__main__":
    main()
