"""Importing files of exported events into the store.

This module cuts files into chunks and shares these out to processes; reading files belongs to
`files`, loading a chunk to `chunks`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain

from enrichment_pipeline.ingest.chunks import (
    SOURCE,
    Chunk,
    ImportSummary,
    load_chunk,
    load_in_process,
)
from enrichment_pipeline.ingest.files import FileRecord, SourceError, read_events
from enrichment_pipeline.ingest.processes import (
    process_count,
    process_pool,
    sigint_blocked,
    sigint_deferred,
)
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.outages import wait_for_store

CHUNK_EVENTS = 10_000
"""Events in one commit; more are hardly faster, and all of them are in memory."""

CHUNK_BYTES = 32 * 1024 * 1024
"""Bytes in one commit, where the events are large."""


def import_source(
    store: Store,
    source: str,
    project: str,
    summary: ImportSummary,
    on_progress: Callable[[int], None] | None = None,
    event_source: str = SOURCE,
) -> None:
    """Import a file, a URL or standard input (`-`), adding to `summary` as events become durable;
    the store records `event_source` as their source.

    A broken line costs that line alone: it goes to the dead letters with its text.

    Raises:
        SourceError: the source cannot be read (to its end), or holds no events; the events before
            that place are in the store.
    """
    records = read_events(source, on_progress, summary.warnings.append)
    import_records(store, records, project, summary, event_source)


def import_records(
    store: Store,
    records: Iterable[FileRecord],
    project: str,
    summary: ImportSummary,
    source: str = SOURCE,
) -> None:
    """Import records from any reader; see `import_source`."""
    chunks = _chunks(records)
    first = next(chunks, None)
    if first is None:
        return
    try:
        second = next(chunks, None)
    except SourceError:
        _load_here(store, first, project, summary, source)
        raise
    if second is None:
        # A small import is not worth the second that processes take to start.
        _load_here(store, first, project, summary, source)
    else:
        _import_in_parallel(store, chain((first, second), chunks), project, summary, source)


def _chunks(records: Iterable[FileRecord]) -> Iterator[Chunk]:
    chunk: Chunk = []
    size = 0
    broken: SourceError | None = None
    try:
        for record in records:
            chunk.append(record)
            size += len(record.payload)
            if len(chunk) >= CHUNK_EVENTS or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
    except SourceError as error:
        # The records before the place where the source breaks off are still loaded.
        broken = error
    if chunk:
        yield chunk
    if broken:
        raise broken


def _load_here(
    store: Store, chunk: Chunk, project: str, summary: ImportSummary, source: str
) -> None:
    while True:
        try:
            with sigint_deferred():
                summary.add(load_chunk(store, chunk, project, source))
                return
        except Exception as error:  # noqa: BLE001  raised there, if the store is not to blame
            wait_for_store(store, error)


def _import_in_parallel(
    store: Store, chunks: Iterable[Chunk], project: str, summary: ImportSummary, source: str
) -> None:
    """Let a process for each core parse and load, because Python's threads share one.

    While the store is away the import waits, and loads again what could not be committed.
    """
    processes = process_count()
    with process_pool(store.settings, processes) as pool:
        loading: deque[tuple[Chunk, Future[ImportSummary]]] = deque()

        def submit(
            chunk: Chunk, add: Callable[[tuple[Chunk, Future[ImportSummary]]], None]
        ) -> None:
            # Blocked for the processes that start here; deferred too, because another thread may
            # take the signal, and what is submitted must be in `loading` to be counted.
            with sigint_deferred(), sigint_blocked():
                add((chunk, pool.submit(load_in_process, chunk, project, source)))

        def finish_first() -> None:
            chunk, future = loading[0]
            try:
                done = future.result()
            except Exception as error:  # noqa: BLE001  raised there, as above
                wait_for_store(store, error)
                loading.popleft()
                submit(chunk, loading.appendleft)
                return
            with sigint_deferred():
                summary.add(done)
                loading.popleft()

        try:
            for chunk in chunks:
                submit(chunk, loading.append)
                # In memory are only the chunks that are worked on, and the next for each process.
                while len(loading) >= 2 * processes:
                    finish_first()
            while loading:
                finish_first()
        finally:
            while loading:
                summary.add(loading.popleft()[1].result())
