"""setup() under bad conditions: two at once, interrupted, without rights, in somebody else's schema."""

import threading

import psycopg
import pytest
from conftest import ROOT, wait_until
from psycopg import errors, sql

SETUP = "SELECT version, name, action FROM analytics.setup()"

# What a setup() makes; anything of it after a failure was left behind.
OURS = """
    SELECT 'relation', oid::regclass::text FROM pg_class
    WHERE relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
    UNION ALL
    SELECT 'trigger', tgname::text FROM pg_trigger WHERE oid >= 16384
    UNION ALL
    SELECT 'advisory lock', objid::text FROM pg_locks WHERE locktype = 'advisory'"""


def actions(steps) -> set[str]:
    return {action for _, _, action in steps}


def schema(database) -> str:
    return database.dump("--schema-only")


@pytest.fixture(scope="module")
def undisturbed(server) -> str:
    """The schema as an undisturbed setup() makes it."""
    database = server.create_database(template="installed")
    text = schema(database)
    server.drop_database(database)
    return text


@pytest.fixture
def extension_db(bare_db):
    bare_db.execute("CREATE EXTENSION shadower_analytics")
    return bare_db


# ------------------------------------------------------------------------------------------ two at once


@pytest.mark.parametrize("first_ends_with", ["COMMIT", "ROLLBACK"])
def test_second_setup_waits_for_the_first(extension_db, undisturbed, background, first_ends_with):
    db = extension_db
    first = db.connect()
    second = db.connect()
    first.execute("BEGIN")
    done_by_first = first.execute(SETUP).fetchall()
    assert "applied" in actions(done_by_first)

    waiting = background(lambda: second.execute(SETUP).fetchall())
    db.wait_until_blocked(second)
    first.execute(first_ends_with)
    done_by_second = waiting.result(60)
    if first_ends_with == "COMMIT":
        assert actions(done_by_second) == {"present", "replaced"}
    else:
        assert done_by_second == done_by_first
    assert schema(db) == undisturbed


def test_many_setups_at_once(extension_db, undisturbed, background):
    """No order imposed: whoever comes first does it all."""
    db = extension_db
    number = 4
    barrier = threading.Barrier(number)

    def call(connection):
        barrier.wait(60)
        return connection.execute(SETUP).fetchall()

    calls = [background(call, db.connect()) for _ in range(number)]
    reports = [each.result(60) for each in calls]
    assert len(reports) == number
    assert sum("applied" in actions(report) for report in reports) == 1
    assert len({tuple((version, name) for version, name, _ in report) for report in reports}) == 1
    # Numbers may have gaps.
    files = len(list((ROOT / "migrations").glob("*.sql")))
    assert db.value("SELECT count(*) FROM analytics_internal.schema_migrations") == files
    assert schema(db) == undisturbed


def test_setup_needs_read_committed(extension_db):
    db = extension_db
    with pytest.raises(errors.ActiveSqlTransaction) as caught:
        db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM analytics.setup()")
    assert "READ COMMITTED" in caught.value.diag.message_hint
    db.execute("ROLLBACK")


# ------------------------------------------------------------------------------------------ interrupted


def at_command(database, number: int, what: str) -> None:
    """From now on ``what`` (PL/pgSQL) happens after the number-th DDL command of a transaction."""
    database.execute(
        sql.SQL("""
        CREATE SCHEMA disturbance;
        CREATE FUNCTION disturbance.happen() RETURNS event_trigger LANGUAGE plpgsql AS $$
        DECLARE
            command integer := coalesce(nullif(current_setting('disturbance.command', true), ''), '0')::integer + 1;
        BEGIN
            PERFORM set_config('disturbance.command', command::text, true);
            IF command = {number} THEN {what}; END IF;
        END $$;
        CREATE EVENT TRIGGER disturbance ON ddl_command_end EXECUTE FUNCTION disturbance.happen()
        """).format(number=sql.Literal(number), what=sql.SQL(what))
    )


def undisturb(database) -> None:
    database.execute("DROP EVENT TRIGGER disturbance; DROP SCHEMA disturbance CASCADE")


def count_commands(database) -> int:
    """How many DDL commands a setup() runs; rolled back."""
    at_command(database, 0, "NULL")
    with database.connect(autocommit=False) as connection:
        connection.execute(SETUP)
        number = connection.execute("SELECT current_setting('disturbance.command')::integer").fetchone()[0]
        connection.rollback()
    undisturb(database)
    return number


def test_failure_in_the_middle_leaves_nothing(extension_db, undisturbed):
    db = extension_db
    before = db.rows(OURS)
    total = count_commands(db)
    assert db.rows(OURS) == before
    for number in [1, 2, total // 4, total // 2, total * 3 // 4, total]:
        at_command(db, number, "RAISE EXCEPTION 'disturbed'")
        with pytest.raises(errors.RaiseException, match="disturbed"):
            db.execute(SETUP)
        undisturb(db)
        assert db.rows(OURS) == before
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as caught:
        db.execute("SELECT analytics.ensure_partitions()")
    assert "analytics.setup()" in caught.value.diag.message_hint

    assert "applied" in actions(db.rows(SETUP))
    assert schema(db) == undisturbed


@pytest.mark.parametrize("ended_by", ["pg_terminate_backend", "pg_cancel_backend"])
def test_session_ended_in_the_middle_leaves_nothing(extension_db, undisturbed, background, ended_by):
    db = extension_db
    before = db.rows(OURS)
    at_command(db, count_commands(db) // 2, "PERFORM pg_sleep(300)")
    victim = db.connect()
    pid = victim.info.backend_pid
    running = background(victim.execute, SETUP)
    wait_until(
        lambda: db.value("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %s", [pid]),
        "setup() did not get to the middle",
    )
    assert db.rows(OURS) != before, "it holds its lock"
    assert db.value(sql.SQL("SELECT {}(%s)").format(sql.Identifier(ended_by)), [pid])
    with pytest.raises(errors.AdminShutdown if ended_by == "pg_terminate_backend" else errors.QueryCanceled):
        running.result(60)
    wait_until(lambda: db.rows(OURS) == before, "something was left behind", seconds=10)

    undisturb(db)
    assert "applied" in actions(db.rows(SETUP))
    assert schema(db) == undisturbed


def test_setup_repeated_changes_nothing(db):
    db.execute("SELECT * FROM analytics.generate_demo_data(1000)")
    before = db.dump()
    assert actions(db.rows(SETUP)) == {"present", "replaced"}
    assert db.dump() == before


# Takes back what the newest migration does.
UNDO_NEWEST = """
    DROP INDEX analytics.lifecycle_requests_agent_idx, analytics.agent_deployments_version_idx,
        analytics.agent_deployments_rollback_idx;
    ALTER TABLE analytics.lifecycle_approvals DROP COLUMN approval_id"""


def test_failed_upgrade_leaves_the_older_tables_working(db, undisturbed):
    """A database whose tables are one migration behind, as an upgraded library finds it."""
    newest = db.value("SELECT analytics.schema_version()")
    assert newest == 15, "undo what the newest migration makes"
    db.execute(UNDO_NEWEST)
    db.execute("DELETE FROM analytics_internal.schema_migrations WHERE version = %s", [newest])
    older = db.value("SELECT max(version) FROM analytics_internal.schema_migrations")
    before = db.dump()
    fresh = db.connect()
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as caught:
        fresh.execute("SELECT analytics.ensure_partitions()")
    assert f"version {older}" in str(caught.value)
    assert "analytics.setup()" in caught.value.diag.message_hint

    at_command(db, 3, "RAISE EXCEPTION 'disturbed'")
    with pytest.raises(errors.RaiseException, match="disturbed"):
        fresh.execute(SETUP)
    undisturb(db)
    assert db.dump() == before
    steps = fresh.execute(SETUP).fetchall()
    assert [version for version, _, action in steps if action == "applied"] == [newest]
    fresh.execute("SELECT analytics.ensure_partitions()")
    assert schema(db) == undisturbed


# ------------------------------------------------------------------------------------------ rights


# The role that made the tables owns them, the schema and the extension; what the script made is its superuser's.
OWNERS = """
    SELECT DISTINCT pg_get_userbyid(owner) FROM (
        SELECT relowner FROM pg_class WHERE relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
        UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'analytics'
        UNION ALL SELECT extowner FROM pg_extension WHERE extname = 'shadower_analytics'
    ) AS o (owner)"""
OWNERS_OF_CODE = """
    SELECT DISTINCT pg_get_userbyid(owner) FROM (
        SELECT proowner FROM pg_proc WHERE pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
        UNION ALL SELECT typowner FROM pg_type WHERE typnamespace = 'analytics'::regnamespace AND typtype = 'b' AND typelem = 0
        UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'analytics_internal'
    ) AS o (owner)"""


def owned_by(database, role: str):
    database.execute(
        sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database.name), sql.Identifier(role))
    )
    return database.connect(role)


def test_owner_of_the_database_needs_no_superuser(bare_db, make_role):
    owner = make_role("app", "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
    connection = owned_by(bare_db, owner)
    connection.execute("CREATE EXTENSION shadower_analytics")
    assert "applied" in actions(connection.execute(SETUP).fetchall())
    assert bare_db.rows(OWNERS) == [(owner,)]
    assert bare_db.rows(OWNERS_OF_CODE) == [("postgres",)]

    # And everything works with these rights, the move of rows out of the default partition included.
    ((workspace,),) = connection.execute(
        "INSERT INTO analytics.workspaces (name) VALUES ('acme') RETURNING workspace_id"
    ).fetchall()
    run = connection.execute(
        "SELECT analytics.start_run(%s, gen_random_uuid(), started_at => '2015-03-04 05:06+00')", [workspace]
    ).fetchone()[0]
    assert connection.execute("SELECT analytics.finish_run(%s, %s)", [workspace, run]).fetchone() == (True,)
    connection.execute(
        "SELECT analytics.record_error(%s, gen_random_uuid(), 'E', agent_run_id => %s)", [workspace, run]
    )
    moved = connection.execute("SELECT sum(moved_count) FROM analytics.ensure_partitions()").fetchone()
    assert moved == (1,)
    assert connection.execute(
        "SELECT count(*), sum(total_runs) FROM analytics.list_agents(%s, 'all')", [workspace]
    ).fetchone() == (2, 1)
    connection.execute("SELECT * FROM analytics.generate_demo_data(1000)")
    assert actions(connection.execute(SETUP).fetchall()) == {"present", "replaced"}
    assert bare_db.rows(OWNERS) == [(owner,)]


CALLS = {
    "setup": "SELECT * FROM analytics.setup()",
    "write": "INSERT INTO analytics.workspaces (name) VALUES ('mine')",
    "read": "SELECT * FROM analytics.agent_runs",
    "view": "SELECT * FROM analytics.agent_run_details",
    "list_agents": "SELECT * FROM analytics.list_agents(gen_random_uuid())",
    "start_run": "SELECT analytics.start_run(gen_random_uuid(), gen_random_uuid())",
    "ensure_partitions": "SELECT * FROM analytics.ensure_partitions()",
    "generate_demo_data": "SELECT * FROM analytics.generate_demo_data(1000)",
    "machinery": "SELECT * FROM analytics_internal.schema_migrations",
    "move_rows": "SELECT analytics_internal.move_rows(1, 1, now(), now())",
}


@pytest.mark.parametrize("usage", [False, True], ids=["stranger", "may-use-the-schemas"])
def test_role_without_rights_gets_nothing(db, make_role, usage):
    stranger = make_role("stranger")
    if usage:
        db.execute(
            sql.SQL("GRANT USAGE ON SCHEMA analytics, analytics_internal TO {}").format(
                sql.Identifier(stranger)
            )
        )
    connection = db.connect(stranger)
    refused = []
    for name, call in CALLS.items():
        try:
            connection.execute(call)
        except errors.InsufficientPrivilege:
            refused.append(name)
    assert refused == list(CALLS)


def test_setup_without_create_says_what_to_do(extension_db, make_role):
    db = extension_db
    role = make_role("deployer")
    db.execute(
        sql.SQL(
            "GRANT USAGE ON SCHEMA analytics, analytics_internal TO {0};"
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO {0}"
        ).format(sql.Identifier(role))
    )
    before = db.rows(OURS)
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        db.connect(role).execute(SETUP)
    assert caught.value.diag.message_primary == f'role {role} may not create tables in schema "analytics"'
    assert caught.value.diag.message_hint == "Run setup() as the role that created the extension."
    assert db.rows(OURS) == before
    assert "applied" in actions(db.rows(SETUP))


def test_setup_by_somebody_else_than_the_owner_of_the_tables(db, make_role):
    other = make_role("other")
    db.execute(
        sql.SQL(
            "GRANT USAGE, CREATE ON SCHEMA analytics, analytics_internal TO {0};"
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO {0}"
        ).format(sql.Identifier(other))
    )
    before = db.dump()
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        db.connect(other).execute(SETUP)
    assert caught.value.diag.message_primary == "the tables of shadower_analytics belong to role postgres"
    assert "postgres" in caught.value.diag.message_hint
    assert db.dump() == before


def test_grants_and_views_of_users_survive_setup(db, make_role):
    reader = make_role("reader", "LOGIN BYPASSRLS")
    db.execute(
        sql.SQL("""
        GRANT USAGE ON SCHEMA analytics TO {0};
        GRANT SELECT ON analytics.workspaces, analytics.agents, analytics.agent_runs TO {0};
        GRANT SELECT ON analytics.agent_run_details TO {0};
        CREATE VIEW public.mine AS SELECT status, count(*) FROM analytics.agent_run_details GROUP BY status;
        GRANT SELECT ON public.mine TO {0}
        """).format(sql.Identifier(reader))
    )
    db.execute("SELECT * FROM analytics.generate_demo_data(1000)")
    acl = "SELECT relacl::text FROM pg_class WHERE oid = 'analytics.agent_run_details'::regclass"
    before = db.value(acl)
    assert reader in before
    assert ("views of agents", "replaced") in [(name, action) for _, name, action in db.rows(SETUP)]
    assert db.value(acl) == before
    reading = db.connect(reader)
    assert reading.execute("SELECT count(*) FROM analytics.agent_run_details").fetchone() == (1000,)
    assert reading.execute("SELECT sum(count) FROM public.mine").fetchone() == (1000,)


# ------------------------------------------------------------------------------------------ schemas of others


@pytest.mark.parametrize("name", ["analytics", "analytics_internal"])
def test_schema_that_somebody_else_owns(bare_db, make_role, name):
    stranger, owner = make_role("stranger"), make_role("app")
    connection = owned_by(bare_db, owner)
    bare_db.execute(
        sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(name), sql.Identifier(stranger))
    )
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("CREATE EXTENSION shadower_analytics")
    if name == "analytics":
        assert isinstance(caught.value, errors.InsufficientPrivilege)
        assert f'belongs to role "{stranger}"' in caught.value.diag.message_primary
        assert "rename that schema" in caught.value.diag.message_hint
    assert bare_db.rows("SELECT FROM pg_extension WHERE extname = 'shadower_analytics'") == []
    assert bare_db.rows("SELECT FROM pg_proc WHERE oid >= 16384") == []
    assert bare_db.rows("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'analytics%'") == [(name,)]

    # What the hint says.
    bare_db.execute(sql.SQL("ALTER SCHEMA {} RENAME TO old_one").format(sql.Identifier(name)))
    connection.execute("CREATE EXTENSION shadower_analytics")
    assert "applied" in actions(connection.execute(SETUP).fetchall())


@pytest.mark.parametrize("grantee", ["PUBLIC", "stranger"])
def test_schema_that_somebody_else_may_create_in(bare_db, make_role, grantee):
    owner = make_role("app")
    if grantee != "PUBLIC":
        grantee = make_role(grantee)
    connection = owned_by(bare_db, owner)
    connection.execute("CREATE SCHEMA analytics")
    connection.execute(f"GRANT CREATE ON SCHEMA analytics TO {grantee}")
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        connection.execute("CREATE EXTENSION shadower_analytics")
    assert grantee in caught.value.diag.message_primary
    assert bare_db.rows("SELECT FROM pg_extension WHERE extname = 'shadower_analytics'") == []
    hint = caught.value.diag.message_hint
    connection.execute(hint[hint.index("REVOKE") : hint.index(" and try")])
    connection.execute("CREATE EXTENSION shadower_analytics")
    assert "applied" in actions(connection.execute(SETUP).fetchall())
