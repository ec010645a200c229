"""What tests share: a real PostgreSQL, a fresh database for each test, and events to put into it.

All workers of a parallel run share one embedded server.
"""

import json
import os
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import pytest

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.events.raw_event import Arrival, RawEvent, parse_event
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, connect_store
from enrichment_pipeline_tests.databases import Databases, database_url

FAST_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

HOUR = timedelta(hours=1)

# Examples take their time on a machine that is busy; slowness is no failure here. Whether a change
# lands does not depend on luck: in CI the examples are the same each time, here they are new ones.
hypothesis.settings.register_profile(
    "project", deadline=None, max_examples=50, derandomize="CI" in os.environ
)
hypothesis.settings.load_profile("project")


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heeded() -> None:
    """Processes that a script starts in the background ignore it, and so do their children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable or .env file of whoever runs the tests reaches them."""
    # PGTZ: Dagster's storage sets it for its process, which here is that of all tests.
    for name in ("DATABASE_URL", "BROKER_URL", "PGTZ", *_own_variables()):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def _own_variables() -> list[str]:
    return [f"ENRICHMENT_{name.upper()}" for name in Settings.model_fields]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[EmbeddedPostgres]:
    """The PostgreSQL of the whole run; its kernel-counted users are the workers."""
    base = tmp_path_factory.getbasetemp()
    home = base if worker_id == "master" else base.parent
    with EmbeddedPostgres(home / "server", FAST_AND_FORGETFUL) as running:
        yield running


@pytest.fixture(scope="session")
def databases(server: EmbeddedPostgres, worker_id: str) -> Iterator[Databases]:
    """Where this process has its databases from."""
    found = Databases(server, worker_id)
    yield found
    found.close()


@pytest.fixture
def database(
    server: EmbeddedPostgres, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The URL of a migrated, empty database; DATABASE_URL names it too."""
    with databases.one() as name:
        url = database_url(server, name)
        monkeypatch.setenv("DATABASE_URL", url)
        yield url


@pytest.fixture
def settings(database: str) -> Settings:
    """The settings that name the fresh database."""
    return load_settings()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An open store on the fresh database"""
    opened = connect_store(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def rules() -> Rules:
    """The built-in rules."""
    return load_rules()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


EventMaker = Callable[..., bytes]


@pytest.fixture
def an_event() -> EventMaker:
    """Makes the JSON of an event; what is not given is sensible, its uuid is new."""
    return make_event


def make_event(
    event: object = "$pageview",
    at: datetime = datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    **fields: object,
) -> bytes:
    """The JSON of an event; keyword `properties` are added to sensible ones."""
    properties = {"$current_url": "https://shop.example/pricing", "$pathname": "/pricing"}
    extra = fields.pop("properties", {})
    return json.dumps(
        {
            "uuid": str(uuid.uuid4()),
            "event": event,
            "distinct_id": "user-1",
            "timestamp": at.isoformat(),
            "properties": {**properties, **extra} if isinstance(extra, dict) else extra,
            **fields,
        }
    ).encode()


def raw_events(count: int, at: datetime, **fields: object) -> list[RawEvent]:
    """Parsed events of project `default`, a second apart."""
    return [
        parse_event(make_event(at=at + timedelta(seconds=number), **fields), "default", Arrival(at))
        for number in range(count)
    ]
