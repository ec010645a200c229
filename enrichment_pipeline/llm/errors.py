"""Errors that users ran into, whole: which, how often, whom they hit, where and since when.

The payloads are read when somebody asks, so that what is shown is what is kept: nothing is to be
forgotten or built again beside them. What one event says belongs to `events.error_detail`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import shown_sessions
from enrichment_pipeline.events.allowed import NOTHING, parse_allowed
from enrichment_pipeline.events.error_detail import ErrorDetail, error_detail
from enrichment_pipeline.events.raw_event import properties_of
from enrichment_pipeline.llm.event_names import is_error
from enrichment_pipeline.llm.timelines import page_of
from enrichment_pipeline.store.analytics.selection import Session
from enrichment_pipeline.store.reading.reported_errors import (
    ReportedError,
    event_names,
    read_errors,
)
from enrichment_pipeline.wording import counted

MOST_READ = 20_000
"""The most events whose payloads are read: the newest."""

ERRORS_OF = timedelta(days=7)
"""The period of a question that says none: before the newest event."""

ErrorsBy = Literal["message", "page", "browser", "release"]

_AI = re.compile(r"\$ai_(?:generation|span|embedding|trace)")
# What differs between two errors of one kind: numbers, ids.
_VARIES: Final = re.compile(r"[0-9a-f]*\d[0-9a-f]*(?:[-.:][0-9a-f]*\d[0-9a-f]*)*|\"[^\"]*\"", re.I)
_MOST_VALUES = 3
_MOST_SESSIONS = 3


class ErrorGroup(NamedTuple):
    """The errors with one message (or on one page, of one browser, of one release)."""

    value: str
    """What they have in common: the page, browser or release; of a message, its type."""
    message: str
    """Whole; that of the newest among the most frequent."""
    place: str | None
    """The innermost frame of the sender's own code."""
    errors: int
    sessions: int
    people: int
    pages: Sequence[str]
    """The most frequent ones; so are browsers and releases."""
    browsers: Sequence[str]
    releases: Sequence[str]
    first_seen: datetime
    last_seen: datetime
    session_ids: Sequence[str]
    """Of the newest, as they can be asked for: handles, or ids of those that are not built yet."""


class Errors(NamedTuple):
    """The errors of a period, the most frequent first."""

    groups: Sequence[ErrorGroup]
    errors: int
    is_all: bool
    """Whether all were read, or only the newest `MOST_READ` events."""


class _Error(NamedTuple):
    reported: ReportedError
    detail: ErrorDetail
    page: str | None


def find_errors(
    connection: Connection,
    start: datetime,
    end: datetime,
    *,
    by: ErrorsBy = "message",
    project: str | None = None,
    contains: str | None = None,
) -> Errors:
    """The errors of this period in groups; `contains` is a part of the type or the message, in any
    case. The connection must be allowed to read raw events."""
    names = [name for name in event_names(connection) if is_error(name) or _AI.fullmatch(name)]
    found = read_errors(connection, names, start, end, project=project, most=MOST_READ)
    errors = [error for one in found if (error := _error(one)) and _has(error.detail, contains)]
    grouped: defaultdict[str, list[_Error]] = defaultdict(list)
    for error in errors:
        grouped[_KEYS[by](error)].append(error)
    examples = shown_sessions(connection, [_newest(of_key) for of_key in grouped.values()])
    groups = [
        _group(by, key, of_key, shown)
        for (key, of_key), shown in zip(grouped.items(), examples, strict=True)
    ]
    groups.sort(key=lambda group: (-group.errors, group.value, group.message))
    return Errors(groups, len(errors), len(found) < MOST_READ)


def errors_in_all(found: Errors) -> str:
    """How many errors these are in all, and whether there are more."""
    groups = counted(len(found.groups), "kind")
    more = "" if found.is_all else f", the newest of more than {MOST_READ:,} events"
    return f"{counted(found.errors, 'error')} of {groups}{more}"


def _error(reported: ReportedError) -> _Error | None:
    allowed = parse_allowed(reported.allowed) if reported.allowed else NOTHING
    detail = error_detail(reported.event, properties_of(reported.payload), allowed)
    return detail and _Error(reported, detail, page_of(reported.path_template))


def _has(detail: ErrorDetail, text: str | None) -> bool:
    return text is None or text.lower() in f"{detail.type}: {detail.message}".lower()


@lru_cache(maxsize=8_192)
def _alike(message: str) -> str:
    return _VARIES.sub("#", message)


_UNKNOWN = "unknown"

_KEYS: Mapping[ErrorsBy, Callable[[_Error], str]] = {
    "message": lambda one: f"{one.detail.type}\n{_alike(one.detail.message)}",
    "page": lambda one: one.page or _UNKNOWN,
    "browser": lambda one: one.reported.device or _UNKNOWN,
    "release": lambda one: one.detail.release or _UNKNOWN,
}


def _newest(errors: Sequence[_Error]) -> list[Session]:
    """The newest sessions of these errors, which come the newest first."""
    found = [(one.reported.project, one.reported.session_id) for one in errors]
    return [*dict.fromkeys((of, one) for of, one in found if one)][:_MOST_SESSIONS]


def _group(by: ErrorsBy, key: str, errors: Sequence[_Error], examples: list[str]) -> ErrorGroup:
    """The group of these errors, which come the newest first."""
    common = Counter(_KEYS["message"](one) for one in errors).most_common(1)[0][0]
    shown = next(one.detail for one in errors if _KEYS["message"](one) == common)
    sessions = _distinct(one.reported.session_id for one in errors)
    moments = [one.reported.occurred_at for one in errors]
    return ErrorGroup(
        value=shown.type if by == "message" else key,
        message=shown.message if by == "message" else f"{shown.type}: {shown.message}",
        place=shown.place,
        errors=len(errors),
        sessions=len(sessions),
        people=len({(one.reported.project, one.reported.person) for one in errors}),
        pages=_most(one.page for one in errors),
        browsers=_most(one.reported.device for one in errors),
        releases=_most(one.detail.release for one in errors),
        first_seen=min(moments),
        last_seen=max(moments),
        session_ids=examples,
    )


def _distinct(values: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


def _most(values: Iterable[str | None]) -> list[str]:
    """The most frequent values; of equally frequent ones the first by name."""
    counted = Counter(value for value in values if value)
    ranked = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return [value for value, _ in ranked[:_MOST_VALUES]]
