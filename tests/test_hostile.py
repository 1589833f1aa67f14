"""Whatever is passed to a function: it answers, or it says with an SQLSTATE of its own what is wrong.

Every function, procedure and aggregate of the extension that SQL can call, with arguments that are NULL, empty, extreme
or malformed. An internal error (XX000), a crash, a call that ignores a cancel, or memory without a bound is a failure.
"""

import random
import time
from pathlib import Path

import psycopg
import pytest
from catalog_calls import callables, fill

PATIENCE = 2  # seconds, then a statement is cancelled
SLACK = 3  # seconds that it may take to notice
MEMORY = 1_500_000  # kB of its own that a backend may hold


def own_memory(pid: int) -> int:
    """Memory of a process that it shares with no other, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("schema", ["analytics", "analytics_internal"])
def test_functions_survive_any_arguments(db, schema):
    fill(db)
    rng = random.Random(20261126)
    connection = db.connect(autocommit=False)
    # One example of each mistake of each function.
    wrong: dict[tuple[str, str], str] = {}
    calls = answers = 0
    for function in callables(db, schema):
        for query in function.hostile_statements(rng, 60 if schema == "analytics" else 30):
            calls += 1
            began = time.monotonic()
            try:
                connection.execute(f"SET LOCAL statement_timeout = '{PATIENCE}s'")
                connection.execute(query)
                answers += 1
            except psycopg.Error as error:
                if connection.closed or error.sqlstate is None:
                    pytest.fail(f"the backend is gone: {query[:2000]}\n{db.server.log()[-3000:]}")
                if error.sqlstate.startswith("XX"):
                    wrong.setdefault((function.name, str(error)), query)
            connection.rollback()
            took = time.monotonic() - began
            if took > PATIENCE + SLACK:
                wrong.setdefault((function.name, f"went on for {took:.1f} s"), query)
        memory = own_memory(connection.info.backend_pid)
        if memory > MEMORY:
            wrong.setdefault((function.name, f"holds {memory} kB"), "all of its calls")
    connection.close()
    assert not wrong, "\n".join(f"{name}: {error}: {query[:600]}" for (name, error), query in wrong.items())
    # Much of what is asked is refused; if nearly all were, the test would not reach far.
    assert answers > calls / 6, (answers, calls)
