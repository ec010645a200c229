"""Forgetting people in what Dagster has kept of runs: previews, samples and errors.

Dagster has no API to change what it logged, so its tables are written to here, and only here. What
is in the store belongs to `store.forget`.
"""

import json
from collections.abc import Mapping

from sqlalchemy import Connection, create_engine, inspect, text

from enrichment_pipeline.events.people import People
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.forget_texts import REMOVED

# Where Dagster keeps what assets and ops have told it: JSON, in a column of text.
_TOLD: Mapping[str, str] = {
    "event_logs": "event",
    "asset_keys": "last_materialization",
    "asset_check_executions": "evaluation_event",
    "job_ticks": "tick_body",
}
_READ_AT_ONCE = 200

# The keys under which people's words stand: columns of our tables, Dagster's errors and messages.
_WORDS = frozenset({"sample", "last_error", "message", "user_message", "stack", "text", "md_str"})


def forget_in_dagster(store: Store, people: People, *, dry_run: bool = False) -> int:
    """Take these people out of what Dagster shows; returns how many of its entries name them.

    Events of theirs in a preview go; of an error that names them, its text does.
    """
    engine = create_engine(store.dagster_url, hide_parameters=True)
    try:
        with engine.begin() as connection:
            # Where Dagster has never run, there is nothing.
            there = set(inspect(connection).get_table_names())
            return sum(
                _forget_in(connection, table, column, people, dry_run=dry_run)
                for table, column in _TOLD.items()
                if table in there
            )
    finally:
        engine.dispose()


def _forget_in(
    connection: Connection, table: str, column: str, people: People, *, dry_run: bool
) -> int:
    # Names of tables and columns are the constants above.
    named = text(
        f"""
        SELECT id, {column} FROM {table}
        WHERE EXISTS (
            SELECT FROM unnest(CAST(:forms AS text[])) AS form WHERE strpos({column}, form) > 0
        )
        """  # noqa: S608
    )
    changed = text(f"UPDATE {table} SET {column} = :told WHERE id = :id")  # noqa: S608
    forms = {one for form in people.forms for one in (form, json.dumps(form)[1:-1])}
    found = connection.execute(
        named, {"forms": sorted(forms)}, execution_options={"yield_per": _READ_AT_ONCE}
    )
    # An update while the cursor is open would not be seen by it.
    changes = [
        {"id": row[0], "told": json.dumps(without)}
        for row in found
        if (without := _without(told := json.loads(row[1]), people)) != told
    ]
    if changes and not dry_run:
        connection.execute(changed, changes)
    return len(changes)


def _without(value: object, people: People) -> object:
    if isinstance(value, list):
        return [_without(one, people) for one in value if not _is_theirs(one, people)]
    if isinstance(value, dict):
        return {
            key: people.without_names(held, REMOVED) if key in _WORDS else _without(held, people)
            for key, held in value.items()
        }
    return value


def _is_theirs(record: object, people: People) -> bool:
    """Whether this is a row of a table, and an event of theirs."""
    data = record.get("data") if isinstance(record, dict) else None
    return isinstance(data, dict) and data.get("distinct_id") in people.distinct_ids
