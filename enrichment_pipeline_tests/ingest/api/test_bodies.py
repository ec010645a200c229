"""What the JSON of a request says."""

import json
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.ingest.api import bodies
from enrichment_pipeline.ingest.api.bodies import (
    MAX_EVENTS,
    forwarded_event,
    read_body,
    sent_at_parameter,
)
from enrichment_pipeline.ingest.api.encodings import RequestError


def compact(value: object) -> bytes:
    """As browsers write JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


SENT_AT = "2026-03-01T12:00:00Z"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_a_batch_is_cut_into_the_exact_bytes_of_its_events() -> None:
    first, second = b'{ "event":"a" ,"x":1.50}', b'{"event": "b"}'
    body = b'{"api_key": "phc_a", "batch": [ %s , %s ], "sent_at": "%s"}'
    sent = read_body(body % (first, second, SENT_AT.encode()))
    assert list(sent.events) == [first, second]
    assert sent.token == "phc_a"
    assert sent.sent_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert not sent.historical


def test_a_single_event_is_the_whole_body() -> None:
    body = b'{"event": "a", "api_key": " phc_a "}'
    assert read_body(body)[:2] == ([body], "phc_a")


def test_a_migration_says_so() -> None:
    body = b'{"token": "phc_a", "historical_migration": true, "batch": [{}]}'
    assert read_body(body).historical


@pytest.mark.parametrize(
    "event",
    [
        {"token": "phc_a"},
        {"api_key": "phc_a"},
        {"$token": "phc_a"},
        {"properties": {"token": "phc_a"}},
    ],
)
@pytest.mark.parametrize("shape", ["event", "array", "batch"])
def test_the_token_is_found_wherever_clients_put_it(event: dict[str, object], shape: str) -> None:
    body = {"event": event, "array": [event, event], "batch": {"batch": [event]}}[shape]
    assert read_body(json.dumps(body).encode()).token == "phc_a"


@pytest.mark.parametrize("shape", [lambda events: events, lambda events: {"batch": events}])
def test_different_tokens_in_one_request_are_refused(shape: object) -> None:
    body = shape([{"token": "phc_a"}, {"token": "phc_b"}])  # type: ignore[operator]
    with pytest.raises(RequestError) as refused:
        read_body(json.dumps(body).encode())
    assert refused.value.status == 401


@pytest.mark.parametrize("batch", ["b1", None, {}, 7])
def test_an_event_may_have_a_batch_of_its_own_that_is_no_list(batch: object) -> None:
    body = compact({"event": "a", "token": "phc_a", "batch": batch, "distinct_id": "d"})
    assert read_body(body)[:2] == ([body], "phc_a")


BROKEN_EVENTS = {
    "a lone surrogate": rb'{"event": "b", "x": "\ud800"}',
    "not a number": b'{"event": "b", "x": NaN}',
    "a control character": b'{"event": "b", "x": "\x01"}',
    "nesting": b'{"event": "b", "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "no quotes": b"{event: b}",
    "nothing": b"",
}


@pytest.mark.parametrize("broken", BROKEN_EVENTS.values(), ids=BROKEN_EVENTS)
@pytest.mark.parametrize("in_array", [True, False])
def test_a_broken_event_is_cut_out_and_costs_no_neighbour(broken: bytes, in_array: bool) -> None:
    good = [b'{"event": "a", "token": "phc_a", "x": "],}\\""}', b'{"event": "c"}']
    events = b"[" + b", ".join([good[0], broken, good[1]]) + b"]"
    sent_at = b'"sent_at": "' + SENT_AT.encode() + b'"'
    body = events if in_array else b'{"api_key": "phc_a", "batch": ' + events + b", " + sent_at
    sent = read_body(body if in_array else body + b"}")
    assert list(sent.events) == [good[0], broken, good[1]]
    assert sent.token == "phc_a"
    assert in_array or sent.sent_at is not None


@pytest.mark.parametrize("broken", list(BROKEN_EVENTS.values())[:4])
def test_a_broken_event_that_came_alone_is_kept_too(broken: bytes) -> None:
    body = b'{"api_key": "phc_a", ' + broken[1:]
    assert read_body(body)[:2] == ([body], "phc_a")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"api_key": "phc_a", "event": "a"',
        b'{"api_key": "phc_a", "batch": [{}',
        b'{"api_key": "phc_a", "batch": []}',
        b"[]",
        b"[{}",
        b'{"event": "a", "x": NaN}',
        b"12",
        b"{} {}",
    ],
)
def test_a_body_that_holds_no_events_is_a_400(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        read_body(body)
    assert refused.value.status == 400


def test_too_many_events_are_a_413_which_posthog_node_halves() -> None:
    body = b'{"token": "phc_a", "batch": [' + b",".join([b"{}"] * (MAX_EVENTS + 1)) + b"]}"
    with pytest.raises(RequestError) as refused:
        read_body(body)
    assert refused.value.status == 413


def test_a_personal_key_is_refused_whatever_else_is_wrong() -> None:
    with pytest.raises(RequestError, match="personal") as refused:
        read_body(b'{"api_key":"phx_a","batch":[]}')
    assert refused.value.status == 401


BROKEN_VALUES = {
    "not a number": b"NaN",
    "a lone surrogate": rb'"\ud800"',
    "nesting": b"[" * 5_000 + b"]" * 5_000,
    "a control character": b'"\x01"',
}
# As browsers and SDKs write them, without a space.
LONELY_EVENTS = [
    b'{"token":"phc_a","event":"x","properties":{"a":%s},"distinct_id":"d"}',
    b'{"event":"x","properties":{"token":"phc_a","a":%s},"distinct_id":"d"}',
    b'{"event":"x","properties":{"a":%s,"$current_url":"/"},"api_key":"phc_a"}',
    b'{"event":"x","a":%s,"$token":"phc_a"}',
]


@pytest.mark.parametrize("value", BROKEN_VALUES.values(), ids=BROKEN_VALUES)
@pytest.mark.parametrize("event", LONELY_EVENTS)
@pytest.mark.parametrize("shape", [b"%s", b"[%s]", b"[%s,{}]", b'{"batch":[%s]}'])
def test_the_token_is_found_in_events_that_do_not_parse(
    value: bytes, event: bytes, shape: bytes
) -> None:
    broken = event % value
    sent = read_body(shape % broken)
    assert sent.token == "phc_a"
    assert sent.events[0] == broken


def test_what_stands_around_a_batch_counts_though_one_of_its_events_is_broken() -> None:
    body = b'{"a":[1],"batch":[{"x":NaN}],"api_key":"phc_a","sent_at":"%s","b":[{"batch":[]}]}'
    sent = read_body(body % SENT_AT.encode())
    assert (list(sent.events), sent.token) == ([b'{"x":NaN}'], "phc_a")
    assert sent.sent_at is not None


HOSTILE = {
    "commas": b"[%s]" % (b"," * 4_000_000),
    "zeros": b"[%s0]" % (b"0," * 2_000_000),
    "a batch of zeros": b'{"api_key":"phc_a","batch":[%s0]}' % (b"0," * 2_000_000),
    "lists, the last element broken": rb'{"batch":[%s"\ud800"]}' % (b"[]," * 1_300_000),
    "a batch in an event": b'[{"batch":[%s0]}]' % (b"[]," * 1_300_000),
    "brackets": b"[" * 4_000_000,
    "brackets in a batch": b'{"batch":[%s' % (b"[" * 4_000_000),
    "nothing but batches": b'{"a":[[%sx]]}' % (b'"batch":[],' * 400_000),
    "a token of lists": b'{"api_key":[%s0]}' % (b"[]," * 1_300_000),
    "a time of lists": b'{"sent_at":[%s0]}' % (b"[]," * 1_300_000),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_no_body_takes_many_times_its_size(body: bytes) -> None:
    tracemalloc.start()
    try:
        read_body(body)
    except RequestError as error:
        assert error.status in {400, 413}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * len(body)


@given(json_values)
def test_any_json_is_cut_or_refused(value: object) -> None:
    text = json.dumps(value).encode()
    try:
        sent = read_body(text)
    except RequestError as error:
        assert error.status in {400, 401, 413}
    else:
        assert sent.events


@given(st.binary())
def test_any_bytes_are_cut_or_refused(content: bytes) -> None:
    for text in (content, b"{" + content, b"[" + content, b'{"batch":[' + content + b"]}"):
        try:
            read_body(text)
        except RequestError as error:
            assert error.status in {400, 401, 413}


@given(st.lists(json_values.map(compact), min_size=1), st.booleans())
@pytest.mark.slow
def test_events_are_cut_alike_however_many_commas_they_have(
    events: list[bytes], in_array: bool
) -> None:
    body = b"[%s]" % b",".join(events)
    body = body if in_array else b'{"token":"phc_a","batch":%s,"x":[1]}' % body
    few = read_body(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "_FEW_COMMAS", -1)
        assert read_body(body) == few._replace(events=events)


@given(st.lists(st.dictionaries(st.text(), st.text()), min_size=1), st.integers(0, 100))
@pytest.mark.slow
def test_events_are_cut_alike_whether_whether_the_body_is_whole_or_one_is_broken(
    events: list[dict[str, object]], place: int
) -> None:
    cut = [json.dumps(event, allow_nan=True).encode() for event in events]
    cut.insert(place % (len(cut) + 1), rb'"\ud800"')
    assert list(read_body(b'{"batch": [' + b",".join(cut) + b"]}").events) == cut


def test_the_time_of_sending_may_stand_in_the_url() -> None:
    assert sent_at_parameter("1772366400000") == datetime(2026, 3, 1, 12, tzinfo=UTC)
    for wrong in (None, "", "x", "-5", "9" * 40, "٣"):
        assert sent_at_parameter(wrong) is None


def test_a_forwarded_event_is_taken_out_of_its_wrapping() -> None:
    event = b'{"event": "a", "uuid": "1"}'
    assert forwarded_event(b'{"event": ' + event + b', "person": {}}') == event
    assert forwarded_event(event) == event
    with pytest.raises(RequestError):
        forwarded_event(b"[]")
