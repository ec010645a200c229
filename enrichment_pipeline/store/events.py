"""Finding one event, whole: as it arrived, and what was made of it.

Looking at many belongs to `books` and `query`.
"""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from enrichment_pipeline.store.payloads import decompress


class StoredEvent(NamedTuple):
    """An event or a dead letter, and its payload."""

    payload: bytes | None
    """The exact bytes that arrived; a letter of a whole batch has none."""
    facts: Mapping[str, object]
    """The columns of `enriched_event`, or of `dead_letter`; before an event is enriched, its
    project and batch."""


_BY_UUID = """
    SELECT raw.payload, raw.project, raw.batch_id, raw.occurred_at
    FROM event_key key JOIN raw_event raw ON raw.batch_id = key.batch_id AND raw.uuid = key.uuid
        AND raw.project = key.project
    WHERE key.uuid = :uuid
    ORDER BY raw.project
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


def find_letter(connection: Connection, number: int) -> StoredEvent | None:
    """The dead letter with this id."""
    row = (
        connection.execute(text("SELECT * FROM dead_letter WHERE id = :id"), {"id": number})
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    facts = {name: value for name, value in row.items() if name != "payload"}
    return StoredEvent(decompress(row["payload"]) if row["payload"] else None, facts)
