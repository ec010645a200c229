"""Recognizing people by their distinct_ids, where no column holds them: in the payload of an event
that was refused, in the text of an error, in the events that tie two ids together.

What is done with what is found belongs to `store`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from enrichment_pipeline.events.text import clean_text, readable_json

MAX_ID_LENGTH = 200  # where PostHog cuts a distinct_id

LINKING_EVENTS = ("$identify", "$create_alias", "$merge_dangerously")
"""PostHog's events that say that two distinct_ids are one person."""

_NOBODY = frozenset(
    {
        *("", "0", "anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated"),
        *("email", "undefined", "true", "false", "[object object]", "nan", "none", "null"),
        "00000000-0000-0000-0000-000000000000",
    }
)

_OWNER_KEYS = frozenset({"distinct_id", "$distinct_id"})
_LINK_KEYS = frozenset({"$anon_distinct_id", "alias"})

# In text that is no JSON: the id behind its name, quoted or not, even where the quote is missing.
_OWNER_IN_TEXT = re.compile(
    r'"\$?distinct_id"\s*:\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)|(?P<bare>[^\s,"[\]{}]+))'
)


class People:
    """The people of some distinct_ids."""

    def __init__(self, distinct_ids: Iterable[str]) -> None:
        """`distinct_ids` are as their senders wrote them; columns have them cleaned and cut."""
        self._names = {_as_kept(told): told for told in distinct_ids if told}
        forms = {form for told in self._names.values() for form in _forms(told)}
        # The longest first, so that of two ids that begin alike the right one is tried.
        alternatives = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        # Not within a longer word: user-1 is not named by user-10.
        self._named = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)" if forms else r"(?!)")
        self.forms: Sequence[str] = sorted(forms)
        """The ways in which text may write their ids."""

    @property
    def distinct_ids(self) -> list[str]:
        """Their ids as columns have them."""
        return sorted(self._names)

    def named_in(self, text: str) -> bool:
        """Whether a text names one of them."""
        return self._named.search(text) is not None

    def without_names(self, value: object, instead: str) -> object:
        """A JSON value, `instead` in the place of every text in it that names one of them."""
        if isinstance(value, str):
            return instead if self.named_in(value) else value
        if isinstance(value, dict):
            return {key: self.without_names(held, instead) for key, held in value.items()}
        if isinstance(value, list):
            return [self.without_names(held, instead) for held in value]
        return value

    def owner(self, payload: bytes) -> str | None:
        """Which of them (by the id that columns have) the event in this payload belongs to.

        An event that says whose it is belongs to nobody else, whoever it mentions; one that does
        not, because just that was wrong with it, belongs to whom it mentions.
        """
        text = readable_json(payload).decode()
        # JSON may write any letter as an escape; where there is none, a look is enough.
        if "\\" not in text and not any(form in text for form in self.forms):
            return None
        try:
            owners, mentioned = _read(json.loads(text))
        except (ValueError, RecursionError):
            owners, mentioned = _read_broken(text), set()
            if not owners and (found := self._named.search(text)):
                return self._whose(found[0])
        return next((held for held in self._names if held in (owners or mentioned)), None)

    def _whose(self, form: str) -> str | None:
        return next((held for held, told in self._names.items() if form in _forms(told)), None)


class Link(NamedTuple):
    """What an event says of two distinct_ids: that they are one person."""

    distinct_id: str
    other: str


def links(distinct_id: str, payload: bytes) -> Iterator[Link]:
    """The links that the payload of one of the `LINKING_EVENTS` makes."""
    try:
        value = json.loads(readable_json(payload))
    except (ValueError, RecursionError):
        return
    for key, held in _scalars(value):
        if key in _LINK_KEYS and held and _as_kept(held) != distinct_id:
            yield Link(distinct_id, _as_kept(held))


def other_id(event: str, distinct_id: str, properties: Mapping[str, object]) -> str | None:
    """The distinct_id that a linking event says is the same person's; None where it says none, or
    one that any number of people have."""
    if event not in LINKING_EVENTS:
        return None
    told = properties.get("$anon_distinct_id" if event == "$identify" else "alias")
    if isinstance(told, int | float) and not isinstance(told, bool):
        told = str(told)
    if not isinstance(told, str) or not told:
        return None
    other = _as_kept(told)
    if other == distinct_id or is_nobody(other) or is_nobody(distinct_id):
        return None
    return other


def is_nobody(distinct_id: str) -> bool:
    """Whether an id is one of those that programs send where they know none: PostHog joins nobody
    by them (its list: https://posthog.com/docs/data/persons#merging-users)."""
    return distinct_id.strip().strip("'\"").lower() in _NOBODY


def ledger_name(key: str, project: str, distinct_id: str) -> str:
    """What the ledger of who was forgotten calls a person. Only who has the store's key can find
    out whether somebody is in it."""
    # In two steps: the first is what stood in the ledger of earlier versions.
    unkeyed = sha256(f"{project}\0{distinct_id}".encode()).hexdigest()
    return sha256(f"{key}{unkeyed}".encode()).hexdigest()


def _as_kept(distinct_id: str) -> str:
    return clean_text(distinct_id, MAX_ID_LENGTH)


def _forms(told: str) -> set[str]:
    """An id as it stands in text: itself, cut, escaped as JSON and as Python do it."""
    return {
        form
        for name in (told, _as_kept(told))
        for form in (
            name,
            json.dumps(name)[1:-1],
            json.dumps(name, ensure_ascii=False)[1:-1],
            repr(name)[1:-1],
        )
        if form
    }


def _read(value: object) -> tuple[set[str], set[str]]:
    """The ids that a JSON value gives as its owner's, and all its values as text."""
    owners: set[str] = set()
    mentioned: set[str] = set()
    for key, held in _scalars(value):
        mentioned.add(_as_kept(held))
        if key in _OWNER_KEYS and held:
            owners.add(_as_kept(held))
    return owners, mentioned


def _scalars(value: object) -> Iterator[tuple[str, str]]:
    """Every value in a JSON value that holds no others, as text, with the key that it is under."""
    # No recursion: events nest as deeply as their senders like.
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        key, held = waiting.pop()
        if isinstance(held, dict):
            waiting.extend(held.items())
        elif isinstance(held, list):
            waiting.extend((key, one) for one in held)
        elif isinstance(held, str):
            yield key, held
            # Some exports write the properties as JSON in a string.
            waiting.extend((key, inner) for inner in _inside(held))
        elif held is not None:
            yield key, json.dumps(held)


def _inside(text: str) -> list[object]:
    if not text.startswith("{"):
        return []
    try:
        return [json.loads(readable_json(text.encode()))]
    except (ValueError, RecursionError):
        return []


def _read_broken(text: str) -> set[str]:
    owners: set[str] = set()
    for found in _OWNER_IN_TEXT.finditer(text):
        told = found["bare"]
        if told is None:
            quoted = found["quoted"]
            try:
                told = str(json.loads(f'"{quoted}"'))
            except ValueError:
                told = quoted
        if told:
            owners.add(_as_kept(told))
    return owners
