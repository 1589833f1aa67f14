"""The extension comes and goes cleanly."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CLUSTERS, CURRENT, PREFIX, ROOT, TARGET, VERSION


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


class Clone:
    """A clone of its own in which the extension is built, on a machine whose Postgres is a copy of the system's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.system = folder, folder / "system"
        self.prefix = folder / "target" / "pg" / VERSION
        (folder / "target").mkdir(parents=True)
        for name in ("tools", "tests", "target/tools", "target/venv"):
            (folder / name).symlink_to(ROOT / name)
        for part in (Path("lib/postgresql") / VERSION, Path("share/postgresql") / VERSION):
            ours = shutil.ignore_patterns("shadower_analytics*")
            shutil.copytree(PREFIX / "usr" / part, self.system / part, symlinks=True, ignore=ours)
        self.run("server-prefix", VERSION)
        # Built after that, it seems.
        stage = Path("target/stage") / VERSION
        shutil.copytree(f"{ROOT / stage}{PREFIX}", f"{folder / stage}{self.prefix}")
        (folder / f"{stage}.done").touch()

    def run(self, script: str, *arguments: str | Path) -> str:
        return subprocess.run(
            [self.folder / "tools" / script, *arguments],
            env=os.environ | {"SHADOWER_SYSTEM": str(self.system), "PGDATABASE": "postgres"},
            check=True, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        ).stdout  # fmt: skip

    def sql(self, statement: str) -> str:
        return self.run("cluster", "psql", "demo", "-qXAt", "-c", statement).strip()

    def installed(self, place: Path) -> list[Path]:
        return [file for file in place.rglob("shadower_analytics*") if file.is_file()]


@pytest.fixture
def clone() -> Iterator[Clone]:
    if not (PREFIX / "usr").is_dir():
        pytest.skip(f"PostgreSQL {VERSION} is not Debian's here")
    # Where the server's user gets to, and where an interrupted run is cleaned up.
    folder = TARGET / "clusters" / f"{CLUSTERS}-clone"
    clone = Clone(folder)
    yield clone
    clone.run("cluster", "destroy", "demo")
    shutil.rmtree(folder)


def test_install_leaves_private_servers_alone(clone):
    """`make install` into the system's Postgres, of which the private one is a copy, while a server runs."""
    clone.run("build", VERSION)
    clone.run("cluster", "init", "demo", VERSION)
    clone.run("cluster", "start", "demo")
    clone.sql("CREATE EXTENSION shadower_analytics")
    copy = (clone.prefix / "origin").stat().st_ino

    def works() -> bool:
        """In a new session, which loads the library."""
        return clone.sql("SELECT analytics.library_version()") == CURRENT

    assert clone.installed(clone.system) == []
    clone.run("install", clone.system / "lib" / "postgresql" / VERSION / "bin" / "pg_config")
    assert len(clone.installed(clone.system)) > 2
    clone.run("build", VERSION)
    assert works()
    # Our own files are nothing to copy, even when no server runs.
    clone.run("cluster", "stop", "demo")
    clone.run("server-prefix", VERSION)
    assert (clone.prefix / "origin").stat().st_ino == copy
    clone.run("cluster", "start", "demo")

    # Another package changes the system's Postgres: what the server runs on stays,
    (clone.system / "share" / "postgresql" / VERSION / "extension" / "other.control").touch()
    clone.run("server-prefix", VERSION)
    assert works()
    assert (clone.prefix / "origin").stat().st_ino == copy
    # until it has stopped; the new copy has what was built into the old one.
    clone.run("cluster", "stop", "demo")
    clone.run("server-prefix", VERSION)
    assert (clone.prefix / "origin").stat().st_ino != copy
    clone.run("cluster", "start", "demo")
    assert works()
