"""The part of an event's sentence that differs from event to event: a few important properties
(`sku=1, price=19.9`), and the device. Masked, and safe in a prompt.

Values that many events share are an action input (`inputs`), not a detail.
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache

from enrichment_pipeline.events.allowed import NOTHING, Private
from enrichment_pipeline.events.masked import masked_text, masked_word
from enrichment_pipeline.events.privacy import without_torn_end
from enrichment_pipeline.events.private_names import is_private_name
from enrichment_pipeline.events.private_numbers import is_reference
from enrichment_pipeline.events.safe_text import cut, has_few_words
from enrichment_pipeline.events.text import read_json

MAX_DETAIL_LENGTH = 60
MAX_DEVICE_LENGTH = 60
_MAX_VALUE_LENGTH = 32
_MAX_NAME_LENGTH = 24
_MOST_WORDS_OF_VALUE = 3
_MOST_WORDS_OF_DEVICE = 4
_MAX_KIND_LENGTH = 20
_MAX_MESSAGE_LENGTH = MAX_DETAIL_LENGTH - _MAX_KIND_LENGTH - len(': ""')
_LARGEST_WHOLE = 1e16
_MOST_PROPERTIES = 4
_MOST_LOOKED_AT = 40
_LONGEST_LOOKED_AT = 100
_READ_AT_MOST = 300
_SMALL = 1_000_000
_BEGIN = re.compile(r" \([^\s()=]+=")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# PostHog's own events whose `$` properties say what happened.
_OF_EVENTS: Mapping[str, tuple[str, ...]] = {
    "$feature_flag_called": ("$feature_flag", "$feature_flag_response"),
    "$groupidentify": ("$group_type",),
    "$screen": ("$screen_name",),
    "$ai_generation": ("$ai_model", "$ai_is_error"),
    "$ai_embedding": ("$ai_model", "$ai_is_error"),
    "$ai_span": ("$ai_span_name", "$ai_is_error"),
    "$ai_trace": ("$ai_span_name", "$ai_is_error"),
    "$mcp_tool_call": ("$mcp_tool_name", "$mcp_is_error"),
    "$csp_violation": ("$csp_violated_directive",),
    "survey shown": ("$survey_name",),
    "survey sent": ("$survey_name",),
    "survey dismissed": ("$survey_name",),
}

# Where these events have the message of an error; it says more than that there was one.
_ERRORS = ("$ai_error", "$mcp_error_message")
_IS_ERROR = frozenset({"$ai_is_error", "$mcp_is_error"})
_MOST_NESTED = 3
_ANSWER = "$survey_response"

# Of events about an element: what a team captures of it on purpose. posthog-js sends it as
# properties, beside those that every event has; the attributes of the element tell which.
_OF_ELEMENTS = frozenset({"$autocapture", "$rageclick", "$dead_click", "$copy_autocapture"})
_CAPTURED = re.compile(r'attr__data-ph-capture-attribute-([^=";]+)="')

_EVENTS_WITH_DETAIL = frozenset({"$exception", "$pageview", *_OF_EVENTS, *_OF_ELEMENTS})

# Words in property names that say most about the action; these properties come first.
_WORDS_THAT_SAY_MOST = (
    *("sku", "product", "item", "plan", "name", "step", "status", "result", "error", "reason"),
    *("price", "amount", "total", "value", "revenue", "currency", "quantity", "count", "type"),
    *("category", "method", "query", "search", "option", "variant", "feature"),
)
# What people call a thing comes before its numbers.
_NAMES = frozenset({"name", "title", "label"})
_NOISE = frozenset(
    {"distinct_id", "token", "gclid", "fbclid", "msclkid", "uuid", "timestamp", "url"}
)
# What is nothing but masks says nothing.
_ONLY_MASKS = re.compile(r"(?:\W*(?:\((?:email|phone|card|number|token)\)|\?…))+\W*")


def detail_of(
    event: str,
    properties: Mapping[str, object],
    allowed: Set[Private] = NOTHING,
    *,
    page: str | None = None,
    chain: str | None = None,
) -> str | None:
    """The detail of an event, of at most 60 characters; None if it has none. `page` is the template
    of its page, `chain` its elements chain."""
    if event[:1] == "$" and event not in _EVENTS_WITH_DETAIL:
        return None
    if event == "$exception":
        return _exception(properties, allowed)
    if Private.NO_TEXT in allowed:
        return None
    parts: list[str] = []
    length = 0
    for name, value in _chosen(event, properties, page, chain):
        part = _pair(name, value, allowed)
        if part and length + len(part) <= MAX_DETAIL_LENGTH:
            parts.append(part)
            length += len(part) + 2
            if len(parts) == _MOST_PROPERTIES:
                break
    return ", ".join(parts) or None


_Pairs = Iterable[tuple[str, object]]


def _chosen(
    event: str, properties: Mapping[str, object], page: str | None, chain: str | None
) -> _Pairs:
    """The properties that may be shown, the most important first."""
    if event == "$pageview":
        return [("title", properties.get("title"))] if page and ":id" in page else ()
    if event in _OF_ELEMENTS:
        return _captured(properties, chain)
    if names := _OF_EVENTS.get(event):
        return _of_event(event, names, properties)
    return ((name, properties[name]) for name in _best_first(properties))


def _captured(properties: Mapping[str, object], chain: str | None) -> _Pairs:
    if not chain or "data-ph-capture-attribute-" not in chain:
        return ()
    names = dict.fromkeys(_CAPTURED.findall(chain))
    return [(name, properties.get(name)) for name in names if not is_private_name(name)]


def _of_event(event: str, names: Iterable[str], properties: Mapping[str, object]) -> _Pairs:
    error = next((found for name in _ERRORS if (found := _message(properties.get(name)))), None)
    if error:
        yield "error", error
    if event == "survey sent":
        yield from (("answer", answer) for answer in _answers(properties))
    for name in names:
        if name in properties and not (error and name in _IS_ERROR):
            yield name.removeprefix("$"), properties[name]


def _message(error: object, depth: int = 0) -> str | None:
    """The message of an error, which may be text, an object, or an object as text."""
    if isinstance(error, str) and error[:1] in {"{", "["} and depth < _MOST_NESTED:
        try:
            return _message(read_json(error), depth + 1) or error
        except (ValueError, RecursionError):
            return error
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, dict) and depth < _MOST_NESTED:
        inner = (error.get(name) for name in ("message", "error", "detail", "type"))
        return next((found for one in inner if (found := _message(one, depth + 1))), None)
    return error if isinstance(error, str) else None


def _answers(properties: Mapping[str, object]) -> list[object]:
    """The answers to a survey, each once: the first is sent under two names."""
    given = [value for name, value in properties.items() if name.startswith(_ANSWER)]
    questions = properties.get("$survey_questions")
    if not given and isinstance(questions, list):
        given = [one.get("response") for one in questions if isinstance(one, dict)]
    answers = (", ".join(map(str, value)) if isinstance(value, list) else value for value in given)
    return list(dict.fromkeys(one for one in answers if isinstance(one, str | int | float)))


def split_detail(sentence: str) -> tuple[str, str]:
    """A sentence without its detail, and the detail with its brackets; empty if it has none. Other
    text in brackets is a name, or a mask (`contact (email)`)."""
    found = _BEGIN.search(sentence)
    return (sentence[: found.start()], sentence[found.start() + 1 :]) if found else (sentence, "")


def _best_first(properties: Mapping[str, object]) -> Sequence[str]:
    # posthog-js sends some twenty campaign parameters as null.
    custom = [name for name, value in properties.items() if value is not None and name[:1] != "$"]
    if "title" in custom and properties.get("$lib", "web") == "web":
        # Older versions of posthog-js send the page's title with every event.
        custom.remove("title")
    return _ranked(
        tuple([name for name in custom[:_MOST_LOOKED_AT] if len(name) <= _LONGEST_LOOKED_AT])
    )


@lru_cache(maxsize=1_024)
def _ranked(names: tuple[str, ...]) -> Sequence[str]:
    ranks = ((_rank(name), position, name) for position, name in enumerate(names))
    ranked = [(rank, position, name) for rank, position, name in ranks if rank is not None]
    return [name for _, _, name in sorted(ranked)]


@lru_cache(maxsize=8_192)
def _rank(name: str) -> int | None:
    """The position of a property in the detail; None: it is never shown."""
    folded = _HUMP.sub("_", name).lower()
    if folded in _NOISE or folded.startswith("utm_") or is_private_name(name):
        return None
    if folded.rpartition("_")[2] in _NAMES:
        return -1
    return next(
        (at for at, word in enumerate(_WORDS_THAT_SAY_MOST) if word in folded),
        len(_WORDS_THAT_SAY_MOST),
    )


def _pair(name: str, value: object, allowed: Set[Private]) -> str | None:
    shown = _shown(value, allowed, _about(name))
    return f"{_name(name)}={shown}" if shown and not _ONLY_MASKS.fullmatch(shown) else None


@lru_cache(maxsize=8_192)
def _name(name: str) -> str:
    return masked_word(name, _MAX_NAME_LENGTH) or "property"


@lru_cache(maxsize=8_192)
def _about(name: str) -> str:
    """The name, if it says that the value is a number of an order, a parcel, …"""
    return name if is_reference(name) else ""


def _shown(value: object, allowed: Set[Private], about: str) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # Eight digits, too few to be part of a card or phone number; a whole number may be either.
        if not value.is_integer() or abs(value) >= _LARGEST_WHOLE:
            return f"{value:.8g}"
        value = int(value)
    if isinstance(value, int):
        is_small = -_SMALL < value < _SMALL
        return str(value) if is_small else _masked(str(value), frozenset(allowed), about)
    return _text(_short(value), frozenset(allowed), about)


@lru_cache(maxsize=8_192)
def _text(value: str | None, allowed: frozenset[Private], about: str) -> str | None:
    text = value and _masked(value, allowed, about)
    # A word is shown as it is; a sentence is quoted, to mark it as the sender's.
    is_word = not text or (text.isalnum() and has_few_words(text, _MOST_WORDS_OF_VALUE))
    return text if is_word else f'"{text}"'


def _masked(value: str, allowed: frozenset[Private], about: str) -> str:
    return masked_text(value, _MAX_VALUE_LENGTH, allowed, about=about)


def _short(value: object) -> str | None:
    """The part of a text that is used: caches must not hold megabytes."""
    if not isinstance(value, str):
        return None
    return value if len(value) <= _READ_AT_MOST else without_torn_end(value[:_READ_AT_MOST])


def _exception(properties: Mapping[str, object], allowed: Set[Private]) -> str | None:
    kind, message = properties.get("$exception_type"), properties.get("$exception_message")
    found = properties.get("$exception_list")
    if isinstance(found, list) and found and isinstance(found[0], dict):
        kind, message = found[0].get("type") or kind, found[0].get("value") or message
    parts = [
        masked_word(kind, _MAX_KIND_LENGTH, allowed) if isinstance(kind, str) else "",
        _quoted(message, _MAX_MESSAGE_LENGTH, allowed) if isinstance(message, str) else "",
    ]
    return ": ".join(part for part in parts if part) or None


def _quoted(text: str, limit: int, allowed: Set[Private]) -> str:
    safe = masked_text(text, limit, allowed)
    return f'"{safe}"' if safe else ""


def device_of(properties: Mapping[str, object]) -> str | None:
    """The device, as `Desktop, Chrome on Windows`; for a server, the sending library."""
    get = properties.get
    return _device(
        _short(get("$device_type")),
        _short(get("$browser")),
        _short(get("$os") or get("$os_name")),
        _short(get("$lib")),
    )


@lru_cache(maxsize=8_192)
def _device(
    kind: str | None, browser: str | None, system: str | None, library: str | None
) -> str | None:
    where = " on ".join(_part(part) for part in (browser, system) if part)
    # Without a browser and a device type it is a server, which its system alone does not show.
    sender = None if kind or browser else library
    parts = [kind and _part(kind), where, sender and _part(sender)]
    return cut(", ".join(part for part in parts if part), MAX_DEVICE_LENGTH) or None


def _part(text: str) -> str:
    safe = masked_text(text, MAX_DEVICE_LENGTH)
    return safe if has_few_words(safe, _MOST_WORDS_OF_DEVICE) else f'"{safe}"'
