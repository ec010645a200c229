"""What failed and has not succeeded since: runs of Dagster, checks, sensors, the rules file.

The code that notices a failure records it here, and the alerts read it. Events and batches that
failed belong to `dead_letters`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

RUN = "run"
CHECK = "check"
SENSOR = "sensor"
RULES = "rules"


class Failure(NamedTuple):
    """A failure without a later success."""

    kind: str
    subject: str
    """The asset, the job, the check, the sensor, the file."""
    part: str
    """A partition of the subject; empty if it has none."""
    since: datetime
    """The first failure since the last success."""
    failed_at: datetime
    """When it failed last."""
    message: str
    """The last error in one line, without an event's content."""
    run_id: str | None = None
    event_id: int | None = None
    """The position in Dagster's event log where the run planned the asset: only later entries can
    heal the failure."""


class FailureGroup(NamedTuple):
    """All failures of one subject."""

    kind: str
    subject: str
    parts: int
    first_part: str
    last_part: str
    since: datetime
    message: str
    """Of the newest failure."""
    run_id: str | None


def note_failures(connection: Connection, failures: Iterable[Failure]) -> None:
    """Record these failures; a subject that had failed before keeps its first time."""
    rows = [failure._asdict() for failure in failures]
    if rows:
        connection.execute(
            text(
                """
                INSERT INTO failure (
                    kind, subject, part, since, failed_at, message, run_id, event_id
                ) VALUES (
                    :kind, :subject, :part, :since, :failed_at, :message, :run_id, :event_id
                ) ON CONFLICT (kind, subject, part) DO UPDATE SET
                    failed_at = excluded.failed_at, message = excluded.message,
                    run_id = excluded.run_id, event_id = excluded.event_id
                WHERE failure.failed_at <= excluded.failed_at
                """
            ),
            rows,
        )


def clear_failures(
    connection: Connection, kind: str, subject: str, parts: Sequence[str] = ("",)
) -> None:
    """Remove the failures of subjects that have succeeded."""
    connection.execute(
        text(
            "DELETE FROM failure WHERE kind = :kind AND subject = :subject AND part = ANY(:parts)"
        ).bindparams(bindparam("parts", type_=ARRAY(Text))),
        {"kind": kind, "subject": subject, "parts": list(parts)},
    )


def failures(connection: Connection, kind: str) -> list[Failure]:
    """All failures of a kind without a later success."""
    rows = connection.execute(
        text(
            """
            SELECT kind, subject, part, since, failed_at, message, run_id, event_id
            FROM failure WHERE kind = :kind ORDER BY subject, part
            """
        ),
        {"kind": kind},
    )
    return [Failure(*row) for row in rows]


def failure_groups(connection: Connection) -> list[FailureGroup]:
    """All failures without a later success, one group for each subject."""
    rows = connection.execute(
        text(
            """
            SELECT kind, subject, count(*), min(part), max(part), min(since),
                (array_agg(message ORDER BY failed_at DESC, part DESC))[1],
                (array_agg(run_id ORDER BY failed_at DESC, part DESC))[1]
            FROM failure GROUP BY kind, subject ORDER BY kind, subject
            """
        )
    )
    return [FailureGroup(*row) for row in rows]
