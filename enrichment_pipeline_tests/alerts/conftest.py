"""What tests of the alerts share: a store for each module, emptied after each test, because copying
a database takes longer than most of them; receivers; letters."""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from psycopg import sql
from sqlalchemy import text

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, open_store
from enrichment_pipeline_tests.alerts.receivers import Receiver, receiver
from enrichment_pipeline_tests.conftest import copy_database, database_url, execute

AddLetters = Callable[..., None]

_FILLED = (
    "raw_batch, raw_event, event_key, enriched_event, dead_letter, heartbeat, failure, alert, "
    "alert_message"
)


@pytest.fixture(scope="module")
def store_of_module(server: EmbeddedPostgres, template: str) -> Iterator[Store]:
    """An open store on a database of this module."""
    name = f"alerts_{uuid.uuid4().hex[:12]}"
    copy_database(server, template, name)
    opened = open_store(Settings(database_url=database_url(server, name)))
    yield opened
    opened.close()
    for suffix in ("", "_dagster"):
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        execute(server, drop.format(sql.Identifier(f"{name}{suffix}")))


@pytest.fixture
def database(store_of_module: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its URL; DATABASE_URL names it too."""
    assert store_of_module.settings.database_url
    url = store_of_module.settings.database_url.get_secret_value()
    monkeypatch.setenv("DATABASE_URL", url)
    yield url
    with store_of_module.transaction() as connection:
        connection.execute(text(f"TRUNCATE {_FILLED}"))


@pytest.fixture
def store(store_of_module: Store, database: str) -> Store:
    """The store, empty."""
    return store_of_module


@pytest.fixture
def inbox() -> Iterator[Receiver]:
    """A receiver of messages."""
    with receiver() as running:
        yield running


@pytest.fixture
def add_letters(store: Store) -> AddLetters:
    """Adds dead letters to the store."""

    def add(
        count: int,
        window: datetime,
        reason: str = "invalid_json",
        kind: str = "event",
        state: str = "open",
    ) -> None:
        with store.transaction() as connection:
            connection.execute(
                text(
                    """
                    INSERT INTO dead_letter (
                        kind, state, batch_id, window_start, event_count, source, reason_code,
                        message
                    )
                    SELECT :kind, :state, number, :window, 1, 'api', :reason, 'broken'
                    FROM generate_series(1, :count) AS number
                    """
                ),
                {"kind": kind, "state": state, "count": count, "window": window, "reason": reason},
            )

    return add
