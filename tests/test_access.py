"""Tenants cannot see each other, whatever they type; each level may do what docs/access.md says, and no more.

Three workspaces hold rows in which every text, id and number tells whose it is. Relations and functions are
taken from the catalog, so that a new one is tested before anybody thinks of it.
"""

import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import catalog_calls
import jwt
import psycopg
import pytest
from conftest import Database
from psycopg import sql

SCHEMAS = ["analytics", "analytics_internal"]
LEVELS = ["viewer", "member", "admin", "owner"]
PREFIX = {"A": "aaaaaaaa", "B": "bbbbbbbb", "C": "cccccccc"}
NUMBER = {"A": 99191919, "B": 77171717, "C": 88181818}
REFUSED = "42501"
SECRET = "the secret of this world, 32 bytes or more"

# Columns whose values are restricted; all others are marked by their type.
FIXED = {
    "status": {
        "agent_runs": "completed",
        "execution_queue": "queued",
        "agent_optimization_suggestions": "active",
        "agent_deployments": "in_progress",
        "lifecycle_requests": "pending",
        "anomaly_rules": "ok",
    },
    "metric": "runs",
    "method": "auto",
    "sensitivity": 0.5,
    "severity": "low",
    "anomaly_type": "point",
    "direction": "up",
    "detected_for": "2026-01-01 00:00+00",
    "window_start": "2026-01-01 00:00+00",
    "window_end": "2026-01-02 00:00+00",
    "time_zone": "UTC",
    "lifecycle_state": "production",
    "error_category": "unknown",
    "error_severity": "medium",
    "business_impact": "high",
    "feedback_category": "other",
    "sentiment": "positive",
    "sentiment_score": 0.5,
    "rating": 5,
    "user_rating": 5,
    "outcome": "success",
    "valid_for": "15 minutes",
    "calculated_at": "2026-01-05 10:00+00",
    "awarded_at": "2026-01-05 10:00+00",
    "refreshed_at": "2026-01-05 10:00+00",
    "captured_on": "2026-01-05",
    "achieved_on": "2026-01-05",
    "entity_ids": "{}",
    "ranks": "{}",
    "scores": "{}",
    "expires_at": "2099-01-01 00:00+00",
    "revoked_for": None,
    "suggestion_type": "performance",
    "effort_level": "medium",
    "priority": 5,
    "event_type": "registered",
    "version": {
        "agent_versions": "1.0.0",
        "agent_version_aliases": "1.0.0",
        "agent_deployments": "1.0.0",
        "agent_lifecycle_events": "1.0.0",
    },
    "complexity": {"agent_versions": "{}"},
    "alias": "stable",
    "environment": "production",
    "strategy": "direct",
    "rollout_share": 1,
    "decision": "approved",
    "day": {"agent_health_daily": "2026-01-01"},
    "occurred_at": {"agent_lifecycle_events": "2026-01-01 00:00+00"},
    "bucket": "2026-01-01 00:00+00",
}


def uid(workspace: str, kind: str = "00") -> str:
    return f"{PREFIX[workspace]}-0000-4000-8000-0000000000{kind}"


def marker(workspace: str) -> str:
    return f"mark{workspace}mark"


KINDS = {"workspace_id": "00", "agent_id": "a1", "run_id": "b1", "agent_run_id": "b1", "user_id": "c1"}


def leak(text: object, foreign: str, echoed: list[str] = ()) -> str | None:
    """The first sign of a foreign workspace in a text, other than arguments that the caller gave."""
    text = str(text)
    for argument in echoed:
        text = text.replace(argument, "")
    for workspace in foreign:
        word = marker(workspace)
        for sign in (word, word.encode().hex(), PREFIX[workspace], str(NUMBER[workspace])):
            if sign.lower() in text.lower():
                return f"{sign} in {text[:500]}"
    return None


def relations(db: Database, kinds: str = "rpvm") -> list[tuple[str, bool]]:
    """All relations, and whether each has a workspace_id."""
    return db.rows(
        "SELECT c.oid::regclass::text, EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid"
        " AND a.attname = 'workspace_id') FROM pg_class AS c"
        ' WHERE c.relnamespace::regnamespace::text = ANY (%s) AND c.relkind = ANY (%s::"char"[]) ORDER BY 1',
        [SCHEMAS, list(kinds)],
    )


def fill(db: Database, workspace: str) -> None:
    """A marked row in every table that has a workspace_id, parents first; two runs, in different partitions."""
    first = [
        f"analytics.{name}"
        for name in (
            "workspaces",
            "agents",
            "agent_runs",
            "agent_versions",
            "agent_deployments",
            "lifecycle_requests",
            "anomaly_rules",
        )
    ]
    tables = [
        name
        for (name,) in db.rows(
            "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
            " WHERE c.relnamespace::regnamespace::text = ANY (%s) AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition AND a.attname = 'workspace_id'",
            [SCHEMAS],
        )
        if name not in [*first, "analytics.workspace_members"]
        # Rules make sense as a whole, and a dependency needs two agents: see below.
        and not name.startswith(
            ("analytics.lifecycle_states", "analytics.lifecycle_transitions", "analytics.lifecycle_guards")
        )
        and name != "analytics.agent_dependencies"
    ]
    for table in [*first, *tables]:
        values: dict[str, object] = {}
        for column, kind in db.rows(
            "SELECT attname, format_type(atttypid, -1) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            [table],
        ):
            fixed = FIXED.get(column)
            if isinstance(fixed, dict):
                fixed = fixed.get(table.split(".")[1])
            if fixed is not None or (column in FIXED and FIXED[column] is None):
                values[column] = fixed
            elif kind == "uuid":
                values[column] = uid(workspace, KINDS.get(column, "d1"))
            elif kind == "text":
                values[column] = marker(workspace)
            elif kind == "jsonb":
                values[column] = f'{{"k": "{marker(workspace)}"}}'
            elif kind in ("bigint", "integer", "numeric", "double precision"):
                values[column] = NUMBER[workspace]
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join([sql.Placeholder()] * len(values)),
        )
        db.execute(insert, list(values.values()))
        if table == "analytics.agents":
            rules = {
                "states": [{"state": s, "description": marker(workspace)} for s in ("draft", "production")],
                "transitions": [
                    {
                        "from": "draft",
                        "to": "production",
                        "guards": [{"metric": "minimum_runs", "threshold": NUMBER[workspace]}],
                    },
                    {"from": "production", "to": "draft"},
                ],
            }
            db.execute("SELECT analytics.configure_lifecycle(%s, %s)", [uid(workspace), json.dumps(rules)])
            other = db.value(
                "INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (%s, %s, %s) RETURNING agent_id",
                [uid(workspace), uid(workspace, "a3"), marker(workspace)],
            )
            db.execute(
                "INSERT INTO analytics.agent_dependencies (workspace_id, agent_id, depends_on_agent_id) VALUES (%s, %s, %s)",
                [uid(workspace), uid(workspace, "a1"), other],
            )
        if table == "analytics.agent_runs":
            values |= {"run_id": uid(workspace, "b2"), "started_at": "2021-03-04 05:06+00"}
            columns = sql.SQL(", ").join(map(sql.Identifier, values))
            places = sql.SQL(", ").join([sql.Placeholder()] * len(values))
            db.execute(
                sql.SQL("INSERT INTO analytics.agent_runs ({}) VALUES ({})").format(columns, places),
                list(values.values()),
            )


@dataclass
class Way:
    """A way to come in: a database role, the letters of the workspaces it sees, and what it does on arrival."""

    role: str
    sees: str
    arrive: Callable[[psycopg.Connection], object] = lambda connection: None


@dataclass
class World:
    db: Database
    ways: dict[str, Way] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, str]:
        return {key: way.role for key, way in self.ways.items()}

    @property
    def sees(self) -> dict[str, str]:
        return {key: way.sees for key, way in self.ways.items()}

    def foreign(self, key: str) -> str:
        return "".join(w for w in "ABC" if w not in self.ways[key].sees)

    def connect(self, key: str, db: Database | None = None, **kwargs) -> psycopg.Connection:
        connection = (db or self.db).connect(role=self.ways[key].role, **kwargs)
        self.ways[key].arrive(connection)
        return connection


def grant(db: Database, role: str, workspace: str, level: str = "viewer") -> None:
    db.execute("SELECT analytics.grant_access(%s, %s, %s)", [role, uid(workspace), level])


def claim(connection: psycopg.Connection, claims: object) -> None:
    """What PostgREST does with the claims of a token that it has verified."""
    text = claims if isinstance(claims, str) else json.dumps(claims)
    connection.execute("SELECT set_config('request.jwt.claims', %s, false)", [text])


def present(connection: psycopg.Connection, claims: dict) -> None:
    """What an application does with the token of a person."""
    # Admins of all workspaces of a token may know its user.
    user = "eeeeeeee-0000-4000-8000-000000000001"
    token = jwt.encode(claims | {"sub": user, "exp": time.time() + 3600}, SECRET, algorithm="HS256")
    connection.execute("SELECT analytics.authenticate(%s, 'session')", [token])


@pytest.fixture
def world(db, make_role) -> World:
    """Three workspaces, and every way to come in: what is added here is tested by everything below."""
    for workspace in "ABC":
        fill(db, workspace)
    # So that there is something behind the views over them.
    db.execute("SELECT * FROM analytics.refresh_materialized_views()")
    ways: dict[str, Way] = {}

    for level in LEVELS:
        ways[level] = Way(make_role(level), "A")
        grant(db, ways[level].role, "A", level)
    ways["both"] = Way(make_role("both"), "AB")
    grant(db, ways["both"].role, "A")
    grant(db, ways["both"].role, "B", "member")
    ways["none"] = Way(make_role("none"), "")
    ways["heir"] = Way(make_role("heir"), "A")
    group = make_role("team", "NOLOGIN")
    grant(db, group, "A")
    db.execute(f"GRANT {group} TO {ways['heir'].role}")

    # A gateway sees what the claims say, and nothing of what the role was given itself.
    for ceiling in ("viewer", "owner"):
        role = make_role(f"gateway_{ceiling}")
        grant(db, role, "C", "member")
        db.execute("SELECT analytics.trust_gateway(%s, %s)", [role, ceiling])
        claims = {"sub": uid("A", "c1"), "workspaceId": uid("A"), "workspaces": [uid("A")], "role": "owner"}
        ways[f"gateway {ceiling}"] = Way(role, "A", partial(claim, claims=claims))
    ways["gateway both"] = Way(role, "AB", partial(claim, claims={"workspaces": [uid("A"), uid("B")]}))
    ways["gateway silent"] = Way(role, "")

    # A token shows what it says, and nothing of what the role was given itself.
    db.execute("SELECT analytics.set_token_key('world', secret => %s)", [SECRET])
    for level in ("viewer", "owner"):
        role = make_role(f"token_{level}")
        grant(db, role, "C", "member")
        db.execute("SELECT analytics.allow_tokens(%s, %s)", [role, level])
        ways[f"token {level}"] = Way(
            role, "A", partial(present, claims={"workspaces": [uid("A")], "role": level})
        )
    claims = {"workspaceId": uid("B"), "workspaces": [uid("A")], "role": "viewer"}
    ways["token both"] = Way(role, "AB", partial(present, claims=claims))

    # Members of the others carry a mark, too.
    for workspace in "BC":
        role = make_role(f"{marker(workspace).lower()}_boss")
        db.execute(
            "SELECT analytics.grant_access(%s, %s, 'owner', %s)", [role, uid(workspace), uid(workspace, "c1")]
        )
        ways[f"boss {workspace}"] = Way(role, workspace)
    db.execute("ANALYZE")
    return World(db, ways)


def said(error: psycopg.Error) -> str:
    """Not str(error): that quotes the caller's statement."""
    d = error.diag
    parts = [d.message_primary, d.message_detail, d.message_hint, d.context, d.internal_query]
    return "\n".join(str(part) for part in parts if part)


def attempt(connection: psycopg.Connection, query, params=None) -> tuple[str | None, str]:
    """SQLSTATE (None when it worked), and all that the role gets to read: rows, errors, notices. Undone."""
    heard: list[str] = []

    def hear(diag):
        heard.extend(
            filter(None, (diag.message_primary, diag.message_detail, diag.message_hint, diag.context))
        )

    connection.add_notice_handler(hear)
    try:
        with connection.transaction(force_rollback=True):
            rows = connection.execute(query, params)
            heard += [str(row) for row in (rows.fetchall() if rows.description else [])]
        return None, "\n".join(heard)
    except psycopg.Error as error:
        return error.sqlstate, "\n".join([*heard, said(error)])
    finally:
        connection.remove_notice_handler(hear)


def refused(connection: psycopg.Connection, query, params=None, state: str = REFUSED) -> str:
    got, text = attempt(connection, query, params)
    assert got == state, f"{query}: {got} {text}"
    return text


def test_world_is_marked(world):
    """The fuzz below would see a leak: every table of a tenant holds each workspace's mark."""
    for name, has_workspace in relations(world.db, "rp"):
        leaf = world.db.value("SELECT relispartition FROM pg_class WHERE oid = %s::regclass", [name])
        if has_workspace and not leaf:
            text = str(world.db.rows(f"SELECT * FROM {name}"))
            assert all(leak(text, workspace) for workspace in "BC"), name


def test_every_table_is_protected(db):
    """Row security on every table with a workspace_id, the caller's rights in every view."""
    assert (
        db.rows(
            "SELECT c.oid::regclass FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
            " WHERE c.relnamespace::regnamespace::text = ANY (%s) AND a.attname = 'workspace_id'"
            " AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT c.relrowsecurity",
            [SCHEMAS],
        )
        == []
    )


def test_relations(world):
    """Every relation: own rows, all of them and no others, or 42501."""
    partly = dict(
        world.db.rows(
            "SELECT c.oid::regclass::text, string_agg(quote_ident(a.attname), ', ')"
            " FROM analytics_internal.personal_columns() AS p"
            " JOIN pg_class AS c ON c.oid = ('analytics.' || p.table_name)::regclass"
            " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND has_column_privilege(%s, c.oid, a.attnum, 'SELECT')"
            " GROUP BY 1",
            [world.roles["viewer"]],
        )
    )
    assert len(partly) == 4
    for key in world.roles:
        readable = 0
        with world.connect(key) as connection:
            for name, has_workspace in relations(world.db):
                state, text = attempt(connection, f"SELECT t, t.* FROM {name} AS t")
                if state == REFUSED and name in partly:
                    # Without the columns that hold personal data: see test_masking.py.
                    state, text = attempt(connection, f"SELECT {partly[name]} FROM {name}")
                assert state in (None, REFUSED), f"{key}, {name}: {text}"
                assert not leak(text, world.foreign(key)), f"{key}, {name}: {leak(text, world.foreign(key))}"
                if state is None:
                    readable += 1
                    assert has_workspace, f"{key} reads {name}, whose rows are nobody's"
                    count, ids = f"SELECT count(*) FROM {name}", [uid(w) for w in world.sees[key]]
                    expected = world.db.value(f"{count} WHERE workspace_id = ANY (%s::uuid[])", [ids])
                    if name not in ("analytics.workspace_members", "analytics.audit_log"):  # for admins
                        assert connection.execute(count).fetchone() == (expected,), f"{key}, {name}"
                for verb in ("DELETE FROM {}", "TRUNCATE {}"):
                    state, text = attempt(connection, verb.format(name))
                    # Rows of a view that joins cannot be deleted by anybody, and a view cannot be truncated.
                    assert state in (REFUSED, "42809", "55000"), f"{key}: {verb.format(name)}: {state} {text}"
        # Partitions are reached through their parents only.
        assert (readable > 0) == (key != "none"), key


@dataclass
class Routine:
    name: str
    kind: str
    volatility: str
    args: list[tuple[str, str]]  # name, type
    required: int


def routines(db: Database) -> list[Routine]:
    rows = db.rows(
        "SELECT p.oid::regproc::text, p.prokind::text, p.provolatile::text, coalesce(p.proargnames, '{}'),"
        " ARRAY(SELECT format_type(t, -1) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u (t, n) ORDER BY n),"
        " p.pronargs - p.pronargdefaults, p.oid::regprocedure::text"
        " FROM pg_proc AS p WHERE p.pronamespace::regnamespace::text = ANY (%s) ORDER BY 7",
        [SCHEMAS],
    )
    return [
        Routine(
            name, kind, volatility, list(zip([*names, *[""] * len(types)], types, strict=False)), required
        )
        for name, kind, volatility, names, types, required, _ in rows
    ]


WORDS = {
    "status": "running",
    "timeframe": "all",
    "access_level": "viewer",
    "minimum_level": "viewer",
    "parent": "agent_runs",
}
COLUMNS = {
    "double precision": "runtime_seconds",
    "text": "error_message",
    "uuid": "user_id",
    "numeric": "credits_consumed",
    "timestamp with time zone": "started_at",
    "bigint": "tokens_used",
    "anyelement": "error_message",
    "jsonb": "metadata",
    "integer": "concurrent_runs",
}


def literal(name: str, kind: str, workspace: str, role: str) -> str:
    if kind == "uuid":
        return f"'{uid(workspace, KINDS.get(name, 'd1'))}'::uuid"
    if kind == "text":
        return f"'{role if name == 'database_role' else WORDS.get(name, 'x')}'"
    if kind in ("integer", "bigint", "numeric", "double precision", "smallint"):
        return f"1::{kind}"
    if kind == "jsonb":
        return "'{}'::jsonb"
    if kind == "timestamp with time zone":
        return "'2021-03-04 05:06+00'::timestamptz"
    if kind in ("oid", "regclass"):
        return f"'analytics.agent_runs'::regclass::{kind}"
    return f"NULL::{kind}"


def calls(routine: Routine, workspace: str, role: str) -> list[str]:
    """Ways to call it: all arguments, the necessary ones, NULLs; an aggregate over all that can be read."""
    if routine.kind == "a":
        columns = [COLUMNS.get(kind, f"NULL::{kind}") for _, kind in routine.args]
        return [f"SELECT {routine.name}({', '.join(columns)}) FROM analytics.agent_runs_masked"]
    full = [literal(name, kind, workspace, role) for name, kind in routine.args]
    nulls = [f"NULL::{kind}" for _, kind in routine.args]
    call = "CALL {}({})" if routine.kind == "p" else "SELECT * FROM {}({})"
    if routine.kind == "w":
        call = "SELECT {}({}) OVER () FROM analytics.agent_runs"
    variants = [full, full[: routine.required], nulls]
    return list(dict.fromkeys(call.format(routine.name, ", ".join(arguments)) for arguments in variants))


@pytest.mark.slow
def test_routines(world):
    """Every function and aggregate, with a foreign workspace, with one's own, with NULLs and defaults."""
    worked: dict[str, set[str]] = {key: set() for key in world.roles}
    for key, role in world.roles.items():
        foreign = world.foreign(key)
        with world.connect(key) as connection:
            connection.execute("SET statement_timeout = '20s'")
            for routine in routines(world.db):
                names = [name for name, _ in routine.args]
                for workspace in "ABC":
                    ids = [uid(workspace, kind) for kind in [*KINDS.values(), "d1"]]
                    for query in calls(routine, workspace, role):
                        state, text = attempt(connection, query)
                        found = leak(text, foreign, ids)
                        assert not found, f"{key}: {query}\n{found}"
                        if state is None:
                            worked[key].add(routine.name)
                            asks = (
                                "workspace_id" in names
                                and routine.volatility != "i"
                                and uid(workspace) in query
                            )
                            # Machinery that only reads through row security gives nothing instead.
                            empty = not text or text == "(None,)"
                            assert not (asks and workspace in foreign) or empty, f"{key}: {query}\n{text}"
                        elif workspace in foreign and state not in (REFUSED, "22023", "0A000", "42883"):
                            # Calls that cannot work for anybody fail in the same way for one's own workspace.
                            own = (world.sees[key] or "A")[0]
                            same = query.replace(PREFIX[workspace], PREFIX[own])
                            assert attempt(connection, same)[0] == state, f"{key}: {query}: {state} {text}"
                # Some end an identity: come in again.
                world.ways[key].arrive(connection)
    for key in LEVELS:
        assert {"analytics.list_agents", "analytics.agent_performance"} <= worked[key], worked[key]
    assert {"analytics.start_run", "analytics.record_error"} <= worked["member"]
    assert not any(name for name in worked["none"]), worked["none"]


@pytest.mark.parametrize("key", ["viewer", "owner", "none"])
def test_foreign_workspace_is_refused(world, key):
    """The API says 42501, and says the same about a workspace that does not exist."""
    nobody = "dddddddd-0000-4000-8000-000000000000"
    api = {
        "list_agents": "SELECT * FROM analytics.list_agents(%s)",
        "agent_performance": f"SELECT * FROM analytics.agent_performance(%s, '{uid('B', 'a1')}')",
        "start_run": f"SELECT analytics.start_run(%s, '{uid('B', 'a1')}')",
        "finish_run": f"SELECT analytics.finish_run(%s, '{uid('B', 'b1')}')",
        "record_error": f"SELECT analytics.record_error(%s, '{uid('B', 'a1')}', 'x')",
        "record_feedback": f"SELECT analytics.record_feedback(%s, '{uid('B', 'a1')}', 5)",
        "access_report": "SELECT * FROM analytics.access_report(%s)",
        "grant_access": f"SELECT analytics.grant_access('{world.roles[key]}', %s, 'owner')",
        "revoke_access": f"SELECT analytics.revoke_access('{world.roles['boss B']}', %s)",
        "require_level": "SELECT analytics_internal.require_level(%s, 'viewer')",
        "change_member": f"SELECT analytics_internal.change_member(%s, '{world.roles[key]}', 'owner', NULL)",
    }
    with world.connect(key) as connection:
        for query in api.values():
            texts = [refused(connection, query, [w]).replace(w, "") for w in (uid("B"), nobody)]
            assert texts[0] == texts[1], query


WRONG = {
    **dict.fromkeys(["smallint", "integer", "bigint", "numeric", "double precision"], "-1"),
    "text": "'no such word'",
    "uuid": "'eeeeeeee-0000-4000-8000-0000000000ee'",
    "interval": "'-1 day'",
    "timestamp with time zone": "'infinity'",
    "jsonb": "'[]'",
}


def questions(function: catalog_calls.Callable) -> list[str]:
    """Calls about workspace B whose other arguments are valid, NULL or wrong: all of them, each, and each two."""
    valid, null, wrong = {}, {}, {}
    for place, argument in enumerate(function.arguments):
        of_b = argument.literal(f"'{uid('B', KINDS.get(argument.name, 'a1'))}'")
        valid[place] = of_b if argument.kind == "uuid" else argument.harmless
        if argument.name != "workspace_id":
            null[place] = argument.null
            wrong[place] = argument.literal(WRONG.get(argument.kind, "NULL"))
    some = [{}, null, wrong]
    for place, other in itertools.product(null, null):
        some.append({place: null[place]} | ({other: wrong[other]} if other != place else {}))
        some.append({place: wrong[place]} | ({other: wrong[other]} if other != place else {}))
    return list(dict.fromkeys(function.statement(valid | given) for given in some))


@pytest.mark.parametrize("key", LEVELS)
def test_unknown_and_foreign_look_alike(world, key):
    """Whoever asks about a workspace cannot tell from the answer whether it exists, and is not told "nothing there"."""
    nobody = "dddddddd-0000-4000-8000-000000000000"
    # Of their own, so that plans are kept for both after the same calls.
    foreign, unknown = world.connect(key), world.connect(key)
    asked = 0
    wrong = []
    for schema in SCHEMAS:
        for function in catalog_calls.callables(world.db, schema):
            # What is IMMUTABLE reads nothing: it computes an id from another.
            if "workspace_id" not in [a.name for a in function.arguments] or function.volatility == "i":
                continue
            for query in questions(function):
                asked += 1
                state, text = attempt(foreign, query)
                other_state, other_text = attempt(unknown, query.replace(uid("B"), nobody))
                same = (state, text.replace(uid("B"), "")) == (other_state, other_text.replace(nobody, ""))
                # Machinery that reads through row security gives nothing instead.
                if not same or (schema == "analytics" and state is None):
                    wrong.append(f"{query}\nforeign: {state} {text}\nunknown: {other_state} {other_text}")
    assert asked > 1000, asked
    assert not wrong, f"{len(wrong)} of {asked}\n" + "\n\n".join(wrong)


def attacker(world: World, key: str) -> psycopg.Connection:
    """A connection of a role that owns a schema, with a table nobody is kept from."""
    role = world.roles[key]
    world.db.execute(f"CREATE SCHEMA evil AUTHORIZATION {role}")
    world.db.execute("GRANT USAGE ON SCHEMA evil TO PUBLIC")
    connection = world.connect(key)
    connection.execute("CREATE TABLE evil.ran_as (who text, what text)")
    connection.execute("GRANT ALL ON evil.ran_as TO PUBLIC")
    return connection


@pytest.mark.parametrize("key", ["owner", "both"])
def test_leaky_functions(world, key):
    """A cheap function that tells all it is given is not given foreign rows, in tables and in views."""
    with attacker(world, key) as connection:
        connection.execute(
            "CREATE FUNCTION evil.tell(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
            " $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        )
        told = 0
        for name, has_workspace in relations(world.db):
            if not has_workspace:
                continue
            for condition in (
                "evil.tell(t)",
                "evil.tell(t.workspace_id)",
                "NOT evil.tell(t) OR evil.tell(t::text)",
            ):
                state, text = attempt(connection, f"SELECT count(*) FROM {name} AS t WHERE {condition}")
                assert state in (None, REFUSED), f"{name}: {text}"
                assert not leak(text, world.foreign(key)), f"{name}: {leak(text, world.foreign(key))}"
                told += leak(text, "A") is not None
        assert told > 10


def test_search_path(world):
    """What an attacker puts before pg_catalog runs as the attacker and deceives nobody else."""
    with attacker(world, "owner") as connection:
        me = world.roles["owner"]
        for body in ("boolean", "text", "uuid", "integer"):
            for operator in ("=", ">=", "<>"):
                name = f"{body}_{ {'=': 'eq', '>=': 'ge', '<>': 'ne'}[operator] }"
                connection.execute(
                    f"CREATE FUNCTION evil.{name}({body}, {body}) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
                    f" INSERT INTO evil.ran_as VALUES (current_user, '{name}'); RETURN true; END $$"
                )
                connection.execute(
                    f"CREATE OPERATOR evil.{operator} (LEFTARG = {body}, RIGHTARG = {body}, FUNCTION = evil.{name})"
                )
        for signature in (
            "level_rank(text)",
            "accessible_workspaces(text)",
            "coalesce_all(text)",
            "now()",
            "array_position(text[], text)",
            "pg_has_role(oid, oid, text)",
            "max(integer)",
            "gen_random_uuid()",
            "count(bigint)",
        ):
            result = {
                "accessible_workspaces(text)": "SETOF uuid",
                "now()": "timestamptz",
                "gen_random_uuid()": "uuid",
            }
            connection.execute(
                f"CREATE FUNCTION evil.{signature} RETURNS {result.get(signature, 'integer')} LANGUAGE plpgsql AS $$ BEGIN"
                f" INSERT INTO evil.ran_as VALUES (current_user, '{signature}'); RETURN{'' if 'SETOF' in result.get(signature, '') else ' NULL'}; END $$"
            )
        for table in ("pg_roles", "pg_class", "pg_proc"):
            connection.execute(f"CREATE VIEW evil.{table} AS SELECT 'x'::name AS rolname, 1::oid AS oid")
        connection.execute(
            "CREATE TABLE evil.workspace_members (workspace_id uuid, database_role text, access_level text)"
        )
        connection.execute("SET search_path = evil, pg_catalog, analytics, analytics_internal")
        outsider = world.roles["none"]
        queries = [f"SELECT * FROM {name}" for name, _ in relations(world.db)] + [
            f"SELECT * FROM analytics.list_agents('{uid('A')}')",
            f"SELECT analytics.start_run('{uid('A')}', '{uid('A', 'a2')}')",
            f"SELECT analytics.record_error('{uid('A')}', '{uid('A', 'a3')}', 'x')",
            f"SELECT analytics.grant_access('{outsider}', '{uid('A')}')",
            f"SELECT analytics.revoke_access('{outsider}', '{uid('A')}')",
            "SELECT * FROM analytics.access_report()",
        ]
        for query in queries:
            state, text = attempt(connection, query)
            assert state in (None, REFUSED), f"{query}: {text}"
            assert not leak(text, "BC"), query
        for query in (
            f"SELECT analytics_internal.change_member('{uid('B')}', '{me}', 'owner', NULL)",
            f"SELECT analytics_internal.require_level('{uid('B')}', 'viewer')",
            f"SELECT analytics.grant_access('{me}', '{uid('B')}', 'owner')",
            f"SELECT analytics.start_run('{uid('B')}', '{uid('B', 'a1')}')",
            f"SELECT * FROM analytics.list_agents('{uid('B')}')",
            f"SELECT * FROM analytics.access_report('{uid('B')}')",
            f"INSERT INTO analytics.agents (workspace_id, name) VALUES ('{uid('B')}', 'x')",
        ):
            refused(connection, query)
        connection.execute("SELECT pg_catalog.count(*) FROM evil.ran_as")
    # The shadows work at all, and nobody but the attacker ran one.
    world.connect("owner").execute("SELECT 'a'::text OPERATOR(evil.=) 'a'::text")
    assert world.db.rows("SELECT DISTINCT who FROM evil.ran_as") == [(me,)]
    assert (
        world.db.value("SELECT count(*) FROM analytics.workspace_members WHERE database_role = %s", [me]) == 1
    )


def test_row_security_off(world):
    for key in world.ways:
        with world.connect(key) as connection:
            connection.execute("SET row_security = off")
            for name, has_workspace in relations(world.db):
                if has_workspace:
                    refused(connection, f"SELECT * FROM {name}")
            for workspace in "AB":
                assert (
                    attempt(connection, "SELECT * FROM analytics.list_agents(%s)", [uid(workspace)])[0]
                    == REFUSED
                )


def copied(connection: psycopg.Connection, command: str, values: str) -> tuple[str | None, str]:
    """As attempt(), for COPY in either direction."""
    try:
        with connection.cursor() as cursor, cursor.copy(command) as copy:
            if "TO STDOUT" in command:
                return None, b"".join(copy).decode()
            copy.write(values.replace("'", "").replace(", ", "\t") + "\n")
        return None, ""
    except psycopg.Error as error:
        return error.sqlstate, said(error)


def test_writing_elsewhere(world):
    with world.connect("owner") as connection:
        before = world.db.contents()
        for name, _ in relations(world.db, "rp"):
            columns = "workspace_id" + (", agent_id" if name.startswith("analytics.agent_") else "")
            values = f"'{uid('B')}'" + (f", '{uid('B', 'a1')}'" if "agent_id" in columns else "")
            state, text = attempt(connection, f"INSERT INTO {name} ({columns}) VALUES ({values})")
            assert state in (REFUSED, "42703"), f"{name}: {state} {text}"
            state, text = attempt(
                connection, f"INSERT INTO {name} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING"
            )
            assert state in (REFUSED, "42703"), f"{name}: {state} {text}"
            state, text = attempt(connection, f"UPDATE {name} SET workspace_id = '{uid('B')}'")
            assert state in (REFUSED, "42703"), f"{name}: {state} {text}"
            for command in (f"COPY {name} ({columns}) FROM STDIN", f"COPY {name} TO STDOUT"):
                state, text = copied(connection, command, values)
                # COPY FROM is not implemented with row security.
                allowed = (None, REFUSED) if "TO STDOUT" in command else (REFUSED, "0A000")
                assert state in (*allowed, "42703"), f"{command}: {state} {text}"
                assert not leak(text, "BC", [uid("B"), uid("B", "a1")]), command
        # Rows of others cannot be changed, or referred to, either.
        assert (
            connection.execute(
                f"UPDATE analytics.agents SET name = 'x' WHERE workspace_id = '{uid('B')}'"
            ).rowcount
            == 0
        )
        refused(
            connection,
            f"INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES ('{uid('B')}', '{uid('B', 'a1')}', 'x')"
            " ON CONFLICT (workspace_id, agent_id) DO UPDATE SET name = 'x'",
        )
        refused(
            connection,
            f"INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, agent_run_id)"
            f" VALUES ('{uid('A')}', '{uid('A', 'a1')}', 'x', '{uid('B', 'b1')}')",
            state="23503",
        )
        assert world.db.contents() == before


def test_statistics_are_hidden(world):
    """pg_stats shows a tenant no value of our tables, and EXPLAIN no foreign value."""
    assert world.db.value("SELECT count(*) FROM pg_stats WHERE schemaname = ANY (%s)", [SCHEMAS]) > 10
    for key in world.roles:
        with world.connect(key) as connection:
            shown = connection.execute(
                "SELECT * FROM pg_stats WHERE schemaname = ANY (%s)", [SCHEMAS]
            ).fetchall()
            assert shown == [], key
            refused(connection, "SELECT * FROM pg_statistic")
            query = f"SELECT * FROM analytics.agent_runs_masked WHERE workspace_id = '{uid('B')}'"
            for option in ("", "(VERBOSE)", "(ANALYZE, VERBOSE)"):
                assert not leak(attempt(connection, f"EXPLAIN {option} {query}")[1], "C"), key


CAN = [
    ("viewer", "SELECT run_id, status FROM analytics.agent_runs"),
    ("viewer", "SELECT * FROM analytics.agent_runs_masked"),
    ("viewer", "SELECT * FROM analytics.agent_run_details"),
    ("viewer", f"SELECT * FROM analytics.list_agents('{uid('A')}')"),
    ("viewer", "SELECT analytics.percentile_agg(runtime_seconds) FROM analytics.agent_runs"),
    ("member", f"SELECT analytics.start_run('{uid('A')}', '{uid('A', 'a7')}')"),
    (
        "member",
        f"SELECT analytics.record_error('{uid('A')}', '{uid('A', 'a1')}', 'x', agent_run_id => '{uid('A', 'b1')}')",
    ),
    ("member", f"SELECT analytics.record_feedback('{uid('A')}', '{uid('A', 'a1')}', 4)"),
    (
        "member",
        f"INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES ('{uid('A')}', '{uid('A', 'a1')}', 'running')",
    ),
    ("member", "UPDATE analytics.agent_runs SET user_rating = 1"),
    (
        "member",
        f"INSERT INTO analytics.execution_queue (workspace_id, agent_id) VALUES ('{uid('A')}', '{uid('A', 'a1')}')",
    ),
    ("member", "UPDATE analytics.execution_queue SET priority = 1"),
    ("admin", f"INSERT INTO analytics.agents (workspace_id, name) VALUES ('{uid('A')}', 'new')"),
    ("admin", "UPDATE analytics.agents SET owner_id = gen_random_uuid()"),
    ("admin", "UPDATE analytics.agent_optimization_suggestions SET status = 'dismissed'"),
    ("admin", "SELECT * FROM analytics.workspace_members"),
    ("admin", f"SELECT * FROM analytics.access_report('{uid('A')}')"),
    ("owner", "UPDATE analytics.workspaces SET name = 'new', time_zone = 'Europe/Madrid'"),
    ("owner", f"SELECT analytics.grant_access(current_user, '{uid('A')}', 'owner')"),
    ("owner", f"SELECT analytics.revoke_access('nobody', '{uid('A')}')"),
]
NOBODY_CAN = [
    "DELETE FROM analytics.agent_runs",
    "UPDATE analytics.workspaces SET plan = 'enterprise'",
    "INSERT INTO analytics.workspaces (name) VALUES ('mine')",
    "UPDATE analytics.workspace_members SET access_level = 'owner'",
    f"INSERT INTO analytics.workspace_members (workspace_id, database_role, access_level) VALUES ('{uid('A')}', current_user, 'owner')",
    "UPDATE analytics.agent_errors SET error_type = 'x'",
    "SELECT analytics.setup()",
    "SELECT analytics.ensure_partitions()",
    "SELECT analytics.generate_demo_data(1000)",
    "SELECT analytics.set_role_limits(current_user)",
    "SELECT * FROM analytics_internal.settings",
    "SELECT analytics_internal.regrant(current_user)",
    f"SELECT analytics_internal.apply_member_change('{uid('A')}', current_user, 'owner', NULL, 'x')",
    "CREATE TABLE analytics.mine (x int)",
    "ALTER TABLE analytics.agent_runs DISABLE ROW LEVEL SECURITY",
    "DROP POLICY workspace_read ON analytics.agent_runs",
]


@pytest.mark.parametrize("key", [*LEVELS, "none"])
def test_levels(world, key):
    """Exactly what the documentation says."""
    rank = LEVELS.index(key) if key in LEVELS else -1
    with world.connect(key) as connection:
        for level, query in CAN:
            state, text = attempt(connection, query)
            assert state == (None if rank >= LEVELS.index(level) else REFUSED), f"{query}: {state} {text}"
        for query in NOBODY_CAN:
            refused(connection, query)


def test_level_counts_per_workspace(world):
    """Viewer of A and member of B: writes B, not A."""
    start = "SELECT analytics.start_run(%s, %s)"
    with world.connect("both") as connection:
        assert attempt(connection, start, [uid("B"), uid("B", "a1")])[0] is None
        refused(connection, start, [uid("A"), uid("A", "a1")])


def privileges(db: Database, role: str) -> list[str]:
    """Every privilege that a role has on anything of ours, as Postgres computes it."""
    found = db.rows(
        "SELECT 'schema ' || n.nspname FROM pg_namespace AS n WHERE n.nspname = ANY (%(s)s)"
        " AND (has_schema_privilege(%(r)s, n.oid, 'USAGE') OR has_schema_privilege(%(r)s, n.oid, 'CREATE'))"
        " UNION ALL SELECT v || ' ' || c.oid::regclass FROM pg_class AS c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE',"
        " 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS v WHERE c.relnamespace::regnamespace::text = ANY (%(s)s)"
        " AND c.relkind IN ('r', 'p', 'v', 'm') AND (has_table_privilege(%(r)s, c.oid, v) OR v IN ('SELECT', 'INSERT',"
        " 'UPDATE', 'REFERENCES') AND has_any_column_privilege(%(r)s, c.oid, v))"
        " UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace::regnamespace::text = ANY (%(s)s)"
        " AND has_function_privilege(%(r)s, p.oid, 'EXECUTE')"
        " UNION ALL SELECT t.oid::regtype::text FROM pg_type AS t WHERE t.typnamespace::regnamespace::text = ANY (%(s)s)"
        " AND t.typrelid = 0 AND t.typcategory <> 'A' AND has_type_privilege(%(r)s, t.oid, 'USAGE') ORDER BY 1",
        {"s": SCHEMAS, "r": role},
    )
    return [name for (name,) in found]


def test_revoke_removes_everything(world):
    db = world.db
    assert privileges(db, world.roles["none"]) == []
    held = [set(privileges(db, world.roles[level])) for level in LEVELS]
    for lower, higher in itertools.pairwise(held):
        assert lower < higher, "a level has what the levels below it have, and more"
    # Down by one level at a time: exactly what a role has that was given that level at once.
    role = world.roles["owner"]
    boss = world.roles["none"]
    grant(db, boss, "A", "owner")
    for level in reversed(LEVELS[:-1]):
        grant(db, role, "A", level)
        assert privileges(db, role) == privileges(db, world.roles[level])
    # The last of two workspaces takes the rest along.
    grant(db, role, "B", "member")
    db.execute("SELECT analytics.revoke_access(%s, %s)", [role, uid("B")])
    assert privileges(db, role) == privileges(db, world.roles["viewer"])
    db.execute("SELECT analytics.revoke_access(%s, %s)", [role, uid("A")])
    assert privileges(db, role) == []
    with db.connect(role=role) as connection:
        refused(connection, "SELECT * FROM analytics.agent_runs")


@pytest.mark.parametrize("through_group", [False, True])
def test_same_name_is_not_the_same_role(world, make_role, through_group):
    """Dropped and made again, a role has nothing of the first one's; not even when a group opens the door."""
    db, role = world.db, make_role("phoenix")
    grant(db, role, "A", "owner")
    db.execute(f"DROP OWNED BY {role}")
    db.execute(f"DROP ROLE {role}")
    db.execute(f"CREATE ROLE {role} LOGIN")
    if through_group:
        db.execute(f"GRANT {world.roles['boss B']} TO {role}")
    db.execute("SELECT count(*) FROM analytics.setup()")  # does not bring it back
    with db.connect(role=role) as connection:
        if through_group:
            assert connection.execute("SELECT name FROM analytics.workspaces").fetchall() == [(marker("B"),)]
            refused(connection, "SELECT * FROM analytics.list_agents(%s)", [uid("A")])
        else:
            refused(connection, "SELECT * FROM analytics.workspaces")
            assert privileges(db, role) == []
    grant(db, role, "C")
    with db.connect(role=role) as connection:
        seen = connection.execute("SELECT name FROM analytics.workspaces ORDER BY name").fetchall()
    assert seen == [(marker(w),) for w in ("BC" if through_group else "C")]


def test_last_owner(world, make_role):
    db = world.db
    with world.connect("owner") as connection:
        demote = f"SELECT analytics.grant_access('{world.roles['owner']}', '{uid('A')}', 'admin')"
        revoke = f"SELECT analytics.revoke_access('{world.roles['owner']}', '{uid('A')}')"
        refused(connection, demote, state="55000")
        refused(connection, revoke, state="55000")
        # An owner who was dropped cannot be asked any more.
        ghost = make_role("ghost")
        grant(db, ghost, "A", "owner")
        db.execute(f"DROP OWNED BY {ghost}")
        db.execute(f"DROP ROLE {ghost}")
        refused(connection, demote, state="55000")
        db.execute(f"CREATE ROLE {ghost}")
        refused(connection, revoke, state="55000")
        grant(db, world.roles["admin"], "A", "owner")
        assert attempt(connection, demote)[0] is None


def test_owners_demote_each_other_at_once(world, background):
    db = world.db
    grant(db, world.roles["admin"], "A", "owner")
    one, two = world.connect("owner", autocommit=False), world.connect("admin", autocommit=False)
    demote = "SELECT analytics.grant_access(%s, %s, 'viewer')"
    one.execute(demote, [world.roles["admin"], uid("A")])
    waiting: Future = background(two.execute, demote, [world.roles["owner"], uid("A")])
    db.wait_until_blocked(two)
    one.commit()
    with pytest.raises(psycopg.Error) as error:
        waiting.result(60)
    assert error.value.sqlstate in (REFUSED, "55000"), error.value
    two.rollback()
    owners = "SELECT database_role FROM analytics.workspace_members WHERE workspace_id = %s AND access_level = 'owner'"
    assert db.rows(owners, [uid("A")]) == [(world.roles["owner"],)]


def test_owner_of_the_tables_is_no_member(bare_db, make_role):
    """A workspace's owner must not be able to cut down the rights of the role that owns everything."""
    bare_db.execute("CREATE EXTENSION shadower_analytics")
    maker = bare_db.value("SELECT current_user")
    bare_db.execute("SELECT count(*) FROM analytics.setup()")
    fill(bare_db, "A")
    role = make_role("tenant")
    grant(bare_db, role, "A", "owner")
    rights = "SELECT relname, relacl FROM pg_class WHERE relnamespace = 'analytics'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY 1"
    before = bare_db.rows(rights)
    with bare_db.connect(role=role) as connection:
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT analytics.grant_access(%s, %s)", [maker, uid("A")])
        connection.execute("SELECT analytics.revoke_access(%s, %s)", [maker, uid("A")])
    assert bare_db.rows(rights) == before
    # Nor does ending a membership that never was take away what somebody else gave.
    other = make_role("other")
    bare_db.execute(f"GRANT SELECT ON analytics.workspaces TO {other}")
    before = bare_db.rows(rights)
    with bare_db.connect(role=role) as connection:
        connection.execute("SELECT analytics.revoke_access(%s, %s)", [other, uid("A")])
    assert bare_db.rows(rights) == before


def test_setup_again(world):
    """Grants survive setup(), and a new protected object gets them."""
    db = world.db
    before = {key: privileges(db, role) for key, role in world.roles.items()}
    db.execute("SELECT count(*) FROM analytics.setup()")
    assert {key: privileges(db, role) for key, role in world.roles.items()} == before
    db.execute("CREATE TABLE analytics.later (workspace_id uuid, note text)")
    db.execute("SELECT analytics_internal.protect_table('analytics.later', 'viewer', NULL, NULL)")
    db.execute(
        "CREATE VIEW analytics.later_view WITH (security_invoker = true) AS SELECT * FROM analytics.later"
    )
    db.execute("CREATE VIEW analytics.leaky_view AS SELECT * FROM analytics.later")
    for workspace in "ABC":
        db.execute("INSERT INTO analytics.later VALUES (%s, %s)", [uid(workspace), marker(workspace)])
    with world.connect("viewer") as connection:
        refused(connection, "SELECT * FROM analytics.later")
        db.execute("SELECT count(*) FROM analytics.setup()")
        for relation in ("later", "later_view"):
            assert connection.execute(f"SELECT note FROM analytics.{relation}").fetchall() == [(marker("A"),)]
        refused(connection, "SELECT * FROM analytics.leaky_view")


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan", "auto"])
def test_role_changes_in_a_session(world, mode):
    """SET ROLE changes at once what is seen, prepared statements and cursors' plans included."""
    with world.db.connect() as connection:
        connection.execute(f"SET plan_cache_mode = {mode}")
        connection.execute(
            "PREPARE names AS SELECT DISTINCT error_message FROM analytics.agent_errors_masked ORDER BY 1"
        )
        connection.execute("PREPARE agents(uuid) AS SELECT name FROM analytics.list_agents($1, 'all')")
        for key in ["both", "viewer", "boss C", "none", "boss B", "heir", "viewer", "both"] * 3:
            connection.execute(f"SET ROLE {world.roles[key]}")
            if key == "none":
                refused(connection, "EXECUTE names")
            else:
                assert connection.execute("EXECUTE names").fetchall() == [
                    (marker(w),) for w in world.sees[key]
                ]
            for workspace in "ABC":
                state, _ = attempt(connection, f"EXECUTE agents('{uid(workspace)}')")
                assert state == (None if workspace in world.sees[key] else REFUSED), (key, workspace)
        connection.execute("RESET ROLE")
        assert len(connection.execute("EXECUTE names").fetchall()) == 3


def test_revoke_reaches_open_sessions(world):
    with world.connect("both") as connection:
        query = "SELECT name FROM analytics.workspaces ORDER BY 1"
        for _ in range(7):  # psycopg prepares it on the way
            assert connection.execute(query).fetchall() == [(marker("A"),), (marker("B"),)]
        world.db.execute("SELECT analytics.revoke_access(%s, %s)", [world.roles["both"], uid("B")])
        assert connection.execute(query).fetchall() == [(marker("A"),)]


def test_parallel_workers(world):
    """Workers apply the policies of the role that asks."""
    with world.connect("both") as connection:
        for setting in (
            "parallel_setup_cost = 0",
            "parallel_tuple_cost = 0",
            "min_parallel_table_scan_size = 0",
            "max_parallel_workers_per_gather = 2",
            "force_parallel_mode = on",
        ):
            if setting.startswith("force") and connection.info.server_version >= 160000:
                setting = "debug_parallel_query = on"
            connection.execute(f"SET {setting}")
        plan = "\n".join(
            row[0] for row in connection.execute("EXPLAIN SELECT count(run_id) FROM analytics.agent_runs")
        )
        assert "Gather" in plan
        assert connection.execute(
            "SELECT DISTINCT error_message FROM analytics.agent_runs_masked ORDER BY 1"
        ).fetchall() == [(marker("A"),), (marker("B"),)]
        refused(connection, "SELECT * FROM analytics.list_agents(%s)", [uid("C")])


def test_every_statement_asks_once(world):
    """An InitPlan that runs once, however many rows and partitions the statement reads."""
    many = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) SELECT %s, %s, 'running' FROM generate_series(1, 500)"
    world.db.execute(many, [uid("A"), uid("A", "a1")])
    with world.connect("viewer") as connection:
        plan = (
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM analytics.agent_runs"
        )
        lines = [row[0] for row in connection.execute(plan)]
    asked = [n for n, line in enumerate(lines) if "InitPlan" in line]
    assert len(asked) == 1, lines
    assert "loops=1)" in lines[asked[0] + 1], lines
    assert sum("Seq Scan" in line or "Index" in line for line in lines) > 2, lines


def names_seen(connection: psycopg.Connection) -> str:
    """The letters of the workspaces that a session sees now, nothing where it may not even ask."""
    state, text = attempt(connection, "SELECT name FROM analytics.workspaces")
    assert state in (None, REFUSED), text
    return "".join(w for w in "ABC" if marker(w) in text)


CHANGES = {
    "revoke": ("SELECT analytics.revoke_access('{both}', '{B}')", "A"),
    "grant": ("SELECT analytics.grant_access('{both}', '{C}')", "ABC"),
    "delete": ("DELETE FROM analytics.workspace_members WHERE workspace_id = '{B}'", "A"),
    "truncate": ("TRUNCATE analytics.workspace_members", ""),
    "replicate": (
        "BEGIN; SET LOCAL session_replication_role = replica;"
        " DELETE FROM analytics.workspace_members WHERE workspace_id = '{B}'; COMMIT",
        "A",
    ),
    "drop workspace": ("DELETE FROM analytics.workspaces WHERE workspace_id = '{B}'", "A"),
    "join": ('GRANT "{boss C}" TO {both}', "ABC"),
    "rename": ("ALTER ROLE {both} RENAME TO {both}_new", ""),
    "drop owned": ("DROP OWNED BY {both}", ""),
    "gateway": ("SELECT analytics.trust_gateway('{both}')", ""),
}


@pytest.mark.parametrize("inside", [False, True], ids=["between", "inside a transaction"])
@pytest.mark.parametrize("change", CHANGES)
def test_changes_reach_open_sessions(world, change, inside):
    """What a backend remembers never outlives a change, not even in a transaction that holds its locks already."""
    statement, expected = CHANGES[change]
    names = {**world.roles, **{w: uid(w) for w in "ABC"}}
    world.db.execute("SET lock_timeout = '10s'")
    with world.connect("both") as connection:
        assert names_seen(connection) == "AB"
        if inside:
            # Without savepoints, which would give its locks back: with these a backend looks at messages on its own.
            connection.execute("BEGIN")
            for _ in range(7):
                assert len(connection.execute("SELECT name FROM analytics.workspaces").fetchall()) == 2
        world.db.execute(statement.format_map(names))
        if inside and expected:
            rows = connection.execute("SELECT name FROM analytics.workspaces").fetchall()
            assert sorted(rows) == [(marker(w),) for w in expected]
        assert names_seen(connection) == expected
        if inside:
            connection.execute("ROLLBACK")
        assert names_seen(connection) == expected
    if change == "rename":
        world.db.execute("ALTER ROLE {both}_new RENAME TO {both}".format_map(names))


def test_changes_that_are_taken_back(world):
    """A grant that rolls back, wholly or to a savepoint, leaves nothing, though the session has used it."""
    with world.db.connect() as connection:

        def seen() -> str:
            connection.execute(f"SET LOCAL ROLE {world.roles['none']}")
            letters = names_seen(connection)
            connection.execute("RESET ROLE")
            return letters

        connection.execute("BEGIN")
        assert seen() == ""
        connection.execute("SAVEPOINT before")
        connection.execute("SELECT analytics.grant_access(%s, %s)", [world.roles["none"], uid("A")])
        assert seen() == "A"
        connection.execute("ROLLBACK TO before")
        assert seen() == ""
        connection.execute("SELECT analytics.grant_access(%s, %s)", [world.roles["none"], uid("B")])
        assert seen() == "B"
        connection.execute("ROLLBACK")
        connection.execute("BEGIN")
        assert seen() == ""
        connection.execute("ROLLBACK")


def test_old_snapshots_do_not_bring_back_what_was_revoked(world):
    with world.connect("both", autocommit=False) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert names_seen(connection) == "AB"
        world.db.execute("SELECT analytics.revoke_access(%s, %s)", [world.roles["both"], uid("B")])
        assert names_seen(connection) == "A"


def test_grants_at_once(world, make_role, background):
    """GRANTs on the same objects by two sessions at once would be "tuple concurrently updated"."""
    roles = [make_role("crowd") for _ in range(4)]

    def work(role: str) -> None:
        with world.db.connect() as connection:
            for n in range(6):
                connection.execute(
                    "SELECT analytics.grant_access(%s, %s, %s)", [role, uid("ABC"[n % 3]), LEVELS[n % 4]]
                )
                connection.execute("SELECT analytics.revoke_access(%s, %s)", [role, uid("C")])

    for future in [background(work, role) for role in roles]:
        future.result(120)
    assert [privileges(world.db, role) for role in roles] == [privileges(world.db, roles[0])] * 4


GIFTS = [
    "GRANT DELETE, TRIGGER ON analytics.agent_runs TO {role}",
    "GRANT SELECT (name) ON analytics_internal.settings TO {role}",
    "GRANT SELECT ON analytics.agent_runs_default TO {role}",
    "GRANT EXECUTE ON FUNCTION analytics.ensure_partitions TO {role}",
    "GRANT CREATE ON SCHEMA analytics TO {role}",
]


def test_gifts_of_others_stay(world):
    """Privileges that no level lists are not touched by a change of level, its end, or setup()."""
    db, role = world.db, world.roles["none"]
    for gift in GIFTS:
        db.execute(gift.format(role=role))
    # Without USAGE of the schemas some of these cannot be told from none by asking; the catalogue tells.
    held = (
        "SELECT c.oid::regclass::text, a.privilege_type FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE a.grantee = %(r)s::regrole"
        " UNION ALL SELECT a.attrelid::regclass || '.' || a.attname, x.privilege_type FROM pg_attribute AS a,"
        " aclexplode(a.attacl) AS x WHERE x.grantee = %(r)s::regrole"
        " UNION ALL SELECT p.oid::regprocedure::text, a.privilege_type FROM pg_proc AS p, aclexplode(p.proacl) AS a WHERE a.grantee = %(r)s::regrole"
        " UNION ALL SELECT n.nspname, a.privilege_type FROM pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE a.grantee = %(r)s::regrole"
        " ORDER BY 1, 2"
    )
    gifts = db.rows(held, {"r": role})
    assert len(gifts) == 6
    for level in ("owner", "viewer"):
        grant(db, role, "A", level)
        assert set(gifts) < set(db.rows(held, {"r": role}))
    db.execute("SELECT count(*) FROM analytics.setup()")
    assert set(gifts) < set(db.rows(held, {"r": role}))
    db.execute("SELECT analytics.revoke_access(%s, %s)", [role, uid("A")])
    assert db.rows(held, {"r": role}) == gifts


@pytest.mark.parametrize("key", LEVELS)
def test_nobody_locks_a_table(world, key):
    """UPDATE on the columns is enough for UPDATE, and not for LOCK TABLE."""
    with world.connect(key) as connection:
        for name, _ in relations(world.db, "rp"):
            for mode in ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"):
                refused(connection, f"LOCK TABLE {name} IN {mode} MODE")


def test_partitions_show_nothing(world):
    """Not even to those who may read every table; the months to come, those of late rows and the guard included."""
    db = world.db
    db.execute("SELECT * FROM analytics.ensure_partitions(6, '2019-01-01')")
    leaves = [
        name
        for name, _ in relations(db, "r")
        if db.value("SELECT relispartition FROM pg_class WHERE oid = %s::regclass", [name])
    ]
    assert len(leaves) > 90
    reader = world.roles["viewer"]
    db.execute(f"GRANT pg_read_all_data TO {reader}")
    with world.connect("viewer") as connection:
        for name in leaves:
            assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,), name
        assert connection.execute("SELECT count(*) FROM analytics.agent_runs").fetchone() == (2,)
    assert sum(db.value(f"SELECT count(*) FROM {name}") for name in leaves) == 6
    db.execute("TRUNCATE analytics.agent_runs CASCADE")
    db.execute("SELECT count(*) FROM analytics.setup(default_partition => false)")
    unprotected = "SELECT relname FROM pg_class WHERE relnamespace = 'analytics'::regnamespace AND relispartition AND relkind = 'r' AND NOT relrowsecurity"
    assert db.rows(unprotected) == []
    assert db.value("SELECT to_regclass('analytics.agent_runs_before') IS NOT NULL")


# Columns with words that many rows share: ANALYZE may know them, for better plans.
SHARED_WORDS = {
    "access_level", "action", "agent_type", "agent_version", "business_impact", "effort_level", "error_category",
    "error_severity", "error_type", "feedback_category", "lifecycle_state", "model_name", "model_provider", "outcome", "plan",
    "sentiment", "status", "suggestion_type", "time_zone", "trigger_source",
    "alias", "decision", "dependency_type", "environment", "event_type", "from_state", "metric", "state",
    "strategy", "timeframe", "to_state", "version",
    "rule_name",
    "achievement", "anomaly_type", "badge", "board", "criteria", "direction", "error_code", "method", "rank_change", "rollup",
    "severity", "tier",
}  # fmt: skip
TEXTS = """
    SELECT a.attrelid::regclass::text, a.attname, coalesce(a.attstattarget, -1) = 0
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace::regnamespace::text = ANY (%s) AND c.relkind IN ('r', 'p') AND c.relrowsecurity
      AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('text'::regtype, 'jsonb'::regtype) ORDER BY 1, 2"""


def test_free_text_is_hidden_from_statistics(world):
    """In every table and partition, those made later included; a new column must be put on one side."""
    world.db.execute("SELECT * FROM analytics.ensure_partitions(5)")
    columns = world.db.rows(TEXTS, [SCHEMAS])
    assert len(columns) > 100
    for table, column, hidden in columns:
        assert hidden != (column in SHARED_WORDS), f"{table}.{column}"


def estimate(connection: psycopg.Connection, table: str, condition: str) -> float:
    plan = connection.execute(f"EXPLAIN (FORMAT JSON) SELECT FROM {table} WHERE {condition}").fetchone()[0]
    return plan[0]["Plan"]["Plan Rows"]


def test_estimates_tell_nothing_about_texts(world):
    """However often others write a word, EXPLAIN gives the same number for it as for any other."""
    db = world.db
    fill_errors = (
        "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_message)"
        " SELECT %s, %s, 'x', %s FROM generate_series(1, 2000)"
    )
    # Statistics that were there before are removed, too.
    db.execute("ALTER TABLE analytics.agent_errors ALTER COLUMN error_message SET STATISTICS 100")
    db.execute(fill_errors, [uid("B"), uid("B", "a1"), "the secret"])
    db.execute(fill_errors, [uid("A"), uid("A", "a1"), "nothing"])
    db.execute("ANALYZE analytics.agent_errors")
    db.execute(f"GRANT SELECT (error_message) ON analytics.agent_errors TO {world.roles['viewer']}")
    guesses = ["error_message = 'the secret'", "error_message = 'not said'"]
    with world.connect("viewer") as connection:
        one, other = (estimate(connection, "analytics.agent_errors", guess) for guess in guesses)
        assert one > 10 * other, "otherwise the comparison below would prove nothing"
        db.execute("SELECT analytics_internal.hide_values('analytics.agent_errors', 'error_message')")
        for _ in range(2):
            one, other = (estimate(connection, "analytics.agent_errors", guess) for guess in guesses)
            assert one == other
            db.execute("ANALYZE analytics.agent_errors")
    known = "SELECT count(*) FROM pg_stats WHERE tablename = 'agent_errors' AND attname = %s"
    assert (db.value(known, ["error_message"]), db.value(known, ["error_type"])) == (0, 1)


def test_only_the_owner_removes_statistics(world):
    db, role = world.db, world.roles["owner"]
    db.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics_internal TO {role}")
    with world.connect("owner") as connection:
        for table in ("pg_catalog.pg_authid", "analytics.agents"):
            refused(
                connection, f"SELECT analytics_internal.drop_statistics('{table}'::regclass, 1::smallint)"
            )
        refused(connection, "SELECT analytics_internal.drop_statistics(0::oid, 1::smallint)")
        refused(connection, "SELECT analytics_internal.hide_values('analytics.agents', 'name')")


def test_plans_show_nothing_foreign(world):
    """EXPLAIN of every relation, with what it filtered."""
    for key in world.ways:
        with world.connect(key) as connection:
            for name, _ in relations(world.db):
                for options in ("VERBOSE", "ANALYZE, VERBOSE, TIMING OFF"):
                    _, text = attempt(connection, f"EXPLAIN ({options}) SELECT * FROM {name}")
                    assert not leak(text, world.foreign(key)), f"{key}, {name}: {text}"


def test_nothing_is_announced(world):
    """NOTIFY reaches every session of the database, whatever it may read: nothing of ours uses it."""
    talkative = "SELECT oid::regprocedure FROM pg_proc WHERE pronamespace::regnamespace::text = ANY (%s) AND prosrc ~* 'notify'"
    assert world.db.rows(talkative, [SCHEMAS]) == []


def test_members_discover_agents(world):
    """The triggers and foreign keys of a row that a member writes work as for the owner of the tables."""
    db, new = world.db, uid("A", "e1")
    insert = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, run_id, status) VALUES (%s, %s, %s, 'running')"
    listed = "SELECT count(*) FROM analytics.list_agents(%s) WHERE agent_id = %s"
    with world.connect("member") as connection, db.connect(autocommit=False) as first:
        # Somebody else is registering the same agent: it is noted, and the member does not wait.
        first.execute(insert, [uid("A"), new, uid("A", "f1")])
        connection.execute("SET lock_timeout = '5s'")
        connection.execute(insert, [uid("A"), new, uid("A", "f2")])
        assert connection.execute(listed, [uid("A"), new]).fetchone() == (1,)
        first.rollback()
        connection.execute(insert, [uid("A"), uid("A", "e2"), uid("A", "f3")])
        assert connection.execute(listed, [uid("A"), uid("A", "e2")]).fetchone() == (1,)
        # The foreign key of an error looks for the run with the rights of the tables' owner.
        error = "SELECT analytics.record_error(%s, %s, 'x', agent_run_id => %s)"
        connection.execute(error, [uid("A"), new, uid("A", "f2")])
        refused(connection, error, [uid("A"), new, uid("B", "b1")], state="23503")
    # COPY is for those whom row security does not bind; triggers see its rows, too.
    with db.connect() as connection, connection.cursor() as cursor:
        with cursor.copy("COPY analytics.agent_runs (workspace_id, agent_id, status) FROM STDIN") as copy:
            copy.write(f"{uid('A')}\t{uid('A', 'e3')}\trunning\n")
        assert connection.execute(listed, [uid("A"), uid("A", "e3")]).fetchone() == (1,)


WEIRD = ['we"ird', "we'ird", "we; DROP TABLE analytics.agents; --", "Ünï code", "$$", "%I%L%s", "analytics"]


@pytest.mark.parametrize("name", WEIRD)
def test_names_are_never_run(world, server, name):
    """Role names with everything that could break out of a statement."""
    db, identifier = world.db, sql.Identifier(name)
    server.admin().execute(sql.SQL("CREATE ROLE {} LOGIN").format(identifier))
    try:
        with world.connect("owner") as owner:
            owner.execute("SELECT analytics.grant_access(%s, %s, 'member')", [name, uid("A")])
        db.execute("SELECT analytics.set_role_limits(%s, '5s', 3)", [name])
        db.execute("SELECT analytics.trust_gateway(%s)", [name])
        with db.connect(role=name) as connection:
            assert names_seen(connection) == ""
            assert connection.execute("SHOW statement_timeout").fetchone() == ("5s",)
            claim(connection, {"workspaces": [uid("A")]})
            assert names_seen(connection) == "A"
        db.execute("SELECT analytics.trust_gateway(%s, trusted => false)", [name])
        db.execute("SELECT analytics.revoke_access(%s, %s)", [name, uid("A")])
        assert db.rows("SELECT FROM analytics.workspace_members WHERE database_role = %s", [name]) == []
        assert db.value("SELECT count(*) FROM analytics.agents") == 6
        # Nothing keeps the role.
    finally:
        server.admin().execute(sql.SQL("DROP ROLE {}").format(identifier))


def test_dump_and_restore(world, tmp_path):
    """Policies, members and grants come back; the same roles see the same rows."""
    db, archive = world.db, tmp_path / "dump"
    db.run("pg_dump", "--format=custom", f"--file={archive}")
    copy = db.server.create_database()
    try:
        copy.run("pg_restore", "--exit-on-error", f"--dbname={copy.name}", archive)
        policies = (
            "SELECT schemaname, tablename, policyname, cmd, qual, with_check FROM pg_policies"
            " WHERE schemaname = ANY (%s) ORDER BY 1, 2, 3"
        )
        assert copy.rows(policies, [SCHEMAS]) == db.rows(policies, [SCHEMAS]) != []
        assert copy.contents() == db.contents()
        for key, role in world.roles.items():
            assert privileges(copy, role) == privileges(db, role), key
            with world.connect(key, copy) as connection:
                state, text = attempt(connection, "SELECT name FROM analytics.workspaces ORDER BY 1")
                assert (state, text) == (
                    None,
                    "\n".join(str((marker(w),)) for w in world.sees[key]),
                ) or key == "none"
                assert not leak(
                    attempt(connection, "SELECT * FROM analytics.agent_runs")[1], world.foreign(key)
                )
    finally:
        db.server.drop_database(copy)


def test_role_limits(world):
    """They hold: a statement ends in time, one connection too many is refused."""
    role = world.roles["viewer"]
    world.db.execute("SELECT analytics.set_role_limits(%s, '250 ms', 1, 12)", [role])
    with world.db.connect(role=role) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("12MB",)
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT count(*) FROM analytics.agent_runs AS a, pg_sleep(20)")
        assert time.monotonic() - started < 10
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            world.db.connect(role=role)
        # NULL leaves what is there; nothing and everything are possible, too.
        world.db.execute("SELECT analytics.set_role_limits(%s, NULL, 2)", [role])
        with world.db.connect(role=role) as second:
            assert second.execute("SHOW statement_timeout").fetchone() == ("250ms",)
    world.db.execute("SELECT analytics.set_role_limits(%s, '0', -1)", [role])
    with world.db.connect(role=role) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
    for arguments in ("'-1 s'", "'25 days'", "'1s', -2", "'1s', NULL, 0", "'1s', NULL, 2097152"):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            world.db.execute(f"SELECT analytics.set_role_limits('{role}', {arguments})")
        assert caught.value.diag.message_hint
    with pytest.raises(psycopg.errors.UndefinedObject):
        world.db.execute("SELECT analytics.set_role_limits('no_such_role')")
