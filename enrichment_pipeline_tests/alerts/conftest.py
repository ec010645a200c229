"""What tests of the alerts share: receivers, and letters."""

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from sqlalchemy import text

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.alerts.receivers import Receiver, receiver

AddLetters = Callable[..., None]


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
