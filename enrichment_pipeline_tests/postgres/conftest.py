"""The servers of these tests, and the places on them where a store can be."""

from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from uuid import uuid4

import pytest

from enrichment_pipeline_tests.postgres.servers import Server, pgbouncer, postgres

PLAIN, POOLED, SCHEMA, LIMITED = "plain", "pooled", "schema", "limited"

_PROGRAMS = Path(__file__).parents[2] / "deploy" / "postgres_programs.py"

_SEARCH_PATH = {"options": "-csearch_path=app"}

# What somebody may have set for a role. The limits are short, so that a test need not last.
_OF_A_ROLE = {
    "statement_timeout": "100ms",
    "lock_timeout": "100ms",
    "idle_in_transaction_session_timeout": "200ms",
    "default_transaction_isolation": "repeatable read",
    "client_encoding": "LATIN1",
    "datestyle": "German, DMY",
    "intervalstyle": "sql_standard",
}


# Longer: it ends the connection, also before a transaction of ours has set its own.
_OF_A_ROLE_FROM_17 = {"transaction_timeout": "2s"}


class Place(NamedTuple):
    """Where a store is to be: its databases are there and empty, its owner may make no others."""

    url: str
    """For DATABASE_URL."""
    direct: str
    """The same, without what pools connections; over TLS, if there are client programs for that."""
    empty: str
    """Another such place, for a restore, not pooled."""


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Server]:
    """A PostgreSQL that is not the embedded one, in another time zone."""
    with postgres() as server:
        # Of another pipeline, whose owner is an administrator.
        server.do("CREATE ROLE enrichment_reader LOGIN")
        for role in (PLAIN, POOLED, SCHEMA):
            server.make_role(role)
        newer = _OF_A_ROLE_FROM_17 if server.version() >= 17 else {}
        server.make_role(LIMITED, **_OF_A_ROLE, **newer)
        yield server


@pytest.fixture(scope="session")
def pooled_port(elsewhere: Server) -> Iterator[int]:
    """Of a PgBouncer that passes connections on after each transaction."""
    with pgbouncer(elsewhere, [PLAIN, POOLED]) as port:
        yield port


@pytest.fixture(scope="session")
def programs() -> ModuleType:
    """The module of the backup that runs PostgreSQL's programs."""
    spec = spec_from_file_location(_PROGRAMS.stem, _PROGRAMS)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def sslmode(elsewhere: Server, programs: ModuleType) -> str:
    """What client programs can do: those of the wheel know no TLS, and older ones no newer
    server."""
    known = [programs._version_of(folder) for folder in programs._installed()]
    return "require" if max(known, default=0) >= elsewhere.version() else "disable"


@pytest.fixture(params=[PLAIN, POOLED, SCHEMA, LIMITED])
def place(
    request: pytest.FixtureRequest,
    elsewhere: Server,
    sslmode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """Each of the places in turn; DATABASE_URL names it."""
    role = request.param
    port = request.getfixturevalue("pooled_port") if role == POOLED else None
    parameters = _SEARCH_PATH if role == SCHEMA else {}
    name = f"{role}_{uuid4().hex[:8]}"
    for database in (name, f"{name}_empty"):
        elsewhere.make_databases(database, role)
    found = Place(
        elsewhere.url(name, role, port, **parameters),
        elsewhere.url(name, role, sslmode=sslmode, **parameters),
        elsewhere.url(f"{name}_empty", role, sslmode=sslmode, **parameters),
    )
    monkeypatch.setenv("DATABASE_URL", found.url)
    yield found
    for database in (name, f"{name}_empty"):
        for suffix in ("", "_dagster"):
            elsewhere.do("DROP DATABASE IF EXISTS {} WITH (FORCE)", f"{database}{suffix}")
