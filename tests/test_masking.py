"""Personal data in texts reaches admins and owners of the workspace only, whatever a reader types.

Each workspace holds an address, a phone number, a card and a key in every text and document. Relations and
functions are taken from the catalog, as in test_access.py.
"""

import json

import pytest
from test_access import (
    REFUSED,
    Way,
    World,
    attacker,
    attempt,
    calls,
    claim,
    fill,
    grant,
    leak,
    refused,
    relations,
    routines,
    uid,
)

MAIL = "{0}.doe@mail{0}.example.com"
PHONE = "+49 30 555{0}77"
CARD = "{0}"
KEY = "sk-{0}bcdefghijklmnop1234"
SECRETS = [MAIL, PHONE, CARD, KEY]
NUMBER = {"A": "1234", "B": "5678", "C": "9012"}
# Numbers for tests, as issuers publish them.
CARDS = {"A": "4111 1111 1111 1111", "B": "5555 5555 5555 4444", "C": "4012 8888 8888 1881"}

COLUMNS = "SELECT table_name, column_name FROM analytics_internal.personal_columns() ORDER BY 1, 2"


def personal(workspace: str, pattern: str) -> str:
    if pattern == CARD:
        return CARDS[workspace]
    return pattern.format(NUMBER[workspace] if pattern == PHONE else f"a{workspace.lower()}")


def text_of(workspace: str) -> str:
    return ", ".join(personal(workspace, pattern) for pattern in SECRETS)


def found(text: object, workspaces: str) -> str | None:
    """Personal data of these workspaces in a text."""
    for workspace in workspaces:
        for pattern in SECRETS:
            if personal(workspace, pattern).lower() in str(text).lower():
                return f"{personal(workspace, pattern)} in {str(text)[:500]}"
    return None


def plant(db, workspace: str) -> None:
    for table, column in db.rows(COLUMNS):
        document = column in ("metadata", "error_context")
        value = (
            json.dumps(
                {"who": text_of(workspace), personal(workspace, MAIL): int(CARDS[workspace].replace(" ", ""))}
            )
            if document
            else text_of(workspace)
        )
        db.execute(
            f"UPDATE analytics.{table} SET {column} = %s WHERE workspace_id = %s", [value, uid(workspace)]
        )


@pytest.fixture
def world(db, make_role) -> World:
    """Every level, a role that has two of them, and a gateway. READS says who may read whose texts."""
    for workspace in "ABC":
        fill(db, workspace)
        plant(db, workspace)
    ways: dict[str, Way] = {}
    for key, levels in {
        "viewer": {"A": "viewer"},
        "member": {"A": "member"},
        "admin": {"A": "admin"},
        "owner": {"A": "owner"},
        "mixed": {"A": "admin", "B": "viewer"},
        "none": {},
    }.items():
        ways[key] = Way(make_role(key), "".join(levels))
        for workspace, level in levels.items():
            grant(db, ways[key].role, workspace, level)
    # A gateway that may be anything, for a person who may view.
    gateway = make_role("gateway")
    db.execute("SELECT analytics.trust_gateway(%s, 'owner')", [gateway])
    claims = {"sub": uid("A", "c1"), "workspaceId": uid("A"), "workspaces": [uid("A")]}
    ways["claims viewer"] = Way(gateway, "A", lambda c: claim(c, claims | {"role": "viewer"}))
    ways["claims owner"] = Way(gateway, "A", lambda c: claim(c, claims | {"role": "owner"}))
    db.execute("ANALYZE")
    return World(db, ways)


READS = {"admin": "A", "owner": "A", "mixed": "A", "claims owner": "A"}


def hidden(key: str) -> str:
    return "".join(w for w in "ABC" if w not in READS.get(key, ""))


def test_what_is_masked_is_complete(db):
    """Every column that ANALYZE passes over in these tables, and every text that is asked for in a view."""
    columns = db.rows(COLUMNS)
    assert len(columns) == 9
    for table in sorted({table for table, _ in columns}):
        mine = [column for name, column in columns if name == table]
        names = (
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
        )
        assert db.rows(names, [f"analytics.{table}"]) == db.rows(names, [f"analytics.{table}_masked"])
        texts = [name for (name,) in db.rows(names, [f"analytics_internal.{table}_texts"])]
        assert sorted(texts[-len(mine) :]) == sorted(mine)
    # A new jsonb column of a table that applications write is noticed here.
    assert db.rows(
        "SELECT c.relname::text, a.attname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        " AND a.atttypid = 'jsonb'::regtype AND (c.relname, a.attname) NOT IN"
        " (SELECT table_name, column_name FROM analytics_internal.personal_columns()) ORDER BY 1, 2"
    ) == [
        ("agent_lifecycle_events", "guards"),
        ("agent_optimization_suggestions", "baseline_metrics"),
        ("agent_optimization_suggestions", "post_implementation_metrics"),
        ("agent_versions", "complexity"),
        ("agents", "metadata"),
        ("audit_log", "detail"),
        ("user_leaderboard", "achievements"),
        ("workspaces", "metadata"),
    ]


def test_the_owner_reads_what_was_written(world):
    for table, column in world.db.rows(COLUMNS):
        read = f"SELECT {column} FROM analytics.{table} ORDER BY workspace_id, {column}::text"
        written = world.db.rows(read)
        assert written == world.db.rows(read.replace(table, f"{table}_masked"))
        assert all(found(written, workspace) for workspace in "ABC")


@pytest.mark.slow
def test_relations(world):
    """Every relation, as a whole, by column, through conditions, and in plans."""
    for key in world.ways:
        read = set()
        with world.connect(key) as connection:
            for name, _ in relations(world.db):
                columns = [
                    column
                    for (column,) in world.db.rows(
                        "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
                        [name],
                    )
                ]
                queries = [
                    f"SELECT t, t.* FROM {name} AS t",
                    f"EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM {name}",
                ]
                queries += [f"SELECT {column} FROM {name}" for column in columns]
                queries += [f"SELECT max({column}::text) FROM {name} GROUP BY {column}" for column in columns]
                for query in queries:
                    state, text = attempt(connection, query)
                    # Sketches cannot be grouped by.
                    ungroupable = state == "42883" and ("sketch" in query or "runtime_stats" in query)
                    assert state in (None, REFUSED) or ungroupable, f"{key}: {query}: {state} {text}"
                    assert not found(text, hidden(key)), f"{key}: {query}: {found(text, hidden(key))}"
                    if found(text, READS.get(key, "")):
                        read.add(name)
                # Nor by asking whether a text holds any of it.
                known = [
                    f"%{personal(workspace, pattern)}%" for pattern in SECRETS for workspace in hidden(key)
                ]
                for column in columns if known else []:
                    query = f"SELECT count(*) FROM {name} WHERE {column}::text ILIKE ANY (%s)"
                    state, text = attempt(connection, query, [known])
                    assert state == REFUSED or text == "(0,)", f"{key}: {query}: {state} {text}"
        masked = {f"analytics.{table}_masked" for table, _ in world.db.rows(COLUMNS)}
        internal = {f"analytics_internal.{table}_texts" for table, _ in world.db.rows(COLUMNS)}
        expected = masked | internal | {"analytics.agent_run_details"} if key in READS else set()
        assert read == expected, key


def test_masked_texts_are_there(world):
    """What is hidden is masked, not missing."""
    for key in ("viewer", "member", "claims viewer"):
        with world.connect(key) as connection:
            for table, column in world.db.rows(COLUMNS):
                ((text,),) = set(
                    connection.execute(f"SELECT {column}::text FROM analytics.{table}_masked").fetchall()
                )
                for word in ("[email]", "[phone]", "[card]", "[key]"):
                    assert word in text, f"{key}, {table}.{column}: {text}"
    with world.connect("mixed") as connection:
        rows = dict(
            connection.execute(
                "SELECT workspace_id::text, error_message FROM analytics.agent_errors_masked"
            ).fetchall()
        )
        assert rows == {uid("A"): text_of("A"), uid("B"): "[email], [phone], [card], [key]"}


def test_routines(world):
    """Every function, with everything that a reader can give it."""
    for key in ("viewer", "member", "claims viewer", "mixed"):
        with world.connect(key) as connection:
            connection.execute("SET statement_timeout = '20s'")
            for routine in routines(world.db):
                for workspace in world.sees[key]:
                    for query in calls(routine, workspace, world.roles[key]):
                        _, text = attempt(connection, query)
                        assert not found(text, hidden(key)), f"{key}: {query}: {found(text, hidden(key))}"


@pytest.mark.parametrize("key", ["viewer", "mixed"])
def test_leaky_functions(world, key):
    """A cheap function that tells all it is given is given masked texts only."""
    with attacker(world, key) as connection:
        connection.execute(
            "CREATE FUNCTION evil.tell(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
            " $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        )
        told = 0
        for schema, suffix in (("analytics", ""), ("analytics", "_masked"), ("analytics_internal", "_texts")):
            for table, column in world.db.rows(COLUMNS):
                for expression in (
                    f"evil.tell(t.{column})",
                    "evil.tell(t)",
                    "evil.tell(t.workspace_id)",
                    f"1 / length(t.{column}::text) = 0 OR evil.tell(t.{column})",
                ):
                    query = f"SELECT count(*) FROM {schema}.{table}{suffix} AS t WHERE {expression}"
                    state, text = attempt(connection, query)
                    closed = suffix == "" and "workspace_id" not in expression
                    assert (state == REFUSED) == closed, f"{query}: {state} {text}"
                    assert not found(text, hidden(key)), f"{query}: {found(text, hidden(key))}"
                    # Nor anything of rows that are not the reader's.
                    assert not leak(text, world.foreign(key)), f"{query}: {leak(text, world.foreign(key))}"
                    told += "[email]" in text
        assert told > 10
        # A failing cast quotes what it could not read.
        for column in ("error_message", "error_stack", "user_feedback"):
            state, text = attempt(connection, f"SELECT {column}::integer FROM analytics.agent_runs_masked")
            assert state == "22P02"
            assert not found(text, hidden(key))


WRITES = [
    "UPDATE analytics.agent_runs SET model_name = error_message",
    "UPDATE analytics.agent_runs SET model_name = 'x' RETURNING error_message",
    "UPDATE analytics.agent_runs SET model_name = 'x' RETURNING *",
    "UPDATE analytics.agent_runs SET status = metadata::text",
    "UPDATE analytics.agent_runs SET user_rating = length(error_stack)",
    "UPDATE analytics.agent_runs SET model_name = 'x' WHERE user_feedback LIKE '%a%'",
    "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_stack) SELECT workspace_id, agent_id, 'x', error_stack FROM analytics.agent_errors",
    "INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type) SELECT workspace_id, agent_id, error_message FROM analytics.agent_errors",
    f"INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type) VALUES ('{uid('A')}', '{uid('A', 'a1')}', 'x') RETURNING error_message",
    "DELETE FROM analytics.agent_runs_masked",
    "UPDATE analytics.agent_runs_masked SET model_name = error_message",
    "UPDATE analytics_internal.agent_runs_texts SET error_message = 'x'",
    "COPY analytics.agent_runs TO STDOUT",
    "LOCK TABLE analytics.agent_runs",
]


def test_writers_read_nothing(world):
    for key in ("member", "owner", "claims owner"):
        with world.connect(key) as connection:
            for query in WRITES:
                # The views with texts cannot be written to at all, which Postgres says before it asks for a right.
                refused(
                    connection, query, state="55000" if "UPDATE analytics_internal." in query else REFUSED
                )
            # A row that breaks a rule is not shown either.
            state, text = attempt(connection, "UPDATE analytics.agent_runs SET user_rating = 9")
            assert state == "23514"
            assert not found(text, "ABC")


def test_writers_still_write(world):
    run, agent = uid("A", "e1"), uid("A", "a1")
    with world.connect("member") as connection:
        connection.execute("SELECT analytics.start_run(%s, %s, %s)", [uid("A"), agent, run])
        finish = (
            "SELECT analytics.finish_run(%s, %s, 'failed', error_message => %s, error_stack => 'at line 1')"
        )
        assert connection.execute(finish, [uid("A"), run, text_of("A")]).fetchone() == (True,)
        assert connection.execute(finish, [uid("A"), run, "again"]).fetchone() == (False,)
        connection.execute("UPDATE analytics.agent_runs SET user_feedback = 'good' WHERE run_id = %s", [run])
    written = (
        "SELECT status, error_message, error_stack, user_feedback FROM analytics.agent_runs WHERE run_id = %s"
    )
    assert world.db.rows(written, [run]) == [("failed", text_of("A"), "at line 1", "good")]


def test_a_change_of_level_counts_at_once(world):
    query = "SELECT error_message FROM analytics.agent_errors_masked"
    with world.connect("viewer") as connection:
        for _ in range(7):  # psycopg prepares it on the way
            assert connection.execute(query).fetchall() == [("[email], [phone], [card], [key]",)]
        grant(world.db, world.roles["viewer"], "A", "admin")
        assert connection.execute(query).fetchall() == [(text_of("A"),)]
        grant(world.db, world.roles["viewer"], "A", "member")
        assert connection.execute(query).fetchall() == [("[email], [phone], [card], [key]",)]


def test_plans(world):
    """Texts are looked up after LIMIT, and not at all where nobody asks for them."""
    many = (
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, error_message)"
        " SELECT %s, %s, 'failed', now() - g * interval '1 minute', 'x' FROM generate_series(1, 5000) AS g"
    )
    world.db.execute(many, [uid("A"), uid("A", "a1")])
    world.db.execute("ANALYZE")

    def lookups(query: str) -> int:
        """How many texts of runs a statement looks up; it must not seem so much work that the planner compiles it."""
        with world.db.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL track_functions = 'pl'")
            # Workers count for themselves.
            connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            connection.execute(f"SET LOCAL ROLE {world.roles['viewer']}")
            plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {query}"))
            assert "JIT" not in plan, plan
            connection.execute(query)
            connection.execute("RESET ROLE")
            counted = (
                "SELECT coalesce(sum(calls), 0)::int FROM pg_stat_xact_user_functions"
                " WHERE funcname IN ('run_text', 'run_metadata')"
            )
            return connection.execute(counted).fetchone()[0]

    for view, columns in (("agent_runs_masked", 4), ("agent_run_details", 1)):
        assert lookups(f"SELECT count(*), max(model_name) FROM analytics.{view}") == 0
        last = f"WHERE workspace_id = '{uid('A')}' ORDER BY started_at DESC LIMIT 10"
        assert lookups(f"SELECT error_message FROM analytics.{view} {last}") == 10
        assert lookups(f"SELECT * FROM analytics.{view} {last}") == 10 * columns
        assert lookups(f"SELECT * FROM analytics.{view}") == 5002 * columns

    with world.connect("viewer") as connection:
        latest = (
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT comment FROM"
            f" analytics.agent_user_feedback_masked WHERE workspace_id = '{uid('A')}' ORDER BY created_at DESC LIMIT 1"
        )
        plan = "\n".join(line for (line,) in connection.execute(latest))
        assert "loops=1)" in plan[plan.index("SubPlan") :], plan


def test_setup_makes_grants_that_miss_nothing(world):
    """No level has a right on a text of a table, by itself or through the table as a whole."""
    rights = (
        "SELECT r.rolname, p.table_name, p.column_name FROM analytics_internal.personal_columns() AS p"
        " CROSS JOIN pg_roles AS r WHERE r.rolname = ANY (%s)"
        " AND has_column_privilege(r.oid, ('analytics.' || p.table_name)::regclass, p.column_name, 'SELECT')"
    )
    roles = sorted(set(world.roles.values()))
    assert world.db.rows(rights, [roles]) == []
    world.db.execute("SELECT count(*) FROM analytics.setup()")
    assert world.db.rows(rights, [roles]) == []
