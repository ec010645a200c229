"""What the modules of pages share: what a page is made of, and how it reads the store."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from enrichment_pipeline.store.database.engine import Store
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


def named(sessions: Sequence[str], project: str | None) -> list[Named]:
    """Sessions by the names that are shown."""
    return [Named(one, session_link(one, project)) for one in sessions]


Page = Callable[[Store, Given], Shown | Elsewhere]
