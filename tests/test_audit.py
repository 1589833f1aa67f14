"""The audit log: what is in it, who reads it, and that nothing leaves it but by retention."""

import json
import re

import psycopg
import pytest

A = "aaaaaaaa-0000-4000-8000-000000000000"
B = "bbbbbbbb-0000-4000-8000-000000000000"


@pytest.fixture
def logged(db):
    db.execute("INSERT INTO analytics.workspaces (workspace_id, name) VALUES (%s, 'A'), (%s, 'B')", [A, B])
    return db


def entries(db) -> list[tuple]:
    return db.rows(
        "SELECT action, outcome, workspace_id::text, target, database_role, detail FROM analytics.audit_log"
        " ORDER BY occurred_at"
    )


def test_changes_of_access(logged, make_role):
    boss, reader = make_role("boss"), make_role("reader")
    logged.execute("SELECT analytics.grant_access(%s, %s, 'owner')", [boss, A])
    with logged.connect(boss) as connection:
        connection.execute("SELECT analytics.grant_access(%s, %s)", [reader, A])
        connection.execute("SELECT analytics.revoke_access(%s, %s)", [reader, A])
    level = {"user_id": None}
    assert entries(logged) == [
        ("grant_access", "success", A, boss, "postgres", level | {"level": "owner"}),
        ("grant_access", "success", A, reader, boss, level | {"level": "viewer"}),
        ("revoke_access", "success", A, reader, boss, level | {"level": None}),
    ]


def test_settings(logged, make_role):
    role = make_role("app")
    logged.execute("SELECT analytics.set_token_key('k')")
    logged.execute("SELECT analytics.drop_token_key('k')")
    logged.execute("SELECT analytics.allow_tokens(%s)", [role])
    logged.execute("SELECT analytics.trust_gateway(%s)", [role])
    logged.execute("SELECT analytics.trust_gateway(%s, trusted => false)", [role])
    logged.execute("SELECT analytics.set_role_limits(%s)", [role])
    assert [(entry[0], entry[3]) for entry in entries(logged)] == [
        ("set_token_key", "k"),
        ("drop_token_key", "k"),
        ("allow_tokens", role),
        ("trust_gateway", role),
        ("trust_gateway", role),
        ("set_role_limits", role),
    ]


def test_what_is_rolled_back_did_not_happen(logged, make_role):
    with logged.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT analytics.grant_access(%s, %s)", [make_role("reader"), A])
    assert entries(logged) == []


def test_refusals_are_lines_of_the_log(logged, make_role):
    """An error rolls a row back, but not a line."""
    reader = make_role("reader")
    logged.execute("SELECT analytics.grant_access(%s, %s)", [reader, A])
    logged.execute("GRANT EXECUTE ON FUNCTION analytics.access_report TO PUBLIC")
    heard: list = []
    with logged.connect(reader) as connection:
        connection.add_notice_handler(heard.append)
        connection.execute("SET client_min_messages = debug5")
        heard.clear()
        for call, workspace, level in (("access_report", A, "admin"), ("list_agents", B, "viewer")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM analytics.{call}(%s)", [workspace])
            lines = re.findall(r"shadower_analytics audit: (\{.*\})", logged.server.log())
            said = json.loads(lines[-1])
            assert (said["action"], said["outcome"], said["workspace_id"]) == ("access", "refused", workspace)
            assert (said["database_role"], said["detail"]) == (reader, {"level": level})
    assert not any("shadower_analytics audit" in str(notice.message_primary) for notice in heard)
    assert [entry[0] for entry in entries(logged)] == ["grant_access"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE analytics.audit_log SET action = 'x'",
        "UPDATE analytics.audit_log SET action = 'x' WHERE false",
        "DELETE FROM analytics.audit_log",
        "TRUNCATE analytics.audit_log",
        "TRUNCATE analytics.workspaces, analytics.audit_log CASCADE",
        "SET session_replication_role = replica; DELETE FROM analytics.audit_log",
        "MERGE INTO analytics.audit_log AS a USING (SELECT 1) AS s ON true WHEN MATCHED THEN DELETE",
        "WITH x AS (DELETE FROM analytics.audit_log RETURNING 1) SELECT * FROM x",
    ],
)
def test_append_only(logged, make_role, statement):
    """Also for the owner, who is a superuser here."""
    logged.execute("SELECT analytics.grant_access(%s, %s)", [make_role("reader"), A])
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        logged.execute(statement)
    assert len(entries(logged)) == 1


def test_entries_outlive_their_workspace(logged, make_role):
    logged.execute("SELECT analytics.grant_access(%s, %s)", [make_role("reader"), A])
    logged.execute("DELETE FROM analytics.workspaces")
    assert [entry[2] for entry in entries(logged)] == [A]


def test_cleanup(logged):
    logged.execute(
        "INSERT INTO analytics.audit_log (action, outcome, database_role, session_role, occurred_at)"
        " SELECT 'x', 'success', 'y', 'y', now() - i * interval '1 day' FROM generate_series(1, 10) AS i"
    )
    for keep in ("23 hours", "-1 day", "0", None):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            logged.execute("SELECT analytics.cleanup_audit_log(%s)", [keep])
    assert logged.value("SELECT analytics.cleanup_audit_log()") == 0
    assert logged.value("SELECT analytics.cleanup_audit_log('5.5 days')") == 5
    kept = entries(logged)
    assert [entry[0] for entry in kept] == ["x"] * 5 + ["cleanup_audit_log"] * 2
    assert kept[-1][5] == {"removed": 5}
    # The permission ends with the call, also with one that failed.
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        logged.execute("DELETE FROM analytics.audit_log")
    logged.execute("ALTER TABLE analytics.audit_log ADD COLUMN note text")
    logged.execute(
        "CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''stop''; END';"
        " CREATE TRIGGER stop BEFORE DELETE ON analytics.audit_log FOR EACH ROW EXECUTE FUNCTION public.stop()"
    )
    with pytest.raises(psycopg.errors.RaiseException):
        logged.execute("SELECT analytics.cleanup_audit_log('2 days')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        logged.execute("DELETE FROM analytics.audit_log")


def test_who_reads_it(logged, make_role):
    """Admins of a workspace what happened there; the owner of the tables everything; nobody writes."""
    roles = {level: make_role(level) for level in ("viewer", "member", "admin", "owner")}
    for level, role in roles.items():
        logged.execute("SELECT analytics.grant_access(%s, %s, %s)", [role, A, level])
        logged.execute("SELECT analytics.grant_access(%s, %s)", [role, B])
    logged.execute("SELECT analytics.set_token_key('k')")
    assert len(entries(logged)) == 9
    for level, role in roles.items():
        with logged.connect(role) as connection:
            query = "SELECT DISTINCT workspace_id::text FROM analytics.audit_log"
            if level in ("admin", "owner"):
                assert connection.execute(query).fetchall() == [(A,)]
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(query)
            for statement in (
                "INSERT INTO analytics.audit_log (action, outcome, database_role, session_role)"
                " VALUES ('x', 'success', 'y', 'y')",
                "DELETE FROM analytics.audit_log",
                "UPDATE analytics.audit_log SET action = 'x'",
                "TRUNCATE analytics.audit_log",
                "SELECT analytics.cleanup_audit_log()",
                "SELECT analytics_internal.record_audit('x')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
