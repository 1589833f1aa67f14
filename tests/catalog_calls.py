"""Every function of the extension that SQL can call, from the catalog, and arguments for it.

Of each type, the first value does no harm; the others are empty, extreme or malformed. What a name stands for goes
before its type: a harmless ``metric`` is a metric.
"""

import itertools
import random
from dataclasses import dataclass

from conftest import Database
from psycopg import sql

W = "'00000000-0000-4000-8000-000000000001'"
A = "'00000000-0000-4000-8000-0000000000a1'"
LONG = "repeat('a', 100000)"
MANY = "(SELECT array_agg(n{0}) FROM generate_series(1, 50000) AS n)"

# The first value of a type is one that does no harm; the others try to.
NUMBERS = {
    "smallint": ["1", "0", "-1", "32767", "(-32768)"],
    "integer": ["1", "0", "-1", "2147483647", "(-2147483648)"],
    "bigint": ["1", "0", "-1", "9223372036854775807", "(-9223372036854775808)"],
    "double precision": ["0.5", "0", "-1", "'NaN'", "'Infinity'", "'-Infinity'", "1e308", "5e-324", "100"],
    "numeric": ["1", "0", "-1", "'NaN'", "1e130", "'Infinity'", "0.000000000000000000001"],
}
VALUES = {
    **NUMBERS,
    "boolean": ["true", "false"],
    "uuid": [W, A, "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'00000000-0000-0000-0000-000000000000'"],
    "text": [
        "'30d'", "''", "' '", LONG, "'%s %1$s'", "E'\\'; DROP TABLE analytics.agents; --'", "'\\'", "'\U0001f984'",
        "'1 hour'", "'success_rate'", "'production'", "'{}'", "'agent_runs'", "'24h'", "'all'", "'NaN'",
    ],
    "timestamp with time zone": [
        "now()", "'-infinity'", "'infinity'", "'4714-11-24 00:00 BC'", "'294276-12-31 23:59+00'", "'1970-01-01 00:00+00'",
    ],
    "timestamp without time zone": ["'2026-01-01'", "'infinity'", "'-infinity'"],
    "date": ["'2026-01-01'", "'infinity'", "'4714-11-24 BC'"],
    "interval": [
        "'1 hour'", "'0'", "'-1 day'", "'1 month'", "'178000000 years'", "'-178000000 years'", "'1 microsecond'",
        "'1 day'", "'3 hours 7 microseconds'",
    ],
    "jsonb": ["'{}'", "'[]'", "'null'", "'1e400'", "'{\"a\": {\"b\": [1, null, \"x\"]}}'", "'\"x\"'",
              "(repeat('[', 5000) || repeat(']', 5000))::jsonb"],
    "json": ["'{}'", "'[1'::text::json", "'null'"],
    "bytea": ["'\\x'", "'\\x00'", "'\\x01ff'", "decode(repeat('ff', 50000), 'hex')", "decode('010203040506070809', 'hex')"],
    "regclass": ["'analytics.agent_runs'", "0", "4294967295"],
    "regrole": ["'postgres'", "0"],
    "oid": ["0", "4294967295"],
    "name": ["'x'", "''"],
    "name[]": ["'{x}'", "'{}'", "'{NULL}'"],
    "inet": ["'::1'"],
    "anyelement": ["1", "'x'::text", "now()", "1.5::float8", "'{1}'::integer[]"],
    "text[]": ["'{a,b}'", "'{}'", "'{NULL}'", MANY.format("::text"), "'{{a,b},{c,d}}'", "'{\"\"}'"],
    "uuid[]": [f"ARRAY[{W}]::uuid[]", "'{}'", "'{NULL}'"],
    "double precision[]": [
        "'{1,2,3,4,5,6,7,8}'", "'{}'", "'{NULL}'", "'{NaN,Infinity,-Infinity}'", "'{1e308,-1e308,1e308}'",
        "'{{1,2},{3,4}}'", "'[-5:-3]={1,2,3}'", MANY.format("::float8"), "'{0,0,0,0,0,0}'", "'{0.5,0.95}'",
    ],
    "numeric[]": ["'{1,2}'", "'{NaN}'", "'{NULL}'"],
    "integer[]": ["'{1,2}'", "'{}'", "'{NULL,2147483647}'", MANY.format("")],
    "bigint[]": ["'{1,2}'", "'{}'", "'{NULL,9223372036854775807}'"],
    "boolean[]": ["'{t,f}'", "'{}'", "'{NULL}'"],
    "timestamp with time zone[]": [
        "ARRAY[now()]", "'{}'", "'{NULL}'", "'{-infinity,infinity}'",
        "(SELECT array_agg(timestamptz '2026-01-01' + n * interval '1 hour') FROM generate_series(1, 8) AS n)",
        "(SELECT array_agg(timestamptz '2026-01-01' + n * interval '1 hour') FROM generate_series(1, 50000) AS n)",
    ],
    "analytics.percentile_sketch": [
        "(SELECT analytics.percentile_agg(n::float8) FROM generate_series(1, 9) AS n)",
        "(SELECT analytics.percentile_agg(n::float8) FROM generate_series(-5000, 5000) AS n)",
        "(SELECT analytics.percentile_agg(v) FROM unnest('{1e308,-1e308,0,5e-324}'::float8[]) AS v)",
    ],
    "analytics.distinct_sketch": [
        "(SELECT analytics.distinct_agg(n) FROM generate_series(1, 9) AS n)",
        "(SELECT analytics.distinct_agg(n) FROM generate_series(1, 9000) AS n)",
    ],
    "analytics.stats_summary": [
        "(SELECT analytics.stats_agg(n::float8) FROM generate_series(1, 9) AS n)",
        "(SELECT analytics.stats_agg(v) FROM unnest('{1e308,-1e308,1e308}'::float8[]) AS v)",
    ],
    "analytics.state_summary": [
        "(SELECT analytics.state_agg(now() + n * interval '1 hour', 'x' || n % 3) FROM generate_series(1, 9) AS n)",
    ],
}  # fmt: skip

# Harmless values of arguments whose type alone does not tell.
NAMED = {
    "agent_id": A, "entity_id": A, "after_agent_id": A, "metric": "'success_rate'", "bucket": "'day'",
    "time_zone": "'UTC'", "criteria": "'success_rate'", "board": "'agent'", "ranking": "'dense'", "state": "'x1'",
    "step": "'1 day'", "access_level": "'viewer'", "to_state": "'production'", "environment": "'production'",
    "method": "'auto'", "relation": "'analytics.agents'", "version_a": "'1'", "version_b": "'2'", "p": "0.5",
    "relative_error": "0.01", "sort_by": "'total_runs'", "values": "'{1,2,3,4,5,6,7,8}'",
    "times": "(SELECT array_agg(timestamptz '2026-01-01' + n * interval '1 hour') FROM generate_series(1, 8) AS n)",
    "durations": "'{1,2,3,4}'", "observed": "'{t,f,t,t}'", "group_by": "'agent_type'", "scope": "'transaction'",
    "target_success_rate": "0.95", "max_length": "100", "horizon": "3", "origins": "2", "level": "0.95",
    "confidence": "0.95", "key_column": "'agent_id'", "state_column": "'lifecycle_state'", "rollup": "'user_usage'",
}  # fmt: skip

CALLABLES = """
    SELECT n.nspname, p.proname, p.prokind::text, p.provolatile::text, p.provariadic <> 0, p.pronargdefaults,
           ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n) ORDER BY n),
           ARRAY(SELECT a.name FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS a (name, mode, n)
                 WHERE a.mode IS NULL OR a.mode IN ('i', 'b', 'v') ORDER BY n)
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'shadower_analytics')
    -- Others have arguments that only Postgres can make.
    WHERE n.nspname = %s AND NOT 'internal'::regtype = ANY (p.proargtypes) AND NOT 'cstring'::regtype = ANY (p.proargtypes)
      AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    ORDER BY p.oid::regprocedure::text"""


@dataclass
class Argument:
    name: str
    kind: str
    is_optional: bool

    def literal(self, value: str) -> str:
        return f"({value})" if self.kind == "anyelement" else f"({value})::{self.kind}"

    @property
    def null(self) -> str:
        return "NULL::text" if self.kind == "anyelement" else f"NULL::{self.kind}"

    @property
    def harmless(self) -> str:
        fits = self.name in NAMED and self.kind.endswith("[]") == NAMED[self.name].startswith(
            ("'{", "(SELECT")
        )
        return self.literal(NAMED[self.name] if fits else VALUES[self.kind][0])

    @property
    def hostile(self) -> list[str]:
        return [self.null, *map(self.literal, VALUES[self.kind])]


@dataclass
class Callable:
    schema: str
    name: str
    kind: str
    volatility: str
    is_variadic: bool
    arguments: list[Argument]

    def statement(self, given: dict[int, str]) -> str:
        """A call with these arguments, by their places; the others are harmless, or left out where they may be."""
        named = self.kind in "fp" and not self.is_variadic and all(each.name for each in self.arguments)
        parts = []
        for place, argument in enumerate(self.arguments):
            value = given.get(place, argument.harmless)
            if not named:
                last = self.is_variadic and place == len(self.arguments) - 1
                parts.append(f"VARIADIC {value}" if last else value)
            elif place in given or not argument.is_optional:
                parts.append(f"{sql.Identifier(argument.name).as_string()} => {value}")
        call = sql.Identifier(self.schema, self.name).as_string() + "(" + ", ".join(parts) + ")"
        return {
            "p": f"CALL {call}",
            "a": f"SELECT {call} FROM generate_series(1, 3)",
            "w": f"SELECT {call} OVER () FROM generate_series(1, 3)",
            "f": f"SELECT * FROM {call} LIMIT 1000",
        }[self.kind]

    def hostile_statements(self, rng: random.Random, most: int) -> list[str]:
        """Harmless, all NULL, each argument in turn hostile, pairs where there are two, and some at random."""
        pools = [argument.hostile for argument in self.arguments]
        every = range(len(pools))
        some: list[dict[int, str]] = [{place: value} for place in every for value in pools[place]]
        if len(pools) == 2:
            some += [dict(enumerate(pair)) for pair in itertools.product(*pools)]
        if len(pools) > 1:
            some += [{place: rng.choice(pools[place]) for place in every} for _ in range(most)]
        rng.shuffle(some)
        nulls = {place: self.arguments[place].null for place in every}
        return list(dict.fromkeys(self.statement(given) for given in [{}, nulls, *some[:most]]))


def callables(db: Database, schema: str) -> list[Callable]:
    found = []
    for nspname, name, kind, volatility, is_variadic, defaults, kinds, names in db.rows(CALLABLES, [schema]):
        names = names or [""] * len(kinds)
        required = len(kinds) - defaults
        arguments = [Argument(n, k, i >= required) for i, (n, k) in enumerate(zip(names, kinds, strict=True))]
        found.append(Callable(nspname, name, kind, volatility, is_variadic, arguments))
    unknown = {argument.kind for each in found for argument in each.arguments} - set(VALUES)
    assert not unknown, f"no values for arguments of type {unknown}"
    assert len(found) > 100
    return found


def fill(db: Database) -> None:
    """A workspace with a little of everything."""
    db.execute(f"INSERT INTO analytics.workspaces (workspace_id, name) VALUES ({W}, 'Acme')")
    db.execute(
        "INSERT INTO analytics.agent_runs"
        " (workspace_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed)"
        f" SELECT {W}, {A}, md5((i % 5)::text)::uuid, 'completed', now() - i * interval '17 minutes', i % 50, 0.5"
        " FROM generate_series(1, 500) AS i"
    )
    db.execute("SELECT * FROM analytics.refresh(1000000)")
