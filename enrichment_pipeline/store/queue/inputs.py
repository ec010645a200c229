"""The distinct action inputs, and the action outputs of each version of the rules.

Outputs are made by `enrichment`; here they are stored and read.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Connection, Engine, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.events.inputs import EnrichmentInput, EnrichmentOutput
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import retry_conflicts
from enrichment_pipeline.store.database.tables import enrichment_input
from enrichment_pipeline.store.database.transactions import driver_of
from enrichment_pipeline.store.queue.unused_inputs import read_back

# How many written keys a process remembers; 16 bytes of key take some 100 of memory.
_MOST_KNOWN = 50_000

# For each engine, because a process (a test, a benchmark) can have several stores.
_known_keys: WeakKeyDictionary[Engine, set[UUID]] = WeakKeyDictionary()

# All rows as one JSON parameter: a statement for each row takes ten times as long.
_INSERT_INPUTS = """
    INSERT INTO enrichment_input
    SELECT * FROM json_populate_recordset(NULL::enrichment_input, CAST(%(rows)s AS json))
    ON CONFLICT DO NOTHING
"""
_INSERT_OUTPUTS = text(
    """
    INSERT INTO enrichment_output
    SELECT * FROM json_populate_recordset(NULL::enrichment_output, CAST(:rows AS json))
    ON CONFLICT DO NOTHING
    """
)

_missing = text(
    """
    SELECT key FROM unnest(:keys) AS key
    WHERE NOT EXISTS (
        SELECT FROM enrichment_output WHERE version = :version AND input_key = key
    )
    """
).bindparams(bindparam("keys", type_=ARRAY(Uuid)))

_by_key = select(*enrichment_input.c).where(
    enrichment_input.c.input_key == bindparam("keys", type_=ARRAY(Uuid)).any_()
)


def store_inputs(store: Store, inputs: Mapping[UUID, EnrichmentInput]) -> Sequence[UUID]:
    """Store these action inputs under their keys; returns the keys that may have been new.

    In a transaction of its own: an input may be stored before or without its events, never after.
    It need not be durable before they are: nothing is lost without all that was committed after it.
    """
    # Sorted, so that two processes that write the same new inputs do not deadlock.
    new = sorted(inputs.keys() - _known_keys.get(store.engine, set()))
    if new:
        _insert_inputs(store, [{"input_key": key, **inputs[key]._asdict()} for key in new])
    return new


def remember_stored(store: Store, keys: Sequence[UUID]) -> None:
    """Do not store these keys again: something was durably committed after them."""
    known = _known_keys.setdefault(store.engine, set())
    if len(known) + len(keys) > _MOST_KNOWN:
        known.clear()
    known.update(keys)


@retry_conflicts
def _insert_inputs(store: Store, rows: Sequence[Mapping[str, object]]) -> None:
    with store.transaction(durable=False) as connection:
        driver_of(connection).execute(_INSERT_INPUTS, {"rows": _as_json(rows)})


def read_inputs(store: Store, keys: Sequence[UUID]) -> dict[UUID, EnrichmentInput]:
    """The action inputs of these keys."""
    with store.transaction() as connection:
        rows = connection.execute(_by_key, {"keys": list(keys)})
        found = {key: EnrichmentInput(*values) for key, *values in rows.all()}
        missing = set(keys) - found.keys()
        again = read_back(connection, missing) if missing else {}
    if again:
        _insert_inputs(store, [{"input_key": key, **again[key]._asdict()} for key in sorted(again)])
    return found | again


def missing_outputs(connection: Connection, version: str, keys: Collection[UUID]) -> list[UUID]:
    """Those of these keys for which this version has no action output yet."""
    rows = connection.execute(_missing, {"version": version, "keys": list(keys)})
    return list(rows.scalars())


@retry_conflicts
def remember_outputs(store: Store, version: str, outputs: Mapping[UUID, EnrichmentOutput]) -> None:
    """Store the action outputs of this version of the rules.

    In a transaction of its own, so that other workers find the outputs at once, and they are not
    lost if the batch fails. It does not wait for the disk, to which the log of a whole claim may
    have to be written first; events that are enriched by them are durable after them.
    """
    rows = [
        {"version": version, "input_key": key, **outputs[key]._asdict()} for key in sorted(outputs)
    ]
    if rows:
        with store.transaction(durable=False) as connection:
            connection.execute(_INSERT_OUTPUTS, {"rows": _as_json(rows)})


def _as_json(rows: Sequence[Mapping[str, object]]) -> str:
    return msgspec.json.encode(rows).decode()
