"""Claims of a trusted gateway: honoured for the roles that were declared, and for nobody else."""

import json
import time

import psycopg
import pytest

A = "aaaaaaaa-0000-4000-8000-000000000000"
B = "bbbbbbbb-0000-4000-8000-000000000000"
AGENT = "aaaaaaaa-0000-4000-8000-0000000000a1"
WRITE = f"SELECT analytics.start_run('{A}', '{AGENT}')"


@pytest.fixture
def web(db, make_role):
    """As with PostgREST: a role to log in with, and one that it switches to for a request."""
    db.execute("INSERT INTO analytics.workspaces (workspace_id, name) VALUES (%s, 'A'), (%s, 'B')", [A, B])
    login, user = make_role("authenticator", "LOGIN NOINHERIT"), make_role("web_user", "NOLOGIN")
    db.execute(f"GRANT {user} TO {login}")
    db.execute("SELECT analytics.trust_gateway(%s, 'admin')", [user])
    return login, user


def seen(connection) -> str:
    rows = connection.execute("SELECT name FROM analytics.workspaces ORDER BY name").fetchall()
    return "".join(name for (name,) in rows)


def request(db, web, claims, query="SELECT name FROM analytics.workspaces ORDER BY name") -> list[tuple]:
    """One request, as PostgREST makes it: a transaction with the role and the claims set for its time."""
    login, user = web
    connection = db.connect(role=login)
    with connection, connection.transaction():
        connection.execute(f"SET LOCAL ROLE {user}")
        if claims is not None:
            text = claims if isinstance(claims, str) else json.dumps(claims)
            connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [text])
        return connection.execute(query).fetchall()


def test_claims_decide(db, web):
    assert request(db, web, {"workspaceId": A}) == [("A",)]
    assert request(db, web, {"workspaces": [A, B, A]}) == [("A",), ("B",)]
    assert request(db, web, {"workspaces": [A], "workspaceId": B, "email": "x@example.org"}) == [
        ("A",),
        ("B",),
    ]
    future = {"exp": time.time() + 60, "sub": "auth0|7", "permissions": ["view_analytics"], "aud": ["x"]}
    assert request(db, web, {"workspaces": [B], **future}) == [("B",)]
    for nothing in (None, "", {}, {"workspaces": []}, {"workspaces": None, "exp": None}):
        assert request(db, web, nothing) == []


def test_claims_end_with_the_request(db, web):
    login, user = web
    connection = db.connect(role=login)
    for workspace, name in ((A, "A"), (B, "B")) * 2:
        with connection.transaction():
            connection.execute(f"SET LOCAL ROLE {user}")
            assert seen(connection) == ""
            claims = json.dumps({"workspaceId": workspace})
            connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
            assert seen(connection) == name
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            seen(connection)


@pytest.mark.parametrize(
    ("claims", "may_write"),
    [
        ({"role": "viewer"}, False),
        ({"role": "member"}, True),
        ({"role": "owner"}, True),
        # The name of a database role, as PostgREST and Supabase put it there, gives the least.
        ({"role": "authenticated"}, False),
        ({}, False),
        ({"role": "authenticated", "access_level": "member"}, True),
        ({"role": "owner", "access_level": "viewer"}, False),
    ],
)
def test_level(db, web, claims, may_write):
    claims = {"workspaceId": A, **claims}
    if may_write:
        assert len(request(db, web, claims, WRITE)) == 1
    else:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            request(db, web, claims, WRITE)


def test_ceiling(db, web):
    """No claim gives more than was declared: neither the rows nor the objects of a higher level."""
    report = f"SELECT database_role FROM analytics.access_report('{A}')"
    grant = f"SELECT analytics.grant_access('{web[0]}', '{A}', 'owner')"
    assert request(db, web, {"workspaceId": A, "role": "owner"}, report) == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        request(db, web, {"workspaceId": A, "role": "owner"}, grant)
    db.execute("SELECT analytics.trust_gateway(%s, 'viewer')", [web[1]])
    for query in (report, WRITE):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            request(db, web, {"workspaceId": A, "role": "owner"}, query)
    # Rows stay below the ceiling even where somebody gave the privilege by hand.
    db.execute(
        f"GRANT INSERT ON analytics.agent_runs TO {web[1]}; GRANT EXECUTE ON FUNCTION analytics.start_run TO {web[1]}"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        request(db, web, {"workspaceId": A, "role": "owner"}, WRITE)


@pytest.mark.parametrize(
    "claims",
    [
        "{", "[]", "null", "7", "hello", '"x"', "{}{}",
        '{"workspaces": "all"}', '{"workspaces": ["*"]}', '{"workspaces": [null]}', '{"workspaces": {"a": "b"}}',
        '{"workspaceId": 7}', '{"workspaceId": "x"}', '{"exp": "tomorrow"}', '{"exp": true}', '{"role": ["owner"]}',
        '{"access_level": "king"}', '{"access_level": ""}',
        f'{{"workspaceId": "{A}", "workspaceId": "{B}"}}',
        "{" * 5000, "[" * 5000, '{"x":' * 5000,
    ],
)  # fmt: skip
def test_malformed_claims_are_refused(db, web, claims):
    with pytest.raises(psycopg.errors.InvalidAuthorizationSpecification) as caught:
        request(db, web, claims)
    assert "request.jwt.claims" in caught.value.diag.message_primary
    assert caught.value.diag.message_hint
    # It tells where, and repeats nothing.
    assert len(caught.value.diag.message_primary) < 120


@pytest.mark.parametrize("ended", [0, -1, 1, "just now", "a second ago", 1.5])
def test_expired_claims_are_refused(db, web, ended):
    exp = {"just now": time.time(), "a second ago": time.time() - 1}.get(ended, ended)
    with pytest.raises(psycopg.errors.InvalidAuthorizationSpecification, match="expired"):
        request(db, web, {"workspaceId": A, "exp": exp})


def test_claims_expire_in_an_open_session(db, web):
    login, user = web
    connection = db.connect(role=login)
    connection.execute(f"SET ROLE {user}")
    claims = json.dumps({"workspaceId": A, "exp": time.time() + 2})
    connection.execute("SELECT set_config('request.jwt.claims', %s, false)", [claims])
    assert seen(connection) == "A"
    time.sleep(2.1)
    with pytest.raises(psycopg.errors.InvalidAuthorizationSpecification, match="expired"):
        seen(connection)


def test_claims_of_others_are_ignored(db, web, make_role):
    """A role that was not declared sees what it was granted, whatever it writes into the setting; so does one that
    inherits from a gateway, and the gateway itself once it is no longer trusted."""
    login, user = web
    claims = json.dumps({"workspaces": [A, B], "role": "owner"})
    analyst, heir = make_role("analyst"), make_role("heir")
    db.execute("SELECT analytics.grant_access(%s, %s)", [analyst, A])
    db.execute(f"GRANT {user} TO {heir}")
    for role, expected in ((analyst, "A"), (heir, "")):
        connection = db.connect(role=role)
        for text in (claims, "nonsense", '{"exp": 1}'):
            connection.execute("SELECT set_config('request.jwt.claims', %s, false)", [text])
            assert seen(connection) == expected
    # The login role of the gateway, before it has switched, has nothing.
    connection = db.connect(role=login)
    connection.execute("SELECT set_config('request.jwt.claims', %s, false)", [claims])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen(connection)
    db.execute("SELECT analytics.trust_gateway(%s, trusted => false)", [user])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        request(db, web, {"workspaceId": A})


def test_a_gateway_has_nothing_of_its_own(db, web):
    """Memberships of the role do not count while it is a gateway, and count again afterwards."""
    db.execute("SELECT analytics.grant_access(%s, %s, 'owner')", [web[1], B])
    assert request(db, web, {"workspaceId": A, "role": "admin"}) == [("A",)]
    assert request(db, web, None) == []
    db.execute("SELECT analytics.trust_gateway(%s, trusted => false)", [web[1]])
    assert request(db, web, {"workspaceId": A}) == [("B",)]


def test_who_may_be_a_gateway(db, web, make_role):
    def refused(*arguments):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            db.execute(f"SELECT analytics.trust_gateway({', '.join(['%s'] * len(arguments))})", arguments)
        assert caught.value.diag.message_hint
        return caught.value.diag.message_primary

    assert "row security does not bind it" in refused("postgres")
    assert "row security does not bind it" in refused(make_role("bypass", "BYPASSRLS"))
    assert "king" in refused(web[1], "king")
    assert "NULL" in refused(web[1], None)
    assert "NULL" in refused(web[1], "viewer", None)
    for name in ("no_such_role", None):
        with pytest.raises(psycopg.errors.UndefinedObject):
            db.execute("SELECT analytics.trust_gateway(%s::text)", [name])
    # Ending what never was is no error.
    db.execute("SELECT analytics.trust_gateway('no_such_role', trusted => false)")
    # Nobody but the owner of the tables declares one, whatever was granted by hand.
    owner = make_role("owner")
    db.execute("SELECT analytics.grant_access(%s, %s, 'owner')", [owner, A])
    connection = db.connect(role=owner)
    trust = "SELECT analytics.trust_gateway(current_user::text, 'owner')"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(trust)
    db.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO {owner}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(trust)


def test_the_same_name_is_not_the_same_gateway(db, web):
    login, user = web
    db.execute(f"DROP OWNED BY {user}; DROP ROLE {user}; CREATE ROLE {user} NOLOGIN; GRANT {user} TO {login}")
    db.execute(
        f"GRANT USAGE ON SCHEMA analytics TO {user}; GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO {user}"
    )
    db.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics TO {user}")
    assert request(db, web, {"workspaceId": A}) == []
    db.execute("SELECT count(*) FROM analytics.setup()")
    assert request(db, web, {"workspaceId": A}) == []
    db.execute("SELECT analytics.grant_access(%s, %s)", [user, B])
    assert request(db, web, {"workspaceId": A}) == [("B",)]
