"""When an event happened: timestamps as PostHog writes them, and the windows they fall into.

Which windows exist as partitions, and where they start, belongs to `store` and `orchestration`.
"""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# PostHog takes a timestamp further ahead than this for a wrong clock and puts the time of arrival
# in its place (FUTURE_EVENT_HOURS_CUTOFF in posthog/plugin-server).
FUTURE_LIMIT = timedelta(hours=23)


def parse_timestamp(value: object) -> datetime | None:
    """The moment that `value` names, in UTC, or None where it names none.

    `value` is ISO 8601 text (a missing zone means UTC, as in ClickHouse's exports).
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        # The conversion can leave the years that datetime knows: 0001-01-01T00:00+14:00.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def on_our_clock(moment: datetime, sent_at: datetime | None, arrival: datetime) -> datetime:
    """`moment`, told by the sender's clock, as ours would have told it.

    `sent_at` is what the sender's clock said when ours said `arrival`; where it is not known, both
    are taken to agree.
    """
    if sent_at is None:
        return moment
    try:
        return moment + (arrival - sent_at)
    except OverflowError:
        return moment


def milliseconds_before(arrival: datetime, offset: object) -> datetime | None:
    """The moment so many milliseconds before `arrival`; None where `offset` is no number of them
    that leads to a moment."""
    if isinstance(offset, bool) or not isinstance(offset, int | float):
        return None
    try:
        return arrival - timedelta(milliseconds=offset)
    except (OverflowError, ValueError):  # ValueError: NaN
        return None


def no_later_than_allowed(moment: datetime, arrival: datetime) -> datetime:
    """`moment`, or `arrival` where `moment` lies further in the future than PostHog allows."""
    return arrival if moment > arrival + FUTURE_LIMIT else moment


def window_start(moment: datetime, window: timedelta) -> datetime:
    """The start of the window that holds `moment`; windows are counted from the epoch, in UTC."""
    return moment - (moment - EPOCH) % window
