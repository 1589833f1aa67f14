"""What the catalog says about rights, search paths, keys, comments and bodies, whatever things are called."""

import re

import catalog_calls
import psycopg
import pytest
from conftest import Database, has_library
from psycopg import sql

SCHEMAS = "('analytics'::regnamespace, 'analytics_internal'::regnamespace)"

# One row per right that PUBLIC has on something of ours; a NULL ACL means the defaults of its kind.
PUBLIC_RIGHTS = f"""
    SELECT what, acl.privilege_type
    FROM (
        SELECT 'function ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner))
        FROM pg_proc WHERE pronamespace IN {SCHEMAS}
        UNION ALL
        SELECT 'relation ' || oid::regclass,
               coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
        FROM pg_class WHERE relnamespace IN {SCHEMAS} AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        UNION ALL
        SELECT 'column ' || attrelid::regclass || '.' || attname, attacl
        FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid WHERE c.relnamespace IN {SCHEMAS}
        UNION ALL
        -- Row types and array types follow their table and their element type.
        SELECT 'type ' || oid::regtype, coalesce(typacl, acldefault('T', typowner))
        FROM pg_type WHERE typnamespace IN {SCHEMAS} AND typrelid = 0 AND typelem = 0
        UNION ALL
        SELECT 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner))
        FROM pg_namespace WHERE oid IN {SCHEMAS}
    ) AS thing (what, acls)
    CROSS JOIN LATERAL aclexplode(acls) AS acl
    WHERE acl.grantee = 0
    ORDER BY 1, 2"""

# Functions whose text names things when they run, and that leave to the caller where these are looked up.
# A body that was parsed when the function was made (RETURN ..., BEGIN ATOMIC) has no names left in it.
UNPINNED = f"""
    SELECT p.oid::regprocedure::text
    FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.pronamespace IN {SCHEMAS}
      AND (l.lanname NOT IN ('c', 'internal', 'sql') OR l.lanname = 'sql' AND p.prosqlbody IS NULL OR p.prosecdef)
      AND NOT coalesce(p.proconfig, '{{}}') @> ARRAY['search_path=pg_catalog, pg_temp']
    ORDER BY 1"""

SECURITY_DEFINERS = f"""
    SELECT p.oid::regprocedure::text FROM pg_proc AS p
    WHERE p.pronamespace IN {SCHEMAS} AND p.prosecdef ORDER BY 1"""


def test_public_has_nothing(db):
    db.execute("SELECT * FROM analytics.generate_demo_data(1000)")
    assert db.rows(PUBLIC_RIGHTS) == []

    # The question above finds each kind of right.
    db.execute("GRANT EXECUTE ON FUNCTION analytics.library_version() TO PUBLIC")
    db.execute("GRANT SELECT ON analytics.agents TO PUBLIC")
    db.execute("GRANT SELECT (name) ON analytics.workspaces TO PUBLIC")
    db.execute("GRANT USAGE ON SCHEMA analytics_internal TO PUBLIC")
    db.execute("CREATE TYPE analytics.new AS ENUM ('a')")
    db.execute("CREATE FUNCTION analytics.new() RETURNS integer LANGUAGE sql RETURN 1")
    assert db.rows(PUBLIC_RIGHTS) == [
        ("column analytics.workspaces.name", "SELECT"),
        ("function analytics.library_version()", "EXECUTE"),
        ("function analytics.new()", "EXECUTE"),
        ("relation analytics.agents", "SELECT"),
        ("schema analytics_internal", "USAGE"),
        ("type analytics.new", "USAGE"),
    ]


def test_search_path_is_pinned(db):
    assert db.rows(UNPINNED) == []
    db.execute(
        "CREATE FUNCTION analytics.a() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM analytics.agents'"
    )
    db.execute("CREATE FUNCTION analytics.b() RETURNS bigint LANGUAGE sql SECURITY DEFINER RETURN 1")
    db.execute("CREATE FUNCTION analytics.c() RETURNS bigint LANGUAGE sql RETURN 1")
    assert db.rows(UNPINNED) == [("analytics.a()",), ("analytics.b()",)]


# C functions that read and do not pin the search_path: they run nothing of the caller's, or only what deceives the
# caller alone, who is bound by row security all the same. Called by ours, they run with the pinned one of the caller.
# The two procedures cannot pin it, because they commit; they only call functions by their full names.
C_UNPINNED = [
    "analytics.accessible_workspaces(text)",
    "analytics.cleanup_old_data(text)",
    "analytics.refresh_all(interval,integer,boolean,text)",
    "analytics.schema_version()",
    "analytics_internal.admit_agent()",
    "analytics_internal.capture_changes()",
    "analytics_internal.capture_workspace()",
    "analytics_internal.forget_access()",
    "analytics_internal.forget_admitted()",
    "analytics_internal.forget_floors()",
    "analytics_internal.keep_audit_log()",
    "analytics_internal.new_secret()",
    "analytics_internal.reads_everything()",
    "analytics_internal.refuse(text,text,text,text)",
    "analytics_internal.refuse_argument(text,text,text,text)",
    "analytics_internal.require_agent(uuid,uuid)",
    "analytics_internal.require_schema()",
    "analytics_internal.require_workspace(uuid)",
]


def test_c_functions_that_read(db):
    unpinned = f"""
        SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
        WHERE p.pronamespace IN {SCHEMAS} AND l.lanname = 'c' AND p.provolatile <> 'i'
          AND NOT coalesce(p.proconfig, '{{}}') @> ARRAY['search_path=pg_catalog, pg_temp'] ORDER BY 1"""
    assert [name for (name,) in db.rows(unpinned)] == C_UNPINNED


# pg_test/expected/members.out is the approved list of labels; here is what must hold for all of them. Words in comments
# and quotes do nothing.
MISLABELLED = f"""
    SELECT p.oid::regprocedure::text FROM pg_proc AS p
    WHERE p.pronamespace IN {SCHEMAS}
      AND (p.provolatile <> 'v' OR p.proparallel = 's')
      AND regexp_replace(p.prosrc, '--[^\\n]*|''[^'']*''', '', 'g') ~* '\\m(INSERT INTO|UPDATE \\w+\\.|DELETE FROM|TRUNCATE|ALTER|CREATE|DROP|GRANT|REVOKE|LOCK|FOR UPDATE|NEXTVAL|SET_CONFIG|EXECUTE)\\M'
    ORDER BY 1"""


def test_what_writes_says_so(db):
    """Nothing that writes or runs made-up SQL is called STABLE, IMMUTABLE or PARALLEL SAFE."""
    assert db.rows(MISLABELLED) == []
    db.execute(
        "CREATE FUNCTION analytics.a() RETURNS void LANGUAGE sql STABLE AS 'DELETE FROM analytics.agents'"
    )
    assert db.rows(MISLABELLED) == [("analytics.a()",)]


ARGUMENTS = f"""
    SELECT p.pronamespace::regnamespace::text, p.proname::text, a.name, format_type(a.type, NULL), a.mode,
           a.mode = 'i' AND a.place > p.pronargs - p.pronargdefaults
    FROM pg_proc AS p
    CROSS JOIN LATERAL (
        SELECT u.name, u.type, u.mode, row_number() OVER (PARTITION BY u.mode ORDER BY u.place) AS place
        FROM (SELECT n.name, n.type, CASE WHEN n.mode IN ('o', 't') THEN 'o' ELSE 'i' END, n.place
              FROM unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes)
                   WITH ORDINALITY AS n (name, type, mode, place)) AS u (name, type, mode, place)
    ) AS a
    WHERE p.pronamespace IN {SCHEMAS} AND a.name <> ''
    ORDER BY p.oid::regprocedure::text, a.mode, a.place"""

TIME = "timestamp with time zone"

# What an argument of this name means everywhere; its type; whether callers of the API may leave it out, and the functions
# in which it is the other way round. None: as the function needs it.
VOCABULARY = {
    # The tenant.
    "workspace_id": ("uuid", False, {"access_report", "issue_token", "record_agent_health", "refresh_suggestions", "refresh_trends"}),
    # Whom it is about; of a filter NULL is all.
    "agent_id": ("uuid", None, set()),
    "user_id": ("uuid", True, {"issue_token"}),
    "entity_id": ("uuid", False, set()),
    "status": ("text", True, set()),
    "model_name": ("text", True, set()),
    "environment": ("text", True, set()),
    # The window that is looked at, by name or from a time to another.
    "timeframe": ("text", True, set()),
    "from_time": (TIME, True, {"metric_series"}),
    "to_time": (TIME, True, {"metric_series"}),
    # The moment that is taken for now.
    "as_of": (TIME, True, set()),
    # From then on, without an end.
    "since": (TIME, True, {"new_errors"}),
    # A time in the rows of the caller.
    "ts": (TIME, False, set()),
    # How time is cut into pieces.
    "bucket": ("text", True, set()),
    "step": ("interval", True, set()),
    "time_zone": ("text", True, set()),
    # The length of a page; after_* are columns of the last row of the page before.
    "max_rows": ("integer", True, set()),
}  # fmt: skip

INSTEAD = {
    r"only_\w+|\w+_filter|workspace|agent|user|model": "a filter has the name of its column",
    r"(max|n|num)_(users|agents|runs|results|items)|limit|row_limit|page_size": "the length of a page is max_rows",
    r"before_\w+|offset|page|cursor": "a page goes on after_*",
    r"(start|begin|from)(_at|_date|_ts)?|start_time|window_start": "a window begins at from_time",
    r"(end|stop|until)(_at|_date|_ts)?|end_time|window_end": "a window ends at to_time",
    r"at_time|moment|on_date": "the moment that is taken for now is as_of",
    r"tz|timezone|zone": "a time zone is time_zone",
}


def misnomers(db: Database) -> list[str]:
    """Arguments that say what others say, in other words."""
    columns = set(db.rows("""
        SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0"""))  # fmt: skip
    every = db.rows(ARGUMENTS)
    results = {
        (schema, function, name, kind) for schema, function, name, kind, mode, _ in every if mode == "o"
    }

    def problem(schema: str, function: str, name: str, kind: str, is_optional: bool) -> str | None:
        for pattern, instead in INSTEAD.items():
            if re.fullmatch(pattern, name):
                return instead
        if name in VOCABULARY and schema == "analytics":
            wanted, may_be_left_out, others = VOCABULARY[name]
            if kind != wanted:
                return f"{kind}, elsewhere {wanted}"
            if may_be_left_out is not None and is_optional != (may_be_left_out != (function in others)):
                return "optional" if is_optional else "required"
        elif name.startswith("after_"):
            if (schema, function, name.removeprefix("after_"), kind) not in results:
                return "no column of the result"
        elif schema == "analytics" and kind in ("uuid", TIME) and (name, kind) not in columns:
            return f"of type {kind}, but no column and no word of the vocabulary"
        return None

    return [
        f"{schema}.{function}: {name}: {found}"
        for schema, function, name, kind, mode, is_optional in every
        if mode == "i" and (found := problem(schema, function, name, kind, is_optional))
    ]


def test_one_name_for_one_thing(db):
    assert misnomers(db) == []
    db.execute("""
        CREATE FUNCTION analytics.a(workspace_id uuid, only_agent uuid DEFAULT NULL, max_users integer DEFAULT 1,
            whose uuid DEFAULT NULL, moved timestamptz DEFAULT NULL, "end" timestamptz DEFAULT NULL) RETURNS integer LANGUAGE sql RETURN 1;
        CREATE FUNCTION analytics.b(workspace_id uuid DEFAULT NULL, from_time date DEFAULT NULL, after_run_id uuid DEFAULT NULL)
            RETURNS integer LANGUAGE sql RETURN 1;
        CREATE FUNCTION analytics.c(as_of timestamptz, after_agent_id uuid, after_name text) RETURNS TABLE (agent_id uuid)
            LANGUAGE sql RETURN after_agent_id;
        CREATE FUNCTION analytics_internal.d(model text, whatever timestamptz) RETURNS integer LANGUAGE sql RETURN 1""")
    assert misnomers(db) == [
        "analytics.a: only_agent: a filter has the name of its column",
        "analytics.a: max_users: the length of a page is max_rows",
        "analytics.a: whose: of type uuid, but no column and no word of the vocabulary",
        f"analytics.a: moved: of type {TIME}, but no column and no word of the vocabulary",
        "analytics.a: end: a window ends at to_time",
        "analytics.b: workspace_id: optional",
        f"analytics.b: from_time: date, elsewhere {TIME}",
        "analytics.b: after_run_id: no column of the result",
        "analytics.c: as_of: required",
        "analytics.c: after_name: no column of the result",
        "analytics_internal.d: model: a filter has the name of its column",
    ]


def test_nobody_has_anything_at_first(db):
    """As setup() leaves them, things have no right but their owner's; grant_access() adds what docs/access.md says."""
    strangers = f"""
        SELECT what, a.grantee::regrole::text, a.privilege_type FROM (
            SELECT oid::regprocedure::text, proacl, proowner FROM pg_proc WHERE pronamespace IN {SCHEMAS}
            UNION ALL SELECT oid::regclass::text, relacl, relowner FROM pg_class WHERE relnamespace IN {SCHEMAS}
            UNION ALL SELECT oid::regtype::text, typacl, typowner FROM pg_type WHERE typnamespace IN {SCHEMAS}
            UNION ALL SELECT c.oid::regclass || '.' || a.attname, a.attacl, c.relowner
                FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid WHERE c.relnamespace IN {SCHEMAS}
            UNION ALL SELECT nspname, nspacl, nspowner FROM pg_namespace WHERE oid IN {SCHEMAS}
        ) AS thing (what, acl, owner) CROSS JOIN LATERAL aclexplode(acl) AS a WHERE a.grantee <> owner"""
    assert db.rows(strangers) == []
    db.execute("GRANT SELECT (name) ON analytics.agents TO pg_monitor")
    assert db.rows(strangers) == [("analytics.agents.name", "pg_monitor", "SELECT")]


def test_views_show_what_their_reader_may_see(db):
    """Views run with the rights of the reader; what cannot have row security is not granted to any level.

    The exceptions, which tests/test_masking.py and tests/test_rollup.py try to get round, are behind a barrier.
    """
    owners = f"""
        SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace IN {SCHEMAS} AND c.relkind = 'v'
        AND NOT coalesce(c.reloptions @> ARRAY['security_invoker=true'], false)
        AND NOT ((c.relnamespace = 'analytics_internal'::regnamespace AND c.relname ~ '^agent_(runs|errors|user_feedback)_texts$|^execution_queue_texts$'
                  OR c.relname IN (SELECT v.name FROM analytics_internal.summaries() AS v))
                 AND c.reloptions @> ARRAY['security_barrier=true'])"""
    assert db.rows(owners) == []
    assert db.value(f"SELECT count(*) FROM pg_class WHERE relnamespace IN {SCHEMAS} AND relkind = 'v'") > 0
    db.execute("CREATE VIEW analytics.a AS SELECT * FROM analytics.agents")
    db.execute("CREATE MATERIALIZED VIEW analytics.b AS SELECT * FROM analytics.agents")
    assert db.rows(owners) == [("analytics.a",)]
    given = "SELECT object_name FROM analytics_internal.level_privileges() WHERE object_name IN ('analytics.a', 'analytics.b')"
    assert db.rows(given) == []


def test_no_security_definer(db):
    """None is needed so far; whoever adds one adds it here, with a test of what it refuses."""
    assert db.rows(SECURITY_DEFINERS) == []
    db.execute(
        "CREATE FUNCTION analytics.b() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp RETURN 1"
    )
    assert db.rows(SECURITY_DEFINERS) == [("analytics.b()",)]


def test_members_belong_to_the_extension(db):
    """Every function is a member, and no table, view or sequence is: pg_dump would leave its rows out."""
    members = """
        SELECT d.classid::regclass::text, count(*) FROM pg_depend AS d
        JOIN pg_extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
        WHERE e.extname = 'shadower_analytics' AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
        GROUP BY 1"""
    functions = db.value(f"SELECT count(*) FROM pg_proc WHERE pronamespace IN {SCHEMAS}")
    assert functions > 20
    assert db.rows(members) == [("pg_proc", functions)]


# ------------------------------------------------------------------------------------------ keys

# What a foreign key looks up when the row that it names goes. Its columns lead a whole index, in any order; or one of
# all rows that have a value there.
UNINDEXED = f"""
    SELECT k.conname FROM pg_constraint AS k
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.connamespace IN {SCHEMAS}
      AND NOT EXISTS (
          SELECT FROM pg_index AS i
          WHERE i.indrelid = k.conrelid AND i.indisvalid
            AND (i.indkey::int2[])[0 : cardinality(k.conkey) - 1] @> k.conkey
            AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) IN (
                SELECT format('(%I IS NOT NULL)', a.attname) FROM pg_attribute AS a
                WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey))))
    ORDER BY 1"""

INDEX_NOT_WORTH_IT = [
    # The primary key finds the aliases of the agent, of which there are a handful.
    "agent_version_aliases_version_fkey",
]


def test_foreign_keys_have_an_index(db):
    assert [name for (name,) in db.rows(UNINDEXED)] == INDEX_NOT_WORTH_IT
    db.execute("DROP INDEX analytics.agent_deployments_rollback_idx, analytics.lifecycle_transitions_to_idx")
    assert [name for (name,) in db.rows(UNINDEXED)] == sorted(
        [*INDEX_NOT_WORTH_IT, "agent_deployments_rollback_fkey", "lifecycle_transitions_to_fkey"]
    )


# Logs, to which every transaction appends: with a key, two that note the same would wait for each other, and each would
# write an index more.
WITHOUT_KEY = [
    "analytics.audit_log",
    "analytics_internal.agent_discoveries",
    "analytics_internal.leaderboard_changes",
    "analytics_internal.rollup_changes",
]


def test_tables_have_a_primary_key(db):
    keyless = f"""
        SELECT c.oid::regclass::text FROM pg_class AS c
        WHERE c.relnamespace IN {SCHEMAS} AND c.relkind IN ('r', 'p')
          AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY 1"""
    assert [name for (name,) in db.rows(keyless)] == WITHOUT_KEY
    db.execute("CREATE TABLE analytics.a (workspace_id uuid)")
    assert [name for (name,) in db.rows(keyless)] == ["analytics.a", *WITHOUT_KEY]


# ------------------------------------------------------------------------------------------ comments


def test_partitions_have_the_comments_of_their_table(bare_db):
    """Whenever they were made, and also after the comment has changed."""
    different = f"""
        SELECT a.attrelid::regclass::text, a.attname
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhparent AND c.relnamespace IN {SCHEMAS} AND c.relkind = 'p'
        JOIN pg_attribute AS p ON p.attrelid = i.inhparent AND p.attnum > 0 AND NOT p.attisdropped
        JOIN pg_attribute AS a ON a.attrelid = i.inhrelid AND a.attname = p.attname
        WHERE col_description(a.attrelid, a.attnum) IS DISTINCT FROM col_description(p.attrelid, p.attnum)
        ORDER BY 1, 2"""
    partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'analytics.agent_runs'::regclass"
    bare_db.execute("CREATE EXTENSION shadower_analytics")
    bare_db.execute("SELECT analytics.setup(default_partition => false)")
    assert bare_db.rows(different) == []
    bare_db.execute("SELECT analytics.ensure_partitions(since => now() - interval '2 years')")
    assert bare_db.rows(different) == []
    assert bare_db.value("SELECT to_regclass('analytics.agent_runs_before') IS NOT NULL")

    bare_db.execute("SELECT analytics.setup(default_partition => true)")
    assert bare_db.value(partitions) > 24
    assert bare_db.rows(different) == []
    workspace = bare_db.workspace()
    bare_db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at)"
        " VALUES (%s, gen_random_uuid(), 'failed', '2019-05-01')",
        [workspace],
    )
    bare_db.execute("SELECT analytics.ensure_partitions()")
    assert bare_db.value("SELECT count(*) FROM analytics.agent_runs_y2019m05") == 1
    assert bare_db.rows(different) == []

    # What a migration does.
    bare_db.execute("ALTER TABLE analytics.agent_runs ADD COLUMN team text")
    bare_db.execute("COMMENT ON COLUMN analytics.agent_runs.team IS 'Who pays.'")
    assert len(bare_db.rows(different)) == bare_db.value(partitions)
    bare_db.execute("SELECT analytics.setup()")
    assert bare_db.rows(different) == []


# ------------------------------------------------------------------------------------------ bodies

# Every PL/pgSQL function, as plpgsql_check sees it; a trigger function with each table that calls it. TRUNCATE (32) has no
# rows to show: where a function looks at rows, that branch is not for it.
MISTAKES = f"""
    SELECT p.oid::regprocedure::text, t.tgrelid::regclass::text, c.lineno, c.message
    FROM pg_proc AS p
    LEFT JOIN pg_trigger AS t ON t.tgfoid = p.oid AND t.tgparentid = 0 AND t.tgtype & 32 = 0
    CROSS JOIN LATERAL public.plpgsql_check_function_tb(
        p.oid, coalesce(t.tgrelid, 0), fatal_errors => false, security_warnings => true,
        oldtable => t.tgoldtable, newtable => t.tgnewtable) AS c
    WHERE p.prolang = (SELECT l.oid FROM pg_language AS l WHERE l.lanname = 'plpgsql')
      AND p.pronamespace IN {SCHEMAS} AND c.level IN ('error', 'security')
    ORDER BY 1, 2, 3"""

# Statements that are put together from a text, which plpgsql_check takes for a stranger's.
TRUSTED_TEXT = {
    "analytics_internal.protect_table(regclass,text,text,text)",  # a constant and the levels that a migration gives
    "analytics_internal.regrant(text)",  # level_privileges() and quoted names
}


def test_plpgsql_check_finds_no_mistake(server):
    for library in ("plpgsql_check", "pg_cron"):
        if not has_library(library):
            pytest.skip(
                f"this server has no extension {library}: tools/requirements installs Debian's package"
            )
    # The only database that may have pg_cron, whose tables the functions of the schedule name.
    database = server.create_database("cron")
    try:
        database.execute("CREATE EXTENSION pg_cron")
        database.execute("CREATE EXTENSION plpgsql_check")
        server.install(database)
        assert [row for row in database.rows(MISTAKES) if row[0] not in TRUSTED_TEXT] == []
        database.execute("ALTER TABLE analytics.workspaces RENAME COLUMN time_zone TO zone")
        database.execute(
            "CREATE FUNCTION analytics.a(name text) RETURNS void LANGUAGE plpgsql AS"
            " $$ BEGIN EXECUTE 'DROP TABLE ' || name; END $$"
        )
        found = {name for name, *_ in database.rows(MISTAKES)}
        assert {"analytics.a(text)", "analytics_internal.zone_of(uuid,text)"} <= found
    finally:
        server.drop_database(database)


@pytest.mark.parametrize("schema", ["analytics", "analytics_internal"])
def test_clients_can_read_every_time(db, make_role, schema):
    """No answer to a viewer has an infinite time where none was given: few clients can read one."""
    catalog_calls.fill(db)
    viewer = make_role("viewer")
    db.execute(f"SELECT analytics.grant_access(%s, {catalog_calls.W}, 'viewer')", [viewer])
    connection = db.connect(viewer)
    infinite = []
    answers = 0
    for function in catalog_calls.callables(db, schema):
        given = {}
        for place, argument in enumerate(function.arguments):
            if argument.name == "timeframe":
                given[place] = "'all'"
            elif argument.kind == "timestamp with time zone" and argument.name != "as_of":
                given[place] = argument.null
        if not given:
            continue
        query = function.statement(given)
        try:
            answer = connection.execute(query).fetchall()
        except psycopg.DataError as error:
            # Refused by the server, or not to be read by the client.
            if error.sqlstate is None:
                infinite.append(f"{query}: {error}")
        except psycopg.Error:
            pass
        else:
            answers += 1
            if "infinity" in str(answer):
                infinite.append(f"{query}: {answer}")
    assert infinite == []
    assert answers > 20, answers


def test_a_writer_runs_nothing_as_the_owner_of_the_tables(db, make_role):
    """The trigger that admits agents, and the check of the schema's version, read and write tables with their
    owner's rights. What the caller's search_path finds first must not run with them."""
    writer = make_role("writer")
    workspace = db.workspace()
    db.execute(
        sql.SQL("""
        CREATE SCHEMA trap AUTHORIZATION {0};
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO {0};
        """).format(sql.Identifier(writer))
    )
    db.execute("SELECT analytics.grant_access(%s, %s, 'member')", [writer, workspace])
    connection = db.connect(writer)
    connection.execute("""
        CREATE FUNCTION trap.spring(what text) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            IF current_user <> session_user THEN
                RAISE EXCEPTION '% ran as %', what, current_user;
            END IF;
            PERFORM set_config('trap.sprung', concat(what, ' ', current_setting('trap.sprung', true)), false);
        END $$;
        CREATE FUNCTION trap.eq(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS
            $$ BEGIN PERFORM trap.spring('='); RETURN pg_catalog.uuid_eq($1, $2); END $$;
        CREATE OPERATOR trap.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = trap.eq);
        CREATE FUNCTION trap.cat(text, text) RETURNS text LANGUAGE plpgsql AS
            $$ BEGIN PERFORM trap.spring('||'); RETURN pg_catalog.textcat($1, $2); END $$;
        CREATE OPERATOR trap.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.cat);
        CREATE FUNCTION trap.larger(integer, integer) RETURNS integer LANGUAGE plpgsql AS
            $$ BEGIN PERFORM trap.spring('max'); RETURN greatest($1, $2); END $$;
        CREATE AGGREGATE trap.max(integer) (SFUNC = trap.larger, STYPE = integer);
        SET search_path = trap, pg_catalog""")
    # The trap is set.
    connection.execute("SELECT max(1), gen_random_uuid() = gen_random_uuid(), %s::text || 'b'::text", ["a"])
    assert sorted(connection.execute("SHOW trap.sprung").fetchone()[0].split()) == ["=", "max", "||"]

    assert connection.execute("SELECT analytics.schema_version()").fetchone()[0] > 0
    connection.execute("SELECT analytics_internal.require_schema()")
    insert = "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (%s, gen_random_uuid(), 'running')"
    connection.execute(insert, [workspace])
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    connection.execute(insert, [workspace])
    connection.execute("COMMIT")
    assert db.value("SELECT count(*) FROM analytics.list_agents(%s)", [workspace]) == 2


@pytest.mark.parametrize("missing", ["is_valid_run", "none"])
def test_what_a_role_needs_to_insert(db, make_role, missing):
    """INSERT on the table, EXECUTE on the function of its CHECK constraints, and to pass row security; nothing for
    the triggers. (Members get it from grant_access(); this is for a service that writes all workspaces.)"""
    writer = make_role("writer", "LOGIN BYPASSRLS")
    workspace = db.workspace()
    db.execute(
        sql.SQL("GRANT USAGE ON SCHEMA analytics TO {0}; GRANT INSERT ON analytics.agent_runs TO {0}").format(
            sql.Identifier(writer)
        )
    )
    if missing != "is_valid_run":
        db.execute(
            sql.SQL("GRANT EXECUTE ON FUNCTION analytics_internal.is_valid_run TO {0}").format(
                sql.Identifier(writer)
            )
        )
    insert = (
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (%s, gen_random_uuid(), %s)"
    )
    connection = db.connect(writer)
    if missing == "is_valid_run":
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is_valid_run"):
            connection.execute(insert, [workspace, "running"])
        return
    connection.execute(insert, [workspace, "running"])
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        connection.execute(insert, [workspace, "walking"])
    assert 'status "walking" is not allowed' in caught.value.diag.message_primary
    assert db.value("SELECT count(*) FROM analytics.agents WHERE discovered") == 1
