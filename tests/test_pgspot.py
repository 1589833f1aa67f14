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

# What CREATE EXTENSION does before the script runs. The schema may have been made by the caller: pgspot must not see it
# being made, or it would take it for safe.
EXTENSION_PATH = "SET search_path = analytics, pg_temp;"
# The setting of the function setup(). It runs as the owner of the schema, in which nobody else may create: what it
# replaces is the owner's, or Postgres refuses to.
SETUP_PATH = (
    "CREATE SCHEMA analytics; CREATE SCHEMA analytics_internal; SET search_path = pg_catalog, pg_temp;"
)

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


def of_extension() -> str:
    return with_bodies_to_read(EXTENSION_PATH + extension_script())


def of_setup() -> str:
    return with_bodies_to_read(SETUP_PATH + files("migrations/*.sql") + files("sql/views/*.sql"))


def pgspot(script: str) -> tuple[int, str]:
    program = [sys.executable, "-m", "pgspot"]
    done = subprocess.run(program, input=script, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("script", [of_extension, of_setup])
def test_no_finding(script):
    code, findings = pgspot(script())
    assert (code, "Errors: 0 Warnings: 0 Unknown: 0" in findings) == (0, True), findings


@pytest.mark.parametrize(
    ("mistake", "code"),
    [
        ("CREATE FUNCTION analytics.x() RETURNS bigint LANGUAGE sql AS 'SELECT 1'", "PS005"),
        ("CREATE FUNCTION analytics.x() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "PS003"),
        ("RESET search_path; SELECT 1 + 1", "PS001"),
        ("SET search_path = analytics, pg_temp; SELECT 1 = 1", "PS001"),
        ("CREATE OR REPLACE VIEW public.x AS SELECT 1", "PS015"),
    ],
)
def test_a_mistake_is_found(mistake, code):
    _, findings = pgspot(of_extension() + mistake)
    assert code in findings, findings
