"""Recognizing people by their distinct_ids in text without such a column: the payload of a refused
event, the text of an error; and which events link two ids.

What is done with the result belongs to `store`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from enrichment_pipeline.events.text import REPLACEMENT, clean_text, readable_json

MAX_ID_LENGTH = 200  # where PostHog cuts a distinct_id

LINKING_EVENTS = ("$identify", "$create_alias", "$merge_dangerously")
"""PostHog's events that say that two distinct_ids are one person."""

IDS_OF_NOBODY = frozenset(
    {
        *("", "0", "anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated"),
        *("email", "undefined", "true", "false", "[object object]", "nan", "none", "null"),
        "00000000-0000-0000-0000-000000000000",
    }
)
"""What programs send where they know nobody, in lower case; see `is_nobody`."""

_OWNER_KEYS = frozenset({"distinct_id", "$distinct_id"})

# Left over from bytes on a command line that are not UTF-8, and from half a character in JSON.
_SURROGATE = re.compile("[\ud800-\udfff]")

# A place where a word or a number may begin that is not part of a longer one.
_BEGINNINGS = re.compile(r"(?<!\w)(?=.)", re.DOTALL)

# A common id, such as 1, a or events: it names a person only as a whole value under a key for
# people; not in the middle of a sentence.
_LEAST_DISTINCTIVE = 12
_AROUND_A_VALUE = frozenset("'\"`,;|=\t\r\n")
_KEY_OF_SOMEBODY = re.compile(r"^$|id$|user|person|mail|name|alias|customer|account", re.IGNORECASE)

# So many characters are enough to rule out most places.
_FIRST_CHARACTERS = 3

# In text that is not JSON: the id after its key, quoted or not, even if the quote is missing.
_OWNER_IN_TEXT = re.compile(
    r'"\$?distinct_id"\s*:\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)|(?P<bare>[^\s,"[\]{}]+))'
)


class People:
    """The people with some distinct_ids, however many."""

    def __init__(self, distinct_ids: Iterable[str]) -> None:
        """`distinct_ids` are as their senders wrote them; in columns they are cleaned and cut."""
        names = {_as_kept(given): given for given in distinct_ids if given}
        self.distinct_ids = sorted(names)
        """Their ids in the form of columns."""
        self._names = frozenset(names)
        self._forms = {form: held for held, given in names.items() for form in _forms(given)}
        # The longest first, so that of two ids with the same beginning the right one matches.
        self._lengths = sorted({len(form) for form in self._forms}, reverse=True)
        self._looked_at = min([_FIRST_CHARACTERS, *self._lengths])
        self._beginnings = {form[: self._looked_at] for form in self._forms}

    def named_in(self, text: str) -> str | None:
        """The first person whose whole id is in a text: user-10 does not name user-1, and an id
        that could be a word or a number is not named by any word or number."""
        for found in _BEGINNINGS.finditer(text):
            start = found.start()
            if text[start : start + self._looked_at] in self._beginnings:
                for length in self._lengths:
                    held = self._forms.get(text[start : start + length])
                    if held is not None and _stands_alone(text, start, start + length):
                        return held
        return None

    def owner(self, payload: bytes) -> str | None:
        """The person (by the id in columns) to whom the event in this payload belongs.

        An event with an owner's id belongs to that person only, whoever else it mentions; an event
        without one, because that was its fault, belongs to the person it mentions.
        """
        text = readable_json(payload).decode()
        try:
            owners, mentioned = _read(json.loads(text))
        except (ValueError, RecursionError):
            owners, mentioned = _read_broken(text), set()
            if not owners:
                return self.named_in(text)
        return min(self._names & (owners or mentioned), default=None)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether the text at this place is a whole id, and not part of something else."""
    if _is_distinctive(text[start:end]):
        return end == len(text) or not _is_of_a_word(text[end])
    before, after = text[start - 1 : start], text[end : end + 1]
    return _AROUND_A_VALUE.issuperset(before) and _AROUND_A_VALUE.issuperset(after)


def _is_of_a_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_distinctive(distinct_id: str) -> bool:
    """Whether it can only be an id: not a word, and not a number that may count something."""
    is_a_word = all(map(_is_of_a_word, distinct_id))
    has_digits = any(map(str.isdigit, distinct_id))
    return not is_a_word or (has_digits and len(distinct_id) >= _LEAST_DISTINCTIVE)


def other_id(event: str, distinct_id: str, properties: Mapping[str, object]) -> str | None:
    """The distinct_id that a linking event says is the same person's; None if it has none, or one
    that any number of people share."""
    if event not in LINKING_EVENTS:
        return None
    given = properties.get("$anon_distinct_id" if event == "$identify" else "alias")
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str) or not given:
        return None
    other = _as_kept(given)
    if other == distinct_id or is_nobody(other) or is_nobody(distinct_id):
        return None
    return other


def is_nobody(distinct_id: str) -> bool:
    """Whether programs send this id when they know none: PostHog joins nobody by such ids (its
    list: https://posthog.com/docs/data/persons#merging-users)."""
    return distinct_id.strip().strip("'\"").lower() in IDS_OF_NOBODY


def ledger_name(key: str, project: str, distinct_id: str) -> str:
    """A person's name in the ledger of forgotten people. Nobody can find out who is in it without
    the store's key."""
    # In two steps: the first gives the name that earlier versions wrote into the ledger.
    unkeyed = sha256(f"{project}\0{distinct_id}".encode()).hexdigest()
    return sha256(f"{key}{unkeyed}".encode()).hexdigest()


def _as_kept(distinct_id: str) -> str:
    return clean_text(_SURROGATE.sub(REPLACEMENT, distinct_id), MAX_ID_LENGTH)


def _forms(given: str) -> set[str]:
    """The forms of an id in text: itself, cut, escaped as in JSON and in Python."""
    return {
        form
        for name in (given, _as_kept(given))
        for form in (
            name,
            json.dumps(name)[1:-1],
            json.dumps(name, ensure_ascii=False)[1:-1],
            repr(name)[1:-1],
        )
        if form
    }


def _read(value: object) -> tuple[set[str], set[str]]:
    """The ids under owner's keys in a JSON value, and those of its values that may be ids."""
    owners: set[str] = set()
    mentioned: set[str] = set()
    for key, held in _scalars(value):
        if _is_distinctive(held) or _KEY_OF_SOMEBODY.search(key):
            mentioned.add(_as_kept(held))
        if key in _OWNER_KEYS and held:
            owners.add(_as_kept(held))
    return owners, mentioned


def _scalars(value: object) -> Iterator[tuple[str, str]]:
    """Every scalar in a JSON value, as text, with its key."""
    # No recursion: senders may nest events as deeply as they like.
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
        given = found["bare"]
        if given is None:
            quoted = found["quoted"]
            try:
                given = str(json.loads(f'"{quoted}"'))
            except ValueError:
                given = quoted
        if given:
            owners.add(_as_kept(given))
    return owners
