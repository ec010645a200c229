"""Forgetting people in what earlier versions published to Dagster: the previews of
`enriched_events` showed the id of each event's person. What is published now names nobody.

Dagster has no API to change what it logged, so this module, and no other, writes to its tables.
Forgetting people in the store belongs to `store.lifecycle.forget`.
"""

import json

from sqlalchemy import Connection, create_engine, inspect, text

from enrichment_pipeline.events.people import People
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.store.database.engine import Store

# Where Dagster keeps materializations: JSON, in a column of text.
_LOGGED = {"event_logs": "event", "asset_keys": "last_materialization"}
_READ_AT_ONCE = 200


def forget_in_dagster(store: Store, people: People, *, dry_run: bool = False) -> int:
    """Take the events of these people out of previews; returns how many entries had any.

    Errors that an earlier version published go with their runs, after ENRICHMENT_RUN_HISTORY_DAYS:
    it cannot be decided whether a word of an error is an id of somebody.
    """
    if not store.has_dagster_database():
        return 0
    engine = create_engine(store.dagster_url, hide_parameters=True)
    try:
        with engine.begin() as connection:
            there = set(inspect(connection).get_table_names())
            return sum(
                _forget_in(connection, table, column, people, dry_run=dry_run)
                for table, column in _LOGGED.items()
                if table in there
            )
    finally:
        engine.dispose()


def _forget_in(
    connection: Connection, table: str, column: str, people: People, *, dry_run: bool
) -> int:
    # The names of tables and columns are constants of this module.
    with_previews = text(
        f"""
        SELECT id, {column} FROM {table}
        WHERE asset_key = :asset AND strpos({column}, '"distinct_id"') > 0
        """  # noqa: S608
    )
    changed = text(f"UPDATE {table} SET {column} = :kept WHERE id = :id")  # noqa: S608
    found = connection.execute(
        with_previews,
        {"asset": ENRICHED_EVENTS.to_string()},
        execution_options={"yield_per": _READ_AT_ONCE},
    )
    theirs = frozenset(people.distinct_ids)
    # Read to the end first: the open cursor would not see an update.
    changes = [
        {"id": row[0], "kept": json.dumps(without)}
        for row in found
        if (without := _without(logged := json.loads(row[1]), theirs)) != logged
    ]
    if changes and not dry_run:
        connection.execute(changed, changes)
    return len(changes)


def _without(value: object, theirs: frozenset[str]) -> object:
    if isinstance(value, list):
        return [_without(one, theirs) for one in value if not _is_of(one, theirs)]
    if isinstance(value, dict):
        return {key: _without(held, theirs) for key, held in value.items()}
    return value


def _is_of(record: object, theirs: frozenset[str]) -> bool:
    """Whether this is a row of a table, and an event of theirs."""
    data = record.get("data") if isinstance(record, dict) else None
    return isinstance(data, dict) and data.get("distinct_id") in theirs
