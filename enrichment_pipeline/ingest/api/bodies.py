"""What the JSON of a request says: its events, each as the exact bytes that stand there, and what
holds for all of them.

One broken event must not take its neighbours with it, so a body is cut into events before any of
them is parsed. Parsing an event belongs to `events`.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from enrichment_pipeline.events.times import parse_timestamp
from enrichment_pipeline.ingest.api.encodings import RequestError
from enrichment_pipeline.ingest.file_json import batch_start, is_whole_object, read_elements
from enrichment_pipeline.ingest.file_records import DamageError

MAX_EVENTS = 10_000
"""In one request; posthog-node halves a batch that is answered with 413, and sends it again."""

# In a body that no parser reads, because of the one event that it is.
_TOKEN = re.compile(rb'"(?:api_key|\$?token)"\s*:\s*"([!-~]{1,64})"')


class Sent(NamedTuple):
    """What one request sends."""

    events: Sequence[bytes]
    token: str | None
    """As the body has it; v1 and webhooks have theirs in a header."""
    sent_at: datetime | None
    """By the sender's clock."""
    historical: bool
    """A migration of old events, which waits for live ones."""


class _Envelope(msgspec.Struct):
    batch: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    api_key: object = None
    token: object = None
    dollar_token: object = msgspec.field(default=None, name="$token")
    sent_at: object = None
    historical_migration: object = None
    properties: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class _Properties(msgspec.Struct):
    token: object = None


_envelope: Callable[[bytes], _Envelope] = msgspec.json.Decoder(_Envelope).decode
_array: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_properties: Callable[[msgspec.Raw], _Properties] = msgspec.json.Decoder(_Properties).decode


def read_body(text: bytes) -> Sent:
    """Cut the JSON text of a request into events.

    Raises:
        RequestError: 400 where it cannot be, 413 where there are too many, 401 where the events
            carry different tokens.
    """
    if text.startswith(b"["):
        return _sent(_elements(text), _Envelope())
    try:
        envelope = _envelope(text)
    except msgspec.ValidationError as error:
        raise RequestError(400, f"not a request that PostHog knows: {error}") from error
    except (msgspec.DecodeError, RecursionError):
        return _broken(text)
    if envelope.batch is msgspec.UNSET:
        return _sent([text], envelope)
    return _sent([bytes(event) for event in envelope.batch], envelope)


def _elements(text: bytes) -> list[bytes]:
    try:
        return [bytes(event) for event in _array(text)]
    except (msgspec.DecodeError, RecursionError):
        return _cut(text[1:], envelope=b"")


def _cut(elements: bytes, envelope: bytes) -> list[bytes]:
    """Cut where the commas are, whatever stands between them."""
    try:
        return [record.payload for record in read_elements(iter([elements]), envelope)]
    except DamageError as error:
        raise RequestError(400, f"not valid JSON: {error}") from error


def _broken(text: bytes) -> Sent:
    """A body that is no valid JSON as a whole: perhaps one event of its batch is to blame."""
    start = batch_start(text)
    if start is None:
        token = _TOKEN.search(text)
        if token is None or not is_whole_object(text):
            raise RequestError(400, "not valid JSON")
        return _sent([text], _Envelope(token=token[1].decode()))
    events = _cut(text[start:], text[: start - 1])
    after = text[text.rindex(b"]") :]
    return _sent(events, _tolerant(text[:start] + after))


def _tolerant(text: bytes) -> _Envelope:
    try:
        return _envelope(text)
    except (msgspec.DecodeError, RecursionError):
        return _Envelope()


def _sent(events: Sequence[bytes], envelope: _Envelope) -> Sent:
    if not events:
        raise RequestError(400, "the request holds no event")
    if len(events) > MAX_EVENTS:
        raise RequestError(413, f"{len(events):,} events; a request may have {MAX_EVENTS:,}")
    token = _token(envelope) or _token_of_all(events)
    historical = envelope.historical_migration is True
    return Sent(events, token, parse_timestamp(envelope.sent_at), historical)


def _token_of_all(events: Sequence[bytes]) -> str | None:
    tokens = {_token(_tolerant(event)) for event in events} - {None}
    if len(tokens) > 1:
        raise RequestError(401, "the events of one request carry different tokens")
    return tokens.pop() if tokens else None


def _token(envelope: _Envelope) -> str | None:
    found = envelope.token or envelope.api_key or envelope.dollar_token
    if not found and envelope.properties:
        try:
            found = _properties(envelope.properties).token
        except (msgspec.DecodeError, RecursionError):
            found = None
    return found.strip() or None if isinstance(found, str) else None


def sent_at_parameter(value: str | None) -> datetime | None:
    """The moment that `?_=` names, in milliseconds since the epoch; None where it names none."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > len("1" * 14):
        return None
    return datetime.fromtimestamp(int(value) / 1000, UTC)


class _Forwarded(msgspec.Struct):
    event: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


_forwarded: Callable[[bytes], _Forwarded] = msgspec.json.Decoder(_Forwarded).decode


def forwarded_event(text: bytes) -> bytes:
    """The event in what PostHog's HTTP destination sends: `{"event": {…}, "person": {…}}` by
    default, or the event itself where the body was configured so.

    Raises:
        RequestError: 400, not a JSON object.
    """
    try:
        event = bytes(_forwarded(text).event)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError(400, f"not a JSON object: {error}") from error
    return event if event.startswith(b"{") else text
