"""Random SQL over all tables, views and functions, by sqlsmith: no crash, and no internal error from our code.

SHADOWER_SQLSMITH_SECONDS=3600 tools/test-e2e -k sqlsmith       (a long run)
"""

import os
import shutil
import subprocess

import pytest
from catalog_calls import fill
from conftest import wait_until

SECONDS = int(os.environ.get("SHADOWER_SQLSMITH_SECONDS", "30"))


def internal_errors_of_ours(log: str) -> set[str]:
    """Postgres has internal errors of its own, raised in its C files; ours would be raised in Rust."""
    found, message = set(), ""
    for line in log.splitlines():
        if " ERROR:  " in line:
            message = line.partition(" ERROR:  ")[2]
        elif " LOCATION:  " in line and ".rs:" in line and message.startswith("XX"):
            found.add(message)
    return found


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.skipif(shutil.which("sqlsmith") is None, reason="sqlsmith is not installed")
def test_sqlsmith(make_server):
    server = make_server(fsync="off", track_functions="all", log_error_verbosity="verbose")
    db = server.install(server.create_database("analytics"))
    fill(db)
    # Not as a superuser, who could end the server by functions of Postgres.
    db.execute("CREATE ROLE smith LOGIN IN ROLE pg_read_all_data")
    db.execute("GRANT USAGE ON SCHEMA analytics, analytics_internal TO smith")
    db.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO smith")
    db.execute("GRANT ALL ON ALL TABLES IN SCHEMA analytics, analytics_internal TO smith")
    db.execute("ALTER ROLE smith BYPASSRLS")
    postmaster = server.pid
    target = f"host={server.socket} port=5432 dbname=analytics user=smith options='-c statement_timeout=2s -c work_mem=4MB'"
    smith = subprocess.Popen(
        ["sqlsmith", f"--target={target}", "--exclude-catalog", "--seed=20261126", "--verbose"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _, messages = smith.communicate(timeout=SECONDS)
        pytest.fail(f"sqlsmith ended by itself: {messages[-2000:]}")
    except subprocess.TimeoutExpired:
        smith.kill()
        smith.communicate()
    wait_until(
        lambda: not db.rows("SELECT FROM pg_stat_activity WHERE usename = 'smith'"), "its session goes on"
    )
    log = server.log()
    assert server.pid == postmaster
    assert "was terminated by signal" not in log
    assert " LOCATION:  " in log
    assert internal_errors_of_ours(log) == set()
    # It did reach our functions.
    called = db.value(
        "SELECT count(*) FROM pg_stat_user_functions WHERE schemaname ~ '^analytics' AND calls > 0"
    )
    assert called > 50, called
