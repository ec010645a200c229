"""Forgetting people in texts: errors that name them, in dead letters, batches and alerts; and the
other ids that PostHog's events say a person has.

Their events belong to `forget`, how people are recognized to `events.people`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Table, Text, bindparam, cast, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.events.people import LINKING_EVENTS, People, links
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.errors import retry_conflicts
from enrichment_pipeline.store.payloads import decompress
from enrichment_pipeline.store.tables import alert, alert_message, dead_letter, raw_batch

REMOVED = "removed: it named a person who was forgotten"
"""What stands in the place of a text."""

_TEXTS: Mapping[Table, Sequence[str]] = {
    dead_letter: ("message", "traceback", "closing_note"),
    raw_batch: ("last_error",),
    alert: ("facts",),
    alert_message: ("message",),
}
_READ_AT_ONCE = 500

_LINKING = text(
    """
    SELECT distinct_id, payload FROM raw_event
    WHERE event = ANY(:events) AND (CAST(:project AS text) IS NULL OR project = :project)
    """
).bindparams(bindparam("events", type_=ARRAY(Text)))


@retry_conflicts
def forget_texts(
    store: Store, people: People, project: str | None = None, *, dry_run: bool = False
) -> int:
    """Take out every text that names one of these people; returns how many there were.

    The whole text goes: what it says beside the name may be the person's too. Texts of other
    projects stay; those of no project (a batch may hold several) do not.
    """
    with store.transaction() as connection:
        return sum(
            _forget_in(connection, table, columns, people, project, dry_run=dry_run)
            for table, columns in _TEXTS.items()
        )


def _forget_in(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    people: People,
    project: str | None,
    *,
    dry_run: bool,
) -> int:
    keys = list(table.primary_key)
    texts = [table.c[name] for name in columns]
    # PostgreSQL looks for the letters alone; whether they are a name is decided here.
    named = or_(
        *(func.strpos(cast(column, Text), form) > 0 for column in texts for form in people.forms)
    )
    wanted = select(*keys, *texts).where(named)
    if project is not None and "project" in table.c:
        wanted = wanted.where(or_(table.c.project.is_(None), table.c.project == project))
    found = connection.execute(wanted).all()
    count = 0
    for row in found:
        key, held = row[: len(keys)], dict(zip(columns, row[len(keys) :], strict=True))
        changed = {
            name: without
            for name, value in held.items()
            if (without := people.without_names(value, REMOVED)) != value
        }
        count += len(changed)
        if changed and not dry_run:
            its_row = [column == value for column, value in zip(keys, key, strict=True)]
            connection.execute(update(table).where(*its_row).values(changed))
    return count


def also_known_as(store: Store, people: People, project: str | None = None) -> dict[str, list[str]]:
    """The other ids of these people, by id: those that PostHog's events tie to theirs, in either
    direction, and that are not among theirs."""
    ours = set(people.distinct_ids)
    others: defaultdict[str, set[str]] = defaultdict(set)
    with store.transaction() as connection:
        rows = connection.execute(
            _LINKING,
            {"events": list(LINKING_EVENTS), "project": project},
            execution_options={"yield_per": _READ_AT_ONCE},
        )
        for row in rows:
            for link in links(row.distinct_id, decompress(row.payload)):
                for one, other in (link, (link.other, link.distinct_id)):
                    if one in ours and other not in ours:
                        others[one].add(other)
    return {one: sorted(found) for one, found in sorted(others.items())}
