"""What every reader of event files hands out: a record, its limits, and the ways a file fails.

Here belong the words that the readers of `files` share. How bytes are opened and decompressed is
in `file_source`, how records are cut out of them in `file_json` and `file_parquet`.
"""

from typing import NamedTuple

from enrichment_pipeline.events.raw_event import Reason
from enrichment_pipeline.wording import UserError

MAX_RECORD_BYTES = 20 * 1024 * 1024
"""A record longer than this is handed out as a problem instead of in full.

PostHog's own ingestion takes 20 MB for a whole request, so no event that it exported is longer; a
file without any newline would otherwise be gathered in memory until there is none left.
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
    reason: Reason = Reason.TOO_LARGE
    """Where there is a problem, its code."""


class SourceError(UserError):
    """A source cannot be read; the message is one line that names it and says why."""


class BrokenFileError(SourceError):
    """A source ends or turns unreadable part-way; the records before that place were handed out."""


class DamageError(Exception):
    """Raised inside the readers, which know what is wrong but not which source they read."""


class OtherContentError(DamageError):
    """What is read is whole, but no file of events: the message says what it looks like, and what
    to do."""


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
        """End the record, hand it out as the one at `position`, and begin the next."""
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
