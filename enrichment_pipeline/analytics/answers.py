"""What all answers have in common: a summary, rows of cells, and how names are shown in them."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.events.masked import masked_id, masked_text
from enrichment_pipeline.events.safe_text import has_few_words
from enrichment_pipeline.store.analytics.selection import About, Session
from enrichment_pipeline.store.reading.handles import session_handles

Cell = str | int | float | list[str] | None

_MAX_NAME = 80
_MAX_MESSAGE = 200
_PLAIN_NAME = re.compile(r"[\w$.:-]{1,80}")


class Answer(NamedTuple):
    """An answer with numbers."""

    summary: str
    """What was counted, of which time, and what the rows do not say."""
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def without(self, *names: str) -> "Answer":
        """The answer without these columns, as far as it has them."""
        kept = [at for at, name in enumerate(self.columns) if name not in names]
        columns, *rows = [[row[at] for at in kept] for row in (self.columns, *self.rows)]
        return Answer(self.summary, [str(name) for name in columns], rows)


def shown_sessions(connection: Connection, groups: Sequence[Sequence[Session]]) -> list[list[str]]:
    """The sessions behind each number, as they can be asked for: `s12`, or the id of one that is
    not built yet."""
    handles = session_handles(connection, chain.from_iterable(groups))
    return [[handles.get(one) or masked_id(one[1]) for one in group] for group in groups]


def shown_name(name: str) -> str:
    """A name by strangers: a single word as it is, anything else masked and quoted."""
    masked = masked_text(name, _MAX_NAME)
    if masked == name and _PLAIN_NAME.fullmatch(name) and has_few_words(name):
        return name
    return f'"{masked}"'


def shown_message(message: str) -> str:
    """An error's text, masked because it may quote a sender's text."""
    return f'"{masked_text(message, _MAX_MESSAGE)}"'


def percent(part: int, whole: int) -> float | None:
    """So many of a hundred; None: there is nothing to be part of."""
    return round(100 * part / whole, 1) if whole else None


def change(now: int, before: int) -> float | None:
    """The change in percent; None: there was nothing before."""
    return percent(now - before, before)


def period(about: About) -> str:
    """The period of a question."""
    length = about.end - about.start
    if about.before is None:
        return f"{moment(about.start)} to {moment(about.end)} UTC"
    return f"{period(about._replace(before=None))}, before: {moment(about.before)} to " + moment(
        about.before + length
    )


def moment(at: datetime) -> str:
    """A time, as short as it can be written."""
    rounded = timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
    if not rounded:
        return f"{at:%Y-%m-%d}"
    return f"{at:%Y-%m-%d %H:%M}" if not at.second else f"{at:%Y-%m-%d %H:%M:%S}"
