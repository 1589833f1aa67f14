"""Upgrades: a database of any released version becomes what a fresh one is, and keeps its rows.

sql/releases has the script of each release, sql/ the script from each release to the next. The library serves both: a
server has one file, and between its exchange and ALTER EXTENSION UPDATE old functions call new code.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import BIN, CURRENT, ROOT
from psycopg import errors

RELEASES = sorted(path.stem.split("--")[1] for path in (ROOT / "sql" / "releases").glob("*.sql"))

# Everything that the extension and setup() put into a database, but for the order of its making.
MEMBERS = """
    SELECT i.type, i.identity, obj_description(d.objid, c.relname),
           CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
           p.proacl::text, pg_get_userbyid(p.proowner), a.aggtransfn::text, a.aggfinalfn::text, a.aggcombinefn::text,
           a.aggtransspace, p.proparallel::text
    FROM pg_depend AS d
    JOIN pg_class AS c ON c.oid = d.classid
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
    LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    LEFT JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
      AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'shadower_analytics')
    ORDER BY 1, 2"""
ANSWERS = [
    "SELECT w.name, a.* FROM analytics.workspaces AS w, analytics.list_agents(w.workspace_id, 'all') AS a ORDER BY 1, 2",
    "SELECT w.name, a.* FROM analytics.workspaces AS w, analytics.workspace_users(w.workspace_id, 'all', 20) AS a",
    "SELECT w.name, r.* FROM analytics.workspaces AS w, analytics.rank_agents(w.workspace_id, 'all') AS r ORDER BY 1, 2, 3",
    "SELECT * FROM analytics.agent_analytics_summary ORDER BY 1, 2, 3",
]


@pytest.fixture(scope="module", autouse=True)
def scripts_of_releases(server):
    """CREATE EXTENSION finds the scripts of released versions; packages do not have them."""
    sharedir = subprocess.run([BIN / "pg_config", "--sharedir"], check=True, capture_output=True, text=True)
    copies = [
        shutil.copy(script, f"{sharedir.stdout.strip()}/extension")
        for script in (ROOT / "sql" / "releases").glob("*.sql")
    ]
    yield
    for copy in copies:
        Path(copy).unlink()


def members(db) -> dict:
    return {(kind, identity): rest for kind, identity, *rest in db.rows(MEMBERS)}


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

    old.execute("ALTER EXTENSION shadower_analytics UPDATE")
    old.execute("SELECT analytics.setup()")

    assert old.value("SELECT extversion FROM pg_extension WHERE extname = 'shadower_analytics'") == CURRENT
    fresh, upgraded = members(db), members(old)
    assert upgraded.keys() == fresh.keys(), "write the difference into the script: tools/upgrade-script"
    different = [key for key in fresh if upgraded[key] != fresh[key]]
    assert different == [], "write the difference into the script: tools/upgrade-script"

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


def test_failed_update_leaves_the_old_version(bare_db):
    bare_db.execute("CREATE EXTENSION shadower_analytics VERSION '0.1.0'")
    bare_db.execute("SELECT analytics.setup()")
    before = members(bare_db)
    # Something of the user's has the name of a new function.
    bare_db.execute(
        "CREATE FUNCTION analytics_internal.count_agents_final(internal) RETURNS bigint LANGUAGE internal AS 'int8inc_any'"
    )
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="count_agents_final"):
        bare_db.execute("ALTER EXTENSION shadower_analytics UPDATE")
    assert (
        bare_db.value("SELECT extversion FROM pg_extension WHERE extname = 'shadower_analytics'") == "0.1.0"
    )
    assert members(bare_db) == before
