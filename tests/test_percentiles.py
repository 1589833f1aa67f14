"""Percentiles, sketches and distinct counts against independent computations, on random data.

The independent ones are percentile_cont of Postgres, numpy, the Python library of Apache DataSketches, and plain
order statistics computed here. All data are seeded: a failure can be repeated.
"""

import csv
import gzip
import itertools
import math
import random
import re
import struct
import threading
import time
from fractions import Fraction
from pathlib import Path

import datasketches
import numpy as np
import psycopg
import pytest
from conftest import has_library

NUMBERS = np.random.default_rng  # NUMBERS(seed)
TYPES = ("percentile_sketch", "distinct_sketch", "stats_summary")


@pytest.fixture
def base(db):
    """The database of the test; its connection finds our names without a schema, and does not compile."""
    db.execute("SET search_path = analytics, public")
    db.execute("SET jit = off")
    return db


def fill(database, table: str, rows) -> None:
    """COPY rows into a table (its name may come with columns)."""
    with database.connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    database.execute(f"ANALYZE {table}")


def bits(values) -> list[bytes | None]:
    """What float8send() gives."""
    return [None if value is None else struct.pack(">d", value) for value in values]


# --------------------------------------------------------------------------------------- distributions

SHAPES = {
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "normal": lambda rng, n: rng.normal(50, 7, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 3, n),
    "pareto": lambda rng, n: rng.pareto(0.8, n) + 1,
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "few integers": lambda rng, n: rng.integers(-3, 4, n).astype(float) + 0.0,
    "constant": lambda rng, n: np.full(n, rng.normal()),
    "two points": lambda rng, n: rng.choice([1e-300, 1e300], n),
    "subnormal": lambda rng, n: rng.integers(1, 1000, n) * 5e-324,
    "any magnitude": lambda rng, n: rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-300, 300, n),
    "sorted": lambda rng, n: np.sort(rng.normal(0, 1, n)),
    "reversed": lambda rng, n: np.sort(rng.exponential(9, n))[::-1],
    "organ pipe": lambda rng, n: np.minimum(np.arange(n), np.arange(n)[::-1]).astype(float),
    "saw": lambda rng, n: (np.arange(n) * 7 % 64).astype(float),
    "last one huge": lambda rng, n: np.append(rng.uniform(0, 1, n - 1), 1e9),
}


def groups(seed: int, count: int):
    """(name, values) of many groups, most of them small, some long enough for selection by sampling."""
    rng = NUMBERS(seed)
    shapes = itertools.cycle(SHAPES.items())
    for number in range(count):
        name, make = next(shapes)
        size = int(rng.choice([rng.integers(1, 10), rng.integers(10, 300), rng.integers(300, 3000)]))
        if number < len(SHAPES):
            size = int(rng.integers(33_000, 60_000))
        yield name, make(rng, size)


def shares(rng, size: int) -> list[float]:
    """Percentiles to ask for, ends and ranks that are hit exactly among them; repeated and unordered."""
    exact = [int(rng.integers(0, size)) / max(size - 1, 1)]
    usual = rng.choice([0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0, 1e-9, 1 - 1e-9], 3).tolist()
    return rng.permutation(exact + usual + rng.uniform(0, 1, 3).tolist()).tolist()


# ----------------------------------------------------------------------------------------------- exact


def test_exact_answers_have_the_bits_of_postgres_and_the_values_of_numpy(base):
    rng = NUMBERS(20251122)
    data = list(groups(1, 450))
    asked = [shares(rng, len(values)) for _, values in data]
    base.execute("CREATE TABLE data (g integer, x double precision)")
    base.execute("CREATE TABLE asked (g integer, ps double precision[])")
    fill(base, "data", ((g, x) for g, (_, values) in enumerate(data) for x in values.tolist()))
    fill(base, "asked", enumerate(asked))
    answers = base.rows("""
        SELECT g, percentiles(x, ps), percentile_cont(ps) WITHIN GROUP (ORDER BY x),
               percentiles_discrete(x, ps), percentile_disc(ps) WITHIN GROUP (ORDER BY x),
               percentile(x, ps[1]), percentile_discrete(x, ps[1]), calculate_percentiles(array_agg(x), ps),
               array(SELECT float8send(p) FROM unnest(percentiles(x, ps)) WITH ORDINALITY AS t (p, n) ORDER BY n)
        FROM data JOIN asked USING (g) GROUP BY g, ps ORDER BY g""")
    assert len(answers) == len(data)
    for g, ours, cont, ours_discrete, disc, first, first_discrete, of_array, sent in answers:
        (name, values), ps = data[g], asked[g]
        where = f"group {g}: {len(values)} values, {name}, at {ps}"
        assert bits(ours) == bits(cont) == bits(of_array) == [bytes(s) for s in sent], where
        assert bits(ours_discrete) == bits(disc), where
        assert bits([first, first_discrete]) == bits([ours[0], ours_discrete[0]]), where

        # Of numpy the neighbours are the same; it interpolates by a formula that rounds differently.
        ordered = np.sort(values)
        low, high = np.quantile(ordered, ps, method="lower"), np.quantile(ordered, ps, method="higher")
        linear = np.quantile(ordered, ps, method="linear")
        with np.errstate(over="ignore"):
            slack = 1e-13 * np.maximum(abs(low), abs(high)) + 5e-324
        assert np.all(abs(np.array(ours) - linear) <= slack), where
        assert np.array_equal(ours_discrete, np.quantile(ordered, ps, method="inverted_cdf")), where


def test_exact_intervals_are_those_of_postgres(base):
    rng = random.Random(3)
    # Months, days and seconds mixed, within what arithmetic on intervals can do.
    parts = [
        (g, f"{rng.randint(-30, 30)} mons {rng.randint(-90, 90)} days {rng.uniform(-1e6, 1e6):.6f} secs")
        for g in range(200)
        for _ in range(rng.randint(1, 80))
    ]
    base.execute("CREATE TABLE waits (g integer, w interval)")
    fill(base, "waits", parts)
    different = base.rows("""
        SELECT g, p, percentile(w, p)::text, (percentile_cont(p) WITHIN GROUP (ORDER BY w))::text
        FROM waits CROSS JOIN unnest('{0,0.013,0.25,0.5,0.77,0.95,1}'::float8[]) AS p GROUP BY g, p
        HAVING percentile(w, p)::text IS DISTINCT FROM (percentile_cont(p) WITHIN GROUP (ORDER BY w))::text""")
    assert different == []


# -------------------------------------------------------------------------------------------- parallel

EVERYTHING = """
    percentile(x, 0.9) AS a, percentiles(x, '{0.01,0.5,0.999}') AS b, percentile_discrete(x, 0.3) AS c,
    percentiles_discrete(x, '{0.2,NULL}') AS d, percentile(w, 0.7)::text AS e, percentile_agg(x)::text AS f,
    percentile_agg(x, 0.03)::text AS g, distinct_agg(k)::text AS h, distinct_agg(t)::text AS i,
    stats_agg(x)::text AS j"""


def plan(database, query: str):
    """The nodes of the plan that ran, outermost first."""
    (root,) = database.value(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT JSON) {query}")

    def nodes(node):
        yield node
        for child in node.get("Plans", []):
            yield from nodes(child)

    return list(nodes(root["Plan"]))


@pytest.mark.parametrize("grouping", ["", "GROUP BY g % 3", "GROUP BY g"])
@pytest.mark.parametrize("leader", ["on", "off"])
def test_parallel_plans_give_the_same_bytes(base, grouping, leader):
    base.execute("""
        CREATE TABLE data AS
        SELECT i % 500 AS g, exp(5 * sin(i * 12.9898)) * (1 - 2 * (i % 2)) AS x, i % 20011 AS k, md5((i % 3001)::text) AS t,
               make_interval(days => i % 40, secs => sin(i) * 5000) AS w
        FROM generate_series(1, 150000) AS i""")
    base.execute("ALTER TABLE data SET (parallel_workers = 2)")
    base.execute("ANALYZE data")
    query = f"SELECT {EVERYTHING} FROM data {grouping}"
    base.execute("SET max_parallel_workers_per_gather = 0")
    serial = base.rows(query)
    base.execute("SET max_parallel_workers_per_gather = 2")
    base.execute(f"SET parallel_leader_participation = {leader}")
    for name in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
        base.execute(f"SET {name} = 0")
    # A partial aggregate for each group is what is to be tested, also where few rows a group make it dear.
    base.execute("SET cpu_operator_cost = 0.1")
    nodes = plan(base, query)
    assert [n["Workers Launched"] for n in nodes if n["Node Type"].startswith("Gather")] == [2], nodes
    assert [n["Partial Mode"] for n in nodes if n["Node Type"] == "Aggregate"] == ["Finalize", "Partial"], (
        nodes
    )
    assert sorted(base.rows(query), key=repr) == sorted(serial, key=repr)
    assert len(serial) == {"": 1, "GROUP BY g % 3": 3, "GROUP BY g": 500}[grouping]


def test_values_of_exact_groups_count_as_memory_of_the_hash_table(base):
    """The executor spills when the values, not only the groups, outgrow work_mem (it looks when a group is new)."""
    base.execute(
        "CREATE TABLE data AS SELECT i / 2000 AS g, sin(i) AS x FROM generate_series(0, 199999) AS i"
    )
    base.execute("ANALYZE data")
    for setting in ("enable_sort = off", "max_parallel_workers_per_gather = 0", "hash_mem_multiplier = 1"):
        base.execute(f"SET {setting}")
    query = "SELECT g, percentile(x, 0.5) FROM data GROUP BY g"
    batches = {}
    answers = {}
    for work_mem in ("64MB", "256kB"):
        base.execute(f"SET work_mem = '{work_mem}'")
        (node,) = (n for n in plan(base, query) if n["Node Type"] == "Aggregate")
        assert node["Strategy"] == "Hashed"
        batches[work_mem] = node["HashAgg Batches"]
        answers[work_mem] = sorted(base.rows(query))
    assert batches["64MB"] == 1
    assert batches["256kB"] > 1
    assert answers["64MB"] == answers["256kB"]
    assert len(answers["64MB"]) == 100


# -------------------------------------------------------------------------------------------- sketches

HEAVY = {
    "pareto 0.7": lambda rng, n: rng.pareto(0.7, n) + 1,
    "pareto 1.1": lambda rng, n: rng.pareto(1.1, n) + 1,
    "lognormal 1": lambda rng, n: rng.lognormal(1, 1, n),
    "lognormal 2": lambda rng, n: rng.lognormal(1, 2, n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
}


def run_times(shared_data: Path, column: str) -> np.ndarray:
    """Real run times of agents, in seconds."""
    path = shared_data / "agent_runs" / "agent_runs.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    with gzip.open(path, "rt", newline="") as file:
        values = [float(row[column]) for row in csv.DictReader(file) if row[column]]
    assert len(values) > 5000
    return np.array(values)


def load(database, values: np.ndarray) -> None:
    database.execute("DROP TABLE IF EXISTS data")
    database.execute("CREATE TABLE data (x double precision)")
    fill(database, "data", ((x,) for x in values.tolist()))


def check_guarantee(database, values: np.ndarray, alpha: float, where: str) -> float:
    """Every percentile of the sketch of `data` is within its stated error; returns that error."""
    ps = np.concatenate([np.linspace(0, 1, 501), 1 - np.logspace(-5, -1, 60), np.logspace(-5, -1, 60)])
    error, estimates, count, size, total, least, greatest = database.rows(
        "SELECT error(s), approx_percentile_array(%s::float8[], s), num_vals(s), length(s::bytea), sum(s), min_val(s), max_val(s)"
        " FROM (SELECT percentile_agg(x, %s) AS s FROM data) AS sketch",
        [ps.tolist(), alpha],
    )[0]
    ordered = np.sort(values)
    assert (count, least, greatest) == (len(values), ordered[0], ordered[-1]), where
    assert total == pytest.approx(float(np.sum(ordered)), rel=1e-9), where
    assert size <= 8192, where

    rank = ps * (len(values) - 1)
    low, high = ordered[np.floor(rank).astype(int)], ordered[np.ceil(rank).astype(int)]
    part = rank - np.floor(rank)
    exact = (1 - part) * low + part * high
    # The least doubles have no fractions: two estimates of such values are up to 5e-324 off each.
    allowed = error * ((1 - part) * abs(low) + part * abs(high))  # error * |exact| unless the signs differ
    excess = abs(np.array(estimates) - exact) - allowed * (1 + 1e-9) - 2 * 5e-324
    worst = int(np.argmax(excess))
    assert excess[worst] <= 0, f"{where}: p {ps[worst]}: {estimates[worst]} for {exact[worst]}, error {error}"

    # The rank of a value is that of a value within the error of it.
    for x in ordered[:: max(len(ordered) // 50, 1)].tolist():
        estimate = database.value(
            "SELECT approx_percentile_rank(%s, percentile_agg(x, %s)) FROM data", [x, alpha]
        )
        near = sorted((x * (1 - 2 * error), x * (1 + 2 * error)))
        share = np.searchsorted(ordered, near, side="right") / len(ordered)
        assert share[0] - 1e-9 <= estimate <= share[1] + 1e-9, f"{where}: rank of {x}"
    return error


@pytest.mark.parametrize("shape", sorted({**SHAPES, **HEAVY}))
def test_sketches_keep_their_guarantee(base, shape):
    rng = NUMBERS(7)
    values = {**SHAPES, **HEAVY}[shape](rng, 30_000)
    load(base, values)
    for alpha in (0.01, 0.05, 0.002):
        error = check_guarantee(base, values, alpha, f"{shape}, {alpha}")
        if shape in ("uniform", "normal", "pareto 1.1", "lognormal 1") and alpha >= 0.01:
            assert error <= alpha, "ordinary data need not be counted coarser than was asked for"


def test_sketches_keep_their_guarantee_on_real_run_times(base, shared_data):
    for column in ("elapsed_s", "total_elapsed_s"):
        values = run_times(shared_data, column)
        load(base, values)
        assert check_guarantee(base, values, 0.01, column) <= 0.01


@pytest.mark.parametrize("shape", [*sorted(HEAVY), "elapsed_s", "total_elapsed_s"])
def test_sketches_err_less_than_tdigest(base, shape, request):
    """The worst error at the percentiles that people ask for, over several orders of the rows."""
    if not has_library("tdigest"):
        pytest.skip("this server has no extension tdigest (postgresql-15-tdigest)")
    base.execute("CREATE EXTENSION tdigest SCHEMA public")
    if shape in HEAVY:
        values = HEAVY[shape](NUMBERS(11), 60_000)
    else:
        values = run_times(request.getfixturevalue("shared_data"), shape)
    ps = [0.5, 0.95, 0.99, 0.999]
    exact = np.quantile(values, ps)
    ours, theirs = [], []
    for seed in range(3):
        load(base, NUMBERS(seed).permutation(values))
        sketch, digest = base.rows(
            "SELECT approx_percentile_array(%(ps)s::float8[], percentile_agg(x)), tdigest_percentile(x, 100, %(ps)s::float8[]) FROM data",
            {"ps": ps},
        )[0]
        ours.append(np.max(abs(np.array(sketch) / exact - 1)))
        theirs.append(np.max(abs(np.array(digest) / exact - 1)))
    assert max(ours) < max(theirs), (ours, theirs)
    assert len(set(ours)) == 1, "the order of rows changed our answer"


AGGREGATES = {
    "percentile_sketch": "percentile_agg(x)",
    "distinct_sketch": "distinct_agg(x)",
    "stats_summary": "stats_agg(x)",
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("shape", ["lognormal", "any magnitude", "few integers", "subnormal"])
def test_any_order_of_rows_and_merges_gives_the_same_bytes(base, kind, shape):
    rng = NUMBERS(23)
    for size in (2, 249, 251, 2000, 40_000):
        values = SHAPES[shape](rng, size)
        values[rng.uniform(size=size) < 0.01] = rng.choice([np.inf, -np.inf, np.nan])
        load(base, values)
        whole = base.value(f"SELECT {AGGREGATES[kind]}::text FROM data")
        load(base, rng.permutation(values))
        assert base.value(f"SELECT {AGGREGATES[kind]}::text FROM data") == whole, f"{size} rows shuffled"
        for _ in range(3):
            parts = int(rng.choice([2, 7, min(size, 300)]))
            pieces = [
                piece
                for (piece,) in base.rows(
                    f"SELECT {AGGREGATES[kind]}::text FROM data GROUP BY hashfloat8extended(x, %s) %% {parts}",
                    [int(rng.integers(1 << 30))],
                )
            ]
            assert 1 <= len(pieces) <= 2 * parts
            while len(pieces) > 1:  # any pieces into one, until one is left
                rng.shuffle(pieces)
                taken = int(rng.integers(2, max(3, len(pieces) // 2)))
                merged = base.value(
                    f"SELECT rollup(s::{kind})::text FROM unnest(%s::text[]) AS s", [pieces[:taken]]
                )
                pieces = [merged, *pieces[taken:]]
            assert pieces[0] == whole, f"{size} rows in {parts} parts"


def deviation_of(variance: Fraction) -> float:
    """The square root, also where the variance is too small for a double."""
    return math.ldexp(math.sqrt(float(variance * 4**600)), -600) if variance < 1e-100 else math.sqrt(variance)


def test_sums_are_exact(base):
    """Python's fsum and fractions know the true answers."""
    rng = NUMBERS(31)
    for values in (
        SHAPES["lognormal"](rng, 2000),
        rng.choice([-1, 1], 1001) * 10.0 ** rng.uniform(-20, 20, 1001),
        1e9 + rng.uniform(0, 1e-3, 3000),  # nearly constant: where the textbook formula fails
        SHAPES["subnormal"](rng, 300),
    ):
        load(base, values)
        exact = [Fraction(x) for x in values.tolist()]
        mean = sum(exact) / len(exact)
        variance = sum((x - mean) ** 2 for x in exact) / (len(exact) - 1)
        for aggregate in ("percentile_agg(x)", "stats_agg(x)"):
            total, average, deviation = base.rows(
                f"SELECT sum({aggregate}), mean({aggregate}), stddev({aggregate}) FROM data"
            )[0]
            assert total == math.fsum(values.tolist())
            assert average == pytest.approx(float(mean), rel=1e-15, abs=5e-324)
            assert deviation == pytest.approx(deviation_of(variance), rel=1e-14, abs=5e-324)
        assert base.value("SELECT variance(stats_agg(x)) FROM data") == pytest.approx(
            float(variance), rel=1e-14, abs=5e-324
        )


# ---------------------------------------------------------------------------------------- corrupt input

ASK_EVERYTHING = {
    "percentile_sketch": "num_vals(s), approx_percentile_array('{0,0.3,1}', s), approx_percentile_rank(1, s), mean(s), stddev(s),"
    " sum(s), min_val(s), max_val(s), error(s), (SELECT sum(count) FROM histogram(s, 7)),"
    " (SELECT num_vals(rollup(t)) FROM (VALUES (s), (s), ((SELECT percentile_agg(i) FROM generate_series(1, 300) AS i))) AS v (t))",
    "distinct_sketch": "approx_distinct(s), (SELECT approx_distinct(rollup(t)) FROM (VALUES (s), (s),"
    " ((SELECT distinct_agg(i) FROM generate_series(1, 3000) AS i))) AS v (t))",
    "stats_summary": "num_vals(s), sum(s), mean(s), stddev(s), variance(s, 'population'), min_val(s), max_val(s),"
    " (SELECT num_vals(rollup(t)) FROM (VALUES (s), (s)) AS v (t))",
}


def seeds(database, kind: str) -> list[bytes]:
    """Valid values of all forms: few values, many, with gaps, with infinities."""
    aggregate = AGGREGATES[kind]
    sources = [
        "SELECT i::float8 AS x FROM generate_series(1, 3) AS i",
        "SELECT i / 3.0::float8 AS x FROM generate_series(-130, 110) AS i",
        "SELECT exp(i / 100.0)::float8 AS x FROM generate_series(1, 1200) AS i",
        "SELECT pow(2.1, i)::float8 * (i % 2 * 2 - 1) AS x FROM generate_series(-800, 800) AS i",
        "SELECT unnest('{NaN,Infinity,-Infinity,1,0}'::float8[]) AS x",
        "SELECT sin(i) * 1e6 AS x FROM generate_series(1, 20000) AS i",
    ]
    return [bytes(database.value(f"SELECT {aggregate}::bytea FROM ({source}) AS s")) for source in sources]


def mutated(rng: random.Random, value: bytes) -> bytes:
    """A copy with one to four injuries."""
    data = bytearray(value)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(data)) if data else 0
        # Most of what can go wrong stands in the first bytes.
        if rng.random() < 0.6:
            at = min(at, rng.randrange(48))
        match rng.randrange(7):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            case 2:
                del data[at:]
            case 3:
                data[at:at] = rng.randbytes(rng.choice([1, 2, 4, 8, 40]))
            case 4:
                del data[at : at + rng.choice([1, 2, 4, 8])]
            case 5:
                data[at : at + 8] = struct.pack(
                    "<Q", rng.choice([0, 1 << 63, (1 << 64) - 1, 0x7FF0 << 48, 0x7FF8 << 48, 1 << 53])
                )
            case 6:
                data += rng.randbytes(rng.choice([1, 3, 64]))
    return bytes(data)


def copy_binary(field: bytes) -> bytes:
    """A file of COPY ... (FORMAT binary) with one row of one column."""
    return b"PGCOPY\n\xff\r\n\0" + struct.pack(">iihi", 0, 0, 1, len(field)) + field + struct.pack(">h", -1)


@pytest.mark.parametrize("kind", TYPES)
def test_corrupt_bytes_are_an_error_or_a_value_and_never_a_crash(base, kind):
    rng = random.Random(f"fuzz {kind}")
    originals = seeds(base, kind)
    pid = base.connection.info.backend_pid
    base.execute(f"CREATE TABLE stored (s {kind})")
    # 22P03 is ours; 22023 that of merging what was made for another error; 54000 that of too many values.
    allowed = {"22P03", "22023", "54000"}
    outcomes = {"accepted": 0}
    end = time.monotonic() + 6
    tries = 0
    while time.monotonic() < end or tries < 1000:
        tries += 1
        original = rng.choice(originals)
        value = mutated(rng, original)
        try:
            with base.connection.transaction(force_rollback=True):
                if tries % 2:
                    with base.connection.cursor().copy("COPY stored FROM STDIN (FORMAT binary)") as copy:
                        copy.write(copy_binary(value))
                else:
                    base.execute(f"INSERT INTO stored VALUES (%s::text::{kind})", ["\\x" + value.hex()])
                outcomes["accepted"] += 1
                (back,) = base.rows("SELECT s::bytea FROM stored")[0]
                assert bytes(back) == value, f"{value.hex()} came back as another value"
                base.rows(f"SELECT {ASK_EVERYTHING[kind]} FROM stored")
        except psycopg.Error as error:
            # A lost connection has no SQLSTATE.
            state = error.sqlstate or "no answer"
            outcomes[state] = outcomes.get(state, 0) + 1
            if state not in allowed:
                pytest.fail(f"{value.hex()}: {error!r}")
    assert outcomes["22P03"] > tries / 3, outcomes
    assert outcomes["accepted"] > 0, outcomes
    assert base.value("SELECT pg_backend_pid()") == pid, "the backend is another one"


# ------------------------------------------------------------------------------------ other libraries


def their_sketch(values) -> datasketches.hll_sketch:
    sketch = datasketches.hll_sketch(14, datasketches.tgt_hll_type.HLL_4)
    for value in values:
        sketch.update(value)
    return sketch


def union(*sketches) -> datasketches.hll_sketch:
    merged = datasketches.hll_union(14)
    for sketch in sketches:
        merged.update(sketch)
    return merged.get_result(datasketches.tgt_hll_type.HLL_4)


SOURCES = {
    "integers": ("i", lambda i: i),
    "smallint": ("(i % 30000)::smallint", lambda i: i % 30000),
    "bigint": ("i::bigint * 10000000000", lambda i: i * 10_000_000_000),
    "negative": ("-i", lambda i: -i),
    "double": ("i / 8.0::float8", lambda i: i / 8.0),
    "real": ("(i / 8.0)::real", lambda i: i / 8.0),
    "text": ("'run ' || i || ' é日'", lambda i: f"run {i} é日"),
}


@pytest.mark.parametrize("source", sorted(SOURCES))
@pytest.mark.parametrize("count", [1, 7, 8, 100, 1500, 20_000])
def test_distinct_sketches_are_those_of_apache_datasketches(base, source, count):
    expression, python = SOURCES[source]
    stored, estimate = base.rows(
        f"SELECT s::bytea, approx_distinct(s) FROM (SELECT distinct_agg({expression}) AS s FROM generate_series(1, {count}) AS i) AS sketch"
    )[0]
    ours = datasketches.hll_sketch.deserialize(bytes(stored))
    theirs = their_sketch(python(i) for i in range(1, count + 1))
    assert round(ours.get_estimate()) == estimate
    assert (ours.lg_config_k, ours.tgt_type) == (14, datasketches.tgt_hll_type.HLL_4)
    # The same registers: a union of both is no more than either of them. (A union with itself drops the part of an
    # estimate that depends on the order of arrival.)
    assert (
        union(ours, theirs).get_estimate()
        == union(ours, ours).get_estimate()
        == union(theirs, theirs).get_estimate()
    )
    assert round(union(theirs, theirs).get_estimate()) == estimate
    assert abs(estimate / count - 1) <= (0 if count <= 1500 else 0.03)


def test_rolled_up_sketches_are_those_of_apache_datasketches(base):
    hours = base.rows(
        "SELECT distinct_agg(i * 7 % 30011)::bytea FROM generate_series(1, 90000) AS i GROUP BY i / 5000"
    )
    ours = base.value("""
        SELECT approx_distinct(rollup(hour))
        FROM (SELECT distinct_agg(i * 7 % 30011) AS hour FROM generate_series(1, 90000) AS i GROUP BY i / 5000) AS hours""")
    merged = union(*(datasketches.hll_sketch.deserialize(bytes(hour)) for (hour,) in hours))
    assert round(merged.get_estimate()) == ours
    assert ours == pytest.approx(30011, rel=0.03)


# ---------------------------------------------------------------------------------------------- memory


class Watch:
    """The most private memory of a backend while a statement runs, in kB."""

    def __init__(self, pid: int) -> None:
        self.status = Path(f"/proc/{pid}/status")
        self.peak = self.start = self.now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def now(self) -> int:
        return int(re.search(r"^RssAnon:\s+(\d+) kB", self.status.read_text(), re.MULTILINE)[1])

    def _sample(self) -> None:
        while not self._ended.wait(0.003):
            self.peak = max(self.peak, self.now())

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()
        self.peak = max(self.peak, self.now())

    @property
    def grown(self) -> float:
        """MB."""
        return (self.peak - self.start) / 1024


def growth(database, query: str) -> float:
    """How many MB a fresh backend grows while it runs a query, one small run before it."""
    with database.connect() as connection:
        connection.execute("SET search_path = analytics, public")
        connection.execute("SET max_parallel_workers_per_gather = 0")
        connection.execute("SET enable_hashagg = off")
        connection.execute("SET jit = off")
        connection.execute(
            "SELECT percentile_agg(i), distinct_agg(i), stats_agg(i), percentile(i, 0.5) FROM generate_series(1, 1000) AS i"
        )
        with Watch(connection.info.backend_pid) as watch:
            connection.execute(query)
    return watch.grown


def test_memory_is_bounded(base):
    base.execute("""
        CREATE TABLE parts AS
        SELECT g, percentile_agg(exp(sin(g * 50 + i) * 9)) AS sketch, distinct_agg(g * 50 + i) AS kinds, stats_agg(sin(g * 50 + i)) AS stats
        FROM generate_series(1, 200000) AS g CROSS JOIN generate_series(1, 10) AS i GROUP BY g""")
    assert base.value("SELECT sum(num_vals(sketch)) FROM parts") == 2_000_000
    # What the watch itself sees: 200,000 values of 8 bytes are 1.6 MB, 8 million are at least 64.
    assert growth(base, "SELECT percentile(i, 0.5) FROM generate_series(1, 8000000) AS i") > 60
    for query, limit in (
        ("SELECT rollup(sketch) FROM parts", 4),
        ("SELECT rollup(kinds) FROM parts", 4),
        ("SELECT rollup(stats) FROM parts", 4),
        ("SELECT percentile_agg(exp(sin(i) * 9)) FROM generate_series(1, 2000000) AS i", 12),
        # Each group's memory goes with the group, where groups come one after the other.
        ("SELECT max(n) FROM (SELECT num_vals(rollup(sketch)) AS n FROM parts GROUP BY g / 10) AS s", 15),
    ):
        grown = growth(base, query)
        assert grown < limit, f"{query}: {grown:.1f} MB"


def test_errors_leave_no_memory_behind(base):
    """States on Rust's heap go when the aggregate's memory context goes, after an error too."""
    query = (
        "SELECT percentile_agg(x), distinct_agg(x), stats_agg(x), 1 / (count(*) - 30000)"
        " FROM (SELECT sin(i) AS x FROM generate_series(1, 30000) AS i) AS s"
    )
    with base.connect() as connection:
        connection.execute("SET search_path = analytics, public")

        def fail(times: int) -> None:
            for _ in range(times):
                with pytest.raises(psycopg.errors.DivisionByZero):
                    connection.execute(query)

        fail(20)
        with Watch(connection.info.backend_pid) as watch:
            fail(300)
    # Leaked, 300 times some 30 kB would be 9 MB.
    assert watch.grown < 2, f"{watch.grown:.1f} MB"
