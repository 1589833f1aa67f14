"""Tokens: what verifies, what is refused, and when an identity ends. Tokens are made by PyJWT, which shares no code with
what is tested."""

import base64
import hashlib
import hmac
import json
import re
import time
import uuid
from dataclasses import dataclass

import jwt
import psycopg
import pytest
from conftest import Database
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from psycopg import sql

A = "aaaaaaaa-0000-4000-8000-000000000000"
B = "bbbbbbbb-0000-4000-8000-000000000000"
ANN = "cccccccc-0000-4000-8000-000000000001"
SECRET = "correct horse battery staple, and 64 bytes, which HS512 would take, too"
INVALID = "28000"
PARAMETER = "22023"
REFUSED = "42501"

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def public(key) -> str:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form).decode()


def claims(**changes) -> dict:
    """The claims of the product; None takes one away."""
    now = int(time.time())
    all_claims = {
        "sub": ANN,
        "email": "ann@example.com",
        "workspaceId": A,
        "workspaces": [A],
        "role": "member",
        "iat": now,
        "exp": now + 300,
        "jti": str(uuid.uuid4()),
        "iss": "them",
        "aud": "analytics",
    }
    return {name: value for name, value in (all_claims | changes).items() if value is not None}


def token(key=SECRET, algorithm="HS256", headers=None, **changes) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def by_hand(header: dict, body: dict, secret: bytes | None) -> str:
    """A token whose parts agree with nothing but the caller's wishes."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(body).encode())}"
    signature = hmac.digest(secret, signed.encode(), hashlib.sha256) if secret is not None else b""
    return f"{signed}.{b64(signature)}"


@dataclass
class App:
    """An application's database: two workspaces, keys of all kinds, and the role that the application uses."""

    db: Database
    role: str

    def connect(self, **kwargs) -> psycopg.Connection:
        return self.db.connect(self.role, **kwargs)

    def entries(self, action: str) -> list[tuple]:
        return self.db.rows(
            "SELECT outcome, workspace_id::text, user_id::text, detail FROM analytics.audit_log"
            " WHERE action = %s ORDER BY occurred_at, workspace_id",
            [action],
        )


@pytest.fixture
def app(db, make_role) -> App:
    db.execute("INSERT INTO analytics.workspaces (workspace_id, name) VALUES (%s, 'A'), (%s, 'B')", [A, B])
    for name, algorithm, kind, key in (
        ("shared", "HS256", "secret", SECRET),
        ("rsa", "RS256", "public_key", public(RSA)),
        ("ec", "ES256", "public_key", public(EC)),
    ):
        db.execute(
            f"SELECT analytics.set_token_key(%s, %s, {kind} => %s, issuer => 'them', audience => 'analytics')",
            [name, algorithm, key],
        )
    role = make_role("app")
    db.execute("SELECT analytics.allow_tokens(%s, 'owner')", [role])
    return App(db, role)


def seen(connection: psycopg.Connection) -> str:
    rows = connection.execute("SELECT name FROM analytics.workspaces ORDER BY name").fetchall()
    return "".join(name for (name,) in rows)


def enter(connection: psycopg.Connection, text, scope: str = "transaction"):
    return connection.execute("SELECT * FROM analytics.authenticate(%s, %s)", [text, scope]).fetchone()


def refusal(connection: psycopg.Connection, text, scope: str = "transaction") -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught, connection.transaction():
        enter(connection, text, scope)
    return caught.value


def reasons(app: App) -> list[str]:
    """Why tokens were refused, from the server's log."""
    lines = re.findall(r"shadower_analytics audit: (\{.*\})", app.db.server.log())
    found = [json.loads(line) for line in lines]
    return [line["detail"]["reason"] for line in found if line["database_role"] == app.role]


# ----------------------------------------------------------------------------------------------------------------------
# What is accepted
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "algorithm"), [(SECRET, "HS256"), (RSA, "RS256"), (EC, "ES256")])
def test_each_algorithm(app, key, algorithm):
    with app.connect(autocommit=False) as connection:
        assert seen(connection) == ""
        end = int(time.time()) + 60
        user, workspaces, level, expires_at = enter(connection, token(key, algorithm, exp=end))
        assert (str(user), [str(w) for w in workspaces], level) == (ANN, [A], "member")
        assert expires_at.timestamp() == end
        assert seen(connection) == "A"
        who = "SELECT analytics.current_user_id()::text, analytics.current_workspace_ids()::text[], analytics.current_permissions()"
        assert connection.execute(who).fetchone() == (ANN, [A], ["view_analytics", "export", "write_runs"])


def test_jwks(app):
    keys = [
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_RSA.public_key())) | {"kid": "r1", "use": "sig"},
        json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key())) | {"kid": "e1"},
    ]
    app.db.execute(
        "SELECT analytics.set_token_key('provider', 'JWKS', jwks => %s, issuer => 'provider', audience => 'analytics')",
        [json.dumps({"keys": keys})],
    )
    ours = {"iss": "provider"}
    with app.connect() as connection:
        assert enter(connection, token(OTHER_RSA, "RS256", {"kid": "r1"}, **ours))
        assert enter(connection, token(EC, "ES256", {"kid": "e1"}, **ours))
        for forged in (
            token(RSA, "RS256", {"kid": "r1"}, **ours),
            token(OTHER_RSA, "RS256", {"kid": "e1"}, **ours),
            token(OTHER_RSA, "RS256", {"kid": "r2"}, **ours),
            token(OTHER_RSA, "RS256", {"kid": "r1"}),
        ):
            assert refusal(connection, forged).sqlstate == INVALID
    assert app.db.value("SELECT analytics.drop_token_key('provider')")
    assert not app.db.value("SELECT analytics.drop_token_key('provider')")
    with app.connect() as connection:
        refused = token(OTHER_RSA, "RS256", {"kid": "r1"}, **ours)
        assert refusal(connection, refused).sqlstate == INVALID


def test_level_decides(app):
    write = f"SELECT analytics.start_run('{A}', gen_random_uuid()) IS NOT NULL"
    with app.connect() as connection:
        for level, may in (("viewer", False), ("member", True), ("owner", True)):
            enter(connection, token(role=level), "session")
            if may:
                assert connection.execute(write).fetchone() == (True,)
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(write)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT analytics.start_run('{B}', gen_random_uuid())")


def test_the_role_is_the_most_that_a_token_gives(app, make_role):
    reader = make_role("reader")
    app.db.execute("SELECT analytics.allow_tokens(%s)", [reader])
    with app.db.connect(reader) as connection:
        enter(connection, token(role="owner"), "session")
        assert seen(connection) == "A"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT analytics.start_run('{A}', gen_random_uuid())")
    app.db.execute("SELECT analytics.allow_tokens(%s, NULL)", [reader])
    with app.db.connect(reader) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        enter(connection, token())


def test_permissions_narrow(app):
    viewer, member = ["view_analytics"], ["view_analytics", "export", "write_runs"]
    with app.connect() as connection:
        for role, permissions, expected in (
            ("admin", member, ("member", member)),
            ("admin", [*viewer, "export", "manage_members", "fly"], ("viewer", [*viewer, "export"])),
            ("viewer", [*member, "manage_members"], ("viewer", viewer)),
        ):
            _, _, level, _ = enter(connection, token(role=role, permissions=permissions), "session")
            found = connection.execute("SELECT analytics.current_permissions()").fetchone()[0]
            assert (level, found) == expected
        for nothing in ([], ["fly"], ["export"]):
            assert refusal(connection, token(permissions=nothing)).sqlstate == INVALID


def test_an_identity_replaces_the_rights_of_the_role(app):
    """A role with access of its own sees no more than the token says while there is one."""
    app.db.execute("SELECT analytics.grant_access(%s, %s, 'owner')", [app.role, B])
    with app.connect() as connection:
        assert seen(connection) == "B"
        with connection.transaction():
            enter(connection, token(role="viewer"))
            assert seen(connection) == "A"
        assert seen(connection) == "B"


def test_who_has_no_token(app):
    with app.connect() as connection:
        who = "SELECT analytics.current_user_id(), analytics.current_workspace_ids(), analytics.current_permissions()"
        assert connection.execute(who).fetchone() == (None, [], [])
    app.db.execute("SELECT analytics.grant_access(%s, %s, 'member')", [app.role, A])
    app.db.execute("SELECT analytics.grant_access(%s, %s, 'viewer')", [app.role, B])
    with app.connect() as connection:
        _, workspaces, permissions = connection.execute(who).fetchone()
        assert ([str(w) for w in workspaces], permissions) == ([A, B], ["view_analytics"])
    assert app.db.value("SELECT 'manage_members' = ANY (analytics.current_permissions())")


# ----------------------------------------------------------------------------------------------------------------------
# Forgery
# ----------------------------------------------------------------------------------------------------------------------


def forgeries() -> dict[str, tuple[str, str]]:
    """Token, and the reason that the log gives."""
    now = int(time.time())
    honest = token()
    head, body, signature = honest.split(".")
    public_bytes = public(RSA).encode()
    hs = {"alg": "HS256", "typ": "JWT"}
    return {
        "expired": (token(exp=now - 60), "expired"),
        "future": (token(nbf=now + 120), "not_yet_valid"),
        "issued in future": (token(iat=now + 120), "not_yet_valid"),
        "wrong secret": (token(SECRET + "!"), "wrong_signature"),
        "wrong rsa key": (token(OTHER_RSA, "RS256"), "wrong_signature"),
        "hs512": (token(SECRET, "HS512"), "wrong_algorithm"),
        "hs384 with our secret": (token(SECRET, "HS384"), "wrong_algorithm"),
        "ps256 with our rsa key": (token(RSA, "PS256"), "wrong_algorithm"),
        "none": (jwt.encode(claims(), None, algorithm="none"), "malformed"),
        "none with signature": (by_hand({"alg": "none"}, claims(), SECRET.encode()), "malformed"),
        "nOnE": (by_hand({"alg": "nOnE"}, claims(), None), "malformed"),
        "no alg": (by_hand({"typ": "JWT"}, claims(), SECRET.encode()), "malformed"),
        "rsa key as secret": (by_hand(hs, claims(), public_bytes), "wrong_signature"),
        "rsa key as secret, stripped": (by_hand(hs, claims(), public_bytes.strip()), "wrong_signature"),
        "hmac called RS256": (by_hand({"alg": "RS256"}, claims(), SECRET.encode()), "wrong_signature"),
        "crit": (by_hand(hs | {"crit": ["exp"]}, claims(), SECRET.encode()), "unsupported_header"),
        "key in the header": (
            token(
                OTHER_RSA,
                "RS256",
                {"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_RSA.public_key()))},
            ),
            "wrong_signature",
        ),
        "key elsewhere": (token(OTHER_RSA, "RS256", {"jku": "https://evil.example/keys"}), "wrong_signature"),
        "other claims": (
            f"{head}.{b64(json.dumps(claims(role='owner')).encode())}.{signature}",
            "wrong_signature",
        ),
        "truncated": (honest[:-1], "wrong_signature"),
        "truncated claims": (f"{head}.{body[:-4]}.{signature}", "wrong_signature"),
        "no signature": (f"{head}.{body}.", "malformed"),
        "two parts": (f"{head}.{body}", "malformed"),
        "four parts": (f"{honest}.{signature}", "malformed"),
        "oversized": (token(email="x" * 9000), "too_long"),
        "megabytes": ("x" * 5_000_000, "too_long"),
        "empty": ("", "malformed"),
        "garbage": ("'; DROP TABLE analytics.workspaces; --", "malformed"),
        "not ascii": ("ünï.cödé.ẗöken", "malformed"),
        "white space": (f" {honest}", "malformed"),
        "line": (f"{honest}\n", "malformed"),
        "wrong issuer": (token(iss="us"), "wrong_issuer"),
        "no issuer": (token(iss=None), "wrong_issuer"),
        "wrong audience": (token(aud="billing"), "wrong_audience"),
        "no audience": (token(aud=None), "wrong_audience"),
        "no exp": (token(exp=None), "invalid_claims"),
        "text as exp": (by_hand(hs, claims() | {"exp": "9999999999"}, SECRET.encode()), "invalid_claims"),
        "no sub": (token(sub=None), "invalid_claims"),
        "sub is no user": (token(sub="' OR 1=1 --"), "invalid_claims"),
        "no role": (token(role=None), "invalid_claims"),
        "god": (token(role="god"), "invalid_claims"),
        "all workspaces": (token(workspaces="*"), "invalid_claims"),
        "pattern": (token(workspaces=["%"]), "invalid_claims"),
        "no workspaces": (token(workspaces=None, workspaceId=None), "no_workspace"),
        "claims twice": (_twice(), "invalid_claims"),
    }


def _twice() -> str:
    body = json.dumps(claims()).replace("{", '{"role": "owner", ', 1)
    signed = f"{b64(json.dumps({'alg': 'HS256'}).encode())}.{b64(body.encode())}"
    return f"{signed}.{b64(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"


def test_forgeries(app):
    """Each is refused in the same way, shows nothing, and is in the log with its reason and without the token."""
    before = {}
    with app.connect() as connection:
        assert enter(connection, token(), "session")
        for name, (text, reason) in forgeries().items():
            assert enter(connection, token(), "session")
            error = refusal(connection, text, "session")
            assert error.sqlstate == INVALID, name
            assert seen(connection) == "", f"{name}: who was there before is still there"
            before.setdefault(reason, []).append(error.diag.message_primary)
            assert reasons(app)[-1] == reason, name
    # What comes before the signature is one thing to the forger.
    unsigned = {
        message
        for reason in ("malformed", "too_long", "wrong_signature", "wrong_algorithm", "unsupported_header")
        for message in before[reason]
    }
    assert len(unsigned) == 1
    assert "expired" in before["expired"][0]
    log = app.db.server.log()
    assert "eyJ" not in log
    assert SECRET not in log


def test_refusals_as_rows(app):
    with app.connect() as connection:
        for name, (text, reason) in forgeries().items():
            assert connection.execute(
                "SELECT (analytics.try_authenticate(%s, 'session')).status", [token()]
            ).fetchone() == ("accepted",)
            row = connection.execute(
                "SELECT * FROM analytics.try_authenticate(%s, 'session')", [text]
            ).fetchone()
            assert row[1:] == (None, None, None, None), name
            authentic = reason in (
                "expired",
                "not_yet_valid",
                "wrong_issuer",
                "wrong_audience",
                "invalid_claims",
                "no_workspace",
            )
            assert row[0] == (reason if authentic else "not_trusted"), name
            assert seen(connection) == "", name
    refused = [entry for entry in app.entries("authenticate") if entry[0] == "refused"]
    assert [entry[3]["reason"] for entry in refused] == [reason for _, reason in forgeries().values()]
    assert all(entry[1:3] == (None, None) for entry in refused)


def test_wrong_arguments(app):
    with app.connect() as connection:
        assert refusal(connection, None).sqlstate == PARAMETER
        for scope in ("forever", None, ""):
            enter(connection, token(), "session")
            assert refusal(connection, token(), scope).sqlstate == PARAMETER
            assert seen(connection) == ""


def test_nothing_can_be_set(app):
    """No setting makes an identity, and the one there is cannot be set by those who would like to."""
    with app.connect() as connection:
        assert seen(connection) == ""
        for name in ("analytics.user_id", "analytics.workspace_ids", "analytics.identity", "analytics.jwt"):
            with pytest.raises(psycopg.errors.InvalidName):
                connection.execute(f"SET {name} = '{A}'")
        for statement in (
            "SET analytics.session_mark = '1'",
            "SET LOCAL analytics.session_mark = '1'",
            "SELECT set_config('analytics.session_mark', '1', false)",
            "RESET analytics.session_mark",
        ):
            enter(connection, token(), "session")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        claim = json.dumps(claims(workspaces=[B]))
        connection.execute("SELECT set_config('request.jwt.claims', %s, false)", [claim])
        assert seen(connection) == "A"
    # Before the library is there, a setting of that name is nobody's.
    options = f"-c analytics.session_mark=1 -c analytics.user_id={A}"
    with app.db.connect(app.role, options=options) as connection:
        assert seen(connection) == ""
    # A superuser may set the mark, and has no identity from it.
    with app.db.connect() as connection:
        connection.execute("SET analytics.session_mark = '1'")
        assert connection.execute("SELECT analytics.current_user_id()").fetchone() == (None,)


def test_search_path_of_an_attacker(app):
    """Nothing that the caller puts before pg_catalog runs as the owner of the tables, or changes the answer."""
    schema = sql.Identifier("evil")
    app.db.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(schema, sql.Identifier(app.role)))
    with app.connect() as connection:
        connection.execute("""
            CREATE FUNCTION evil.spring() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                IF current_user <> session_user THEN RAISE EXCEPTION 'ran as %', current_user; END IF;
                RETURN true; END $$;
            CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT evil.spring()';
            CREATE FUNCTION evil.eq(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT evil.spring()';
            CREATE FUNCTION evil.ge(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT evil.spring()';
            CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT evil.spring(); SELECT pg_catalog.now()';
            CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
            CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil.eq);
            CREATE OPERATOR evil.>= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.ge);
            CREATE TABLE evil.token_keys (name text);
            CREATE TABLE evil.revoked_tokens (issuer text);
            SET search_path = evil, pg_catalog""")
        assert connection.execute("SELECT 'a'::text = 'b'::text").fetchone() == (True,)  # the trap is set
        assert enter(connection, token(), "session")[2] == "member"
        connection.execute("SELECT analytics.logout()")
        assert refusal(connection, token(SECRET + "!")).sqlstate == INVALID
        for query in (
            "SELECT status FROM analytics.refresh_token('x')",
            "SELECT status FROM analytics.try_authenticate('x')",
            "SELECT analytics.current_permissions()",
        ):
            connection.execute(query)


# ----------------------------------------------------------------------------------------------------------------------
# When an identity ends
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "PREPARE TRANSACTION 'p'"])
def test_with_its_transaction(app, end):
    with app.connect() as connection:
        connection.execute("BEGIN")
        enter(connection, token())
        assert seen(connection) == "A"
        connection.execute(end)
        assert seen(connection) == ""
        if "PREPARE" in end:
            connection.execute("ROLLBACK PREPARED 'p'")
        # Without BEGIN a statement is a transaction.
        enter(connection, token())
        assert seen(connection) == ""


def test_with_the_statement_that_fails(app):
    with app.connect() as connection:
        enter(connection, token(workspaceId=None, workspaces=[B]), "session")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute(
                "SELECT 1 / (count(*) - 1) FROM analytics.authenticate(%s, 'session')", [token()]
            )
        assert seen(connection) == "B"


@pytest.mark.parametrize("scope", ["transaction", "session"])
def test_savepoints(app, scope):
    with app.connect() as connection:
        connection.execute("BEGIN; SAVEPOINT one")
        enter(connection, token(), scope)
        connection.execute("SAVEPOINT two")
        enter(connection, token(workspaceId=B, workspaces=[B]), scope)
        assert seen(connection) == "B"
        connection.execute("ROLLBACK TO two")
        assert seen(connection) == "A"
        enter(connection, token(workspaceId=B, workspaces=[B]), scope)
        connection.execute("SAVEPOINT three; RELEASE three; RELEASE two")
        assert seen(connection) == "B"
        connection.execute("ROLLBACK TO one")
        assert seen(connection) == ""
        connection.execute("SAVEPOINT four; SAVEPOINT five")
        enter(connection, token(), scope)
        connection.execute("RELEASE four")
        assert seen(connection) == "A"
        connection.execute("COMMIT")
        assert seen(connection) == ("A" if scope == "session" else "")


def test_exception_blocks(app):
    with app.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(
            sql.SQL("""DO $$ BEGIN
                PERFORM analytics.authenticate({});
                RAISE EXCEPTION 'no';
            EXCEPTION WHEN raise_exception THEN NULL; END $$""").format(sql.Literal(token()))
        )
        assert seen(connection) == ""
        connection.execute(
            sql.SQL(
                "DO $$ BEGIN BEGIN PERFORM analytics.authenticate({}); EXCEPTION WHEN raise_exception THEN NULL; END; END $$"
            ).format(sql.Literal(token()))
        )
        assert seen(connection) == "A"
        connection.execute("COMMIT")


def test_a_transaction_covers_the_session(app):
    with app.connect() as connection:
        enter(connection, token(), "session")
        with connection.transaction():
            enter(connection, token(workspaceId=B, workspaces=[B]))
            assert seen(connection) == "B"
        assert seen(connection) == "A"
        with connection.transaction(force_rollback=True):
            enter(connection, token(workspaceId=B, workspaces=[B]), "session")
        assert seen(connection) == "A"


@pytest.mark.parametrize("statement", ["DISCARD ALL", "RESET ALL", "RESET SESSION AUTHORIZATION; RESET ALL"])
def test_what_poolers_send(app, statement):
    with app.connect() as connection:
        enter(connection, token(), "session")
        assert seen(connection) == "A"
        connection.execute(statement)
        assert seen(connection) == ""
        assert connection.execute("SELECT analytics.current_user_id()").fetchone() == (None,)
        enter(connection, token(workspaceId=B, workspaces=[B]), "session")
        assert seen(connection) == "B"


def test_a_reset_that_is_taken_back(app):
    with app.connect() as connection:
        enter(connection, token(), "session")
        connection.execute("BEGIN; RESET ALL")
        assert seen(connection) == ""
        connection.execute("ROLLBACK")
        assert seen(connection) == "A"


@pytest.fixture
def two_roles(app, make_role) -> tuple[App, str]:
    """The application may also become somebody else, who has the privileges, too."""
    other = make_role("other", "NOLOGIN")
    app.db.execute("SELECT analytics.allow_tokens(%s, 'owner')", [other])
    app.db.execute(f"GRANT {other} TO {app.role}")
    return app, other


@pytest.mark.parametrize(
    "change",
    [
        "SET ROLE {other}",
        "SET ROLE {other}; RESET ROLE",
        "BEGIN; SET LOCAL ROLE {other}; COMMIT",
        "BEGIN; SET ROLE {other}; SET ROLE {app}; COMMIT",
        "SELECT set_config('role', '{other}', false); SELECT set_config('role', '{app}', false)",
        "BEGIN; SELECT set_config('role', '{other}', true); SELECT set_config('role', '{app}', true); COMMIT",
        "SET ROLE {app}; SET ROLE {other}; SET ROLE {app}",
    ],
)
def test_change_of_role(two_roles, change):
    app, other = two_roles
    with app.connect() as connection:
        enter(connection, token(), "session")
        connection.execute(change.format(other=other, app=app.role))
        assert seen(connection) == ""
        # Nor does it come back.
        connection.execute(f"SET ROLE {app.role}")
        assert seen(connection) == ""


def test_a_gateway_that_changes_its_role_for_each_request(two_roles):
    """SET LOCAL ROLE before, and after the next BEGIN again: another person may be behind it."""
    app, other = two_roles
    with app.connect() as connection:
        for _ in range(2):
            connection.execute(f"BEGIN; SET LOCAL ROLE {other}")
            assert seen(connection) == ""
            enter(connection, token(), "session")
            assert seen(connection) == "A"
            connection.execute("COMMIT")


def test_change_of_session_authorization(app, make_role):
    other = make_role("other")
    app.db.execute("SELECT analytics.allow_tokens(%s, 'owner')", [other])
    with app.db.connect() as connection:
        connection.execute(f"SET SESSION AUTHORIZATION {app.role}")
        enter(connection, token(), "session")
        assert seen(connection) == "A"
        connection.execute(f"SET SESSION AUTHORIZATION {other}")
        assert seen(connection) == ""
        connection.execute("RESET SESSION AUTHORIZATION")
        connection.execute(f"SET SESSION AUTHORIZATION {app.role}")
        assert seen(connection) == ""


def test_security_definer(app, make_role):
    """A function of somebody else acts for its owner, in whose name the token says nothing; a wrapper authenticates its
    caller."""
    helper = make_role("helper")
    app.db.execute("SELECT analytics.grant_access(%s, %s)", [helper, B])
    app.db.execute(f"""
        CREATE SCHEMA apps; GRANT USAGE ON SCHEMA apps TO {app.role};
        CREATE FUNCTION apps.seen() RETURNS text LANGUAGE sql SECURITY DEFINER
            AS 'SELECT string_agg(name, '''') FROM analytics.workspaces';
        CREATE FUNCTION apps.enter(token text, scope text DEFAULT 'session') RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            AS 'SELECT access_level FROM analytics.authenticate(token, scope)';
        ALTER FUNCTION apps.seen() OWNER TO {helper}; ALTER FUNCTION apps.enter(text, text) OWNER TO {helper}""")
    with app.connect() as connection:
        connection.execute("SELECT apps.enter(%s)", [token()])
        assert seen(connection) == "A"
        assert connection.execute("SELECT apps.seen()").fetchone() == ("B",)
        assert seen(connection) == "A"
        connection.execute("DISCARD ALL")
        with connection.transaction():
            connection.execute("SELECT apps.enter(%s, 'transaction')", [token()])
            assert seen(connection) == "A"
        assert seen(connection) == ""


def test_expiry_is_an_error(app):
    """The rights of the role may be wider than those of the token, so that they do not take its place unnoticed."""
    app.db.execute("SELECT analytics.grant_access(%s, %s)", [app.role, B])
    with app.connect() as connection:
        enter(connection, token(exp=int(time.time()) - 28), "session")
        assert seen(connection) == "A"
        time.sleep(2.5)
        for query in ("SELECT * FROM analytics.workspaces", "SELECT analytics.current_user_id()"):
            with pytest.raises(psycopg.errors.InvalidAuthorizationSpecification, match="has expired"):
                connection.execute(query)
        enter(connection, token(), "session")
        assert seen(connection) == "A"


def test_sessions_do_not_share(app):
    with app.connect() as one, app.connect() as two:
        enter(one, token(), "session")
        assert (seen(one), seen(two)) == ("A", "")
        enter(two, token(workspaceId=B, workspaces=[B]), "session")
        assert (seen(one), seen(two)) == ("A", "B")


def test_prepared_statements_follow_the_identity(app):
    with app.connect() as connection:
        for _ in range(4):
            for workspace, name in ((A, "A"), (B, "B")):
                with connection.transaction():
                    enter(connection, token(workspaceId=workspace, workspaces=[workspace]))
                    rows = connection.execute(
                        "SELECT name FROM analytics.workspaces", prepare=True
                    ).fetchall()
                    assert rows == [(name,)]


def force_parallel(connection: psycopg.Connection) -> None:
    forced = "force_parallel_mode" if connection.info.server_version < 160000 else "debug_parallel_query"
    for setting in (
        "parallel_setup_cost = 0",
        "parallel_tuple_cost = 0",
        "min_parallel_table_scan_size = 0",
        f"{forced} = on",
    ):
        connection.execute(f"SET {setting}")


def test_parallel_plans(app):
    """The leader answers for the workers; a function that asks within one is refused rather than answered wrongly."""
    app.db.execute("SELECT analytics.grant_access(%s, %s)", [app.role, B])
    app.db.execute(f"""
        CREATE SCHEMA apps; GRANT USAGE ON SCHEMA apps TO {app.role};
        CREATE FUNCTION apps.seen() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE
            AS 'BEGIN RETURN (SELECT string_agg(name, '''') FROM analytics.workspaces); END'""")
    with app.connect() as connection:
        force_parallel(connection)
        assert connection.execute("SELECT apps.seen()").fetchone() == ("B",)
        enter(connection, token(), "session")
        plan = connection.execute("EXPLAIN SELECT name FROM analytics.workspaces").fetchall()
        assert any("Gather" in line for (line,) in plan), plan
        assert seen(connection) == "A"
        assert connection.execute("SELECT count(*) FROM analytics.list_agents(%s)", [A]).fetchone() == (0,)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="parallel worker"):
            connection.execute("SELECT apps.seen()")


def test_what_asks_for_the_identity_stays_in_the_leader(db):
    """Labels are true: whatever reads the tables or asks who is there is not PARALLEL SAFE."""
    asking = (
        "identity",
        "accessible_workspaces",
        "require_workspace",
        "require_agent",
        "require_level",
        "known_agents",
    )
    # A table or view; functions are judged by themselves.
    reading = r"(FROM|JOIN) analytics\.\w+(?![\w(])"
    wrong = db.rows(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p"
        " WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND p.proparallel = 's'"
        " AND (p.prosrc ~ %s OR p.proname IN ('accessible_workspaces', 'require_workspace', 'require_agent', 'require_level',"
        " 'current_user_id', 'current_permissions', 'current_workspace_ids'))",
        ["|".join([*(re.escape(word) for word in asking), reading])],
    )
    assert wrong == []


def test_errors_keep_their_fields(app):
    """What watches for a change of role does not stand between an error and the client."""
    with app.connect() as connection:
        enter(connection, token(), "session")
        connection.execute("CREATE TEMPORARY TABLE t (i integer CONSTRAINT one PRIMARY KEY)")
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            connection.execute("DO 'BEGIN INSERT INTO t VALUES (1), (1); END'")
        assert (caught.value.diag.constraint_name, caught.value.diag.table_name) == ("one", "t")
        with pytest.raises(psycopg.errors.UndefinedTable) as caught:
            connection.execute("CREATE TEMPORARY VIEW v AS SELECT * FROM nowhere")
        assert caught.value.diag.statement_position == "42"


def test_read_only_transactions(app):
    """Readers authenticate, too: what would have been a row of audit_log is a line of the log."""
    with app.connect(autocommit=False) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        assert enter(connection, token(jti="read only"))
        assert seen(connection) == "A"
    assert app.entries("authenticate") == []
    assert '"token_id":"read only"' in app.db.server.log()


def test_a_token_is_recorded_once_for_a_connection(app):
    with app.connect() as connection:
        text = token(workspaces=[A, B])
        with connection.transaction(force_rollback=True):
            enter(connection, text)
        assert app.entries("authenticate") == []
        for _ in range(3):
            with connection.transaction():
                enter(connection, text)
    recorded = app.entries("authenticate")
    assert [entry[:3] for entry in recorded] == [("success", A, ANN), ("success", B, ANN)]
    assert text not in str(recorded)


# ----------------------------------------------------------------------------------------------------------------------
# Tokens of our own
# ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def issuer(app) -> App:
    app.db.execute(
        "SELECT analytics.set_token_key('here', issuer => 'us', audience => 'analytics', issues => true)"
    )
    app.db.execute(
        "INSERT INTO analytics.workspace_members (workspace_id, user_id, access_level)"
        " VALUES (%s, %s, 'admin'), (%s, %s, 'viewer')",
        [A, ANN, B, ANN],
    )
    return app


def issued(app: App, **arguments) -> tuple[str, str]:
    arguments = {"user_id": ANN} | arguments
    names = ", ".join(f"{name} => %({name})s" for name in arguments)
    row = app.db.rows(f"SELECT * FROM analytics.issue_token({names})", arguments)[0]
    return row[0], row[1]


def refresh(connection: psycopg.Connection, text) -> tuple:
    return connection.execute("SELECT * FROM analytics.refresh_token(%s)", [text]).fetchone()


def test_issued_tokens(issuer):
    access, refresh_token = issued(issuer, email="ann@example.com")
    secret = issuer.db.value("SELECT secret FROM analytics_internal.token_keys WHERE name = 'here'")
    body = jwt.decode(access, secret, algorithms=["HS256"], audience="analytics", issuer="us")
    assert (body["sub"], body["email"], body["role"], body["workspaces"]) == (
        ANN,
        "ann@example.com",
        "viewer",
        [A, B],
    )
    assert body["permissions"] == ["view_analytics"]
    assert body["exp"] - body["iat"] == 900
    assert len(secret) == 64 == len(refresh_token)
    with issuer.connect() as connection:
        enter(connection, access, "session")
        assert seen(connection) == "AB"
        enter(connection, issued(issuer, workspace_id=A)[0], "session")
        assert (seen(connection), enter(connection, issued(issuer, workspace_id=A)[0])[2]) == ("A", "admin")
        enter(connection, issued(issuer, access_level="member")[0], "session")
        assert seen(connection) == "A"
    everything = str(issuer.db.rows("SELECT t::text FROM analytics_internal.refresh_tokens AS t"))
    assert refresh_token not in everything
    assert hashlib.sha256(refresh_token.encode()).hexdigest() in everything


@pytest.mark.parametrize(
    "arguments",
    [
        {"workspace_id": str(uuid.uuid4())},
        {"access_level": "owner"},
        {"access_level": "god"},
        {"valid_for": "0"},
        {"valid_for": "2 days"},
        {"valid_for": None},
        {"refresh_for": "-1 day"},
        {"refresh_for": "2 years"},
        {"user_id": str(uuid.uuid4())},
        {"user_id": None},
    ],
)
def test_issuing_is_refused(issuer, arguments):
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        issued(issuer, **arguments)


def test_issuing_needs_a_key_and_the_right(app, issuer, make_role):
    with issuer.connect() as connection:
        enter(connection, token(role="owner"), "session")
        for call in (
            f"analytics.issue_token('{ANN}')",
            "analytics.set_token_key('x')",
            "analytics.drop_token_key('here')",
            "analytics.token_keys()",
            f"analytics.allow_tokens('{issuer.role}')",
            "analytics.cleanup_tokens()",
            "analytics.cleanup_audit_log()",
            "analytics_internal.new_secret()",
            "analytics_internal.record_audit('x')",
            "analytics_internal.start_login(NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            "analytics_internal.continue_login(NULL)",
            "analytics_internal.revoke_token(NULL, NULL, NULL, NULL)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {call}")
    login = make_role("login")
    issuer.db.execute(f"GRANT USAGE ON SCHEMA analytics TO {login}")
    issuer.db.execute(f"GRANT EXECUTE ON FUNCTION analytics.issue_token TO {login}")
    with issuer.db.connect(login) as connection:
        assert connection.execute("SELECT * FROM analytics.issue_token(%s)", [ANN]).fetchone()
    assert issuer.db.value("SELECT created_by FROM analytics_internal.token_families") == login
    issuer.db.execute("SELECT analytics.drop_token_key('here')")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="no key"):
        issued(issuer)


def test_too_many_workspaces_for_one_token(issuer):
    issuer.db.execute(
        "WITH w AS (INSERT INTO analytics.workspaces (name) SELECT i::text FROM generate_series(1, 300) AS i RETURNING workspace_id)"
        " INSERT INTO analytics.workspace_members (workspace_id, user_id, access_level) SELECT workspace_id, %s, 'viewer' FROM w",
        [ANN],
    )
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        issued(issuer)
    assert issued(issuer, workspace_id=A)


def test_rotation_and_reuse(issuer):
    access, first = issued(issuer)
    with issuer.connect() as connection:
        status, second_access, second, *_ = refresh(connection, first)
        assert status == "refreshed"
        assert enter(connection, second_access)
        status, third_access, third, *_ = refresh(connection, second)
        assert status == "refreshed"
        # Whoever comes with the first again has it from somewhere else: everything of this login ends.
        assert refresh(connection, first) == ("reused", None, None, None, None)
        for text in (access, second_access, third_access):
            error = refusal(connection, text)
            assert (error.sqlstate, "revoked" in error.diag.message_primary) == (INVALID, True)
        for text in (first, second, third):
            assert refresh(connection, text)[0] == "revoked"
        for text in ("", "nonsense", None, third[:-1], third + "0", access):
            assert refresh(connection, text)[0] == "unknown"
        # Another login of the same user goes on.
        other_access, other = issued(issuer)
        assert enter(connection, other_access)
        assert refresh(connection, other)[0] == "refreshed"
    outcomes = [(entry[0], entry[3].get("reason")) for entry in issuer.entries("refresh_token")]
    assert outcomes[:4] == [
        ("success", None),
        ("success", None),
        ("refused", "reused"),
        ("refused", "revoked"),
    ]


def test_two_sessions_use_a_refresh_token_at_once(issuer, background):
    _, first = issued(issuer)
    with issuer.connect(autocommit=False) as one, issuer.connect(autocommit=False) as two:
        assert refresh(one, first)[0] == "refreshed"
        waiting = background(refresh, two, first)
        issuer.db.wait_until_blocked(two)
        one.commit()
        assert waiting.result(60)[0] == "reused"
        two.commit()
    assert issuer.db.value("SELECT revoked_for FROM analytics_internal.token_families") == "reused"


def test_refreshing_follows_the_members(issuer):
    access, text = issued(issuer)
    with issuer.connect() as connection:
        issuer.db.execute("DELETE FROM analytics.workspace_members WHERE workspace_id = %s", [B])
        assert [str(w) for w in enter(connection, access)[1]] == [A]
        status, access, text, *_ = refresh(connection, text)
        assert (status, enter(connection, access)[2]) == ("refreshed", "admin")
        issuer.db.execute("DELETE FROM analytics.workspace_members")
        assert "opens no workspace" in refusal(connection, access).diag.message_primary
        assert refresh(connection, text)[0] == "no_access"


def test_refresh_tokens_end(issuer):
    _, text = issued(issuer, refresh_for="1 second")
    time.sleep(1.2)
    with issuer.connect() as connection:
        assert refresh(connection, text)[0] == "expired"


@pytest.mark.parametrize("how", ["by token", "by session"])
def test_logout(issuer, how):
    access, text = issued(issuer)
    with issuer.connect() as connection, issuer.connect() as other:
        enter(connection, access, "session")
        argument = access if how == "by token" else None
        assert connection.execute("SELECT analytics.logout(%s)", [argument]).fetchone() == (True,)
        assert seen(connection) == ""
        for session in (connection, other):
            assert "revoked" in refusal(session, access).diag.message_primary
        assert refresh(connection, text)[0] == "revoked"
        assert connection.execute("SELECT analytics.logout(%s)", [access]).fetchone() == (False,)
        assert connection.execute(
            "SELECT analytics.logout(%s)", [token(exp=int(time.time()) - 99)]
        ).fetchone() == (False,)
        for wrong in (None, "x.y.z", token(SECRET + "!")):
            with pytest.raises(psycopg.errors.InvalidAuthorizationSpecification):
                connection.execute("SELECT analytics.logout(%s)", [wrong])
        assert enter(connection, issued(issuer)[0])


@pytest.mark.parametrize("jti", ["one", None])
def test_logout_of_foreign_tokens(app, jti):
    """Replayed afterwards, in whatever form the signature comes."""
    text, other = token(EC, "ES256", jti=jti), token(EC, "ES256", jti=jti and "two", email="other")
    with app.connect() as connection:
        assert connection.execute("SELECT analytics.logout(%s)", [text]).fetchone() == (True,)
        assert "revoked" in refusal(connection, text).diag.message_primary
        # An ECDSA signature (r, s) has a twin (r, n - s), which verifies as well.
        head, raw = text.rsplit(".", 1)
        parts = base64.urlsafe_b64decode(raw + "==")
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        twin = parts[:32] + (order - int.from_bytes(parts[32:], "big")).to_bytes(32, "big")
        error = refusal(connection, f"{head}.{b64(twin)}")
        assert error.sqlstate == INVALID
        assert "expired" not in error.diag.message_primary
        assert enter(connection, other)


def test_sid_of_strangers_is_nothing(issuer):
    """A foreign token cannot name a login of ours, and so not end it."""
    access, text = issued(issuer)
    sid = jwt.decode(access, options={"verify_signature": False})["sid"]
    with issuer.connect() as connection:
        assert connection.execute("SELECT analytics.logout(%s)", [token(sid=sid)]).fetchone() == (True,)
        assert enter(connection, access)
        assert refresh(connection, text)[0] == "refreshed"


def test_cleanup(issuer):
    for _ in range(2):
        access, _ = issued(issuer)
    issuer.db.execute("SELECT analytics.logout(%s)", [access])
    assert issuer.db.value("SELECT analytics.cleanup_tokens()") == 0
    issuer.db.execute("UPDATE analytics_internal.token_families SET expires_at = now() - interval '2 days'")
    issuer.db.execute("UPDATE analytics_internal.revoked_tokens SET expires_at = now() - interval '2 days'")
    assert issuer.db.value("SELECT analytics.cleanup_tokens()") == 3
    assert issuer.db.value("SELECT count(*) FROM analytics_internal.refresh_tokens") == 0


# ----------------------------------------------------------------------------------------------------------------------
# Keys
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"secret": "x" * 31}, "31 bytes is too weak"),
        ({"secret": ""}, "0 bytes is too weak"),
        ({"algorithm": "HS512", "secret": SECRET}, "not an algorithm"),
        ({"algorithm": "none"}, "not an algorithm"),
        ({"algorithm": None}, "not an algorithm"),
        ({"algorithm": "RS256"}, "PEM"),
        ({"algorithm": "RS256", "secret": SECRET}, "PEM"),
        ({"algorithm": "RS256", "public_key": public(EC)}, "PEM"),
        ({"algorithm": "ES256", "public_key": public(RSA)}, "PEM"),
        ({"algorithm": "HS256", "public_key": public(RSA)}, "PEM"),
        ({"algorithm": "HS256", "secret": SECRET, "public_key": public(RSA)}, "PEM"),
        ({"algorithm": "JWKS", "jwks": "{}"}, "JWKS"),
        ({"algorithm": "JWKS", "jwks": '{"keys": []}'}, "no key"),
        ({"algorithm": "JWKS", "jwks": '{"keys": [{"kty": "oct", "k": "AAAA"}]}'}, "secret or private"),
        ({"algorithm": "RS256", "public_key": public(RSA), "issues": True}, "HS256"),
        ({"name": ""}, "not a name"),
        ({"name": None}, "not a name"),
    ],
)
def test_keys_that_are_refused(db, arguments, message):
    names = ", ".join(f"{name} => %({name})s" for name in {"name": "x"} | arguments)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message) as caught:
        db.execute(f"SELECT analytics.set_token_key({names})", {"name": "x"} | arguments)
    assert caught.value.diag.message_hint
    assert db.rows("SELECT * FROM analytics.token_keys()") == []


def test_private_keys_are_refused(db):
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = RSA.private_bytes(*form).decode()
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="private key"):
        db.execute(
            sql.SQL("SELECT analytics.set_token_key('x', 'RS256', public_key => {})").format(sql.Literal(pem))
        )
    assert pem.splitlines()[1] not in db.server.log()


def test_only_the_owner_reads_keys(app, make_role):
    reader = make_role("reader")
    app.db.execute(f"GRANT pg_read_all_data TO {reader}")
    app.db.execute("SELECT analytics.grant_access(%s, %s, 'owner')", [app.role, A])
    secret_tables = ["token_keys", "token_families", "refresh_tokens", "revoked_tokens"]
    for table in secret_tables:
        for role in (app.role, reader):
            with app.db.connect(role) as connection:
                try:
                    rows = connection.execute(f"SELECT * FROM analytics_internal.{table}").fetchall()
                except psycopg.errors.InsufficientPrivilege:
                    rows = []
                assert rows == [], f"{role} {table}"
    assert SECRET not in str(app.db.rows("SELECT * FROM analytics.token_keys()"))
    assert app.db.value("SELECT count(*) FROM analytics_internal.token_keys") == 3


def test_dump_and_restore(issuer, tmp_path):
    """Keys, logins and revocations come back, and so does their protection."""
    access, text = issued(issuer)
    gone, _ = issued(issuer)
    issuer.db.execute("SELECT analytics.logout(%s)", [gone])
    archive = tmp_path / "dump"
    issuer.db.run("pg_dump", "--format=custom", f"--file={archive}")
    copy = issuer.db.server.create_database()
    try:
        copy.run("pg_restore", "--exit-on-error", f"--dbname={copy.name}", archive)
        assert copy.contents() == issuer.db.contents()
        with copy.connect(issuer.role) as connection:
            assert refusal(connection, gone).sqlstate == INVALID
            assert enter(connection, access)
            assert enter(connection, token())
            assert refresh(connection, text)[0] == "refreshed"
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM analytics_internal.token_keys")
        protected = "SELECT relrowsecurity, relacl FROM pg_class WHERE oid = 'analytics_internal.token_keys'::regclass"
        assert copy.rows(protected) == issuer.db.rows(protected)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            copy.execute("DELETE FROM analytics.audit_log")
    finally:
        issuer.db.server.drop_database(copy)
