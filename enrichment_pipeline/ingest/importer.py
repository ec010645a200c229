"""Importing files of exported events into the store.

Reading the files belongs to `files`, what an event is to `events`, taking it in to `store.load`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from enrichment_pipeline.events.raw_event import (
    EventRejectedError,
    RawEvent,
    Reason,
    RejectedEvent,
    parse_event,
    reject,
)
from enrichment_pipeline.ingest.files import FileRecord, SourceError, read_records
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.load import LoadResult, load_events
from enrichment_pipeline.store.windows import oldest_possible_start, widen_partition_start

CHUNK_EVENTS = 10_000
"""Events in one commit; more are hardly faster, and all of them are in memory."""

CHUNK_BYTES = 32 * 1024 * 1024
"""Bytes in one commit, where the events are large."""

SOURCE = "import"


@dataclass
class ImportSummary:
    """What became of the events of an import."""

    accepted: int = 0
    duplicates: int = 0
    quarantined: Counter[Reason] = field(default_factory=Counter)
    widened_to: datetime | None = None
    """The new start of the partitions, where the import moved it back."""

    def add(self, result: LoadResult) -> None:
        """Count one load."""
        self.accepted += result.accepted
        self.duplicates += result.duplicates
        self.quarantined.update(result.quarantined)


@dataclass
class _Chunk:
    arrival: datetime
    events: list[RawEvent] = field(default_factory=list)
    rejected: list[RejectedEvent] = field(default_factory=list)
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.events) + len(self.rejected) >= CHUNK_EVENTS or self.bytes >= CHUNK_BYTES


def import_source(
    store: Store,
    source: str,
    project: str,
    summary: ImportSummary,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Import a file or URL, adding to `summary` as events become durable.

    Windows for events older than the first are made before those events are loaded. A broken line
    costs that line: it goes to the dead letters with its text.

    Raises:
        SourceError: the source cannot be read (to its end); what came before is in the store.
    """
    import_records(store, read_records(source, on_progress), project, summary)


def import_records(
    store: Store, records: Iterable[FileRecord], project: str, summary: ImportSummary
) -> None:
    """Import records, whatever they were read from; see `import_source`."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="load") as loader:
        loading: Future[None] | None = None
        try:
            # One chunk is loaded while the next is parsed; never more, so that memory is bounded.
            for chunk in _chunks(store, records, project):
                if loading:
                    loading.result()
                loading = loader.submit(_load, store, chunk, summary)
        finally:
            if loading:
                loading.result()


def _chunks(store: Store, records: Iterable[FileRecord], project: str) -> Iterator[_Chunk]:
    chunk = _Chunk(datetime.now(UTC))
    broken: SourceError | None = None
    try:
        for record in records:
            _add(chunk, record, project, oldest_possible_start(chunk.arrival, store.window))
            if chunk.is_full:
                yield chunk
                chunk = _Chunk(datetime.now(UTC))
    except SourceError as error:
        # What came before the place where the source breaks off is loaded all the same.
        broken = error
    if chunk.events or chunk.rejected:
        yield chunk
    if broken:
        raise broken


def _add(chunk: _Chunk, record: FileRecord, project: str, oldest: datetime) -> None:
    chunk.bytes += len(record.payload)
    try:
        if record.problem:
            raise EventRejectedError(Reason.TOO_LARGE, record.problem)
        event = parse_event(record.payload, project, chunk.arrival)
        if event.occurred_at < oldest:
            raise EventRejectedError(
                Reason.TIMESTAMP_TOO_OLD,
                f"{event.occurred_at} is before {oldest.date()}, the oldest that can be kept",
            )
    except EventRejectedError as error:
        chunk.rejected.append(reject(record.payload, project, chunk.arrival, error))
    else:
        chunk.events.append(event)


def _load(store: Store, chunk: _Chunk, summary: ImportSummary) -> None:
    if chunk.events:
        oldest = min(event.occurred_at for event in chunk.events)
        with store.transaction() as connection:
            summary.widened_to = widen_partition_start(connection, oldest) or summary.widened_to
    summary.add(load_events(store, chunk.events, chunk.rejected, SOURCE))
