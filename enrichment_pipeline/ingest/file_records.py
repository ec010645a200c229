"""What every reader of event files yields: records, their limits, and the errors of files.

These are the types that the readers of `files` share. Opening and decompressing bytes belongs to
`file_source`, cutting records out of them to `file_json` and `file_parquet`.
"""

from typing import NamedTuple

from enrichment_pipeline.events.raw_event import RejectionReason
from enrichment_pipeline.wording import UserError

MAX_RECORD_BYTES = 20 * 1024 * 1024
"""A record longer than this is yielded as a problem instead of in full.

PostHog's own ingestion takes 20 MB for a whole request, so no event that it exported is longer;
without this limit, a file without any newline would fill the memory.
"""

KEPT_BYTES = 64 * 1024
"""How much of a record that is too long is kept: enough for a person to see what it was."""


class FileRecord(NamedTuple):
    """One event as it stood in a file.

    `payload` is the exact text of the event (of a Parquet row: the event's JSON), `position` counts
    from 1: the line of a JSONL file (blank ones count too), the element of an array, the row of a
    Parquet file. `problem` says why the reader already knows that the record is no good, for
    instance because it was too long and `payload` is only its beginning. That a record is valid
    JSON, let alone an event, is not promised.
    """

    payload: bytes
    position: int
    problem: str | None = None
    reason: RejectionReason = RejectionReason.TOO_LARGE
    """The code of the problem, if there is one."""


class SourceError(UserError):
    """A source cannot be read; the message is one line that names it and says why."""


class BrokenFileError(SourceError):
    """A source ends or turns unreadable part-way; the records before that place were yielded."""


class DamageError(Exception):
    """Raised inside the readers, which know what is wrong but not which source they read."""


class OtherContentError(DamageError):
    """The file is whole but holds no events; the message says what it looks like and what to do."""


class Partial:
    """The bytes of one record that comes in pieces; those past the cap are counted, not held."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes of the record seen so far, kept or not."""

    def add(self, piece: bytes) -> None:
        """Append the next piece of the record."""
        if self.size <= MAX_RECORD_BYTES:
            self._pieces.append(piece)
        self.size += len(piece)

    def take(self, position: int) -> FileRecord:
        """End the record, return it as the one at `position`, and begin the next."""
        record = capped_record(b"".join(self._pieces), position, self.size)
        self._pieces = []
        self.size = 0
        return record


def capped_record(payload: bytes, position: int, size: int) -> FileRecord:
    """Make a record of `size` bytes, of which `payload` is all or, past the cap, the beginning."""
    if size > MAX_RECORD_BYTES:
        limit = MAX_RECORD_BYTES // 1024**2
        return FileRecord(payload[:KEPT_BYTES], position, f"longer than {limit} MB")
    return FileRecord(payload, position)
