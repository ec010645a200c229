"""What has arrived in the store, and waiting for it."""

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.windows.books import books, counted_books

_SECONDS = 30

# Statement by statement, and delivered with the commit.
_NOTIFY = """
    CREATE FUNCTION notify_of_arrival() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_notify('arrival', ''); RETURN NULL; END $$;
    CREATE TRIGGER notify_of_arrival AFTER INSERT ON raw_batch EXECUTE FUNCTION notify_of_arrival();
    LISTEN arrival;
"""


class Arrivals:
    """Knows when events arrive: the test's database says so itself."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(_NOTIFY)

    def wait_for(self, events: Sequence[str]) -> None:
        """Return when events of all these names are there, each as often as it is named."""
        deadline = time.monotonic() + _SECONDS
        while missing := self._missing(events):
            left = deadline - time.monotonic()
            assert left > 0, f"not arrived in {_SECONDS} s: {missing}"
            for _ in self._connection.notifies(timeout=left, stop_after=1):
                pass

    def _missing(self, events: Sequence[str]) -> list[str]:
        missing = list(events)
        for (event,) in self._connection.execute("SELECT event FROM raw_event").fetchall():
            if event in missing:
                missing.remove(event)
        return missing

    def close(self) -> None:
        """Stop listening."""
        self._connection.close()


def rows(store: Store, statement: str) -> list[Any]:
    """What the store answers."""
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


def enriched(store: Store, rules: Rules) -> list[Any]:
    """All enriched events in their order, once everything is enriched and the books balance."""
    enrich_due(store, rules)
    assert_books_balance(store)
    return rows(store, "SELECT * FROM enriched_event ORDER BY occurred_at, uuid")


def assert_books_balance(store: Store) -> None:
    """Nothing is pending, and the rows say what the batches say."""
    with store.transaction() as connection:
        kept = books(connection)
        assert all(window.balances and window.pending == 0 for window in kept)
        windows = [window.window_start for window in kept]
        assert counted_books(connection, windows, store.window) == kept
