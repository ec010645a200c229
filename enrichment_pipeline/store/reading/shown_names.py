"""From names as they are shown back to names as they are stored: of pages and of events.

What is shown is masked, and names of events are written with spaces in sentences. So whoever reads
`/p/(token)` or `order placed` asks for just that. The distinct names are those of the action
inputs: some thousands, however many events there are.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache

from sqlalchemy import Connection, text

from enrichment_pipeline.events.masked import masked_path, masked_text
from enrichment_pipeline.events.safe_text import CUT

_MAX_PAGE = 60
_MAX_NAME = 80
_SUGGESTED = 3
_COMPARED = 2_000
_SENT = re.compile(r'(?:Sent event )?"(?P<name>.*)"', re.DOTALL)
# What comes before the first mask or look-alike is shown as it is.
_SHOWN_AS_IT_IS = {"path_template": re.compile(r"[A-Za-z0-9/:.]*"), "event": re.compile(r"\$?\w")}
_BETWEEN_WORDS = re.compile(r"[\W_]+")


@lru_cache(maxsize=200_000)
def shown_page(template: str) -> str:
    """A page's template as it stands in sentences: masked and safe."""
    return masked_path(template, _MAX_PAGE)


@lru_cache(maxsize=50_000)
def shown_event(name: str) -> str:
    """The name of an event as it was sent; one that holds private data or markup, masked."""
    return masked_text(name, _MAX_NAME)


def pages_shown_as(connection: Connection, wanted: str, *, begins: bool = False) -> list[str]:
    """The templates of pages that are shown like this, or (`begins`) whose shown form begins so."""
    wanted, begins = _uncut(wanted, begins)
    found = _names(connection, "path_template", wanted)
    return [one for one in found if _is(wanted, (one, shown_page(one)), begins=begins)]


def events_shown_as(connection: Connection, wanted: str) -> list[str]:
    """The names of the events that are shown like this: as sent, masked, or with spaces for
    underscores. If there are none, those that differ in capitals and signs alone."""
    if quoted := _SENT.fullmatch(wanted):
        wanted = quoted["name"]
    whole, begins = _uncut(wanted, begins=False)
    found = [
        one for one in _names(connection, "event", whole) if _is(whole, _forms(one), begins=begins)
    ]
    if found:
        return found
    folded = _folded(wanted)
    return [one for one in _names(connection, "event", "") if folded and _folded(one) == folded]


def masked_pages(connection: Connection) -> Mapping[str, str]:
    """How those pages are shown that are not shown as they are."""
    return _changed(_names(connection, "path_template", ""), shown_page)


def masked_events(connection: Connection) -> Mapping[str, str]:
    """How those names of events are shown that are not shown as they are."""
    return _changed(_names(connection, "event", ""), shown_event)


def like(connection: Connection, kind: str, wanted: str) -> list[str]:
    """Shown names that are like this one: `kind` is page or event."""
    column, shown = ("path_template", shown_page) if kind == "page" else ("event", shown_event)
    names = sorted({shown(one) for one in _names(connection, column, "")[:_COMPARED]})
    return get_close_matches(wanted, names, _SUGGESTED, cutoff=0.5)


def _names(connection: Connection, column: str, wanted: str) -> list[str]:
    """The stored names that may be shown like `wanted`: with the same beginning."""
    beginning = _SHOWN_AS_IT_IS[column].match(wanted)
    rows = connection.execute(
        text(
            f"""
            SELECT DISTINCT {column} FROM enrichment_input
            WHERE starts_with({column}, :beginning) ORDER BY 1
            """
        ),
        {"beginning": beginning[0] if beginning else ""},
    )
    return list(rows.scalars())


def _changed(names: list[str], shown: Callable[[str], str]) -> dict[str, str]:
    return {name: shown(name) for name in names if shown(name) != name}


def _forms(name: str) -> Iterator[str]:
    yield name
    yield shown_event(name)
    if not name.startswith("$"):
        yield shown_event(name.replace("_", " "))


def _uncut(wanted: str, begins: bool) -> tuple[str, bool]:
    return (wanted.removesuffix(CUT), True) if wanted.endswith(CUT) else (wanted, begins)


def _is(wanted: str, forms: "Iterator[str] | tuple[str, ...]", *, begins: bool) -> bool:
    return any(form.startswith(wanted) if begins else form == wanted for form in forms)


def _folded(name: str) -> str:
    return _BETWEEN_WORDS.sub(" ", name).strip().casefold()
