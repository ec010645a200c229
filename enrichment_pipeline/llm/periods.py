"""The periods that a question is about, as they are asked for and as they are said.

The types of arguments belong to `mcp_arguments`.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from enrichment_pipeline.events.times import EPOCH, parse_timestamp
from enrichment_pipeline.store.windows.freshness import newest_moment
from enrichment_pipeline.wording import UserError

_FAR_AHEAD = datetime(2200, 1, 1, tzinfo=UTC)


def bounds(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """The moments that `start` and `end` name.

    Raises:
        UserError: one is not a time, or they are in the wrong order.
    """
    first, last = moment_of("start", start), moment_of("end", end)
    if first is not None and last is not None and first >= last:
        raise UserError("start must be before end")
    return first, last


def time_of(
    connection: Connection, start: str | None, end: str | None, length: timedelta
) -> tuple[datetime, datetime]:
    """The period; without a start it begins so long before the end or the newest event.

    Raises:
        UserError: as `bounds`.
    """
    first, last = bounds(start, end)
    if last is None:
        newest = newest_moment(connection) or datetime.now(UTC)
        last = newest + timedelta(seconds=1)
    if first is None:
        first = last - length
    elif first >= last:
        last = first + length
    return first, last


def moment_of(name: str, given: str | None) -> datetime | None:
    """The moment that the argument `name` gives.

    Raises:
        UserError: it is not a time.
    """
    if given is None:
        return None
    moment = parse_timestamp(given)
    if moment is None:
        raise UserError(f"{name}={given!r} is no ISO 8601 time, such as 2026-11-27T10:00:00Z")
    return min(max(moment, EPOCH), _FAR_AHEAD)


def shown_moment(moment: datetime) -> str:
    """A moment, to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def nothing_between(first: datetime, last: datetime) -> str:
    """A note that nothing was found in this period."""
    return (
        f"nothing found from {shown_moment(first)} to {shown_moment(last)} UTC; an earlier start "
        "or fewer filters find more"
    )
