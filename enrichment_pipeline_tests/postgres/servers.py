"""Servers as they are elsewhere: Debian's PostgreSQL and PgBouncer, as processes of their own.

Both refuse to run as root: they run as the user `postgres`, which Debian's package makes. What is
done with them belongs to the tests.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from psycopg import sql

from enrichment_pipeline_tests.conftest import free_port

ADMIN = "postgres"

TIME_ZONE = "Asia/Kolkata"
"""Of every server here: half an hour off, so that a window shown in local time is no window."""

_SETTINGS = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "max_locks_per_transaction": "256",
    "timezone": TIME_ZONE,
    "log_timezone": TIME_ZONE,
}
_SECONDS = 30
_USER = "postgres"


def programs() -> Path:
    """The folder of PostgreSQL's programs: that of POSTGRES_BIN, or Debian's newest."""
    named = os.environ.get("POSTGRES_BIN")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda it: int(it.parent.name))
    assert named or found, "install Debian's postgresql, or name another one in POSTGRES_BIN"
    return Path(named) if named else found[-1]


class Server:
    """A PostgreSQL on a port of the loopback."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(
        self, database: str, role: str = ADMIN, port: int | None = None, **parameters: str
    ) -> str:
        """The URL of a database, on the server or on what stands before it."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"postgresql://{role}@127.0.0.1:{port or self.port}/{database}{query}"

    def do(self, statement: str, *names: str, database: str = ADMIN) -> list[tuple[Any, ...]]:
        """Run a statement as the administrator, with these names in the place of its {}."""
        composed = sql.SQL(statement).format(*map(sql.Identifier, names))  # type: ignore[arg-type]
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            done = connection.execute(composed)
            return done.fetchall() if done.description else []

    def version(self) -> int:
        """The major one."""
        [(version,)] = self.do("SELECT current_setting('server_version_num')::int / 10000")
        return int(version)

    def make_role(self, role: str, **settings: str) -> None:
        """A role that may log in and nothing else, with settings of its own."""
        self.do("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE", role)
        for name, value in settings.items():
            self.do(f"ALTER ROLE {{}} SET {name} TO '{value}'", role)

    def make_databases(self, name: str, owner: str) -> None:
        """The two databases of a store, made by the administrator."""
        for database in (name, f"{name}_dagster"):
            self.do("CREATE DATABASE {} OWNER {}", database, owner)


@contextmanager
def postgres(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A new server, gone at the end of the block."""
    port = free_port()
    given = {**_SETTINGS, "port": str(port), **(settings or {})}
    with _folder() as folder:
        given["unix_socket_directories"] = str(folder)
        data = str(folder / "data")
        initdb = [str(programs() / "initdb"), "--pgdata", data, "--username", ADMIN, "--no-sync"]
        locale = ["--encoding", "UTF8", "--no-locale", "--auth", "trust"]
        subprocess.run([*initdb, *locale], check=True, capture_output=True, **_as_user())
        given |= {"ssl": "on", **_certificate(folder)}
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        server = Server(port)
        command = [str(programs() / "postgres"), "-D", data, *options]
        with _running(command, folder / "log", lambda: _answers(server.url(ADMIN))):
            yield server


@contextmanager
def pgbouncer(server: Server, roles: Sequence[str], **settings: object) -> Iterator[int]:
    """PgBouncer before the server, which passes its connections on after each transaction; yields
    its port."""
    port = free_port()
    with _folder() as folder:
        users = folder / "users.txt"
        users.write_text("".join(f'"{role}" ""\n' for role in (ADMIN, *roles)))
        given = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": folder,
            "auth_type": "trust",
            "auth_file": users,
            "pool_mode": "transaction",
            "default_pool_size": 8,
            **settings,
        }
        lines = "\n".join(f"{name} = {value}" for name, value in given.items())
        file = folder / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n{lines}\n"
        )
        for made in (users, file):
            _give(made)
        url = server.url(ADMIN, port=port)
        with _running([_pgbouncer(), str(file)], folder / "log", lambda: _answers(url)):
            yield port


def _certificate(folder: Path) -> dict[str, str]:
    """A certificate that no client checks, as on many servers."""
    key, certificate = folder / "key", folder / "certificate"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *files], check=True, capture_output=True)
    for made in (key, certificate):
        _give(made)
    key.chmod(0o600)
    return {"ssl_key_file": str(key), "ssl_cert_file": str(certificate)}


def _pgbouncer() -> str:
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, "install Debian's pgbouncer"
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of the servers' user, with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _give(folder)
        yield folder


def _give(path: Path) -> None:
    if os.getuid() == 0:
        shutil.chown(path, _USER, _USER)


def _as_user() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam(_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


@contextmanager
def _running(command: Sequence[str], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, **_as_user())
    try:
        deadline = time.monotonic() + _SECONDS
        while not is_ready():
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
        yield
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        process.wait(_SECONDS)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True
