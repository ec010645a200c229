"""Writing enriched events, set by set: the hot statement of the whole pipeline.

What the rules say of an input is made by `enrichment`; the queue belongs to `claims`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.claims import Batch

# The time range lets PostgreSQL leave out the partitions of all other days.
_OF_BATCHES = """
    raw.batch_id = ANY(:ids) AND raw.occurred_at >= :start AND raw.occurred_at < :end
"""

_WRITE = f"""
    INSERT INTO enriched_event (
        occurred_at, uuid, project, batch_id, event, event_type, action_type, distinct_id,
        session_id, path, path_template, title, element_tag, element_label, description,
        properties, rules_version, enriched_at
    )
    SELECT raw.occurred_at, raw.uuid, raw.project, raw.batch_id, raw.event, output.event_type,
        output.action_type, raw.distinct_id, raw.session_id, raw.path, output.path_template,
        raw.title, output.element_tag, output.element_label, output.description, raw.properties,
        :rules_version, now()
    FROM raw_event raw
    JOIN enrichment_output output ON output.version = :version AND output.input_key = raw.input_key
    WHERE {_OF_BATCHES}
"""

_MISSING = f"""
    SELECT DISTINCT raw.input_key
    FROM raw_event raw
    WHERE {_OF_BATCHES} AND NOT EXISTS (
        SELECT FROM enrichment_output output
        WHERE output.version = :version AND output.input_key = raw.input_key
    )
"""

_REMOVE = f"""
    DELETE FROM enriched_event enriched USING raw_event raw
    WHERE {_OF_BATCHES}
        AND enriched.occurred_at = raw.occurred_at AND enriched.uuid = raw.uuid
        AND enriched.project = raw.project
"""

_ids = bindparam("ids", type_=ARRAY(BigInteger))
_keys = bindparam("keys", type_=ARRAY(Uuid))

_write_all = text(_WRITE).bindparams(_ids)
_write_some = text(f"{_WRITE} AND raw.input_key = ANY(:keys)").bindparams(_ids, _keys)
_missing = text(_MISSING).bindparams(_ids)
_remove = text(_REMOVE).bindparams(_ids)


def _of(batches: Sequence[Batch], window: timedelta) -> dict[str, list[int] | datetime]:
    starts = [batch.window_start for batch in batches]
    return {
        "ids": [batch.id for batch in batches],
        "start": min(starts),
        "end": max(starts) + window,
    }


_MANY_EVENTS = 1_000


def expect_many(connection: Connection, events: int) -> None:
    """Let this transaction join as suits this many events.

    A partition that was made a moment ago has no statistics yet. PostgreSQL then takes it for
    nearly empty and loops over the other table once for each event: 3,000 events a second instead
    of 80,000.
    """
    if events >= _MANY_EVENTS:
        connection.execute(text("SET LOCAL enable_nestloop = off"))


def write_enriched(
    connection: Connection,
    batches: Sequence[Batch],
    window: timedelta,
    version: str,
    rules_version: str,
    keys: Sequence[UUID] | None = None,
) -> int:
    """Write the enriched events of these batches whose inputs this version knows (or those of
    `keys` alone); returns how many that were."""
    parameters = _of(batches, window) | {"version": version, "rules_version": rules_version}
    if keys is None:
        return connection.execute(_write_all, parameters).rowcount
    return connection.execute(_write_some, parameters | {"keys": list(keys)}).rowcount


def missing_inputs(
    connection: Connection, batches: Sequence[Batch], window: timedelta, version: str
) -> list[UUID]:
    """The keys of the inputs in these batches that this version has not seen yet."""
    parameters = _of(batches, window) | {"version": version}
    return list(connection.execute(_missing, parameters).scalars())


def remove_enriched(connection: Connection, batches: Sequence[Batch], window: timedelta) -> int:
    """Remove what was written of these batches before; returns how many rows that were."""
    return connection.execute(_remove, _of(batches, window)).rowcount
