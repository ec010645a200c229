"""Days, times and periods as people type them."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail
from enrichment_pipeline.events.times import parse_timestamp

# The form in which Dagster shows a window.
_PARTITION_KEY = "%Y-%m-%d-%H:%M"

From = Annotated[
    str | None, typer.Option("--from", help="From this day or time on (UTC), included.")
]
To = Annotated[str | None, typer.Option("--to", help="Up to this day or time (UTC), not included.")]


def parse_period(first: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """The moments that were given for --from, which is included, and --to, which is not; ends the
    command where the one is not before the other."""
    start = parse_moment("--from", first) if first else None
    stop = parse_moment("--to", end) if end else None
    if start and stop:
        check_order(start, stop)
    return start, stop


def check_order(start: date, stop: date) -> None:
    """End the command where --from is not before --to."""
    if start >= stop:
        fail("--from must be before --to, which is not included")


def parse_moment(option: str, written: str) -> datetime:
    """The moment that was given for an option, in UTC; ends the command where the text is none."""
    try:
        return datetime.strptime(written, _PARTITION_KEY).replace(tzinfo=UTC)
    except ValueError:
        moment = parse_timestamp(written)
    if moment is None:
        fail(
            f"{option} {written!r} is no day and no time, such as 2026-03-01, 2026-03-01T12:00 or "
            "2026-03-01-12:00"
        )
    return moment
