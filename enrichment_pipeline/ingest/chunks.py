"""Loading a chunk of records: parsing them, and taking their events in with one commit.

This runs in processes of its own, so it imports only what it needs: reading files (and pandas, and
pyarrow) belongs to other modules.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from enrichment_pipeline.events.raw_event import (
    Arrival,
    EventRejectedError,
    RawEvent,
    RejectedEvent,
    RejectionReason,
    parse_event,
    reject,
)
from enrichment_pipeline.ingest.file_records import FileRecord
from enrichment_pipeline.ingest.processes import process_store
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.limits import oldest_possible_start

SOURCE = "import"

Chunk = list[FileRecord]


@dataclass
class ImportSummary:
    """What became of the events of an import."""

    accepted: int = 0
    duplicates: int = 0
    quarantined: Counter[RejectionReason] = field(default_factory=Counter)
    usable: int = 0
    """Records that were events, new or known. A broken record is none; when it comes again, it is
    known by its text and counts as a duplicate."""
    warnings: list[str] = field(default_factory=list)
    """A line for each file that was imported and has more pages elsewhere."""

    def add(self, other: "ImportSummary") -> None:
        """Count what became of more events."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.quarantined.update(other.quarantined)
        self.usable += other.usable
        self.warnings += other.warnings


def load_chunk(store: Store, records: Chunk, project: str, source: str = SOURCE) -> ImportSummary:
    """Parse records and take their events in with one commit; `source` says how they came."""
    arrival = Arrival(datetime.now(UTC), is_recorded=True)
    oldest = oldest_possible_start(arrival.at, store.window)
    allowed = store.settings.allowed_of(project)
    queries = store.settings.page_queries_of(project)
    events: list[RawEvent] = []
    rejected: list[RejectedEvent] = []
    for record in records:
        try:
            if record.problem:
                raise EventRejectedError(record.reason, record.problem)
            events.append(
                parse_event(
                    record.payload,
                    project,
                    arrival,
                    allowed=allowed,
                    oldest=oldest,
                    page_queries=queries,
                )
            )
        except EventRejectedError as error:
            rejected.append(reject(record.payload, project, arrival, error, oldest))
    result = load_events(store, events, rejected, source)
    usable = len(events) - len(result.refused or ())
    return ImportSummary(result.accepted, result.duplicates, result.quarantined, usable)


def load_in_process(chunk: Chunk, project: str, source: str) -> ImportSummary:
    """`load_chunk`, in a process of `processes`."""
    return load_chunk(process_store(), chunk, project, source)
