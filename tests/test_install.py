"""The extension comes and goes cleanly."""

import json
import re

from conftest import CURRENT, ROOT


def test_version_is_cargos(bare_db):
    bare_db.execute("CREATE EXTENSION shadower_analytics")
    installed = "SELECT extversion FROM pg_extension WHERE extname = 'shadower_analytics'"
    assert bare_db.value(installed) == CURRENT
    assert bare_db.value("SELECT analytics.library_version()") == CURRENT
    assert re.fullmatch(r"\d+\.\d+\.\d+", CURRENT)


def test_drop_leaves_nothing(bare_db):
    everything = """
        SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname ~ 'analytics'
        UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
        UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384
        UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE oid >= 16384
        UNION ALL SELECT 'extension ' || extname FROM pg_extension"""
    before = sorted(bare_db.rows(everything))
    bare_db.execute("CREATE EXTENSION shadower_analytics")
    assert sorted(bare_db.rows(everything)) != before
    bare_db.execute("DROP EXTENSION shadower_analytics")
    bare_db.execute("DROP SCHEMA IF EXISTS analytics RESTRICT")
    assert sorted(bare_db.rows(everything)) == before


def test_extension_can_come_back(bare_db):
    for _ in range(2):
        bare_db.execute("CREATE EXTENSION shadower_analytics")
        bare_db.execute("DROP EXTENSION shadower_analytics")


def test_meta_for_pgxn():
    """META.json has what PGXN asks for, and tells the truth."""
    meta = json.loads((ROOT / "META.json").read_text())
    required = {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"}
    assert required <= meta.keys()
    assert meta["version"] == CURRENT
    assert meta["license"] == "postgresql"
    assert meta["meta-spec"]["version"] == "1.0.0"
    for provided in meta["provides"].values():
        assert provided["version"] == CURRENT
        assert (ROOT / provided["file"]).is_file()
        assert (ROOT / provided["docfile"]).is_file()
