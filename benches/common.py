"""What the benchmarks share: a database to measure in, repeated timing, and the table of ratios.

``make bench`` starts a private server, gives every file here a fresh database (PGHOST, PGDATABASE... tell
where) and runs it. A benchmark compares ours with a named alternative in the same run, in alternating
order, so that neither profits from a warm cache or a quiet moment:

    from common import Table, install, timed_pair

    db = install()
    table = Table("percentiles, 10 million rows")
    ours, theirs = timed_pair(lambda: db.execute(OURS), lambda: db.execute(THEIRS), runs=7)
    table.row("median", ours, theirs, alternative="percentile_cont")
    table.show()
"""

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg


def connect(**kwargs) -> psycopg.Connection:
    """A connection with autocommit to the benchmark's database."""
    return psycopg.connect(**{"autocommit": True, **kwargs})


def install() -> psycopg.Connection:
    """A connection to the benchmark's database, with the extension and its tables made."""
    connection = connect()
    connection.execute("CREATE EXTENSION IF NOT EXISTS shadower_analytics")
    connection.execute("SELECT * FROM analytics.setup()")
    return connection


def seconds(action: Callable[[], object]) -> float:
    """How long one call takes."""
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@dataclass
class Times:
    """Repeated measurements of one thing, in seconds."""

    all: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.all)

    @property
    def spread(self) -> float:
        """Half the range, as a share of the median: how far to trust the last digits."""
        return (max(self.all) - min(self.all)) / 2 / self.median if self.median else 0.0


def timed(action: Callable[[], object], runs: int = 5, warm_up: int = 1) -> Times:
    """The action's times over some runs, after others that don't count."""
    for _ in range(warm_up):
        action()
    return Times([seconds(action) for _ in range(runs)])


def timed_pair(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    runs: int = 5,
    warm_up: int = 1,
    before: Callable[[], object] | None = None,
) -> tuple[Times, Times]:
    """Both actions' times, A B B A A B ...; ``before`` runs untimed before each (TRUNCATE, say)."""
    measured: dict[int, list[float]] = {0: [], 1: []}
    actions = (ours, theirs)
    for run in range(warm_up + runs):
        for which in (0, 1) if run % 2 == 0 else (1, 0):
            if before is not None:
                before()
            taken = seconds(actions[which])
            if run >= warm_up:
                measured[which].append(taken)
    return Times(measured[0]), Times(measured[1])


def duration(value: float) -> str:
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.1f} ms"
    return f"{value:.2f} s"


@dataclass
class Table:
    """what | ours | alternative | ratio, where a ratio below 1 says that ours took less."""

    title: str
    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def row(self, what: str, ours: Times, theirs: Times, alternative: str, items: int | None = None) -> None:
        """Adds a comparison; with ``items`` both are shown as a rate too (rows a second)."""

        def shown(times: Times) -> str:
            rate = f", {items / times.median:,.0f}/s" if items else ""
            return f"{duration(times.median)} ±{times.spread:.0%}{rate}"

        ratio = ours.median / theirs.median
        self.rows.append((what, shown(ours), shown(theirs), alternative, f"{ratio:.2f}"))

    def figure(self, what: str, value: str, alternative: str = "", other: str = "", ratio: str = "") -> None:
        """Adds something that is not a pair of times."""
        self.rows.append((what, value, other, alternative, ratio))

    def show(self) -> None:
        head = ("what", "ours", "alternative", "which is", "ratio")
        widths = [max(len(row[i]) for row in [head, *self.rows]) for i in range(len(head))]
        print(f"\n{self.title}  ({os.cpu_count()} cores)")
        for row in [head, tuple("-" * width for width in widths), *self.rows]:
            print("  " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)))
