"""pg_dump and restore: nothing is lost, nothing complains, and what users added to our tables is there too."""

import json
import re
import subprocess

import pytest
from conftest import Database, Server, assert_rows
from psycopg import sql
from rollup_oracle import ROLLUPS, refresh
from test_retention import answers

# Plain and custom go through one connection, a directory is written and read by two at once.
FORMATS = {
    "plain": ["--format=plain"],
    "custom": ["--format=custom"],
    "directory": ["--format=directory", "--jobs=2"],
}

WHAT_USERS_ADD = """
CREATE TABLE public.audit (what text, run_id uuid);
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.audit VALUES (TG_OP, NEW.run_id); RETURN NEW; END $$;

ALTER TABLE analytics.agent_runs ADD COLUMN team text DEFAULT 'blue';
CREATE INDEX by_team ON analytics.agent_runs (workspace_id, team, started_at);
CREATE INDEX by_metadata ON analytics.agent_errors USING gin (error_context jsonb_path_ops);
ALTER TABLE analytics.agents ADD CONSTRAINT short_name CHECK (length(name) < 200);
CREATE POLICY one_team ON analytics.agent_runs AS RESTRICTIVE FOR SELECT TO {reader} USING (team = 'red');
SELECT analytics.grant_access('{reader}', workspace_id) FROM analytics.workspaces;
SELECT analytics.trust_gateway('dump_gateway', 'member');
SELECT analytics.allow_tokens('dump_gateway', 'member');
SELECT analytics.set_token_key('here', issues => true);
INSERT INTO analytics.workspace_members (workspace_id, user_id, access_level)
    SELECT min(workspace_id::text)::uuid, 'cccccccc-0000-4000-8000-000000000001', 'viewer' FROM analytics.workspaces;
SELECT analytics.logout(access_token) FROM analytics.issue_token('cccccccc-0000-4000-8000-000000000001');
GRANT UPDATE (name, description) ON analytics.agents TO {reader};
GRANT EXECUTE ON FUNCTION analytics.ensure_partitions TO {reader};
CREATE TRIGGER note AFTER INSERT ON analytics.agent_runs FOR EACH ROW EXECUTE FUNCTION public.note();
CREATE VIEW public.daily AS
    SELECT workspace_id, agent_name, started_at::date AS day, count(*) FROM analytics.agent_run_details GROUP BY 1, 2, 3;
CREATE MATERIALIZED VIEW public.totals AS SELECT workspace_id, count(*) FROM analytics.agent_runs GROUP BY 1;
COMMENT ON COLUMN analytics.agent_runs.team IS 'added by a user';
"""

# Of all time, so that the answers do not depend on the hour; without the throughput, which is measured until now.
MEASURES = """
    SELECT p.* FROM analytics.workspaces AS w, analytics.agents AS a,
        LATERAL (SELECT total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs,
            running_runs, queued_runs, success_rate, avg_runtime_seconds, p50_runtime_seconds, p75_runtime_seconds,
            p90_runtime_seconds, p95_runtime_seconds, p99_runtime_seconds, min_runtime_seconds, max_runtime_seconds,
            stddev_runtime_seconds, credits_consumed, tokens_used, unique_users, avg_rating
        FROM analytics.agent_performance(w.workspace_id, a.agent_id, 'all')) AS p
    WHERE a.workspace_id = w.workspace_id
    ORDER BY a.workspace_id, a.agent_id"""

LISTS = """
    SELECT w.workspace_id, l.* FROM analytics.workspaces AS w,
        LATERAL analytics.list_agents(w.workspace_id, 'all') AS l
    ORDER BY w.workspace_id, l.agent_id"""


WORKSPACES = "SELECT workspace_id FROM analytics.workspaces"

# What the dump says about rights, besides, as the catalogue sees it.
RIGHTS = """
    SELECT c.oid::regclass::text, c.relrowsecurity,
           (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(c.relacl, acldefault('r', c.relowner))) AS a),
           (SELECT array_agg(p.polname || pg_get_expr(coalesce(p.polqual, p.polwithcheck), c.oid) ORDER BY p.polname)
            FROM pg_policy AS p WHERE p.polrelid = c.oid),
           (SELECT array_agg(concat_ws(' ', a.attname, a.attstattarget = 0, x.a) ORDER BY a.attname, x.a::text)
            FROM pg_attribute AS a LEFT JOIN LATERAL unnest(a.attacl) AS x (a) ON true
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
    FROM pg_class AS c
    WHERE c.relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
    ORDER BY 1"""


def checked(done: subprocess.CompletedProcess) -> None:
    """Not one word of complaint, and not only no error."""
    assert done.stderr == ""


def dump_to(source: Database, fmt: str, path) -> None:
    checked(source.run("pg_dump", *FORMATS[fmt], f"--file={path}"))


def restore_into(target: Database, fmt: str, path) -> None:
    if fmt == "plain":
        checked(target.run("psql", "--no-psqlrc", "--quiet", f"--file={path}"))
    else:
        jobs = ["--jobs=2"] if fmt == "directory" else []
        checked(target.run("pg_restore", *jobs, f"--dbname={target.name}", path))


def fill(database: Database) -> None:
    database.execute("SELECT * FROM analytics.generate_demo_data(3000, days => 40)")
    # A month without a partition, with everything that hangs on its runs.
    workspace = database.workspace("without a partition")
    for year in (2003, 2004):
        run = database.value(
            "SELECT analytics.start_run(%s, gen_random_uuid(), started_at => make_timestamptz(%s, 2, 3, 4, 5, 6))",
            [workspace, year],
        )
        database.execute("SELECT analytics.finish_run(%s, %s)", [workspace, run])
        database.execute(
            "SELECT analytics.record_error(%s, gen_random_uuid(), 'E', agent_run_id => %s)", [workspace, run]
        )
        database.execute(
            "SELECT analytics.record_feedback(%s, gen_random_uuid(), 4, agent_run_id => %s)", [workspace, run]
        )
    database.execute(
        "INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title)"
        " SELECT workspace_id, agent_id, 'cost', 'Use a smaller model' FROM analytics.agents"
    )
    # Rollups, with their log and their views, and how long rows are kept.
    database.execute(
        "INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at, started_at)"
        " SELECT workspace_id, agent_id, started_at - interval '1 minute', started_at FROM analytics.agent_runs LIMIT 50"
    )
    refresh(database.connection)
    database.execute("SELECT * FROM analytics.refresh_materialized_views()")
    database.execute("SELECT analytics.set_retention('agent_errors', '50 years')")
    fill_lifecycle(database, workspace)
    fill_trends(database, workspace)
    # Boards of the demo, with a choice and an achievement; then a workspace whose boards wait.
    database.execute("SELECT analytics.set_leaderboard_options(%s, minimum_runs => 3)", [workspace])
    database.execute(
        "INSERT INTO analytics.user_achievements (workspace_id, user_id, achievement, title, achieved_on, awarded_at)"
        " VALUES (%s, gen_random_uuid(), 'first_run', 'First run', '2026-01-05', '2026-01-05')",
        [workspace],
    )
    database.execute("SELECT * FROM analytics.refresh_leaderboards()")
    database.execute(
        "INSERT INTO analytics_internal.leaderboard_changes (workspace_id) VALUES (%s)", [workspace]
    )
    # An agent that waits in the log.
    database.execute(
        "INSERT INTO analytics_internal.agent_discoveries VALUES (%s, gen_random_uuid())", [workspace]
    )


def fill_lifecycle(database: Database, workspace) -> None:
    """Rules, a request that waits for a second voice, versions, a deployment, a dependency and a day of health."""
    rules = {
        "states": [{"state": "draft"}, {"state": "production"}],
        "transitions": [
            {
                "from": "draft",
                "to": "production",
                "required_approvals": 2,
                "guards": [{"metric": "minimum_runs", "threshold": 0}],
            },
            {"from": "production", "to": "draft"},
        ],
    }
    database.execute("SELECT analytics.configure_lifecycle(%s, %s)", [workspace, json.dumps(rules)])
    agents = [
        database.value(
            "INSERT INTO analytics.agents (workspace_id, name, lifecycle_state) VALUES (%s, %s, 'draft') RETURNING agent_id",
            [workspace, name],
        )
        for name in ("first", "second")
    ]
    of_first = [workspace, agents[0]]
    request = database.value("SELECT analytics.request_transition(%s, %s, 'production', 'ready')", of_first)
    database.execute(
        "INSERT INTO analytics.lifecycle_approvals (workspace_id, request_id, decided_by, decision)"
        " VALUES (%s, %s, 'somebody', 'approved')",
        [workspace, request],
    )
    database.execute(
        "SELECT analytics.register_version(%s, %s, '1.0.0', ARRAY['chat'], 'the first')", of_first
    )
    database.execute("SELECT analytics.set_version_alias(%s, %s, 'stable', '1.0.0')", of_first)
    database.execute("SELECT analytics.deploy_version(%s, %s, '1.0.0')", of_first)
    database.execute(
        "INSERT INTO analytics.agent_dependencies (workspace_id, agent_id, depends_on_agent_id) VALUES (%s, %s, %s)",
        [workspace, *agents],
    )
    database.execute("SELECT analytics.record_agent_health()")


def fill_trends(database: Database, workspace) -> None:
    rule = database.value("SELECT analytics.watch_metric(%s, 'runs')", [workspace])
    database.execute(
        "INSERT INTO analytics.anomaly_detections"
        " (workspace_id, rule_id, detected_for, metric, score, severity, anomaly_type, method, reason)"
        " VALUES (%s, %s, '2026-01-05', 'runs', 0.9, 'high', 'point', 'residual', 'far above')",
        [workspace, rule],
    )
    database.execute("SELECT * FROM analytics.refresh_trends()")


@pytest.fixture(scope="module", params=["native", "none"])
def source(server: Server, request: pytest.FixtureRequest):
    """A database with data and with things that users added to our tables."""
    server.admin().execute("CREATE ROLE dump_reader LOGIN; CREATE ROLE dump_gateway LOGIN")
    database = server.create_database()
    database.execute("CREATE EXTENSION shadower_analytics")
    database.execute("SELECT * FROM analytics.setup(partitioning => %s)", [request.param])
    fill(database)
    database.psql(WHAT_USERS_ADD.replace("{reader}", "dump_reader"))
    database.execute(
        "UPDATE analytics.agent_runs SET team = CASE WHEN hashtext(run_id::text) % 3 = 0 THEN 'red' ELSE 'blue' END"
    )
    database.execute("REFRESH MATERIALIZED VIEW public.totals")
    # Half of the changes have been seen by a refresh, the rest is in the log.
    database.execute("SELECT * FROM analytics.refresh(500)")
    assert database.value("SELECT count(*) FROM analytics_internal.rollup_changes") > 0
    yield database
    server.drop_database(database)
    server.admin().execute("DROP ROLE dump_reader, dump_gateway")


@pytest.fixture
def target(server: Server):
    database = server.create_database()
    yield database
    server.drop_database(database)


@pytest.mark.parametrize("fmt", FORMATS)
def test_dump_and_restore(source, target, fmt, tmp_path):
    path = tmp_path / "dump"
    dump_to(source, fmt, path)
    restore_into(target, fmt, path)

    contents = source.contents()
    assert contents["analytics.agent_runs"][0] == 3002
    assert min(count for name, (count, _) in contents.items()) > 0, "every table has something to lose"
    assert target.contents() == contents
    assert target.dump() == source.dump()

    for question in (LISTS, MEASURES):
        answers = source.rows(question)
        assert len(answers) > 20
        assert_rows(target.rows(question), answers)

    rollups_go_on(source, target)
    # What users added is not only there, it works.
    reading = target.connect("dump_reader")
    red = source.value("SELECT count(*) FROM analytics.agent_runs WHERE team = 'red'")
    assert 0 < red < 3002
    assert reading.execute("SELECT count(*) FROM analytics.agent_runs").fetchone() == (red,)
    assert reading.execute("SELECT count(*) FROM analytics.agent_run_details").fetchone() == (red,)
    claims = json.dumps({"workspaces": [str(workspace) for (workspace,) in source.rows(WORKSPACES)]})
    calling = target.connect("dump_gateway")
    assert calling.execute("SELECT count(*) FROM analytics.agent_runs").fetchone() == (0,)
    calling.execute("SELECT set_config('request.jwt.claims', %s, false)", [claims])
    assert calling.execute("SELECT count(*) FROM analytics.agent_runs").fetchone() == (3002,)
    assert target.rows(RIGHTS) == source.rows(RIGHTS)
    assert target.value("SELECT sum(count) FROM public.totals") == 3002
    goes_on(target)


SUMMARIES = ["agent_analytics_summary", "workspace_daily_summary", "error_daily_summary", "top_agents"]


def rollups_go_on(source: Database, target: Database) -> None:
    """Reads are what they were, no more is dirty than was, and a refresh computes that and no more."""
    some = source.rows(f"{WORKSPACES} ORDER BY name DESC LIMIT 2")
    expected = [answers(source.connection, workspace) for (workspace,) in some]
    assert [answers(target.connection, workspace) for (workspace,) in some] == expected
    for name in SUMMARIES:
        rows = f"SELECT s::text FROM analytics.{name} AS s ORDER BY 1"
        # A restore computes the views anew, from rollups that a refresh may have changed since.
        source.execute("SELECT * FROM analytics.refresh_materialized_views()")
        assert target.rows(rows) == source.rows(rows)
        assert target.rows(rows) != []
    dirty = (
        "SELECT rollup, dirty_buckets, dirty_ranges, oldest_dirty FROM analytics.rollup_status() ORDER BY 1"
    )
    assert target.rows(dirty) == source.rows(dirty)
    assert {ranges for _, _, ranges, _ in target.rows(dirty)} == {0}, (
        "its partitions have other oids, and that is all"
    )
    buckets = target.value(
        "SELECT dirty_buckets FROM analytics.rollup_status() WHERE rollup = 'agent_performance'"
    )
    before = "SELECT coalesce(sum(bucket_count), 0)::int FROM analytics.refresh_log WHERE object = 'agent_performance_hourly'"
    computed = target.value(before)
    refresh(target.connection)
    assert target.value(before) == computed + buckets
    assert target.rows("SELECT * FROM analytics.verify_rollups()") == []
    assert [answers(target.connection, workspace) for (workspace,) in some] == expected
    assert {rollup for rollup, *_ in target.rows(dirty)} == set(ROLLUPS)


def goes_on(database: Database) -> None:
    """setup() finds everything, and writing, the triggers and the making of partitions work as before."""
    partitioned = database.value("SELECT analytics_internal.is_partitioned('agent_runs')")
    steps = database.rows("SELECT name, action FROM analytics.setup()")
    assert {action for _, action in steps} <= {"present", "replaced", "created"}
    # The rows in the default partition get their months.
    late = ["agent_runs_y2003m02", "agent_runs_y2004m02"] if partitioned else []
    assert [name for name, action in steps if action == "created"] == late
    runs = "SELECT count(*) FROM analytics.agent_runs WHERE started_at < '2005-01-01'"
    assert database.value(runs) == 2

    audited = database.value("SELECT count(*) FROM public.audit")
    (workspace, run), *_ = database.rows(
        "SELECT workspace_id, run_id FROM analytics.agent_runs WHERE status = 'running'"
    )
    assert database.value("SELECT analytics.finish_run(%s, %s)", [workspace, run]) is True
    database.execute(
        "SELECT analytics.record_error(%s, gen_random_uuid(), 'E', agent_run_id => %s)", [workspace, run]
    )
    new = database.value(
        "SELECT analytics.start_run(%s, analytics.agent_id(%s, 'new'))", [workspace, workspace]
    )
    assert database.rows("SELECT team FROM analytics.agent_runs WHERE run_id = %s", [new]) == [("blue",)]
    assert database.value("SELECT count(*) FROM public.audit") == audited + 1
    assert database.value(
        "SELECT discovered FROM analytics.agents WHERE agent_id = analytics.agent_id(%s, 'new')", [workspace]
    )
    months = {name for (name,) in database.rows("SELECT partition_name FROM analytics.ensure_partitions(6)")}
    assert len(months) == (7 if partitioned else 0)
    assert database.value("SELECT count(*) FROM analytics_internal.agent_discoveries") == 0
    # The cascades, across every table.
    errors_before = database.value("SELECT count(*) FROM analytics.agent_errors")
    database.execute("DELETE FROM analytics.agent_runs WHERE started_at < '2005-01-01'")
    assert database.value(runs) == 0
    assert database.value("SELECT count(*) FROM analytics.agent_errors") == errors_before - 2
    database.execute("DELETE FROM analytics.workspaces")
    refresh(database.connection)
    database.execute("SELECT * FROM analytics.refresh_leaderboards()")
    filled = {name for name, (count, _) in database.contents().items() if count > 0}
    # What belongs to the installation, and what happened.
    assert filled == {
        "analytics.audit_log",
        "analytics.refresh_log",
        "analytics.suggestion_rules",
        "analytics_internal.achievement_rules",
        "analytics_internal.refresh_tokens",
        "analytics_internal.retention",
        "analytics_internal.revoked_tokens",
        "analytics_internal.rollup_partitions",
        "analytics_internal.rollup_state",
        "analytics_internal.schema_migrations",
        "analytics_internal.settings",
        "analytics_internal.token_families",
        "analytics_internal.token_keys",
        "analytics_internal.token_roles",
        "analytics_internal.trusted_gateways",
    }


def test_a_difference_is_noticed(source, target, tmp_path):
    """The comparisons above, on a dump that lost a row, and one that lost an index."""
    path = tmp_path / "dump"
    dump_to(source, "plain", path)
    restore_into(target, "plain", path)
    assert target.dump() == source.dump()
    target.execute("DROP INDEX analytics.by_metadata")
    assert target.dump() != source.dump()
    target.execute(
        "UPDATE analytics.agent_runs SET tokens_used = tokens_used + 1 WHERE started_at < '2005-01-01'"
    )
    was = source.contents()

    def different() -> set[str]:
        return {name for name, what in target.contents().items() if was[name] != what}

    # They have no tokens; that they were written is in the log.
    differ = {"analytics_internal.rollup_changes"}
    assert different() == differ
    target.execute("UPDATE analytics.agent_runs SET tokens_used = 1 WHERE started_at < '2004-01-01'")
    differ.add("analytics.agent_runs")
    assert different() == differ


@pytest.mark.parametrize("restored_by", ["owner", "superuser --role", "superuser"])
def test_database_of_an_ordinary_role(bare_db, server, make_role, tmp_path, restored_by):
    """The owner of the database made everything; the owner, or a superuser as backup tools do, restores it."""
    owner = make_role("app")
    name = sql.Identifier(bare_db.name)
    give_away = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(owner))
    server.admin().execute(give_away)
    connection = bare_db.connect(owner)
    connection.execute("CREATE EXTENSION shadower_analytics")
    connection.execute("SELECT * FROM analytics.setup()")
    connection.execute("SELECT * FROM analytics.generate_demo_data(1000)")
    connection.execute("CALL analytics.refresh_all()")
    contents, dump = bare_db.contents(), bare_db.dump()
    workspaces = [workspace for (workspace,) in bare_db.rows(WORKSPACES)]
    before = [answers(bare_db.connection, workspace) for workspace in workspaces]

    path = tmp_path / "dump"
    role = owner if restored_by == "owner" else None
    checked(bare_db.run("pg_dump", "--format=custom", f"--file={path}", role=role))
    # A database of the same name, so that make_role removes it before the role.
    server.drop_database(bare_db)
    server.create_database(bare_db.name)
    server.admin().execute(give_away)
    options = [f"--role={owner}"] if restored_by == "superuser --role" else []
    checked(bare_db.run("pg_restore", *options, f"--dbname={bare_db.name}", path, role=role))

    assert bare_db.contents() == contents
    assert bare_db.dump() == dump
    # And it is the owner's as before. Nothing has to be computed anew.
    connection = bare_db.connect(owner)
    assert connection.execute("SELECT DISTINCT status FROM analytics.refresh()").fetchall() == [("clean",)]
    assert [answers(bare_db.connection, workspace) for workspace in workspaces] == before
    assert {row[2] for row in connection.execute("SELECT * FROM analytics.setup()")} == {
        "present",
        "replaced",
    }
    workspace = bare_db.workspace()
    connection.execute("SELECT analytics.start_run(%s, gen_random_uuid())", [workspace])
    assert connection.execute("SELECT total_runs FROM analytics.list_agents(%s)", [workspace]).fetchall() == [
        (1,)
    ]


@pytest.mark.parametrize("schemas", [["analytics", "analytics_internal"], ["analytics"]])
def test_dump_of_schemas(db, bare_db, tmp_path, schemas):
    """pg_dump -n: the tables are not the extension's, so they come along. One schema alone has all that users wrote."""
    db.execute("SELECT * FROM analytics.generate_demo_data(2000, days => 20)")
    db.execute("SELECT * FROM analytics.refresh(300)")
    path = tmp_path / "dump"
    db.run("pg_dump", "--format=custom", f"--file={path}", *(f"--schema={schema}" for schema in schemas))

    bare_db.execute("CREATE EXTENSION shadower_analytics")
    done = bare_db.run("pg_restore", "--dbname", bare_db.name, path, check=False, merge=True)

    refused = {line.partition("ERROR:")[2].strip() for line in done.stdout.splitlines() if "ERROR:" in line}
    # CREATE EXTENSION has made the schema; some views and their comments are of what the other schema has.
    refused.remove('schema "analytics" already exists')
    assert all(re.fullmatch(r'relation "[\w.]+" does not exist', each) for each in refused), refused
    assert not refused or len(schemas) == 1
    contents = db.contents()
    restored = bare_db.contents()
    ours = [name for name in contents if not name.startswith("analytics_internal")]
    assert {name: restored[name] for name in ours} == {name: contents[name] for name in ours}
    if len(schemas) == 2:
        assert restored == contents
        bare_db.execute("SELECT analytics.setup()")
        assert_rows(bare_db.rows(LISTS), db.rows(LISTS))
