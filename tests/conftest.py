"""Fixtures of the end-to-end tests.

``db``          a database of its own for the test, with the extension and its tables
``bare_db``     an empty database of its own
``own_server``  a server of its own, with fsync on, for tests that kill or restart it
``server``      the server that all other tests share
``make_role``   makes database roles with unique names, which go at the end of the test
``background``  runs a function in a thread
``shared_data`` the directory of real data sets; the test is skipped where it is absent

Run them with ``make test-e2e`` (``make test-e2e ARGS='-k restore'``), which builds the extension first.
Servers are private (``tools/cluster``): a Unix socket, superuser ``postgres``, no password.
"""

import contextlib
import itertools
import math
import os
import signal
import subprocess
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target"
VERSION = os.environ.get("SHADOWER_PG", "15")
# Of the extension, as it is built now.
CURRENT = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
PREFIX = TARGET / "pg" / VERSION
BIN = PREFIX / "bin"
# Each worker of pytest-xdist has servers of its own.
CLUSTERS = "-".join(
    [os.environ.get("SHADOWER_CLUSTERS", f"e2e-{os.getpid()}"), os.environ.get("PYTEST_XDIST_WORKER", "")]
).rstrip("-")

_numbers = itertools.count(1)

# Not durable and therefore fast: for tests that do not crash the server.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_prepared_transactions": "5",
}


def cluster(*args: str, **kwargs) -> subprocess.CompletedProcess:
    """tools/cluster; raises with its messages when it fails."""
    return subprocess.run([ROOT / "tools" / "cluster", *args], check=True, stdin=subprocess.DEVNULL, **kwargs)


# One worker runs all tests of such a file: they share a server, or files in the folders of the server's programs.
TOGETHER = ("test_crash.py", "test_rollup_crash.py", "test_schedule.py", "test_upgrade.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> object:
    """Workers take the next test, or the next file whose tests belong together."""

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in TOGETHER else nodeid

    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left with one when the others have ended."""
    items.sort(key=lambda item: bool(item.get_closest_marker("late")) - bool(item.get_closest_marker("slow")))


class Database:
    """One database and the ways into it. Whatever was opened through it is closed with it."""

    def __init__(self, server: "Server", name: str) -> None:
        self.server = server
        self.name = name
        self._connections: list[psycopg.Connection] = []

    def connect(self, role: str | None = None, **kwargs) -> psycopg.Connection:
        """A new connection, with autocommit unless told otherwise; as superuser or as ``role``."""
        kwargs.setdefault("autocommit", True)
        connection = psycopg.connect(
            host=self.server.socket, port=5432, dbname=self.name, user=role or "postgres", **kwargs
        )
        self._connections.append(connection)
        return connection

    @property
    def connection(self) -> psycopg.Connection:
        """The superuser's connection that the short forms below share."""
        if not self._connections or self._connections[0].closed:
            self._connections.insert(0, self.connect())
        return self._connections[0]

    def execute(self, query, params=None) -> psycopg.Cursor:
        return self.connection.execute(query, params)

    def rows(self, query, params=None) -> list[tuple]:
        return self.execute(query, params).fetchall()

    def value(self, query, params=None):
        """The only column of the only row."""
        ((value,),) = self.rows(query, params)
        return value

    def environment(self, role: str | None = None) -> dict[str, str]:
        """What psql, pg_dump and any other libpq program need to find this database."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PGHOST": str(self.server.socket),
            "PGPORT": "5432",
            "PGUSER": role or "postgres",
            "PGDATABASE": self.name,
            "PGTZ": "UTC",
        }

    def run(
        self, program: str, *args: str, role: str | None = None, check=True, merge=False, **kwargs
    ) -> subprocess.CompletedProcess:
        """Runs a program of this server version (pg_dump, pg_restore, pgbench...) on this database.

        ``merge`` puts its messages into ``.stdout``, where they occurred.
        """
        done = subprocess.run(
            [BIN / program, *map(str, args)],
            env=self.environment(role),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            text=True,
            **({} if "input" in kwargs else {"stdin": subprocess.DEVNULL}),
            **kwargs,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{program} {' '.join(map(str, args))}:\n{done.stdout}{done.stderr or ''}")
        return done

    def psql(
        self, script: str, *args: str, role: str | None = None, check=True, **kwargs
    ) -> subprocess.CompletedProcess:
        """Runs a script through psql, stopping at the first error; its result is in ``.stdout``."""
        options = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *args]
        return self.run("psql", *options, role=role, check=check, input=script, **kwargs)

    def dump(self, *args: str) -> str:
        """pg_dump's plain output, without what differs between two dumps of equal databases.

        That is the random word of newer versions' \\restrict, and the order of a table's rows: they come in
        the order of the heap, where the server puts a short row into a gap of an earlier page.
        """
        lines: list[str] = []
        rows: list[str] | None = None
        for line in self.run("pg_dump", *args).stdout.splitlines(keepends=True):
            if rows is not None and line != "\\.\n":
                rows.append(line)
                continue
            if rows is not None:
                lines += sorted(rows)
                rows = None
            if line.startswith(("\\restrict ", "\\unrestrict ")):
                line = line.split()[0] + "\n"
            elif line.startswith("COPY ") and line.endswith(" FROM stdin;\n"):
                rows = []
            lines.append(line)
        return "".join(lines)

    def workspace(self, name: str = "acme") -> uuid.UUID:
        """A new workspace."""
        return self.value(
            "INSERT INTO analytics.workspaces (name) VALUES (%s) RETURNING workspace_id", [name]
        )

    def contents(self) -> dict[str, tuple[int, str]]:
        """Row count and checksum of every table of ours that is not a partition, whatever the order of its rows."""
        tables = self.rows(
            "SELECT c.oid::regclass::text FROM pg_class AS c"
            " WHERE c.relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)"
            " AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"
        )
        assert tables, "there are no tables"
        digest = "md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), ''))"
        return {name: self.rows(f"SELECT count(*), {digest} FROM {name} AS t")[0] for (name,) in tables}

    def wait_until_blocked(self, connection: psycopg.Connection) -> None:
        """Returns once what runs in that connection (in the background) waits for a lock."""
        state = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s"
        pid = connection.info.backend_pid
        wait_until(
            lambda: self.value(state, [pid]) == "Lock", "the statement did not have to wait for a lock"
        )

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()


class Server:
    """A private cluster, made by a command of tools/cluster: init, replica or upgrade."""

    def __init__(self, name: str, command: str, *arguments: str) -> None:
        self.name = name
        self.directory = TARGET / "clusters" / name
        self._log_from = 0
        cluster(command, name, *arguments)
        self.start()
        self._admin: psycopg.Connection | None = None

    @property
    def socket(self) -> str:
        return (self.directory / "socket").read_text().strip()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def start(self) -> None:
        cluster("start", self.name)

    def stop(self, mode: str = "fast") -> None:
        cluster("stop", self.name, mode)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def kill(self, pid: int | None = None) -> None:
        """kill -9: the postmaster with all its processes, as a crash of the machine would; or one backend.

        Without their postmaster, backends would go on until they next wait for something.
        """
        victims = [pid] if pid else [self.pid, *_children(self.pid)]
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        for victim in victims:
            wait_until(lambda p=victim: not _alive(p), f"process {victim} did not end")

    def log(self) -> str:
        """What the server has logged so far, or since forget_log()."""
        with (self.directory / "log").open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def forget_log(self) -> None:
        """Tests that read what they logged need not read what all tests before them did."""
        self._log_from = (self.directory / "log").stat().st_size

    def admin(self) -> psycopg.Connection:
        """A connection for CREATE DATABASE and the like."""
        try:
            alive = self._admin is not None and self._admin.execute("SELECT 1")
        except psycopg.OperationalError:
            alive = None
        if not alive:
            self._admin = psycopg.connect(
                host=self.socket, port=5432, user="postgres", dbname="postgres", autocommit=True
            )
        return self._admin

    def create_database(self, name: str | None = None, template: str = "template0") -> Database:
        name = name or f"test_{next(_numbers)}"
        self.admin().execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        return Database(self, name)

    def drop_database(self, database: Database) -> None:
        database.close()
        self.admin().execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name))
        )

    def database(self, name: str) -> Database:
        """The way into a database that exists already."""
        return Database(self, name)

    def install(self, database: Database) -> Database:
        """CREATE EXTENSION and analytics.setup()."""
        database.execute("CREATE EXTENSION shadower_analytics")
        if database.rows(
            "SELECT FROM pg_proc WHERE proname = 'setup' AND pronamespace = 'analytics'::regnamespace"
        ):
            database.execute("SELECT * FROM analytics.setup()")
        return database

    def destroy(self) -> None:
        if self._admin is not None:
            self._admin.close()
        cluster("destroy", self.name)


def _alive(pid: int) -> bool:
    """Also true of a zombie: Postgres, too, takes it for a running server until init has reaped it."""
    return Path(f"/proc/{pid}").exists()


def _children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def wait_until(condition: Callable[[], object], message: str, seconds: float = 60) -> None:
    """Waits for a condition; a test that would wait for ever fails with the message."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{message} within {seconds:g} s")
        time.sleep(0.02)


def assert_rows(actual: list[tuple], expected: list[tuple], relative: float = 1e-9) -> None:
    """Equal rows; floats may differ by a relative error, because a sum depends on the order of its terms."""
    assert len(actual) == len(expected)
    for number, (row, wanted) in enumerate(zip(actual, expected, strict=True)):
        for column, (a, b) in enumerate(zip(row, wanted, strict=True)):
            equal = type(a) is type(b) and (
                math.isclose(a, b, rel_tol=relative, abs_tol=0.0) if isinstance(a, float) else a == b
            )
            assert equal, f"row {number}, column {column}: {a!r} instead of {b!r}\n{row}\n{wanted}"


def has_library(name: str) -> bool:
    """Whether this server prefix has a loadable library, such as pg_cron."""
    libdir = subprocess.run([BIN / "pg_config", "--pkglibdir"], check=True, capture_output=True, text=True)
    return (Path(libdir.stdout.strip()) / f"{name}.so").exists()


def start_server(name: str, settings: dict[str, str] | None = None) -> Server:
    """A private server; pg_cron is loaded where it is available (its database is `cron`)."""
    settings = dict(settings or {})
    if has_library("pg_cron"):
        settings.setdefault("shared_preload_libraries", "pg_cron")
        settings.setdefault("cron.database_name", "cron")
    return Server(
        f"{CLUSTERS}-{name}", "init", VERSION, *(f"{key}={value}" for key, value in settings.items())
    )


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The shared server. Its database `installed` is the template of ``db``."""
    server = start_server("shared", FAST)
    try:
        installed = server.install(server.create_database("installed"))
        installed.close()
        yield server
    finally:
        server.destroy()


@pytest.fixture
def db(server: Server) -> Iterator[Database]:
    """A fresh database with the extension and its tables."""
    database = server.create_database(template="installed")
    server.forget_log()
    yield database
    server.drop_database(database)


@pytest.fixture
def bare_db(server: Server) -> Iterator[Database]:
    """A fresh, empty database."""
    database = server.create_database()
    yield database
    server.drop_database(database)


@pytest.fixture
def make_server() -> Iterator[Callable[..., Server]]:
    """make_server(**settings): as many servers of its own as the test likes, durable unless told otherwise.

    A setting with a dot in its name goes into a dictionary: make_server(**{"cron.database_name": "x"}).
    """
    servers: list[Server] = []

    def make(**settings: str) -> Server:
        servers.append(start_server(f"own-{next(_numbers)}", settings))
        return servers[-1]

    yield make
    for server in servers:
        server.destroy()


@pytest.fixture
def make_replica() -> Iterator[Callable[[Server], Server]]:
    """make_replica(server): a hot standby that follows it."""
    replicas: list[Server] = []

    def make(of: Server) -> Server:
        replicas.append(Server(f"{CLUSTERS}-replica-{next(_numbers)}", "replica", of.name))
        return replicas[-1]

    yield make
    for replica in replicas:
        replica.destroy()


@pytest.fixture
def own_server(make_server: Callable[..., Server]) -> Server:
    """A durable server of the test's own, to be killed and restarted."""
    return make_server()


@pytest.fixture(params=["postmaster", "backend"])
def crash(request: pytest.FixtureRequest) -> Callable[..., None]:
    """kill -9, and the server is up again: of the postmaster with all its processes, or of one backend alone.

    After a backend's end the postmaster ends all others and recovers by itself. Which backend can be chosen by its
    connection; otherwise it is one that is at work in the database.
    """
    at_work = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " ORDER BY state = 'active' DESC, random() LIMIT 1"
    )

    def crash_of(database: Database, connection: psycopg.Connection | None = None) -> None:
        server = database.server
        recovered = server.log().count("database system is ready to accept connections")
        if request.param == "postmaster":
            server.kill()
            database.close()
            server.start()
        else:
            postmaster = server.pid
            server.kill(connection.info.backend_pid if connection else database.value(at_work))
            database.close()
            assert server.pid == postmaster
        wait_until(
            lambda: server.log().count("database system is ready to accept connections") > recovered,
            "the server has not recovered",
        )

    return crash_of


@pytest.fixture
def background() -> Iterator[Callable[..., Future]]:
    """background(function, *args) runs it in a thread: .result(60) waits for it and raises what it raised."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        yield pool.submit


@pytest.fixture
def make_role(server: Server, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """make_role("reader", "LOGIN NOSUPERUSER"): a role with a unique name, dropped after the test.

    The test's databases are dropped first, and with them what the role owned there.
    """
    databases = [request.getfixturevalue(name) for name in ("db", "bare_db") if name in request.fixturenames]
    roles: list[str] = []

    def make(stem: str = "role", options: str = "LOGIN") -> str:
        name = f"{stem}_{next(_numbers)}"
        server.admin().execute(sql.SQL("CREATE ROLE {} " + options).format(sql.Identifier(name)))
        roles.append(name)
        return name

    yield make
    for database in databases:
        server.drop_database(database)
    for role in roles:
        server.admin().execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of real data sets: $SHADOWER_DATA, or shared/data beside the clone."""
    directory = Path(os.environ.get("SHADOWER_DATA", ROOT.parent / "shared" / "data"))
    if not directory.is_dir():
        pytest.skip(f"no data sets: {directory} is absent (set SHADOWER_DATA)")
    return directory
