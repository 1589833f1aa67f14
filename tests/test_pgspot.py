"""pgspot, which looks for search_path and privilege mistakes, finds nothing in our SQL.

It reads what a database runs: the script of CREATE EXTENSION, then the migrations and the views of setup(), each with
the search_path that it really has.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BIN, CURRENT, ROOT
from pglast import parse_sql
from pglast.ast import CreateFunctionStmt

# CREATE EXTENSION makes this schema, or refuses one that others own or may create in, and runs the script with it.
EXTENSION_PATH = "CREATE SCHEMA analytics; SET search_path = pg_catalog, analytics, pg_temp;"
# The setting of the function setup().
SETUP_PATH = "SET search_path = pg_catalog, pg_temp;"

PLACEHOLDER = " {{partition by month of started_at}}"


def extension_script() -> str:
    directory = subprocess.run([BIN / "pg_config", "--sharedir"], check=True, capture_output=True, text=True)
    script = Path(directory.stdout.strip()) / "extension" / f"shadower_analytics--{CURRENT}.sql"
    return script.read_text()


def files(pattern: str) -> str:
    found = sorted(ROOT.glob(pattern))
    assert found, pattern
    return "\n".join(path.read_text() for path in found).replace(PLACEHOLDER, "")


def with_bodies_to_read(script: str) -> str:
    """A body that was parsed when its function was made (RETURN ...) has no search_path of its own and needs none, but
    pgspot reads bodies in quotes only."""
    quoted = []
    script = re.sub(r"@extowner@", "extowner", script)
    for raw in parse_sql(script):
        end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(script)
        text = script[raw.stmt_location : end]
        if isinstance(raw.stmt, CreateFunctionStmt) and raw.stmt.sql_body:
            text, count = re.subn(
                r"\nRETURN\b(.+)\Z",
                r"\nSET search_path = pg_catalog, pg_temp AS $body$ SELECT\1 $body$",
                text,
                flags=re.DOTALL,
            )
            assert count == 1, text
        quoted.append(text)
    return ";".join(quoted) + ";\n"


def everything() -> str:
    setup = SETUP_PATH + files("migrations/*.sql") + files("sql/views/*.sql")
    return with_bodies_to_read(EXTENSION_PATH + extension_script() + setup)


def pgspot(script: str) -> tuple[int, str]:
    program = [sys.executable, "-m", "pgspot"]
    done = subprocess.run(program, input=script, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_no_finding():
    code, findings = pgspot(everything())
    assert (code, "Errors: 0 Warnings: 0 Unknown: 0" in findings) == (0, True), findings


@pytest.mark.parametrize(
    ("mistake", "code"),
    [
        ("CREATE FUNCTION analytics.x() RETURNS bigint LANGUAGE sql AS 'SELECT 1'", "PS005"),
        ("CREATE FUNCTION analytics.x() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "PS003"),
        ("RESET search_path; SELECT 1 + 1", "PS001"),
        ("CREATE OR REPLACE VIEW public.x AS SELECT 1", "PS015"),
    ],
)
def test_a_mistake_is_found(mistake, code):
    _, findings = pgspot(everything() + mistake)
    assert code in findings, findings
