"""What the modules of pages share: what a page is made of, and how it reads the store."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.handles import handles_of_ids
from enrichment_pipeline.web.given import Given, session_link

SECONDS = 10
"""The time limit of a statement in the store."""


class Shown(NamedTuple):
    """A page: a template, and what it shows."""

    template: str
    facts: Mapping[str, object]


class Elsewhere(NamedTuple):
    """What was asked for is on another page."""

    link: str


class Named(NamedTuple):
    """A session by the name that is shown."""

    name: str
    link: str | None


def named(
    connection: Connection, sessions: Iterable[Sequence[str]], project: str | None
) -> Callable[[Sequence[str]], list[Named]]:
    """Gives the short names of sessions by their ids as answers have them; `sessions` are all
    that will be asked for."""
    handles = handles_of_ids(connection, {one for those in sessions for one in those}, project)

    def of(those: Sequence[str]) -> list[Named]:
        names = [handles.get(one, one) for one in those]
        return [Named(name, session_link(name, project)) for name in names]

    return of


Page = Callable[[Store, Given], Shown | Elsewhere]
