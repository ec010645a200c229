"""Forgetting people in texts: error texts of their batches that name them.

The error text of a single event is removed with it. Recognizing people belongs to `events.people`.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import BigInteger, Column, Connection, Table, any_, bindparam, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.events.people import People
from enrichment_pipeline.store.database.tables import dead_letter, raw_batch

REMOVED = "removed: it named a person who was forgotten"
"""The text that replaces a removed one."""

_TEXTS: Mapping[Table, tuple[Column[int], Sequence[str]]] = {
    raw_batch: (raw_batch.c.id, ("last_error",)),
    dead_letter: (dead_letter.c.batch_id, ("message", "traceback", "closing_note")),
}


def forget_texts(
    connection: Connection, people: People, batches: Collection[int], *, dry_run: bool = False
) -> int:
    """Remove error texts of these batches and their letters that name one of these people; returns
    how many texts there were.

    The whole text is removed: the words beside the name may be personal too.
    """
    return sum(
        _forget_in(connection, table, batch, columns, people, batches, dry_run=dry_run)
        for table, (batch, columns) in _TEXTS.items()
    )


def _forget_in(
    connection: Connection,
    table: Table,
    batch: Column[int],
    columns: Sequence[str],
    people: People,
    batches: Collection[int],
    *,
    dry_run: bool,
) -> int:
    of_these = batch == any_(bindparam("batches", type_=ARRAY(BigInteger)))
    wanted = select(table.c.id, *(table.c[name] for name in columns)).where(of_these)
    count = 0
    for row in connection.execute(wanted, {"batches": list(batches)}).mappings().all():
        naming = [name for name in columns if row[name] and people.named_in(row[name])]
        count += len(naming)
        if naming and not dry_run:
            changed = dict.fromkeys(naming, REMOVED)
            connection.execute(update(table).where(table.c.id == row["id"]).values(changed))
    return count
