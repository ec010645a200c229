"""Parsing one event."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import RFC_4122

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrichment_pipeline.events.raw_event import (
    MAX_ID_LENGTH,
    NO_TIME,
    TIME_IS_ARRIVAL,
    TOO_FAR_AHEAD,
    UNREADABLE,
    Arrival,
    EventRejectedError,
    RawEvent,
    RejectionReason,
    parse_event,
    reject,
)
from enrichment_pipeline.events.text import MAX_DEPTH
from enrichment_pipeline.events.times import read_time
from enrichment_pipeline.events.uuids import content_uuid
from enrichment_pipeline_tests.conftest import make_event

ARRIVAL = datetime(2026, 3, 1, 13, tzinfo=UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


def parse(payload: bytes) -> RawEvent:
    return parse_event(payload, "default", Arrival(ARRIVAL))


def without(*names: str, **fields: Any) -> bytes:
    event = json.loads(make_event(**fields))
    for name in names:
        del event[name]
    return json.dumps(event).encode()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"not json", RejectionReason.INVALID_JSON),
        (b"\xff\xfe", RejectionReason.INVALID_JSON),
        (
            make_event(properties={"x": 1}).replace(b'"x": 1', b'"x": 1e999'),
            RejectionReason.INVALID_JSON,
        ),
        (b"[1, 2]", RejectionReason.NOT_AN_OBJECT),
        (b'"text"', RejectionReason.NOT_AN_OBJECT),
        (make_event(properties={"x": "y" * 1_000_000}), RejectionReason.TOO_LARGE),
        (
            b'{"properties": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
            RejectionReason.TOO_DEEP,
        ),
        (make_event(properties="[" * 5_000), RejectionReason.INVALID_PROPERTIES),
        (make_event(distinct_id=""), RejectionReason.MISSING_DISTINCT_ID),
        (make_event(distinct_id=None), RejectionReason.MISSING_DISTINCT_ID),
        (without("event"), RejectionReason.MISSING_EVENT_NAME),
        (make_event(""), RejectionReason.MISSING_EVENT_NAME),
        (make_event(7), RejectionReason.INVALID_EVENT_NAME),
        (make_event(["$pageview"]), RejectionReason.INVALID_EVENT_NAME),
        (without("distinct_id"), RejectionReason.MISSING_DISTINCT_ID),
        (make_event(properties=[1]), RejectionReason.INVALID_PROPERTIES),
        (make_event(properties="no JSON"), RejectionReason.INVALID_PROPERTIES),
        (make_event(uuid="1234"), RejectionReason.INVALID_UUID),
        (make_event(uuid=7), RejectionReason.INVALID_UUID),
    ],
)
def test_an_event_that_cannot_be_taken_is_rejected_with_its_reason(
    payload: bytes, reason: RejectionReason
) -> None:
    with pytest.raises(EventRejectedError) as caught:
        parse(payload)
    assert caught.value.reason is reason
    assert "\n" not in str(caught.value)


def test_an_event_may_have_a_million_bytes_and_no_more() -> None:
    room = 1_000_000 - len(make_event(properties={"x": ""}))
    assert len(parse(make_event(properties={"x": "y" * room})).payload) == 1_000_000
    with pytest.raises(EventRejectedError) as caught:
        parse(make_event(properties={"x": "y" * (room + 1)}))
    assert caught.value.reason is RejectionReason.TOO_LARGE


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("place", [b'"properties": {"x": %s}', b'"distinct_id": %s'])
def test_however_deeply_an_event_is_nested_it_is_read_or_rejected(
    opening: bytes, place: bytes
) -> None:
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    outcomes: set[RejectionReason | None] = set()
    # Up to where the reading gives up, and past it, and past where Pythons do.
    for depth in [*range(450, 550), 900, 1_100, 20_000, 100_000]:
        nested = opening * depth + b"1" + closing * depth
        payload = b'{"event": "e", "distinct_id": "d", ' + place % nested + b"}"
        try:
            parse(payload)
            assert depth < MAX_DEPTH
            outcomes.add(None)
        except EventRejectedError as error:
            outcomes.add(reject(payload, "default", Arrival(ARRIVAL), error).reason)
    assert outcomes == {None, RejectionReason.TOO_DEEP}


@pytest.mark.parametrize(
    ("oldest", "occurred_at"),
    [
        (None, datetime(2026, 2, 28, 9, tzinfo=UTC)),
        (datetime(2026, 2, 28, 9, tzinfo=UTC), datetime(2026, 2, 28, 9, tzinfo=UTC)),
        (datetime(2026, 2, 28, 10, tzinfo=UTC), ARRIVAL),
    ],
)
def test_a_rejected_event_keeps_its_name_and_its_time_where_that_can_be_used(
    oldest: datetime | None, occurred_at: datetime
) -> None:
    payload = make_event("a\0b", uuid="1234", at=datetime(2026, 2, 28, 9, tzinfo=UTC))
    error = EventRejectedError(RejectionReason.INVALID_UUID, "why")
    kept = reject(payload, "default", Arrival(ARRIVAL), error, oldest)
    assert (kept.event, kept.occurred_at, kept.message) == ("a\ufffdb", occurred_at, "why")


def test_the_payload_is_kept_to_the_byte() -> None:
    payload = make_event().replace(b": ", b":  ")
    assert parse(payload).payload == payload


def test_properties_may_be_json_in_a_string() -> None:
    event = parse(make_event(properties='{"$pathname": "/x", "sku": 1}'))
    assert (event.path, event.properties) == ("/x", b'{"sku":1}')


def test_an_event_may_have_no_properties() -> None:
    assert parse(without("properties")).properties is None


@pytest.mark.parametrize(
    ("payload", "distinct_id"),
    [
        (make_event(distinct_id="top", properties={"distinct_id": "inside"}), "top"),
        (without("distinct_id", **{"$distinct_id": "dollar"}), "dollar"),
        (without("distinct_id", properties={"distinct_id": "inside"}), "inside"),
        (make_event(distinct_id=42), "42"),
        (make_event(distinct_id={"a": 1}), '{"a":1}'),
        (make_event(distinct_id="x" * 300), "x" * MAX_ID_LENGTH),
    ],
)
def test_the_distinct_id_is_found_where_posthog_finds_it(payload: bytes, distinct_id: str) -> None:
    assert parse(payload).distinct_id == distinct_id


@pytest.mark.parametrize("payload", [without("uuid"), make_event(uuid=""), make_event(uuid=None)])
def test_an_event_without_uuid_gets_one_made_from_its_content(payload: bytes) -> None:
    assert parse(payload).uuid == parse(payload).uuid == content_uuid(payload)
    assert parse(payload + b" ").uuid != parse(payload).uuid


NIL, MAX = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"


@pytest.mark.parametrize("uuid", [NIL, MAX, MAX.upper()])
def test_a_uuid_that_stands_for_none_distinguishes_no_event_from_another(uuid: str) -> None:
    known = make_event("a", ARRIVAL, uuid=uuid, distinct_id="ann")
    others = [
        make_event("b", ARRIVAL, uuid=uuid, distinct_id="ann"),
        make_event("a", ARRIVAL, uuid=uuid, distinct_id="bob"),
        make_event("a", ARRIVAL + timedelta(seconds=1), uuid=uuid, distinct_id="ann"),
        without("timestamp", event="a", uuid=uuid, distinct_id="ann", n=1),
        without("timestamp", event="a", uuid=uuid, distinct_id="ann", n=2),
    ]
    assert len({parse(payload).uuid for payload in (known, *others)}) == 6
    # Sent again later, by a clock that is wrong, and as an export has it.
    later = Arrival(ARRIVAL + HOUR, ARRIVAL + 3 * HOUR)
    assert parse_event(known, "default", later).uuid == parse(known).uuid
    exported = {**json.loads(known), "timestamp": "2026-03-01 13:00:00.000000"}
    assert parse(json.dumps(exported).encode()).uuid == parse(known).uuid


@given(st.binary())
def test_a_content_uuid_is_a_version_8_uuid(payload: bytes) -> None:
    made = content_uuid(payload)
    assert made.version == 8
    assert made.variant == RFC_4122


def test_an_event_without_timestamp_happened_when_it_arrived() -> None:
    assert parse(without("timestamp")).occurred_at == ARRIVAL


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("stamp", "sent_at", "occurred_at"),
    [
        # The sender's clock is 20 minutes ahead, and an hour has passed since it happened.
        ("2026-03-01T12:20:00+00:00", "2026-03-01T13:20:00+00:00", ARRIVAL - HOUR),
        # Both are of the same place, wherever that is.
        ("2026-03-01T17:50:00", "2026-03-01T18:50:00", ARRIVAL - HOUR),
        # One alone without a zone: how far the clocks are apart is not known.
        ("2026-03-01T12:00:00+00:00", "2026-03-01T18:30:00", ARRIVAL - HOUR),
        ("2026-03-01 12:20:00", "2026-03-01T13:20:00Z", ARRIVAL - HOUR),
        ("Sun, 01 Mar 2026 12:20:00 GMT", "Sun, 01 Mar 2026 13:20:00 GMT", ARRIVAL - HOUR),
        (1772367600000, "1772371200000", ARRIVAL - HOUR),
    ],
)
def test_a_time_is_moved_by_how_far_the_clocks_are_apart_and_by_no_zone(
    stamp: object, sent_at: str, occurred_at: datetime
) -> None:
    arrival = Arrival(ARRIVAL, read_time(sent_at))
    payload = make_event(timestamp=stamp)
    assert parse_event(payload, "default", arrival).occurred_at == occurred_at
    # A replay of a letter has the moment of the letter, which names a zone.
    error = EventRejectedError(RejectionReason.INVALID_UUID, "why")
    kept = reject(payload, "default", arrival, error)
    assert kept.sent_at is None or kept.sent_at.tzinfo is not None
    assert kept.occurred_at == occurred_at
    again = Arrival(ARRIVAL, kept.sent_at)
    assert parse_event(payload, "default", again).occurred_at == occurred_at


@pytest.mark.parametrize(
    ("fields", "occurred_at"),
    [
        ({"offset": 60_000}, ARRIVAL - timedelta(minutes=1)),
        ({"offset": "60000"}, ARRIVAL - timedelta(minutes=1)),
        ({"offset": 0}, ARRIVAL),
        ({"offset": None}, ARRIVAL - HOUR),
        ({"offset": "soon"}, ARRIVAL - HOUR),
        ({"offset": 1e300}, ARRIVAL - HOUR),
        ({"timestamp": "yesterday", "offset": 60_000}, ARRIVAL - timedelta(minutes=1)),
    ],
)
def test_an_offset_says_more_than_a_timestamp_as_posthog_has_it(
    fields: dict[str, object], occurred_at: datetime
) -> None:
    payload = make_event(**{"timestamp": (ARRIVAL - HOUR).isoformat(), **fields})
    assert parse(payload).occurred_at == occurred_at


@pytest.mark.parametrize("yes", [True, "true", "True", " TRUE ", 1, "1"])
def test_text_may_say_yes_where_a_boolean_is_meant(yes: object) -> None:
    stamp = (ARRIVAL - HOUR).isoformat()
    arrival = Arrival(ARRIVAL, ARRIVAL + HOUR)
    for fields in (
        {"options": {"disable_skew_correction": yes}},
        {"properties": {"$ignore_sent_at": yes}},
    ):
        event = parse_event(make_event(timestamp=stamp, **fields), "default", arrival)
        assert event.occurred_at == ARRIVAL - HOUR
    event = parse_event(
        make_event(timestamp=stamp, properties={"$ignore_sent_at": "false"}), "default", arrival
    )
    assert event.occurred_at == ARRIVAL - 2 * HOUR


@pytest.mark.parametrize("name", ["now", "sent_at", "created_at", "inserted_at", "_inserted_at"])
def test_a_recorded_event_without_timestamp_happened_when_it_was_had_elsewhere(name: str) -> None:
    recorded = Arrival(ARRIVAL, is_recorded=True)
    had = datetime(2025, 6, 7, 8, 9, tzinfo=UTC)
    for stamp in (had.isoformat(), "2025-06-07 08:09:00", int(had.timestamp())):
        payload = without("timestamp", **{name: stamp})
        assert parse_event(payload, "default", recorded).occurred_at == had
        payload = without("timestamp", **{name: stamp, "offset": 60_000})
        moment = parse_event(payload, "default", recorded).occurred_at
        assert moment == had - timedelta(minutes=1)
        payload = make_event(at=had - HOUR, **{name: stamp, "offset": 60_000})
        assert parse_event(payload, "default", recorded).occurred_at == had - HOUR
    assert parse_event(without("timestamp"), "default", recorded).occurred_at == ARRIVAL
    assert parse(without("timestamp", **{name: had.isoformat()})).occurred_at == ARRIVAL


def note_of(event: RawEvent) -> str | None:
    """Why the event happened at its arrival, as its row says it."""
    return json.loads(event.properties or b"{}").get(TIME_IS_ARRIVAL)


@pytest.mark.parametrize(
    ("ahead", "occurred_at", "why"),
    [
        (timedelta(hours=-23), ARRIVAL - timedelta(hours=23), None),
        (timedelta(hours=23), ARRIVAL + timedelta(hours=23), None),
        (timedelta(hours=23, microseconds=1), ARRIVAL, TOO_FAR_AHEAD),
        (timedelta(days=3000), ARRIVAL, TOO_FAR_AHEAD),
    ],
)
@pytest.mark.parametrize("is_recorded", [False, True])
def test_a_time_too_far_in_the_future_becomes_that_of_the_arrival_and_the_row_says_so(
    ahead: timedelta, occurred_at: datetime, why: str | None, is_recorded: bool
) -> None:
    arrival = Arrival(ARRIVAL, is_recorded=is_recorded)
    event = parse_event(make_event(at=ARRIVAL + ahead), "default", arrival)
    assert (event.occurred_at, note_of(event)) == (occurred_at, why)


UNREADABLE_TIMES: list[dict[str, object]] = [
    *({"timestamp": stamp} for stamp in ("yesterday", "+294277-01-01T00:00:00Z", 12, 0, True, [])),
    *({"timestamp": stamp} for stamp in ("28/11/2026 12:30", "01.03.2026", "2026-03-01 12:30 CET")),
    # Outside of the years that there are, once it is moved to UTC.
    {"timestamp": "0001-01-01T00:00:00+14:00"},
    *({"timestamp": None, "offset": offset} for offset in (1e300, "soon", True)),
    {"timestamp": "yesterday", "offset": 1e300},
]


@pytest.mark.parametrize("fields", UNREADABLE_TIMES, ids=str)
def test_an_event_whose_time_cannot_be_read_happened_when_it_arrived_and_its_row_says_so(
    fields: dict[str, object],
) -> None:
    event = parse(make_event(**fields, properties={"sku": "a-1"}))
    assert event.occurred_at == ARRIVAL
    assert json.loads(event.properties or b"") == {TIME_IS_ARRIVAL: UNREADABLE, "sku": "a-1"}


@pytest.mark.parametrize("stamp", [1772368200, "1772368200", "1772368200000", "3/1/2026 12:30"])
def test_of_a_time_that_is_read_the_row_says_nothing(stamp: object) -> None:
    event = parse(make_event(timestamp=stamp))
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert (event.occurred_at, event.properties) == (moment, None)


def test_what_the_row_says_of_the_time_is_never_what_a_sender_says() -> None:
    event = parse(make_event(properties={TIME_IS_ARRIVAL: "no", "sku": 1}))
    assert json.loads(event.properties or b"") == {"sku": 1}
    large = {TIME_IS_ARRIVAL: "no"} | {f"p{number}": "x" * 900 for number in range(20)}
    assert note_of(parse(make_event(timestamp="yesterday", properties=large))) == UNREADABLE


@pytest.mark.parametrize("fields", [*UNREADABLE_TIMES, {"timestamp": "9999-01-01T00:00:00Z"}])
def test_a_recorded_event_without_a_time_of_its_own_has_that_of_its_arrival_elsewhere(
    fields: dict[str, object],
) -> None:
    recorded = Arrival(ARRIVAL, is_recorded=True)
    had = ARRIVAL - timedelta(days=300)
    # The first that is a time counts.
    payload = make_event(**fields, now="9000-01-01", sent_at="soon", created_at=had.isoformat())
    if fields["timestamp"] is None:
        with_offset = parse_event(payload, "default", recorded)
        assert (with_offset.occurred_at, note_of(with_offset)) == (had, UNREADABLE)
        return
    event = parse_event(payload, "default", recorded)
    why = TOO_FAR_AHEAD if fields["timestamp"] == "9999-01-01T00:00:00Z" else UNREADABLE
    assert (event.occurred_at, note_of(event)) == (had, why)


@pytest.mark.parametrize("fields", UNREADABLE_TIMES, ids=str)
def test_a_recorded_event_of_which_no_time_can_be_read_is_rejected_so_that_it_can_be_mended(
    fields: dict[str, object],
) -> None:
    recorded = Arrival(ARRIVAL, is_recorded=True)
    if fields["timestamp"] is None:
        # It names none: there is nothing to mend.
        event = parse_event(make_event(**fields), "default", recorded)
        assert (event.occurred_at, note_of(event)) == (ARRIVAL, NO_TIME)
        return
    with pytest.raises(EventRejectedError) as caught:
        parse_event(make_event(**fields), "default", recorded)
    assert caught.value.reason is RejectionReason.INVALID_TIMESTAMP


def test_of_a_recorded_event_that_names_no_time_at_all_the_row_says_so() -> None:
    payload = without("timestamp")
    event = parse_event(payload, "default", Arrival(ARRIVAL, is_recorded=True))
    assert (event.occurred_at, note_of(event)) == (ARRIVAL, NO_TIME)
    assert note_of(parse(payload)) is None


def test_a_nul_becomes_a_replacement_character_in_columns_and_stays_in_the_payload() -> None:
    payload = make_event("a\0b", distinct_id="c\0d", properties={"title": "e\0f", "g": "h\0i"})
    event = parse(payload)
    assert (event.event, event.distinct_id, event.title) == ("a�b", "c�d", "e�f")
    assert event.properties == '{"g":"h�i"}'.encode() or event.properties == b'{"g":"h\\ufffdi"}'
    assert event.payload == payload


GRIN = "\N{GRINNING FACE}"


def as_javascript_has_it(text: str) -> str:
    """The same text as UTF-16 units, a character of Python for each."""
    units = text.encode("utf-16-le", "surrogatepass")
    return "".join(
        units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (as_javascript_has_it(GRIN).encode(errors="surrogatepass"), GRIN),
        (as_javascript_has_it(GRIN)[:1].encode(errors="surrogatepass"), "\ufffd"),
        (as_javascript_has_it(GRIN)[1:].encode(errors="surrogatepass") + b"!", "\ufffd!"),
        (rb"\ud83d\ude00", GRIN),
        (rb"\ud83d", "\ufffd"),
        (rb"\uD83D\uD83D\uDE00", f"\ufffd{GRIN}"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"\\ud83d \"\ud83d\"", '\\ud83d "\ufffd"'),
        (rb"\ud83d\n\ude00", "\ufffd\n\ufffd"),
        (b"caf\xe9 \xff", "caf\ufffd \ufffd"),
    ],
)
def test_an_event_with_broken_characters_lives_and_its_payload_is_exact(
    written: bytes, read: str
) -> None:
    payload = make_event("NAME", distinct_id="NAME", properties={"title": "NAME", "x": {"NAME": 1}})
    payload = payload.replace(b"NAME", written)
    event = parse(payload)
    assert (event.event, event.distinct_id, event.title) == (read, read, read)
    assert event.properties is not None
    assert json.loads(event.properties) == {"x": {read: 1}}
    assert event.payload == payload


def test_broken_characters_in_properties_that_are_text_are_read_too() -> None:
    payload = make_event(properties='{"title": "cut \\ud83d"}')
    assert parse(payload).title == "cut \ufffd"


def test_the_old_ways_to_send_elements_are_understood() -> None:
    chain = 'button:attr__id="buy"text="Buy";'
    elements = [{"tag_name": "button", "attr__id": "buy", "$el_text": "Buy"}]
    top = parse(make_event("$autocapture", elements_chain=chain))
    listed = parse(make_event("$autocapture", properties={"$elements": elements}))
    assert top.inputs.elements_chain == chain
    assert listed.inputs.elements_chain == chain.rstrip(";")


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_an_event_or_a_rejection_and_a_rejection_can_be_kept(
    payload: bytes,
) -> None:
    try:
        parse(payload)
    except EventRejectedError as error:
        kept = reject(payload, "default", Arrival(ARRIVAL), error)
        reason = error.reason
    else:
        return
    assert (kept.payload, kept.reason) == (payload, reason)


units = st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from('\\"\0'))
places = (
    *("title", "$pathname", "$current_url", "$screen_name", "$session_id", "$event_type"),
    *("$el_text", "$elements_chain", "$browser", "$device_type", "sku", "price"),
)


@settings(max_examples=200)
@given(
    units.filter(bool),
    units.filter(bool),
    st.dictionaries(st.sampled_from(places), units),
    st.dictionaries(units, units),
    st.booleans(),
)
@pytest.mark.slow
def test_no_text_of_javascript_costs_an_event_or_breaks_a_column(
    name: str, person: str, known: dict[str, str], custom: dict[str, str], escaped: bool
) -> None:
    fields = {"event": name, "distinct_id": person, "properties": {**custom, **known}}
    text = json.dumps(fields, ensure_ascii=escaped)
    payload = as_javascript_has_it(text).encode(errors="surrogatepass")
    event = parse(payload)
    assert event.payload == payload
    texts = [*event[3:8], *event.inputs, event.detail, event.device, event.other_id]
    assert all("\0" not in one and one.encode() for one in texts if isinstance(one, str))
    assert event.event == readable(name)[:200]
    assert event.distinct_id == readable(person)[:200]
    kept = json.loads(event.properties or b"{}")
    assert kept.get("sku") == (
        readable(known["sku"]) if "sku" in known else readable(custom.get("sku"))
    )


def readable(text: str | None) -> str | None:
    if text is None:
        return None
    return (
        text.encode("utf-16-le", "surrogatepass")
        .decode("utf-16-le", "replace")
        .replace("\0", "\ufffd")
    )


@settings(max_examples=200)
@given(
    st.fixed_dictionaries(
        {"event": st.text(min_size=1), "distinct_id": json_values},
        optional={
            "timestamp": st.datetimes().map(lambda moment: moment.isoformat()) | json_values,
            "properties": st.dictionaries(
                st.sampled_from(
                    ["$pathname", "$current_url", "$session_id", "$event_type", "$el_text", "title"]
                )
                | st.text(),
                json_values,
            ),
        },
    )
)
@pytest.mark.slow
def test_whatever_an_event_holds_its_columns_are_what_postgresql_accepts(
    fields: dict[str, object],
) -> None:
    try:
        event = parse(json.dumps(fields).encode())
    except EventRejectedError:
        return
    texts = [event.event, event.distinct_id, event.session_id, event.path, event.title]
    for text in [*texts, *event.inputs]:
        assert text is None or "\0" not in text
        assert text is None or text.encode()
    assert event.occurred_at.tzinfo is UTC
    if event.properties is not None:
        json.loads(event.properties)
        assert len(event.properties) <= 8_192
        assert b"\\u0000" not in event.properties.replace(b"\\\\", b"")
