"""Action inputs that no event has any more: deleting them, and restoring one that is needed again.

They are texts of pages and buttons, which may name people. Their other SQL belongs to `inputs`.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cache
from itertools import combinations
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.events.allowed import Private
from enrichment_pipeline.events.inputs import EnrichmentInput, input_key
from enrichment_pipeline.events.pages import path_template
from enrichment_pipeline.events.raw_event import Arrival, EventRejectedError, parse_event
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import retry_conflicts
from enrichment_pipeline.store.database.payloads import decompress

_keys = bindparam("keys", type_=ARRAY(Uuid))

# With a limit, PostgreSQL searches an index for each input, and does not read all events.
_UNUSED = text(
    """
    SELECT input_key FROM enrichment_input input
    WHERE (SELECT true FROM raw_event raw WHERE raw.input_key = input.input_key LIMIT 1) IS NULL
    ORDER BY input_key
    """
)
_DELETE_INPUTS = text("DELETE FROM enrichment_input WHERE input_key = ANY(:keys)").bindparams(_keys)
# Not by the keys: a call that was killed may have deleted an input and left its outputs.
_DELETE_OUTPUTS = text(
    """
    DELETE FROM enrichment_output output
    WHERE NOT EXISTS (SELECT FROM enrichment_input input WHERE input.input_key = output.input_key)
    """
)
_DELETED_AT_ONCE = 10_000

_AN_EVENT_WITH = """
    SELECT DISTINCT ON (input_key) input_key, project, event, occurred_at, path, payload
    FROM raw_event WHERE input_key = ANY(:keys) AND {which}
    ORDER BY input_key
"""
# Events that wait for enrichment first: there are few.
_WAITING = "batch_id IN (SELECT id FROM raw_batch WHERE state = 'pending')"
_ANY = "true"


def forget_unused_inputs(store: Store) -> int:
    """Delete the action inputs that no raw event has, and their outputs; returns how many.

    An event that arrives meanwhile with one of these inputs loses nothing: see `read_back`.
    """
    with store.transaction() as connection:
        unused = list(connection.execute(_UNUSED).scalars())
    for first in range(0, len(unused), _DELETED_AT_ONCE):
        _delete_inputs(store, unused[first : first + _DELETED_AT_ONCE])
    _delete_outputs(store)
    return len(unused)


@retry_conflicts
def _delete_inputs(store: Store, keys: Sequence[UUID]) -> None:
    with store.transaction() as connection:
        connection.execute(_DELETE_INPUTS, {"keys": list(keys)})


@retry_conflicts
def _delete_outputs(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(_DELETE_OUTPUTS)


def read_back(connection: Connection, keys: Collection[UUID]) -> dict[UUID, EnrichmentInput]:
    """Action inputs that were deleted and are needed again, read from events that have them.

    A process remembers for long which inputs it has written, and does not write them a second time.
    """
    found: dict[UUID, EnrichmentInput] = {}
    for which in (_WAITING, _ANY):
        if missing := set(keys) - found.keys():
            found |= _from_events(connection, missing, which)
    return found


@cache
def _allowed_choices() -> tuple[str | None, ...]:
    kinds = sorted(Private)
    some = (combinations(kinds, count) for count in range(1, len(kinds) + 1))
    return (None, *("+".join(choice) for of_count in some for choice in of_count))


def _from_events(
    connection: Connection, keys: Collection[UUID], which: str
) -> dict[UUID, EnrichmentInput]:
    statement = text(_AN_EVENT_WITH.format(which=which)).bindparams(_keys)
    found: dict[UUID, EnrichmentInput] = {}
    for row in connection.execute(statement, {"keys": list(keys)}):
        arrival = Arrival(row.occurred_at, default_name=row.event)
        # The rules of ingestion may have become stricter since.
        with suppress(EventRejectedError):
            inputs = parse_event(decompress(row.payload), row.project, arrival).inputs
            # What its project allows, and what is part of its pages, may have changed.
            template = path_template(row.path) if row.path else None
            inputs = inputs._replace(path_template=template)
            candidates = (inputs._replace(unmasked=choice) for choice in _allowed_choices())
            for candidate in candidates:
                if input_key(candidate) == row.input_key:
                    found[row.input_key] = candidate
    return found
