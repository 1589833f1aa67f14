"""The script that CREATE EXTENSION runs as a superuser on behalf of somebody else finds nothing of theirs.

pg_test/sql/trusted.sql attacks it, on every server version; this reads it.
"""

import pytest
from pglast import ast, parse_sql
from pglast.stream import RawStream
from test_pgspot import extension_script

# Nobody may come between these and the end of the script.
PINNED = "SET LOCAL search_path TO 'pg_catalog', 'pg_temp'"


@pytest.fixture(scope="module")
def script() -> str:
    return extension_script().replace("@extowner@", "extowner")


@pytest.fixture(scope="module")
def statements(script) -> list[ast.Node]:
    return [raw.stmt for raw in parse_sql(script)]


def unqualified(statement: ast.Node) -> str | None:
    """The name of what a statement makes, alters or describes, if it leaves the schema to the search_path."""
    match statement:
        case ast.CreateFunctionStmt(funcname=name) | ast.DefineStmt(defnames=name):
            pass
        case ast.AlterFunctionStmt(func=ast.ObjectWithArgs(objname=name)):
            pass
        case ast.CommentStmt(object=ast.ObjectWithArgs(objname=name)):
            pass
        case (
            ast.CommentStmt(object=ast.TypeName(names=name))
            | ast.CommentStmt(object=(ast.TypeName(names=name), _))  # a cast
            | ast.CreateCastStmt(sourcetype=ast.TypeName(names=name))
        ):
            pass
        case (
            ast.CreateSchemaStmt()
            | ast.CommentStmt(object=ast.String())
            | ast.VariableSetStmt()
            | ast.DoStmt()
        ):
            return None
        case _:
            return f"an unexpected statement: {RawStream()(statement)}"
    return ".".join(part.sval for part in name) if len(name) < 2 else None


def test_the_path_is_pinned_first_and_stays(statements):
    settings = [number for number, each in enumerate(statements) if isinstance(each, ast.VariableSetStmt)]
    assert settings == [0]
    assert RawStream()(statements[0]) == PINNED


def test_every_name_has_its_schema(statements):
    assert len(statements) > 800
    assert [found for each in statements if (found := unqualified(each))] == []


@pytest.mark.parametrize(
    "mistake",
    [
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql RETURN 1",
        "CREATE AGGREGATE f(integer) (SFUNC = int4pl, STYPE = integer)",
        "CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = oideq)",
        "COMMENT ON FUNCTION f() IS 'x'",
        "ALTER FUNCTION f() STABLE",
        "SELECT set_config('search_path', 'analytics', true)",
        "CREATE CAST (sketch AS bytea) WITHOUT FUNCTION",
    ],
)
def test_a_mistake_is_found(mistake):
    (raw,) = parse_sql(mistake)
    assert unqualified(raw.stmt)


def test_the_callers_settings_do_not_change_what_the_script_says(script):
    """With standard_conforming_strings off, a backslash before a quote would not end the string."""
    assert "\\'" not in script
