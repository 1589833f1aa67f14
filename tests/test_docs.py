"""The SQL of README.md and docs/*.md works, and gives the results that the pages show.

Each page is one psql session, from its first block to its last, in a fresh database: an empty one when
the page itself says CREATE EXTENSION, otherwise one with the extension and its tables. Paths (``\\copy``)
are relative to the root of the repository; the time zone is UTC.

=====================  ===============================================================================
block                  meaning
=====================  ===============================================================================
```sql                 run; an error fails the test
```sql error           run; an error is what the page wants to show
```sql ignore          not run (it needs another server, or waits for ever)
```text                right after one that was run (blank lines between): its output, as psql --quiet
                       prints it. ``…`` stands for anything within a line, a line ``…`` for any lines.
                       Widths don't matter: blanks and dashes are compared as if there were one.
<!-- setup ... -->     an HTML comment, so the reader does not see it: SQL that is run
=====================  ===============================================================================
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.exists()]

BLOCK = re.compile(
    r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```[ \t]*$|^<!-- setup\b(?P<setup>.*?)-->[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    line: int
    sql: str
    may_fail: bool = False
    expected: str | None = None


def blocks(text: str) -> list[Block]:
    """What is to be run, each with the result that the page shows, if it does."""
    found: list[Block] = []
    end_of_last: int | None = None  # of a block that was run: its result may follow
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        info = (match["info"] or "").split()
        follows = end_of_last is not None and not text[end_of_last : match.start()].strip()
        end_of_last = None
        if match["setup"] is not None:
            found.append(Block(line, match["setup"]))
        elif info[:1] == ["sql"] and "ignore" not in info:
            found.append(Block(line, match["body"], may_fail="error" in info))
            end_of_last = match.end()
        elif info[:1] == ["text"] and follows:
            found[-1].expected = match["body"]
    return found


def normal(text: str) -> list[str]:
    """Lines without the parts that depend on the widths of columns."""
    lines = (re.sub(r"-{2,}", "--", re.sub(r"\s+", " ", line)).strip() for line in text.splitlines())
    return [line for line in lines if line]


def matches(expected: str, actual: str) -> bool:
    pattern = ""
    for line in normal(expected):
        if line == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("…")) + r"\n"
    return re.fullmatch(pattern, "".join(line + "\n" for line in normal(actual))) is not None


def script(page: list[Block]) -> str:
    parts = []
    for number, block in enumerate(page):
        parts.append(f"\\echo @@ {number}")
        parts.append(f"\\set ON_ERROR_STOP {0 if block.may_fail else 1}")
        parts.append(block.sql)
    return "\n".join([*parts, f"\\echo @@ {len(page)}", ""])


@pytest.mark.parametrize("path", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_page(path: Path, request: pytest.FixtureRequest):
    page = blocks(path.read_text())
    if not page:
        pytest.skip("no SQL on this page")
    installs = any(re.search(r"CREATE\s+EXTENSION", block.sql, re.IGNORECASE) for block in page)
    database = request.getfixturevalue("bare_db" if installs else "db")
    done = database.psql(script(page), cwd=ROOT, check=False, merge=True)

    outputs = re.split(r"^@@ (\d+)\n", done.stdout, flags=re.MULTILINE)[1:]
    results = {int(number): output for number, output in zip(outputs[::2], outputs[1::2], strict=True)}
    for number, block in enumerate(page):
        where = f"{path.name}, line {block.line}"
        output = results.get(number, "")
        if number + 1 not in results:
            pytest.fail(f"{where}: the block failed\n{block.sql}\n{output}")
        if block.may_fail:
            assert "ERROR:" in output, f"{where}: the page shows an error, but there was none\n{output}"
        if block.expected is not None and not matches(block.expected, output):
            pytest.fail(f"{where}: the page shows\n{block.expected}\nbut the result is\n{output}")
    assert done.returncode == 0, done.stdout


def test_the_reader_of_pages():
    """The machinery above, on a page with one of everything."""
    page = blocks(
        "<!-- setup\nSELECT 0;\n-->\n```sql\nSELECT 1;\n```\n\n```text\n a \n---\n…\n(1 row)\n```\n"
        "```sql ignore\nSELECT 2;\n```\n```sql error\nSELECT 1/0;\n```\nprose\n```text\nnot a result\n```\n"
    )
    assert [(block.line, block.sql.strip(), block.may_fail) for block in page] == [
        (1, "SELECT 0;", False),
        (4, "SELECT 1;", False),
        (17, "SELECT 1/0;", True),
    ]
    assert page[0].expected is None
    assert page[2].expected is None
    assert matches(page[1].expected, "  a   \n------\n  17\n(1 row)\n")
    assert not matches(page[1].expected, "  a   \n------\n  17\n(2 rows)\n")
    assert matches("took … ms", "took 12.5 ms")
    assert not matches("took … ms", "took 12.5 s")
