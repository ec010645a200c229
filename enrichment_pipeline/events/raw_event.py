"""One PostHog event, parsed into the columns of `raw_event`.

Parsing one event belongs here: when it is acceptable, and which value goes into which column.
Request bodies, tokens and files belong to `ingest`.
"""

from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec

from enrichment_pipeline.events.allowed import NOTHING, Private
from enrichment_pipeline.events.custom_properties import custom_properties
from enrichment_pipeline.events.detail import detail_of, device_of
from enrichment_pipeline.events.elements import MAX_CHAIN_LENGTH, chain_from_list
from enrichment_pipeline.events.inputs import EnrichmentInput, input_key
from enrichment_pipeline.events.pages import MAX_PATH_LENGTH, page_path, path_template
from enrichment_pipeline.events.people import MAX_ID_LENGTH, other_id
from enrichment_pipeline.events.sameness import names, written_time
from enrichment_pipeline.events.tabs import tab_of
from enrichment_pipeline.events.targets import within_site
from enrichment_pipeline.events.text import MAX_DEPTH, clean_text, read_json
from enrichment_pipeline.events.times import (
    is_too_far_ahead,
    milliseconds_before,
    on_our_clock,
    parse_timestamp,
    read_time,
)
from enrichment_pipeline.events.uuids import another_uuid, content_uuid

MAX_PAYLOAD_BYTES = 1_000_000
MAX_EVENT_NAME_LENGTH = 200
MAX_TITLE_LENGTH = 300


class RejectionReason(StrEnum):
    """Why an event was quarantined; the codes of `dead_letter.reason_code`."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    MISSING_EVENT_NAME = "missing_event_name"
    INVALID_EVENT_NAME = "invalid_event_name"
    MISSING_DISTINCT_ID = "missing_distinct_id"
    INVALID_PROPERTIES = "invalid_properties"
    INVALID_UUID = "invalid_uuid"
    INVALID_TIMESTAMP = "invalid_timestamp"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    BEFORE_FIRST_PARTITION = "before_first_partition"
    """Used by older versions only: partitions have no start now, and a replay takes the event
    in."""
    REFUSED_BY_STORE = "refused_by_store"


# The nil and the max UUID of RFC 9562: programs without a UUID send them.
_OF_NO_EVENT = frozenset({0, 2**128 - 1})

# The names of the arrival time in PostHog's tables, exports and queues: best first.
_ARRIVAL_FIELDS = ("now", "sent_at", "created_at", "inserted_at", "_inserted_at", "_timestamp")

TIME_IS_ARRIVAL = "$time_is_arrival"
"""A property of events whose time is, for lack of a better one, their arrival: why their own time
is not used. No sender's property can have this name here, because it begins with `$`."""

UNREADABLE = "its time cannot be read"
TOO_FAR_AHEAD = "its time is more than 23 hours in the future"
NO_TIME = "it names no time"


class EventRejectedError(ValueError):
    """An event that cannot be accepted: `reason` is its code, the message says what was wrong."""

    def __init__(self, reason: RejectionReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RawEvent(NamedTuple):
    """A row of `raw_event`, without the batch it will belong to."""

    project: str
    uuid: UUID
    occurred_at: datetime
    event: str
    distinct_id: str
    session_id: str | None
    path: str | None
    title: str | None
    properties: bytes | None
    """The custom properties, as JSON, and `TIME_IS_ARRIVAL`."""
    input_key: UUID
    payload: bytes
    """The event as it arrived."""
    inputs: EnrichmentInput
    """The action input whose key is `input_key`."""
    detail: str | None
    device: str | None
    tab: int | None
    """See `events.tabs`."""
    other_id: str | None
    """The distinct_id that the event says is the same person's; not stored in `raw_event`."""


class RejectedEvent(NamedTuple):
    """An event that goes to the dead letters at ingestion."""

    project: str
    reason: RejectionReason
    message: str
    payload: bytes
    occurred_at: datetime
    """Decides the window: the event's own time if that is usable, else its arrival."""
    event: str | None = None
    sent_at: datetime | None = None
    """See `Arrival`; without it a replay would assign the event to another window."""


class Arrival(NamedTuple):
    """How an event arrived: facts that are not in the event."""

    at: datetime
    """By our clock."""
    sent_at: datetime | None = None
    """By the sender's clock, when it sent the event; without a zone if it gave none, None if
    unknown."""
    default_name: str | None = None
    """The name for an event without one, if the endpoint implies it."""
    is_recorded: bool = False
    """Whether another system recorded it before, so that `at` does not say when it happened."""


def parse_event(
    payload: bytes,
    project: str,
    arrival: Arrival,
    make_uuid: Callable[[bytes], UUID] = content_uuid,
    allowed: Set[Private] = NOTHING,
    oldest: datetime | None = None,
    page_queries: Sequence[str] = (),
) -> RawEvent:
    """Parse the JSON of one event as PostHog exports it or an SDK sends it.

    An event without uuid gets one from `make_uuid`; by default it is made from the content, so that
    importing it again adds nothing. An event without timestamp happened at its arrival; if it has
    an unusable time, its properties say so (`TIME_IS_ARRIVAL`). `allowed` is what the project
    allows models to see, and `page_queries` the parameters of a URL that are part of its pages;
    there can be no windows before `oldest`.

    Raises:
        EventRejectedError: the event cannot be accepted; other events are not affected.
    """
    fields = _decode(payload)
    properties = _properties(fields)
    event = _event_name(fields, arrival.default_name)
    get = properties.get
    path = page_path(get("$pathname"), get("$current_url"), get("$screen_name"), page_queries)
    inputs = EnrichmentInput(
        event=event,
        sub_type=_text(get("$event_type"), MAX_ID_LENGTH),
        path_template=path_template(clean_text(path, MAX_PATH_LENGTH)) if path else None,
        elements_chain=_elements_chain(fields, properties),
        element_text=_text(get("$el_text"), MAX_TITLE_LENGTH),
        unmasked="+".join(sorted(allowed)) or None,
    )
    distinct_id = _distinct_id(fields, properties)
    occurred_at, why_arrival = _occurred_at(fields, properties, arrival, oldest)
    notes = {TIME_IS_ARRIVAL: why_arrival} if why_arrival else {}
    session = get("$session_id") or fields.get("session_id")
    return RawEvent(
        project=project,
        uuid=_uuid(fields, event, distinct_id, payload, make_uuid),
        occurred_at=occurred_at,
        event=event,
        distinct_id=distinct_id,
        session_id=_text(session, MAX_ID_LENGTH),
        path=clean_text(path, MAX_PATH_LENGTH) if path else None,
        title=None if Private.NO_TEXT in allowed else _text(get("title"), MAX_TITLE_LENGTH),
        properties=custom_properties(properties, notes),
        input_key=input_key(inputs),
        payload=payload,
        inputs=inputs,
        detail=detail_of(
            event,
            properties,
            allowed,
            page=inputs.path_template,
            chain=inputs.elements_chain,
        ),
        device=device_of(properties),
        tab=tab_of(get("$window_id")),
        other_id=other_id(event, distinct_id, properties),
    )


def reject(
    payload: bytes,
    project: str,
    arrival: Arrival,
    error: EventRejectedError,
    oldest: datetime | None = None,
) -> RejectedEvent:
    """The rejected event, with its name and time as far as they can be read.

    It is assigned to the window of its arrival if there can be no window for its own time, which is
    before `oldest`.
    """
    occurred_at: datetime | None = None
    try:
        fields = _decode(payload)
        occurred_at, _ = _when(fields, _properties(fields), arrival)
    except EventRejectedError:
        fields = {}
    if occurred_at is None or (oldest is not None and occurred_at < oldest):
        occurred_at = arrival.at
    # The implied name too: a replay cannot find it elsewhere.
    event = fields.get("event") or arrival.default_name
    return RejectedEvent(
        project=project,
        reason=error.reason,
        message=str(error),
        payload=payload,
        occurred_at=occurred_at,
        event=clean_text(event, MAX_EVENT_NAME_LENGTH) if isinstance(event, str) else None,
        sent_at=_sent_at_to_keep(fields, arrival),
    )


def _sent_at_to_keep(fields: dict[str, object], arrival: Arrival) -> datetime | None:
    """The sending time to store, with the same correction of the event's time: the store needs a
    zone for every time."""
    sent_at = arrival.sent_at
    if sent_at is None or sent_at.tzinfo is not None:
        return sent_at
    written = read_time(fields.get("timestamp"))
    return sent_at.replace(tzinfo=UTC) if written and written.tzinfo is None else None


def properties_of(payload: bytes) -> dict[str, object]:
    """The properties of an event that was accepted.

    Raises:
        EventRejectedError: it would not be accepted now.
    """
    return _properties(_decode(payload))


def _decode(payload: bytes) -> dict[str, object]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise EventRejectedError(
            RejectionReason.TOO_LARGE,
            f"{len(payload):,} bytes; an event may have {MAX_PAYLOAD_BYTES:,}",
        )
    try:
        fields = read_json(payload)
    except RecursionError as error:
        raise EventRejectedError(
            RejectionReason.TOO_DEEP, f"nested more than {MAX_DEPTH} levels deep"
        ) from error
    # ValueError: msgspec's own errors, and integers of more digits than Python converts.
    except ValueError as error:
        raise EventRejectedError(
            RejectionReason.INVALID_JSON, f"not valid JSON: {error}"
        ) from error
    if not isinstance(fields, dict):
        raise EventRejectedError(RejectionReason.NOT_AN_OBJECT, "an event must be a JSON object")
    return fields


def _properties(fields: dict[str, object]) -> dict[str, object]:
    properties = fields.get("properties")
    if properties is None:
        return {}
    # Some exports write the properties as JSON in a string.
    if isinstance(properties, str):
        try:
            properties = read_json(properties)
        except (ValueError, RecursionError):
            properties = None
    if not isinstance(properties, dict):
        raise EventRejectedError(RejectionReason.INVALID_PROPERTIES, "properties must be an object")
    return properties


def _event_name(fields: dict[str, object], default: str | None) -> str:
    event = fields.get("event") or default
    if event is None or event == "":
        raise EventRejectedError(RejectionReason.MISSING_EVENT_NAME, "the event has no name")
    if not isinstance(event, str):
        raise EventRejectedError(
            RejectionReason.INVALID_EVENT_NAME, "the event's name must be a string"
        )
    return clean_text(event, MAX_EVENT_NAME_LENGTH)


def _distinct_id(fields: dict[str, object], properties: dict[str, object]) -> str:
    candidates = (
        fields.get("distinct_id"),
        fields.get("$distinct_id"),
        properties.get("distinct_id"),
    )
    for value in candidates:
        if value is not None and value != "":
            # PostHog converts numbers and objects to text too.
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            return clean_text(text, MAX_ID_LENGTH)
    raise EventRejectedError(RejectionReason.MISSING_DISTINCT_ID, "the event has no distinct_id")


def _uuid(
    fields: dict[str, object],
    event: str,
    distinct_id: str,
    payload: bytes,
    make: Callable[[bytes], UUID],
) -> UUID:
    value = fields.get("uuid")
    if value is None or value == "":
        return make(payload)
    try:
        uuid = UUID(value) if isinstance(value, str) else None
    except ValueError:
        uuid = None
    if uuid is None:
        raise EventRejectedError(RejectionReason.INVALID_UUID, "the event's uuid is malformed")
    if uuid.int not in _OF_NO_EVENT:
        return uuid
    written = written_time(fields) or str(content_uuid(payload))
    return another_uuid(uuid, *names(event, distinct_id), written)


def _occurred_at(
    fields: dict[str, object],
    properties: dict[str, object],
    arrival: Arrival,
    oldest: datetime | None,
) -> tuple[datetime, str | None]:
    moment, why_arrival = _when(fields, properties, arrival)
    if moment is None:
        raise EventRejectedError(
            RejectionReason.INVALID_TIMESTAMP, "the timestamp is no time in a known form"
        )
    if oldest is not None and moment < oldest:
        raise EventRejectedError(
            RejectionReason.TIMESTAMP_TOO_OLD,
            f"{moment} is before {oldest.date()}, the oldest that can be kept",
        )
    return moment, why_arrival


def _when(
    fields: dict[str, object], properties: dict[str, object], arrival: Arrival
) -> tuple[datetime | None, str | None]:
    """When the event happened, by our clock; and, if that is its arrival, why its own time is not
    used. No time if another system recorded it and its time cannot be read: the arrival here would
    be wrong by years, and the owner of the record can correct it.

    PostHog's order: the offset in milliseconds from sending; the timestamp, moved by the error of
    the sender's clock; the arrival.
    """
    given, offset = fields.get("timestamp"), fields.get("offset")
    is_given = given is not None and given != ""
    sent_at = None if _ignores_sent_at(fields, properties) else arrival.sent_at
    # The system that recorded it has corrected the timestamp already, also by the offset.
    if is_given and (offset is None or arrival.is_recorded):
        offset = None
        moment = _read(given, sent_at, arrival)
        if moment and not is_too_far_ahead(moment, arrival.at):
            return moment, None
    arrived = _arrived_at(fields, arrival) if arrival.is_recorded else arrival.at
    if not is_given and (arrived is None or offset is None):
        return (arrived, None) if arrived else (arrival.at, NO_TIME)
    moment = milliseconds_before(arrived, offset) if arrived and offset is not None else None
    if moment is None and is_given:
        moment = _read(given, sent_at, arrival)
    if moment is None:
        return arrived, UNREADABLE
    if is_too_far_ahead(moment, arrival.at):
        return arrived or arrival.at, TOO_FAR_AHEAD
    return moment, None


def _read(given: object, sent_at: datetime | None, arrival: Arrival) -> datetime | None:
    written = read_time(given)
    return written and on_our_clock(written, sent_at, arrival.at)


def _arrived_at(fields: dict[str, object], arrival: Arrival) -> datetime | None:
    """When the recording system received the event from its sender; None if unknown."""
    moments = (parse_timestamp(fields.get(name)) for name in _ARRIVAL_FIELDS)
    usable = (one for one in moments if one and not is_too_far_ahead(one, arrival.at))
    return next(usable, None)


def _ignores_sent_at(fields: dict[str, object], properties: dict[str, object]) -> bool:
    """Whether the sender says that its clock needs no correction: `$ignore_sent_at`, which v1
    calls `options.disable_skew_correction`."""
    options = fields.get("options")
    disabled = isinstance(options, dict) and is_true(options.get("disable_skew_correction"))
    return disabled or is_true(properties.get("$ignore_sent_at"))


def is_true(value: object) -> bool:
    """Whether a JSON value means true; some clients send text instead of a boolean."""
    return value in (True, "1") or (isinstance(value, str) and value.strip().lower() == "true")


def _elements_chain(fields: dict[str, object], properties: dict[str, object]) -> str | None:
    chain = properties.get("$elements_chain") or fields.get("elements_chain")
    if not isinstance(chain, str):
        chain = chain_from_list(properties.get("$elements"))
    return _text(chain and within_site(chain, properties.get("$host")), MAX_CHAIN_LENGTH)


def _text(value: object, limit: int) -> str | None:
    return clean_text(value, limit) if isinstance(value, str) and value else None
