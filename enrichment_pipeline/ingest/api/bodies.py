"""The JSON of a request: its events, each as the exact bytes that were sent, and what holds for all
of them.

One broken event must not take its neighbours with it, so a body is cut into events before any of
them is parsed. Parsing an event belongs to `events`.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np

from enrichment_pipeline.events.raw_event import is_true
from enrichment_pipeline.events.text import read_json, readable_json, whole_escapes
from enrichment_pipeline.events.times import read_time
from enrichment_pipeline.ingest.api.encodings import RequestError
from enrichment_pipeline.ingest.api.tokens import checked_token
from enrichment_pipeline.ingest.file_json import (
    batch_start,
    is_whole_object,
    pieces,
    read_elements,
)
from enrichment_pipeline.ingest.file_records import DamageError

MAX_EVENTS = 10_000
"""Events in one request; posthog-node halves a batch that gets a 413, and sends it again."""

# A text with no more commas has few elements, too, and may be cut at once: ten times faster, but
# without a limit on the elements, of which each is a Python object.
_FEW_COMMAS = 50_000

_LONGEST_SCALAR = 100

# The token in an event that is not valid JSON.
_TOKEN = re.compile(rb'"(?:api_key|\$?token)"\s*:\s*"([!#-\[\]-~]{1,64})"')


class Sent(NamedTuple):
    """The events of one request, and what it says of them."""

    events: Sequence[bytes]
    token: str | None
    """The token in the body; v1 and webhooks have theirs in a header."""
    sent_at: datetime | None
    """When the request was sent, by the sender's clock; without a zone where it names none."""
    historical: bool
    """Whether this is a migration of old events, which waits for live ones."""


class _Labels(msgspec.Struct):
    """The fields of a body or an event beside its events. They are raw text, because a sender can
    put twenty megabytes of anything in place of a token."""

    api_key: msgspec.Raw = msgspec.Raw()
    token: msgspec.Raw = msgspec.Raw()
    dollar_token: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="$token")
    sent_at: msgspec.Raw = msgspec.Raw()
    historical_migration: msgspec.Raw = msgspec.Raw()
    properties: msgspec.Raw = msgspec.Raw()


class _FewEvents(_Labels):
    batch: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _Events(_Labels):
    batch: msgspec.Raw = msgspec.Raw()


class _Properties(msgspec.Struct):
    token: msgspec.Raw = msgspec.Raw()


_labels: Callable[[bytes], _Labels] = msgspec.json.Decoder(_Labels).decode
_few_events: Callable[[bytes], _FewEvents] = msgspec.json.Decoder(_FewEvents).decode
_events: Callable[[bytes], _Events] = msgspec.json.Decoder(_Events).decode
_array: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_properties: Callable[[msgspec.Raw], _Properties] = msgspec.json.Decoder(_Properties).decode
_string: Callable[[msgspec.Raw], str] = msgspec.json.Decoder(str).decode


def read_body(text: bytes) -> Sent:
    """Cut the JSON text of a request into events.

    Raises:
        RequestError: 400 where the text cannot be cut, 413 where there are too many events, 401
            where the events carry different tokens.
    """
    if text.startswith(b"["):
        return _sent(_elements(text), _Labels())
    try:
        return _object(text)
    except msgspec.ValidationError as error:
        raise RequestError(400, f"not a request that PostHog knows: {error}") from error
    except (msgspec.DecodeError, RecursionError):
        return _broken(text)


def _object(text: bytes) -> Sent:
    if _has_few_commas(text):
        try:
            few = _few_events(text)
        except msgspec.ValidationError:
            pass  # an event with a property `batch` of its own
        else:
            batch = few.batch
            return _sent([text] if batch is msgspec.UNSET else list(map(bytes, batch)), few)
    found = _events(text)
    batch_text = bytes(found.batch)
    return _sent(_elements(batch_text) if batch_text.startswith(b"[") else [text], found)


def _has_few_commas(text: bytes) -> bool:
    # bytes.count searches anew after each comma, and takes five times as long.
    return (
        len(text) <= _FEW_COMMAS
        or int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(","))) <= _FEW_COMMAS
    )


def _elements(text: bytes) -> list[bytes]:
    if _has_few_commas(text):
        try:
            return list(map(bytes, _array(text)))
        except (msgspec.DecodeError, RecursionError):
            pass
    return _cut(text, 1, envelope=b"")[0]


def _cut(text: bytes, start: int, envelope: bytes) -> tuple[list[bytes], bytes]:
    """Cut the text at its commas, whatever stands between them, into no more events than allowed.

    Also returns the text around the events.
    """
    reader = read_elements(pieces(text, start), envelope)
    events: list[bytes] = []
    try:
        while len(events) <= MAX_EVENTS:
            events.append(next(reader).payload)
    except StopIteration as end:
        return events, bytes(end.value)
    except DamageError as error:
        raise RequestError(400, f"not valid JSON: {error}") from error
    raise _too_many()


def _too_many() -> RequestError:
    return RequestError(413, f"a request may have {MAX_EVENTS:,} events")


def _broken(text: bytes) -> Sent:
    """Read a body that is not valid JSON as a whole: perhaps one event of its batch is broken."""
    start = batch_start(text)
    if start is not None:
        events, envelope = _cut(text, start, text[: start - 1])
        return _sent(events, _labels(readable_json(envelope)))
    try:
        # Where only characters are broken, the fields beside the event can still be read.
        labels = _labels(readable_json(text))
    except (ValueError, RecursionError):
        labels = _Labels()
    sent = _sent([text], labels)
    if sent.token is None or not is_whole_object(text):
        raise RequestError(400, "not valid JSON")
    return sent


def _sent(events: Sequence[bytes], labels: _Labels) -> Sent:
    token = _token(labels)
    if not events:
        if token:
            checked_token(token)
        raise RequestError(400, "the request holds no event")
    if len(events) > MAX_EVENTS:
        raise _too_many()
    historical = is_true(_scalar(labels.historical_migration))
    sent_at = read_time(_scalar(labels.sent_at))
    return Sent(events, token or _token_of_all(events), sent_at, historical)


def _token_of_all(events: Sequence[bytes]) -> str | None:
    tokens: set[str | None] = set()
    broken: list[bytes] = []
    for event in events:
        try:
            tokens.add(_token(_labels_of(event)))
        except (ValueError, RecursionError):
            broken.append(event)
    tokens.discard(None)
    if not tokens:
        tokens.update(found[1].decode() for event in broken if (found := _TOKEN.search(event)))
    if len(tokens) > 1:
        raise RequestError(401, "the events of one request carry different tokens")
    return tokens.pop() if tokens else None


def _labels_of(event: bytes) -> _Labels:
    try:
        return _labels(event)
    except msgspec.DecodeError:
        return _labels(readable_json(event))


def _token(labels: _Labels) -> str | None:
    found = _text(labels.token) or _text(labels.api_key) or _text(labels.dollar_token)
    if not found and labels.properties:
        try:
            found = _text(_properties(labels.properties).token)
        except (ValueError, RecursionError):
            found = None
    return (found or "").strip() or None


def _text(value: msgspec.Raw) -> str | None:
    try:
        return _string(value) if value else None
    except ValueError:
        return None


def _scalar(value: msgspec.Raw) -> object:
    text = bytes(value)
    if not text or len(text) > _LONGEST_SCALAR:
        return None
    try:
        return read_json(text)
    except ValueError:
        return None


def sent_at_parameter(value: str | None) -> datetime | None:
    """The time in `?sent_at=` or `?_=`; None where the value is no time."""
    # A plus that a sender did not escape arrives as a space.
    return read_time(value.replace(" ", "+") if value and "T" in value else value)


class _Forwarded(msgspec.Struct):
    event: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


_forwarded: Callable[[bytes], _Forwarded] = msgspec.json.Decoder(_Forwarded).decode


def forwarded_event(text: bytes) -> bytes:
    """The event in what PostHog's HTTP destination sends: `{"event": {…}, "person": {…}}` by
    default, or the event itself where the body was configured so.

    Raises:
        RequestError: 400, not a JSON object.
    """
    whole = whole_escapes(text)
    try:
        event = bytes(_forwarded(whole).event)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError(400, f"not a JSON object: {error}") from error
    if not event.startswith(b"{"):
        return text
    # The exact bytes of the event as they arrived.
    start = whole.index(event)
    return text[start : start + len(event)]
