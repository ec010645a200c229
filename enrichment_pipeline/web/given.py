"""What a page is asked with: the values of its form, which are in its address."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote, urlencode

from starlette.requests import Request

from enrichment_pipeline.wording import UserError

_MOST_CHARACTERS = 400
_MOST_OFFSET = 1_000_000
_HANDLE = re.compile(r"[sp][1-9]\d{0,17}")

Choice = TypeVar("Choice", bound=str)


class Given:
    """The values that a request gives; an empty one is none.

    Raises (when made):
        UserError: a value is of no use, or has a name that the page does not know: without a
            misspelt filter, a page would show everything.
    """

    def __init__(self, request: Request, *known: str) -> None:
        self.wanted = str(next(iter(request.path_params.values()), ""))
        """What the path names."""
        self._values: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            if name not in known:
                are = ", ".join(known)
                raise UserError(f"{name[:_MOST_CHARACTERS]!r} is no filter here; there are {are}")
            if len(value) > _MOST_CHARACTERS or "\0" in value:
                raise UserError(f"{name} has more than {_MOST_CHARACTERS} characters, or a NUL")
            if stripped := value.strip():
                self._values.setdefault(name, []).append(stripped)

    def text(self, name: str) -> str | None:
        """A value as it was typed."""
        return self._values.get(name, [None])[-1]

    def many(self, name: str) -> list[str]:
        """The values of a field that may be there several times."""
        return self._values.get(name, [])

    def has_any(self, names: Collection[str]) -> bool:
        """Whether one of these is given."""
        return any(name in self._values for name in names)

    def choice(self, name: str, choices: Sequence[Choice]) -> Choice | None:
        """One of the choices.

        Raises:
            UserError: it is none of them.
        """
        value = self.text(name)
        found = next((one for one in choices if one == value), None)
        if value is not None and found is None:
            raise UserError(f"{name}={value!r} is none; there are {', '.join(choices)}")
        return found

    def number(self, name: str, default: float, most: float = _MOST_OFFSET) -> float:
        """A number that is not negative.

        Raises:
            UserError: it is none, or too large.
        """
        value = self.text(name)
        try:
            number = float(value) if value else default
        except ValueError:
            number = -1
        if not 0 <= number <= most:
            raise UserError(f"{name}={value!r} is no number from 0 to {most:,.0f}")
        return number

    def offset(self) -> int:
        """How many rows are passed over."""
        return int(self.number("offset", 0))

    def link(self, path: str, **changed: object) -> str:
        """The address of a page that is asked with the same, but for what is changed."""
        return link(path, self._values | changed)


def link(path: str, values: Mapping[str, object] | None = None, **others: object) -> str:
    """The address of a page; what is None or empty is left out."""
    pairs = [
        (name, one)
        for name, value in {**(values or {}), **others}.items()
        for one in (value if isinstance(value, list) else [value])
        if one not in (None, "", 0)
    ]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def session_link(session: str, project: str | None = None) -> str | None:
    """The address of a session by the name that is shown; None where that cannot be asked for."""
    return None if session.startswith('"') else _one("sessions", session, project)


def person_link(person: str, project: str | None = None) -> str:
    """The address of a person by the name that is shown."""
    return _one("people", person, project)


def _one(what: str, name: str, project: str | None) -> str:
    # A short name says the project, too.
    project = None if _HANDLE.fullmatch(name) else project
    return link(f"/{what}/{quote(name, safe='')}", project=project)
