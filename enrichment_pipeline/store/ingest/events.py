"""Finding one event with all its data: the payload as it arrived, and the enriched event.

Queries over many events belong to `books` and `query`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Connection, text

from enrichment_pipeline.store.database.payloads import decompress


class StoredEvent(NamedTuple):
    """An event or a dead letter, and its payload."""

    payload: bytes | None
    """The exact bytes that arrived; empty for a letter of a whole batch."""
    facts: Mapping[str, object]
    """The columns of `enriched_event` or of `dead_letter`; for an event that is not enriched yet,
    its project and batch."""


_BY_UUID = """
    SELECT raw.payload, raw.project, raw.batch_id, raw.occurred_at
    FROM event_key key JOIN raw_event raw ON raw.batch_id = key.batch_id AND raw.uuid = key.uuid
        AND raw.project = key.project
    WHERE key.uuid = :uuid
    ORDER BY raw.project
"""

_OF_BATCH = """
    SELECT payload, project, uuid, batch_id, occurred_at, event
    FROM raw_event
    WHERE batch_id = :batch AND occurred_at >= :start AND occurred_at < :end
    ORDER BY occurred_at, uuid LIMIT :most
"""

_ENRICHED = """
    SELECT * FROM enriched_event
    WHERE occurred_at = :occurred_at AND uuid = :uuid AND project = :project
"""


def find_events(connection: Connection, uuid: UUID) -> list[StoredEvent]:
    """The events with this uuid; one for each project that has one."""
    found: list[StoredEvent] = []
    for raw in connection.execute(text(_BY_UUID), {"uuid": uuid}).mappings().all():
        key = {"uuid": uuid, "project": raw["project"], "occurred_at": raw["occurred_at"]}
        enriched = connection.execute(text(_ENRICHED), key).mappings().one_or_none()
        facts = enriched or {**key, "batch_id": raw["batch_id"]}
        found.append(StoredEvent(decompress(raw["payload"]), dict(facts)))
    return found


def sample_of_batch(
    connection: Connection, letter: StoredEvent, window: timedelta, most: int
) -> list[StoredEvent]:
    """Some events of the batch of this dead letter; none if it is the letter of a single event."""
    if letter.facts["kind"] != "batch":
        return []
    start = cast("datetime", letter.facts["window_start"])
    parameters = {
        "batch": letter.facts["batch_id"],
        "start": start,
        "end": start + window,
        "most": most,
    }
    return [
        StoredEvent(
            decompress(row["payload"]),
            {name: value for name, value in row.items() if name != "payload"},
        )
        for row in connection.execute(text(_OF_BATCH), parameters).mappings()
    ]
