"""The schedule in pg_cron: jobs that really run, in either of the ways in which pg_cron runs them."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from conftest import FAST, Database, has_library, start_server, wait_until
from psycopg import errors

needs_cron = pytest.mark.skipif(not has_library("pg_cron"), reason="pg_cron is not installed")
pytestmark = pytest.mark.slow

DEFAULTS = {
    "analytics refresh": "* * * * *",
    "analytics materialized views": "*/15 * * * *",
    "analytics clean-up": "0 3 * * *",
    "analytics leaderboards": "*/15 * * * *",
    "analytics trends": "*/15 * * * *",
    "analytics suggestions": "0 4 * * *",
    "analytics health": "55 23 * * *",
}
JOBS = list(DEFAULTS)
STATUS = "SELECT job_name, schedule, active FROM analytics.schedule_status()"


def test_hint_without_pg_cron(db):
    for call in ("schedule", "unschedule", "schedule_status"):
        with pytest.raises(errors.ObjectNotInPrerequisiteState) as caught:
            db.execute(f"SELECT analytics.{call}()")
        hint = caught.value.diag.message_hint
        assert "CREATE EXTENSION pg_cron" in hint
        assert "cron.database_name" in hint
        # What to do by hand, which works as it stands.
        calls = hint.split("scheduler: ")[1].removesuffix(".").split("; ")
        assert len(calls) == len(JOBS)
        for statement in calls:
            db.execute(statement)


def with_cron(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_cron")
    database.server.install(database)


@pytest.fixture(scope="module")
def servers():
    """One whose jobs are background workers, and one whose jobs connect as clients."""
    servers = {}
    try:
        for name, setting in (("workers", "on"), ("clients", "off")):
            settings = {**FAST, "cron.use_background_workers": setting, "max_worker_processes": "20"}
            servers[name] = start_server(f"cron-{name}", settings)
            if name == "clients":
                # There is no network: the socket is found by its directory, which is known only now.
                admin = servers[name].admin()
                admin.execute(f"ALTER SYSTEM SET cron.host = '{servers[name].socket}'")
                servers[name].restart()
        yield servers
    finally:
        for server in servers.values():
            server.destroy()


@needs_cron
def test_jobs_run(servers):
    """Both servers at once: pg_cron of this age counts in minutes."""
    databases = {}
    for name, server in servers.items():
        database = databases[name] = server.create_database("cron")
        with_cron(database)
        workspace = database.workspace()
        for hour in range(3):
            database.execute(
                "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (%s, %s, 'running', %s)",
                [workspace, uuid.UUID(int=7), datetime.now(UTC) - timedelta(hours=hour)],
            )
        database.execute("SELECT analytics.set_retention('agent_runs', '1000 days')")
        every_minute = "* * * * *"
        rows = database.rows(
            "SELECT job_name, schedule FROM analytics.schedule(%s, %s, %s, %s, %s, %s, %s)",
            [every_minute] * len(JOBS),
        )
        assert rows == [(job, every_minute) for job in JOBS]

    def all_ran() -> bool:
        ran = "SELECT count(*) FROM analytics.schedule_status() WHERE last_status IN ('succeeded', 'failed')"
        return all(database.value(ran) == len(JOBS) for database in databases.values())

    wait_until(all_ran, "the jobs did not run", 130)
    for name, database in databases.items():
        status = database.rows("SELECT job_name, last_status, last_message FROM analytics.schedule_status()")
        assert {(job, result) for job, result, _ in status} == {(job, "succeeded") for job in JOBS}, (
            name,
            status,
        )
        assert database.value("SELECT count(*) FROM analytics_internal.rollup_changes") == 0
        assert database.value("SELECT sum(total_runs)::int FROM analytics.agent_performance_hourly") == 3
        logged = database.rows(
            "SELECT DISTINCT triggered_by FROM analytics.refresh_log WHERE object = 'agent_performance_hourly'"
        )
        assert logged == [("cron",)], name
        recent = "SELECT bool_and(last_run_at > now() - interval '5 minutes' AND last_duration_seconds >= 0) FROM analytics.schedule_status()"
        assert database.value(recent), name
        database.close()
        database.server.admin().execute("DROP DATABASE cron WITH (FORCE)")


@needs_cron
def test_schedule_can_be_repeated_and_undone(servers):
    server = servers["clients"]
    database = server.create_database("cron")
    try:
        with_cron(database)
        database.execute("SELECT cron.schedule('somebody else''s', '0 0 1 1 *', 'SELECT 1')")
        assert database.rows(STATUS) == []
        assert database.value("SELECT analytics.unschedule()") == 0
        for _ in range(2):
            database.execute("SELECT * FROM analytics.schedule()")
            assert database.rows(STATUS) == [(job, when, True) for job, when in DEFAULTS.items()]
        # What is given replaces it, NULL is the default.
        database.execute("SELECT * FROM analytics.schedule('*/5 * * * *', NULL, clean_up => '30 4 * * *')")
        changed = DEFAULTS | {"analytics refresh": "*/5 * * * *", "analytics clean-up": "30 4 * * *"}
        assert [row[1] for row in database.rows(STATUS)] == list(changed.values())
        with pytest.raises(errors.Error):
            database.execute("SELECT * FROM analytics.schedule('whenever')")
        assert len(database.rows(STATUS)) == len(JOBS)
        assert database.value("SELECT analytics.unschedule()") == len(JOBS)
        assert database.rows(STATUS) == []
        assert database.value("SELECT analytics.unschedule()") == 0
        assert database.value("SELECT count(*) FROM cron.job") == 1
    finally:
        database.close()
        server.admin().execute("DROP DATABASE cron WITH (FORCE)")


@needs_cron
def test_jobs_of_a_superuser_are_the_owners(servers):
    """The owner of the tables may put a function beside ours that fits a job's call better."""
    server = servers["clients"]
    database = server.create_database("cron")
    owner = "jobs_owner"
    server.admin().execute(f"CREATE ROLE {owner}")
    try:
        server.admin().execute(f"ALTER DATABASE cron OWNER TO {owner}")
        database.execute("CREATE EXTENSION pg_cron")
        database.execute(f"SET ROLE {owner}")
        server.install(database)
        database.execute("RESET ROLE")
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="may not log in"):
            database.execute("SELECT * FROM analytics.schedule()")
        database.execute(f"ALTER ROLE {owner} LOGIN")
        for _ in range(2):
            database.execute("SELECT * FROM analytics.schedule()")
        assert database.rows("SELECT username, database, count(*) FROM cron.job GROUP BY 1, 2") == [
            (owner, "cron", len(JOBS))
        ]
        assert database.value("SELECT analytics.unschedule()") == len(JOBS)
    finally:
        database.close()
        server.admin().execute("DROP DATABASE cron WITH (FORCE)")
        server.admin().execute(f"DROP ROLE {owner}")
