"""Days and times as people type them."""

from datetime import UTC, datetime

from enrichment_pipeline.cli.console import fail
from enrichment_pipeline.events.times import parse_timestamp

# The form in which Dagster shows a window.
_PARTITION_KEY = "%Y-%m-%d-%H:%M"


def parse_moment(option: str, told: str) -> datetime:
    """The moment that was given for an option, in UTC; ends the command where the text is none."""
    try:
        return datetime.strptime(told, _PARTITION_KEY).replace(tzinfo=UTC)
    except ValueError:
        moment = parse_timestamp(told)
    if moment is None:
        fail(
            f"{option} {told!r} is no day and no time, such as 2026-03-01, 2026-03-01T12:00 or "
            "2026-03-01-12:00"
        )
    return moment
