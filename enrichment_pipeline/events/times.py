"""When an event happened: timestamps as PostHog writes them, and the windows they fall into.

Which windows exist as partitions, and where they start, belongs to `store` and `orchestration`.
"""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# If a timestamp is further ahead than this, PostHog assumes a wrong clock and uses the time of
# arrival (FUTURE_EVENT_HOURS_CUTOFF in posthog/plugin-server).
FUTURE_LIMIT = timedelta(hours=23)

# Seconds, milliseconds, microseconds or nanoseconds since the epoch, distinguished by their number
# of digits, as PostHog does: from 2001 to 2286.
_EPOCH = re.compile(r"(\d{10}|\d{13}|\d{16}|\d{19})(?:\.\d+)?")
_EPOCH_UNITS = {10: 1, 13: 10**3, 16: 10**6, 19: 10**9}
_MICROSECONDS = 10**6

_LONGEST = 100
# By the number of digits.
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
# BigQuery's API writes the seconds since the epoch like this.
_SCIENTIFIC = re.compile(r"\d\.\d+E\+?\d+", re.IGNORECASE)
# Text that JavaScript, Java, Go and people add to a time that already has its offset from UTC.
_ADDED = re.compile(r"\s*\([^()]*\)$|\[[^\[\]]*\]$|\s+m=[+-][\d.]+$|(?<=\+00:00)Z$")
_NAME_BEFORE_OFFSET = re.compile(r"\b(?:GMT|UTC)\s*(?=[+-]\d)", re.IGNORECASE)
_NAME_BEHIND_OFFSET = re.compile(r"([+-]\d\d:?\d\d)\s+[A-Z]{2,5}$", re.IGNORECASE)
# Of dates in a national order only `3/1/2026` is read, as PostHog reads it; a sender that writes
# `28/1/2026` means something else by `3/1/2026`. And an offset that lost its sign.
_READ_IN_TWO_WAYS = re.compile(
    r"(?<!\d)(?:(?:1[3-9]|2\d|3[01])/|\d\d?[.-]\d\d?[.-])\d|:\d\d.*\s\d+:\d\d|\d\s*[ap]$",
    re.IGNORECASE,
)
# The zone names that JavaScript knows.
_ZONES = {
    **dict.fromkeys(("UTC", "GMT", "UT", "Z"), 0),
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
}
# A text is complete if every default for missing parts gives the same result.
_LEFT_OUT = (datetime(2000, 1, 1), datetime(2003, 2, 2))


def parse_timestamp(value: object) -> datetime | None:
    """The moment that `value` names, in UTC, or None; see `read_time`.

    A missing zone means UTC, as in ClickHouse's exports.
    """
    written = read_time(value)
    return None if written is None else _in_utc(written)


def read_time(value: object) -> datetime | None:
    """The time that `value` names as written, without a zone if it has none; None if incomplete.

    `value` is ISO 8601 text, or the epoch, RFC 2822, JavaScript's `Date`, or another form that
    PostHog or a warehouse writes. An ambiguous text is not a time, except for `3/1/2026`, in which
    PostHog reads the month first.
    """
    if isinstance(value, str):
        text = value.strip()
        # fromisoformat would read 13 digits as a time in the year of the first four.
        if text[4:5].isdigit() and (text.isdigit() or _EPOCH.fullmatch(text)):
            return _epoch(text) or _compact(text)
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return _in_another_form(text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Without an exponent, which stops where floats cannot distinguish microseconds.
        return _epoch(f"{value:f}" if isinstance(value, float) else str(value))
    return None


def _epoch(text: str) -> datetime | None:
    found = _EPOCH.fullmatch(text)
    if found is None:
        return None
    whole, unit = found[1], _EPOCH_UNITS[len(found[1])]
    microseconds = int(whole) * _MICROSECONDS // unit
    if unit == 1:
        microseconds += round(float("0" + text[len(whole) :]) * _MICROSECONDS)
    return EPOCH + timedelta(microseconds=microseconds)


def _compact(text: str) -> datetime | None:
    form = _COMPACT.get(len(text))
    try:
        return datetime.strptime(text, form) if form else None
    except ValueError:
        return None


def _in_another_form(text: str) -> datetime | None:
    if len(text) > _LONGEST:
        return None
    if _SCIENTIFIC.fullmatch(text):
        return read_time(float(text))
    plain = _NAME_BEFORE_OFFSET.sub("", _ADDED.sub("", text))
    plain = _NAME_BEHIND_OFFSET.sub(r"\1", plain)
    if _READ_IN_TWO_WAYS.search(plain):
        return None
    # Rarely needed, and slow to import.
    from dateutil import parser

    try:
        first, second = (
            parser.parse(plain.upper(), default=left_out, tzinfos=_zone) for left_out in _LEFT_OUT
        )
        return first if first == second and first.utcoffset() == second.utcoffset() else None
    except (ValueError, OverflowError):
        return None


def _zone(name: str | None, offset: int | None) -> int | None:
    """Seconds from UTC of a zone that dateutil has found; None: there is none."""
    if offset is not None or name is None:
        return offset
    hours = _ZONES.get(name.upper())
    if hours is None:
        raise ValueError(f"nobody knows where {name} is")
    return hours * 3600


def _in_utc(written: datetime) -> datetime | None:
    try:
        # The conversion can leave the range of years of datetime: 0001-01-01T00:00+14:00.
        return written.replace(tzinfo=UTC) if written.tzinfo is None else written.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def on_our_clock(written: datetime, sent_at: datetime | None, arrival: datetime) -> datetime | None:
    """A time of the sender's clock converted to our clock, in UTC; None if out of range.

    `sent_at` is the time of the sender's clock when ours was `arrival`; if it is unknown, both are
    assumed to agree. A `sent_at` without a zone corrects only times without a zone: both are local
    times of the same place.
    """
    moment = _in_utc(written)
    if moment is None or sent_at is None:
        return moment
    try:
        if sent_at.tzinfo is not None:
            return moment + (arrival - sent_at)
        return arrival + (written - sent_at) if written.tzinfo is None else moment
    except OverflowError:
        return moment


def milliseconds_before(arrival: datetime, offset: object) -> datetime | None:
    """The moment so many milliseconds before `arrival`; None if `offset` gives none."""
    try:
        if isinstance(offset, bool) or not isinstance(offset, int | float | str):
            return None
        return arrival - timedelta(milliseconds=float(offset))
    except (OverflowError, ValueError):  # ValueError: NaN, or not a number
        return None


def is_too_far_ahead(moment: datetime, arrival: datetime) -> bool:
    """Whether `moment` lies further in the future than PostHog allows."""
    return moment > arrival + FUTURE_LIMIT


def window_start(moment: datetime, window: timedelta) -> datetime:
    """The start of the window that holds `moment`; windows are counted from the epoch, in UTC."""
    return moment - (moment - EPOCH) % window
