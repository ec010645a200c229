"""Writing the enriched events of claimed batches, and dead-lettering the events that cannot be
enriched. Choosing the batches, and handling errors raised here, belongs to `path`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import attempts
from enrichment_pipeline.enrichment.derive import output_version
from enrichment_pipeline.enrichment.deriving import Derived, derive_missing
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import blames_data, first_line
from enrichment_pipeline.store.queue.claims import Batch, mark_enriched
from enrichment_pipeline.store.queue.enriched import (
    EventFailure,
    count_by_key,
    dead_letter_events,
    events_to_write,
    missing_inputs,
    plan_claim,
    remove_enriched,
    write_enriched,
)
from enrichment_pipeline.wording import counted

_MOST_REFUSED = 100
"""The most events of a batch that PostgreSQL may refuse one by one; with more, the whole batch
fails: finding each costs a savepoint for each halving."""


class EnrichmentError(attempts.PermanentError):
    """The data of a batch are inconsistent."""


class MostFailedError(Exception):
    """Most events of a batch fail for one reason, which may not lie in the events."""


class Writing(NamedTuple):
    """The parameters of writing batches."""

    store: Store
    rules: Rules
    worker: str


def write(
    connection: Connection,
    writing: Writing,
    batches: Sequence[Batch],
    on_derived: Callable[[], object] = lambda: None,
) -> int:
    """Write the enriched events of these batches and mark them enriched; returns how many of their
    events became dead letters. `on_derived` is called when something was missing, and is derived.

    Raises:
        MostFailedError: see there.
        EnrichmentError: see there.
    """
    store, rules = writing.store, writing.rules
    version = output_version(rules)
    due = sum(batch.due_count for batch in batches)
    plan_claim(connection, batches)
    written = write_enriched(connection, batches, store.window, version, rules.version)
    dead = 0
    # Optimistic: nearly always every action input is known; searching for missing ones first would
    # cost each claim a second pass over its events.
    if written < due:
        keys = missing_inputs(connection, batches, store.window, version)
        derived = derive_missing(store, keys, rules)
        on_derived()
        written += write_enriched(
            connection, batches, store.window, version, rules.version, keys=keys
        )
        dead = _dead_letter(connection, writing, batches, derived)
    if written + dead != due:
        raise EnrichmentError(
            f"{counted(due, 'event is', 'events are')} due in "
            f"{counted(len(batches), 'batch')}, but raw_event has {written + dead:,}"
        )
    mark_enriched(connection, batches)
    return dead


def _dead_letter(
    connection: Connection, writing: Writing, batches: Sequence[Batch], derived: Derived
) -> int:
    if not derived.failures:
        return 0
    counts = count_by_key(connection, batches, writing.store.window, derived.failures)
    for batch in batches:
        _refuse_to_pour_out(batch, counts.get(batch.id, {}), derived)
    return dead_letter_events(
        connection,
        batches,
        writing.store.window,
        derived.failures,
        "input_key",
        writing.rules.version,
        writing.worker,
    )


def _refuse_to_pour_out(batch: Batch, counts: Mapping[UUID, int], derived: Derived) -> None:
    """Raise if most events fail alike: an event that fails alone is at fault, but a common failure
    has another cause."""
    by_error: Counter[str] = Counter()
    for key, events in counts.items():
        if name := derived.errors.get(key):
            by_error[name] += events
    for name, events in by_error.items():
        if events > 1 and events > batch.due_count / 2:
            example = next(key for key in counts if derived.errors.get(key) == name)
            failure = derived.failures[example]
            error = MostFailedError(
                f"{events:,} of {counted(batch.due_count, 'event')} fail alike: {failure.message}"
            )
            if failure.traceback:
                error.add_note(failure.traceback)
            raise error


def write_alone(connection: Connection, writing: Writing, batch: Batch) -> int:
    """Like `write`, for one batch that has failed: earlier rows of the batch are removed, and an
    event that PostgreSQL refuses becomes a dead letter by itself."""
    window = writing.store.window
    # A batch enriched before (a restored backup, a row reset by hand) fails on its own rows.
    remove_enriched(connection, [batch], window)
    try:
        with connection.begin_nested():
            return write(connection, writing, [batch])
    except DBAPIError as error:
        if not blames_data(error):
            raise
        refused = _refused(connection, writing, batch, error)
    dead = dead_letter_events(
        connection, [batch], window, refused, "uuid", writing.rules.version, writing.worker
    )
    rest = batch._replace(due_count=batch.due_count - dead, dead_count=batch.dead_count + dead)
    return dead + write(connection, writing, [rest])


def _refused(
    connection: Connection, writing: Writing, batch: Batch, error: DBAPIError
) -> dict[UUID, EventFailure]:
    """The events of the batch whose enriched rows PostgreSQL refuses."""
    version = output_version(writing.rules)
    refused: dict[UUID, EventFailure] = {}
    groups = [events_to_write(connection, batch, writing.store.window)]
    most = min(_MOST_REFUSED, batch.due_count // 2)
    while groups:
        uuids = groups.pop()
        savepoint = connection.begin_nested()
        try:
            write_enriched(
                connection,
                [batch],
                writing.store.window,
                version,
                writing.rules.version,
                uuids=uuids,
            )
        except DBAPIError as failure:
            savepoint.rollback()
            if not blames_data(failure):
                raise
            if len(uuids) > 1:
                middle = len(uuids) // 2
                groups += [uuids[:middle], uuids[middle:]]
                continue
            refused[uuids[0]] = EventFailure(
                attempts.FailureReason.REFUSED, first_line(failure), None
            )
            if len(refused) > 1 and len(refused) > most:
                raise error from None
        else:
            # A trial only: all events are written together once the refused ones are known.
            savepoint.rollback()
    return refused
