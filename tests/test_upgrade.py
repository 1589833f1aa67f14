"""Upgrades: a database of any released version becomes what a fresh one is, and keeps its rows.

tests/data has the install script of each release, which packages do not have. The library serves old and new functions:
a server has one file, and between its exchange and ALTER EXTENSION UPDATE old functions call new code.

In a trusted extension the upgrade runs as the bootstrap superuser on behalf of the database's owner, to whom the members
of 0.2.0 belong. What the owner may have done to them is undone or refused, and never called.
"""

import gzip
import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from conftest import BIN, CURRENT, ROOT
from pglast import ast, enums, parse_sql
from psycopg import errors
from test_trusted import PINNED, RawStream, unqualified

SCRIPTS = {
    path.name.split("--")[1].removesuffix(".sql.gz"): path
    for path in (ROOT / "tests" / "data").glob("shadower_analytics--*.sql.gz")
}
RELEASES = sorted(SCRIPTS)
LAST = max(RELEASES, key=lambda release: [int(part) for part in release.split(".")])

# Everything that the extension and setup() put into a database, but for the order of its making.
MEMBERS = """
    SELECT i.type, i.identity, obj_description(d.objid, c.relname),
           CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END, p.prosupport::text,
           a.aggtransfn::text, a.aggfinalfn::text, a.aggcombinefn::text, a.aggserialfn::text, a.aggdeserialfn::text,
           a.aggtranstype::regtype::text, a.aggtransspace, a.agginitval, a.aggfinalmodify::text, p.proparallel::text,
           (t.typtype, t.typinput, t.typoutput, t.typreceive, t.typsend, t.typlen, t.typalign, t.typstorage)::text,
           (o.oprcode, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest, o.oprjoin, o.oprcanhash, o.oprcanmerge)::text,
           (k.castmethod, k.castcontext)::text,
           pg_get_userbyid(coalesce(p.proowner, t.typowner, o.oprowner, n.nspowner)),
           ARRAY(SELECT unnest(coalesce(p.proacl, t.typacl, n.nspacl))::text ORDER BY 1),
           (SELECT ARRAY(SELECT unnest(ip.initprivs)::text ORDER BY 1) FROM pg_init_privs AS ip
            WHERE ip.classoid = d.classid AND ip.objoid = d.objid),
           (SELECT count(*) FROM pg_depend AS x WHERE x.classid = d.classid AND x.objid = d.objid)
    FROM pg_depend AS d
    JOIN pg_class AS c ON c.oid = d.classid
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
    LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    LEFT JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
    LEFT JOIN pg_type AS t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
    LEFT JOIN pg_operator AS o ON d.classid = 'pg_operator'::regclass AND o.oid = d.objid
    LEFT JOIN pg_cast AS k ON d.classid = 'pg_cast'::regclass AND k.oid = d.objid
    LEFT JOIN pg_namespace AS n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
      AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'shadower_analytics')
    ORDER BY 1, 2"""
ANSWERS = [
    "SELECT w.name, a.* FROM analytics.workspaces AS w, analytics.list_agents(w.workspace_id, 'all') AS a ORDER BY 1, 2",
    "SELECT w.name, a.* FROM analytics.workspaces AS w, analytics.workspace_users(w.workspace_id, 'all', 20) AS a",
    "SELECT w.name, r.* FROM analytics.workspaces AS w, analytics.rank_agents(w.workspace_id, 'all') AS r ORDER BY 1, 2, 3",
    "SELECT * FROM analytics.agent_analytics_summary ORDER BY 1, 2, 3",
]
VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'shadower_analytics'"
UPDATE = "ALTER EXTENSION shadower_analytics UPDATE"


def extensions() -> Path:
    sharedir = subprocess.run([BIN / "pg_config", "--sharedir"], check=True, capture_output=True, text=True)
    return Path(sharedir.stdout.strip()) / "extension"


def members(db) -> dict:
    # We are superuser here, and a trap may be set in public.
    db.execute("SET search_path = pg_catalog")
    return {(kind, identity): rest for kind, identity, *rest in db.rows(MEMBERS)}


@pytest.fixture(scope="module", autouse=True)
def scripts_of_releases(server):
    """CREATE EXTENSION finds the scripts of released versions."""
    copies = []
    for release, script in SCRIPTS.items():
        copy = extensions() / f"shadower_analytics--{release}.sql"
        copy.write_bytes(gzip.decompress(script.read_bytes()))
        copies.append(copy)
    yield
    for copy in copies:
        copy.unlink()


@pytest.fixture(scope="module")
def owner(server):
    """An ordinary role; databases of the module belong to it."""
    server.admin().execute("CREATE ROLE upgrade_owner LOGIN")
    yield "upgrade_owner"
    server.admin().execute("DROP ROLE upgrade_owner")


def installed_by(server, role: str, version: str):
    database = server.create_database()
    database.execute(f'ALTER DATABASE "{database.name}" OWNER TO {role}')
    database.connect(role).execute(f"CREATE EXTENSION shadower_analytics VERSION '{version}'")
    database.close()
    return database


@pytest.fixture(scope="module")
def released(server, owner):
    """The template of ``trusted``."""
    database = installed_by(server, owner, LAST)
    yield database
    server.drop_database(database)


@pytest.fixture
def trusted(server, released, owner):
    """A database in which an ordinary role, its owner, has created the last release of the extension."""
    database = server.create_database(template=released.name)
    database.execute(f'ALTER DATABASE "{database.name}" OWNER TO {owner}')
    yield database
    server.drop_database(database)


@pytest.fixture(scope="module")
def fresh(server, owner):
    """The members of the new version, created by the same role."""
    database = installed_by(server, owner, CURRENT)
    yield members(database)
    server.drop_database(database)


def test_there_is_a_release_to_come_from():
    assert RELEASES
    assert CURRENT not in RELEASES, "raise the version in Cargo.toml: this one is released"


@pytest.mark.parametrize("release", RELEASES)
def test_upgraded_is_as_fresh(db, bare_db, release):
    old = bare_db
    old.execute(f"CREATE EXTENSION shadower_analytics VERSION '{release}'")
    old.execute("SELECT analytics.setup()")
    old.execute("SELECT * FROM analytics.generate_demo_data(2000, until => '2026-04-01 00:00+00')")
    old.execute("CALL analytics.refresh_all()")
    # What users add stays.
    old.execute("CREATE INDEX mine ON analytics.agent_runs (status)")
    old.execute("ALTER TABLE analytics.agents ADD COLUMN team text DEFAULT 'blue'")
    old.execute("CREATE VIEW public.mine AS SELECT name, lifecycle_state FROM analytics.agents")
    # Old functions on the new library.
    before = [old.rows(query) for query in ANSWERS]
    contents = old.contents()

    old.execute(UPDATE)
    old.execute("SELECT analytics.setup()")

    assert old.value(VERSION) == CURRENT
    assert members(old) == members(db)

    assert [old.rows(query) for query in ANSWERS] == before
    after = old.contents()
    # The log of refreshes and what setup() notes of itself may grow.
    assert {name: after[name] for name in contents if "refresh_log" not in name} == {
        name: content for name, content in contents.items() if "refresh_log" not in name
    }
    assert old.rows("SELECT * FROM analytics.verify_rollups()") == []
    assert old.value("SELECT count(DISTINCT team) FROM analytics.agents") == 1
    assert old.value("SELECT count(*) > 0 FROM public.mine")

    old.execute("DROP VIEW public.mine")
    old.execute("DROP INDEX analytics.mine")
    old.execute("ALTER TABLE analytics.agents DROP COLUMN team")
    schema = ["--schema-only", "--exclude-table=analytics.agent_runs_*"]
    assert old.dump(*schema) == db.dump(*schema)


def test_owner_of_the_database_upgrades(trusted, owner, fresh):
    connection = trusted.connect(owner)
    connection.execute("SELECT analytics.setup()")
    connection.execute(UPDATE)
    connection.execute("SELECT analytics.setup()")
    assert trusted.value(VERSION) == CURRENT
    assert members(trusted) == fresh
    ((runs,),) = connection.execute("SELECT sum(inserted_count) FROM analytics.generate_demo_data(1000)")
    assert runs > 1000


# ---------------------------------------------------------------------------------- how it is written


@pytest.mark.parametrize("release", RELEASES)
def test_drops_are_written_by_hand(bare_db, release, fresh):
    """Routines that went, and those that CREATE OR REPLACE refuses: no more and no less."""
    file = f"sql/upgrade/{release}--{CURRENT}.sql"
    bare_db.execute(f"CREATE EXTENSION shadower_analytics VERSION '{release}'")
    routines = ("function", "procedure", "aggregate")
    gone = {identity for kind, identity in members(bare_db).keys() - fresh.keys() if kind in routines}
    refused = set()
    bare_db.execute("SET search_path = ''")
    bare_db.execute("SET check_function_bodies = off")
    for statement in statements(script_of_upgrade(release)):
        try:
            with bare_db.connection.transaction(force_rollback=True):
                bare_db.execute(statement.replace("MODULE_PATHNAME", "shadower_analytics"))
        except errors.InvalidFunctionDefinition as error:
            refused.add(re.search(r"DROP \w+ (.+) first", error.diag.message_hint)[1])
        except psycopg.Error:
            pass
    dropped = re.findall(
        r"^DROP (?:FUNCTION|PROCEDURE|AGGREGATE) (.+);$", (ROOT / file).read_text(), re.MULTILINE
    )

    def same_words(identities) -> set[str]:
        return set(
            bare_db.value(
                "SELECT array_agg(i::regprocedure::text) FROM unnest(%s::text[]) AS i", [list(identities)]
            )
            or []
        )

    assert same_words(dropped) == same_words(gone | refused), f"write into {file} what has to be dropped"


def script_of_upgrade(release: str) -> str:
    script = (extensions() / f"shadower_analytics--{release}--{CURRENT}.sql").read_text()
    return script.replace("@extowner@", "extowner")


def statements(script: str) -> list[str]:
    return [
        script.encode()[raw.stmt_location : raw.stmt_location + raw.stmt_len].decode()
        for raw in parse_sql(script)
        if isinstance(raw.stmt, ast.CreateFunctionStmt | ast.DefineStmt)
    ]


@pytest.mark.parametrize("release", RELEASES)
def test_script_finds_nothing_of_the_owners(release):
    parsed = [raw.stmt for raw in parse_sql(script_of_upgrade(release))]
    settings = [number for number, each in enumerate(parsed) if isinstance(each, ast.VariableSetStmt)]
    assert settings == [0]
    assert RawStream()(parsed[0]) == PINNED
    blocks = [number for number, each in enumerate(parsed) if isinstance(each, ast.DoStmt)]
    assert blocks == [1, len(parsed) - 1], "the check comes first, the hand-over last"
    operators = [each for each in parsed if isinstance(each, ast.AlterOperatorStmt)]
    assert operators
    assert all(len(each.opername.objname) == 2 for each in operators)
    drops = [each for each in parsed if isinstance(each, ast.DropStmt)]
    assert all(len(item.objname) == 2 for each in drops for item in each.objects)
    others = [each for each in parsed if not isinstance(each, ast.AlterOperatorStmt | ast.DropStmt)]
    assert [found for each in others if (found := unqualified(each))] == []
    made = [each for each in parsed if isinstance(each, ast.CreateFunctionStmt | ast.DefineStmt)]
    assert all(each.replace for each in made)


@pytest.mark.parametrize("release", RELEASES)
def test_every_routine_is_made_anew(release):
    new = routines(
        (extensions() / f"shadower_analytics--{CURRENT}.sql").read_text().replace("@extowner@", "extowner")
    )
    for statement in new:
        statement.replace = True
    assert len(new) > 400
    assert new == routines(script_of_upgrade(release))


def routines(script: str) -> list[ast.Node]:
    made = [raw.stmt for raw in parse_sql(script)]
    return [
        each
        for each in made
        if isinstance(each, ast.CreateFunctionStmt)
        or (isinstance(each, ast.DefineStmt) and each.kind == enums.ObjectType.OBJECT_AGGREGATE)
    ]


# ------------------------------------------------------------------------------ what the owner did before

# Who calls these as superuser makes their author one, and is counted even if everything is rolled back.
TRAPS = """
    CREATE SEQUENCE public.calls;
    CREATE FUNCTION public.rise() RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM nextval('public.calls');
        IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            ALTER ROLE upgrade_owner SUPERUSER;
        END IF;
        RETURN true;
    END $$;
    CREATE FUNCTION public.rise(oid, regclass) RETURNS boolean LANGUAGE sql AS 'SELECT public.rise()';
    CREATE FUNCTION public.rise(name, text) RETURNS text LANGUAGE sql AS 'SELECT public.rise()::text';
    CREATE FUNCTION public.rise(analytics.state_summary, analytics.state_summary) RETURNS boolean
        LANGUAGE sql AS 'SELECT public.rise()';
    CREATE FUNCTION public.rise(analytics.state_summary) RETURNS bytea LANGUAGE sql AS 'SELECT public.rise()::text::bytea'"""


@pytest.fixture
def attacker(trusted, owner):
    """A connection of the database's owner, who has no more rights in the end."""
    connection = trusted.connect(owner)
    for statement in TRAPS.split(";\n    CREATE FUNCTION"):
        connection.execute(statement if "SEQUENCE" in statement else "CREATE FUNCTION" + statement)
    yield connection
    assert trusted.value("SELECT NOT rolsuper FROM pg_roles WHERE rolname = %s", [owner])
    assert not trusted.value("SELECT is_called FROM public.calls"), "code of the owner's was called"


TAMPERED = [
    """CREATE OR REPLACE FUNCTION analytics.agent_id(workspace_id uuid, agent_name text) RETURNS uuid
       LANGUAGE plpgsql VOLATILE SECURITY DEFINER COST 7 SET search_path = public AS 'BEGIN PERFORM rise(); RETURN NULL; END'""",
    "ALTER FUNCTION analytics.list_agents SECURITY DEFINER SET work_mem = '1GB' ROWS 7",
    "ALTER FUNCTION analytics_internal.state_summary_out SECURITY DEFINER SET search_path = public",
    "ALTER PROCEDURE analytics.refresh_all SECURITY DEFINER",
    """CREATE FUNCTION public.theirs(analytics.percentile_sketch, double precision) RETURNS analytics.percentile_sketch
       LANGUAGE sql AS 'SELECT $1'""",
    """CREATE OR REPLACE AGGREGATE analytics.percentile_agg(value double precision) (
       SFUNC = public.theirs, STYPE = analytics.percentile_sketch)""",
    "ALTER OPERATOR analytics.= (analytics.state_summary, analytics.state_summary) SET (RESTRICT = NONE, JOIN = NONE)",
    "GRANT EXECUTE ON FUNCTION analytics.agent_id TO PUBLIC",
    "COMMENT ON FUNCTION analytics.agent_id IS 'mine'",
]
# What an owner may not do: CREATE OR REPLACE undoes it all the same.
TAMPERED_BY_SUPERUSER = [
    "ALTER FUNCTION analytics.accessible_workspaces SUPPORT generate_series_int8_support LEAKPROOF",
    "ALTER FUNCTION analytics.agent_id DEPENDS ON EXTENSION plpgsql",
]


def test_tampered_routines_are_reset(trusted, attacker, fresh):
    for statement in TAMPERED:
        attacker.execute(statement)
    for statement in TAMPERED_BY_SUPERUSER:
        trusted.execute(statement)
    attacker.execute(UPDATE)
    different = {
        key: (rest, fresh.get(key)) for key, rest in members(trusted).items() if rest != fresh.get(key)
    }
    assert different == {}


@pytest.mark.parametrize(
    "prepared",
    [
        "CREATE OPERATOR analytics.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = public.rise)",
        "CREATE OPERATOR analytics_internal.|| (LEFTARG = name, RIGHTARG = text, FUNCTION = public.rise)",
        "CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = public.rise);"
        " ALTER ROLE upgrade_owner SET search_path = public, pg_catalog",
        "CREATE FUNCTION analytics.to_regtype(text) RETURNS regtype LANGUAGE sql AS 'SELECT public.rise()::text::regtype'",
        "CREATE DOMAIN pg_temp.oid AS pg_catalog.oid CHECK (public.rise())",
        "CREATE DOMAIN analytics.text AS pg_catalog.text CHECK (public.rise())",
        "CREATE CAST (analytics.state_summary AS text) WITH INOUT AS IMPLICIT",
    ],
)
def test_prepared_objects_are_not_found(trusted, attacker, owner, fresh, prepared):
    attacker.execute(prepared)
    trusted.connect(owner).execute(UPDATE) if "ROLE" in prepared else attacker.execute(UPDATE)
    trusted.execute("ALTER ROLE upgrade_owner RESET search_path")
    assert trusted.value(VERSION) == CURRENT
    assert members(trusted) == fresh


STATES = "analytics.state_summary"
REFUSED = {
    "a domain that is no member": (
        f"""ALTER EXTENSION shadower_analytics DROP TYPE {STATES}; ALTER TYPE {STATES} RENAME TO theirs;
            CREATE DOMAIN {STATES} AS bigint""",
        f"type {STATES} is not a member",
    ),
    "a domain that is a member": (
        f"""ALTER EXTENSION shadower_analytics DROP TYPE {STATES}; ALTER TYPE {STATES} RENAME TO theirs;
            CREATE DOMAIN {STATES} AS bigint; ALTER EXTENSION shadower_analytics ADD DOMAIN {STATES}""",
        f"type {STATES} is not the type",
    ),
    "types exchanged": (
        f"""ALTER TYPE {STATES} RENAME TO theirs; ALTER TYPE analytics.stats_summary RENAME TO state_summary;
            ALTER TYPE analytics.theirs RENAME TO stats_summary""",
        "type analytics.stat(e|s)_summary is not the type",
    ),
    "a send function of theirs": (
        f"""CREATE OR REPLACE FUNCTION analytics_internal.state_summary_send({STATES}) RETURNS bytea
            LANGUAGE sql AS 'SELECT public.rise()::text::bytea'""",
        f"type {STATES} is not the type",
    ),
    "a cast of theirs": (
        f"""ALTER EXTENSION shadower_analytics DROP CAST ({STATES} AS bytea); DROP CAST ({STATES} AS bytea);
            CREATE CAST ({STATES} AS bytea) WITH FUNCTION public.rise({STATES}) AS IMPLICIT;
            ALTER EXTENSION shadower_analytics ADD CAST ({STATES} AS bytea)""",
        f"cast \\({STATES} AS bytea\\) is not binary",
    ),
    "an operator of theirs": (
        f"""ALTER EXTENSION shadower_analytics DROP OPERATOR analytics.= ({STATES}, {STATES});
            DROP OPERATOR analytics.= ({STATES}, {STATES});
            CREATE OPERATOR analytics.= (LEFTARG = {STATES}, RIGHTARG = {STATES}, FUNCTION = public.rise);
            ALTER EXTENSION shadower_analytics ADD OPERATOR analytics.= ({STATES}, {STATES})""",
        "operator analytics.= .* does not call",
    ),
    "a member of theirs": (
        "ALTER EXTENSION shadower_analytics ADD FUNCTION public.rise(); ALTER FUNCTION public.rise() SECURITY DEFINER",
        "function public.rise\\(\\) is a member of the extension, which did not make it",
    ),
    "a function of theirs": (
        """ALTER EXTENSION shadower_analytics DROP FUNCTION analytics.library_version();
           ALTER FUNCTION analytics.library_version() RENAME TO theirs;
           CREATE FUNCTION analytics.library_version() RETURNS text LANGUAGE sql AS 'SELECT public.rise()::text'""",
        "function analytics.library_version\\(\\) is not a member",
    ),
    "a schema of theirs": (
        "ALTER SCHEMA analytics RENAME TO theirs; CREATE SCHEMA analytics",
        'the schema of the extension is called "theirs"',
    ),
    "a schema that is no member": (
        "ALTER EXTENSION shadower_analytics DROP SCHEMA analytics_internal",
        "schema analytics_internal is not a member",
    ),
}


@pytest.mark.parametrize(("done", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_ours_is_refused(trusted, attacker, done, message):
    attacker.execute(done)
    before = members(trusted)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match=message) as refusal:
        attacker.execute(UPDATE)
    assert refusal.value.diag.message_hint
    assert trusted.value(VERSION) == LAST
    assert members(trusted) == before


def test_name_of_a_new_routine_is_taken(trusted, attacker, fresh):
    """Something of the owner's has the name of what the new version makes: it is not replaced."""
    before = members(trusted)
    new = [
        identity
        for kind, identity in fresh.keys() - before.keys()
        if kind == "function" and "internal)" not in identity
    ]
    attacker.execute(
        f"CREATE FUNCTION {min(new)} RETURNS integer LANGUAGE sql AS 'SELECT public.rise()::integer'"
    )
    with pytest.raises(psycopg.Error, match=re.escape(min(new).split("(")[0].split(".")[1])) as refusal:
        attacker.execute(UPDATE)
    assert refusal.value.sqlstate in ("55000", "42P13")
    assert trusted.value(VERSION) == LAST
    assert members(trusted) == before


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_is_refused(trusted, attacker, owner, level):
    """The check would see the catalogue of the transaction's start, when nothing was wrong."""
    attacker.execute(f"BEGIN ISOLATION LEVEL {level}")
    attacker.execute("SELECT 1")
    trusted.connect(owner).execute(REFUSED["a domain that is a member"][0])
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="transaction of level"):
        attacker.execute(UPDATE)
    attacker.execute("ROLLBACK")
    assert trusted.value(VERSION) == LAST


def test_nobody_exchanges_what_was_checked(trusted, attacker, owner, background):
    """A change that is under way is waited for, and then seen."""
    other = trusted.connect(owner)
    other.execute("BEGIN")
    other.execute(REFUSED["types exchanged"][0])
    update = background(attacker.execute, UPDATE)
    trusted.wait_until_blocked(attacker)
    other.execute("COMMIT")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is not the type"):
        update.result(60)
    assert trusted.value(VERSION) == LAST
