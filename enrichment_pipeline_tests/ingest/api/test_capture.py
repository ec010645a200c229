"""The routes that take events, on a real store."""

import gzip
import json
import socket
import threading
import tracemalloc
import uuid
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pyarrow import Codec
from starlette.testclient import TestClient

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import TIME_IS_ARRIVAL, TOO_FAR_AHEAD, UNREADABLE
from enrichment_pipeline.ingest.api import capture, exchange
from enrichment_pipeline.ingest.api.app import MEMORY_BYTES
from enrichment_pipeline.ingest.api.bodies import read_body
from enrichment_pipeline.ingest.api.encodings import json_text
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import HOUR, make_event
from enrichment_pipeline_tests.ingest.api.conftest import READ_TOKEN, SECRET, TOKEN, Query
from enrichment_pipeline_tests.outage import begin_outage, end_outage
from enrichment_pipeline_tests.served import served_by_a_thread

V0_PATHS = ["/e", "/i/v0/e", "/capture", "/track", "/engage", "/batch"]
V1 = "/i/v1/analytics/events"
UUID = "01a2074a-16f5-75be-ae39-7a682b08770e"
OK = {"status": "Ok"}
READER = {"Authorization": f"Bearer {READ_TOKEN}"}


def now(**earlier: float) -> str:
    return (datetime.now(UTC) - timedelta(**earlier)).isoformat()


def event(**fields: object) -> dict[str, object]:
    return {"event": "clicked", "distinct_id": "ann", "uuid": str(uuid.uuid4()), **fields}


def batch(*events: object, **envelope: object) -> bytes:
    return json.dumps({"api_key": TOKEN, "batch": events, **envelope}).encode()


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", V0_PATHS)
def test_every_v0_route_takes_events_and_answers_as_posthog(
    client: TestClient, query: Query, path: str, slash: str
) -> None:
    answer = client.post(path + slash, content=batch(event(), event()))
    assert (answer.status_code, answer.json()) == (200, OK)
    assert query("SELECT project, event FROM raw_event") == [("shop", "clicked")] * 2


@pytest.mark.parametrize("path", V0_PATHS)
def test_events_may_come_in_the_url(client: TestClient, query: Query, path: str) -> None:
    data = json.dumps(event(api_key=TOKEN))
    assert client.get(path, params={"data": data, "_": "1772366400000"}).json() == OK
    assert query("SELECT count(*) FROM raw_event") == [(1,)]


def test_engage_without_a_name_is_an_identify(client: TestClient, query: Query) -> None:
    body = json.dumps({"token": TOKEN, "distinct_id": "ann", "$set": {"plan": "pro"}})
    assert client.post("/engage/", content=body).json() == OK
    assert query("SELECT event FROM raw_event") == [("$identify",)]
    assert client.post("/e/", content=body).json() == OK
    assert query("SELECT reason_code FROM dead_letter") == [("missing_event_name",)]


@pytest.mark.parametrize("path", ["/e/", "/batch/", V1])
def test_every_protocol_reads_brotli_and_gzip_with_something_after_it(
    client: TestClient, query: Query, path: str
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    brotli = Codec("brotli").compress(batch(event()), asbytes=True)
    answer = client.post(path, content=brotli, headers={**headers, "Content-Encoding": "br"})
    assert answer.status_code == 200
    longer = gzip.compress(batch(event())) + b"\n"
    assert client.post(path, content=longer, headers=headers).status_code == 200
    assert query("SELECT count(*) FROM raw_event") == [(2,)]


def test_a_beacon_is_answered_with_204(client: TestClient) -> None:
    answer = client.post("/e/?compression=gzip-js&beacon=1", content=gzip.compress(batch(event())))
    assert (answer.status_code, answer.content) == (204, b"")


def test_v1_answers_for_each_event_and_echoes_the_request(client: TestClient, query: Query) -> None:
    good, bad = event(session_id="s-1"), event(event=7)
    body = json.dumps({"created_at": now(), "batch": [good, bad, {"event": "no uuid"}]})
    headers = {"Authorization": f"Bearer {TOKEN}", "PostHog-Request-Id": "r-1"}
    answer = client.post(V1, content=body, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["PostHog-Request-Id"] == "r-1"
    results = answer.json()["results"]
    assert results.keys() == {good["uuid"], bad["uuid"]}
    assert results[good["uuid"]] == {"result": "ok"}
    assert results[bad["uuid"]]["result"] == "drop"
    assert results[bad["uuid"]]["details"].startswith("invalid_event_name: ")
    assert query("SELECT session_id FROM raw_event") == [("s-1",)]


def test_v1_corrects_times_by_the_request_unless_the_event_says_no(
    client: TestClient, query: Query
) -> None:
    given, skew = datetime.now(UTC) - timedelta(hours=3), timedelta(hours=2)
    events = [
        event(event="moved", timestamp=given.isoformat()),
        event(event="kept", timestamp=given.isoformat(), options={"disable_skew_correction": True}),
    ]
    sent = (datetime.now(UTC) - skew).isoformat()
    headers = {"Authorization": f"Bearer {TOKEN}", "PostHog-Request-Timestamp": sent}
    client.post(V1, content=json.dumps({"batch": events}), headers=headers)
    times = dict(query("SELECT event, occurred_at FROM raw_event"))  # type: ignore[arg-type]
    assert times["kept"] == given
    assert abs(times["moved"] - given - skew) < timedelta(seconds=5)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("token", "status"), [("phc_nobody", 401), ("phx_personal", 401), (None, 401), (TOKEN, 200)]
)
def test_only_known_project_tokens_may_send(
    client: TestClient, query: Query, token: str | None, status: int
) -> None:
    v0 = client.post("/e/", content=batch(event(), api_key=token))
    v1 = client.post(V1, content=batch(event()), headers={"Authorization": f"Bearer {token}"})
    assert v0.status_code == v1.status_code == status
    assert query("SELECT count(*) FROM raw_event") == [(2 if status == 200 else 0,)]


BAD_EVENTS = {
    "no name": (event(event=None), "missing_event_name"),
    "a name that is no string": (event(event=["a"]), "invalid_event_name"),
    "properties that are no object": (event(properties=[1]), "invalid_properties"),
    "no distinct_id": (event(distinct_id=None), "missing_distinct_id"),
    "a broken uuid": (event(uuid="x"), "invalid_uuid"),
    "a time that no window can have": (event(timestamp="1999-01-01T00:00Z"), "timestamp_too_old"),
    "the year 1": (event(timestamp="0001-01-01T00:00:00Z"), "timestamp_too_old"),
    "a megabyte of properties": (event(properties={"x": "y" * 1_000_001}), "too_large"),
    "no object": ("hello", "not_an_object"),
}
BAD_TEXTS = {
    "half an escape": (rb'{"event": "\ud8"}', "invalid_json"),
    "nesting": (b'{"event": "a", "x": ' + b"[" * 3_000 + b"]" * 3_000 + b"}", "too_deep"),
    "a number beyond float": (b'{"event": "a", "x": ' + b"9" * 5_000 + b"}", "invalid_json"),
    "not a number": (b'{"event": "a", "x": NaN}', "invalid_json"),
}
BAD = {name: (json.dumps(bad).encode(), why) for name, (bad, why) in BAD_EVENTS.items()} | BAD_TEXTS


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_one_bad_event_costs_one_event_and_is_kept_with_its_reason(
    client: TestClient, store: Store, rules: Rules, query: Query, bad: bytes, reason: str
) -> None:
    good = [json.dumps(event(event=name)).encode() for name in ("before", "after")]
    body = b'{"api_key": "%s", "batch": [%s]}' % (
        TOKEN.encode(),
        b",".join([good[0], bad, good[1]]),
    )
    assert client.post("/batch", content=body).json() == OK
    assert query("SELECT reason_code, source, state FROM dead_letter") == [(reason, "api", "open")]
    enrich_due(store, rules)
    assert query("SELECT event FROM enriched_event ORDER BY 1") == [("after",), ("before",)]
    balance(store)
    # Once more adds nothing: neither to the events nor to the dead letters.
    client.post("/batch", content=body)
    assert query("SELECT count(*) FROM dead_letter") == [(1,)]


def test_texts_that_postgresql_cannot_hold_cost_nothing_at_all(
    client: TestClient, query: Query
) -> None:
    nasty = event(event="a\0b", distinct_id="c\0d", properties={"x\0": "y\0", "big": 1e308})
    assert client.post("/e", content=batch(nasty)).json() == OK
    assert query("SELECT event, distinct_id FROM raw_event") == [("a\ufffdb", "c\ufffdd")]


CESU = "\ud83d\ude00".encode(errors="surrogatepass")


@pytest.mark.parametrize(
    ("written", "title"),
    [(CESU, "\N{GRINNING FACE}"), (rb"\ud83d", "\ufffd"), (b"\xe9", "\ufffd")],
    ids=["CESU-8", "half an emoji", "Latin-1"],
)
@pytest.mark.parametrize(
    "form", ["batch", "array", "one", "v1", "base64", "gzip", "url", "webhook"]
)
def test_broken_characters_cost_no_event_whatever_form_the_request_has(
    client: TestClient,
    store: Store,
    rules: Rules,
    query: Query,
    form: str,
    written: bytes,
    title: str,
) -> None:
    happened = datetime.now(UTC) - timedelta(hours=3)
    sent_at = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    fields = event(timestamp=happened.isoformat(), properties={"title": "TITLE", "token": TOKEN})
    if form in {"one", "base64", "url"}:
        fields |= {"sent_at": sent_at}
    payload = json.dumps(fields).encode().replace(b"TITLE", written)
    around = b'{"api_key": "%s", "sent_at": "%s", "batch": [%s]}'
    whole = around % (TOKEN.encode(), sent_at.encode(), payload)
    if form == "v1":
        headers = {"Authorization": f"Bearer {TOKEN}", "PostHog-Request-Timestamp": sent_at}
        answer = client.post(V1, content=b'{"batch": [%s]}' % payload, headers=headers)
        assert answer.json() == {"results": {fields["uuid"]: {"result": "ok"}}}
    elif form == "webhook":
        headers = {"Authorization": f"Bearer {SECRET}"}
        forwarded = b'{"person": {"name": "%s"}, "event": %s}' % (written, payload)
        answer = client.post("/webhook/shop", content=forwarded, headers=headers)
    elif form == "base64":
        answer = client.post("/e/?compression=base64", data={"data": b64encode(payload).decode()})
    elif form == "url":
        answer = client.get("/e/", params={"data": b64encode(payload).decode()})
    else:
        body = {"batch": whole, "array": b"[%s]" % payload, "one": payload}.get(form)
        answer = client.post("/e/", content=body or gzip.compress(whole))
    assert answer.status_code == 200
    enrich_due(store, rules)
    assert query("SELECT title FROM enriched_event") == [(title,)]
    [(stored, moment)] = query("SELECT payload, occurred_at FROM raw_event")
    assert decompress(stored) == payload  # type: ignore[arg-type]
    corrected = happened + (timedelta(0) if form in {"array", "webhook"} else timedelta(hours=2))
    assert abs(moment - corrected) < timedelta(seconds=10)  # type: ignore[operator]


def test_a_token_that_is_no_text_is_401_and_no_error_of_ours(client: TestClient) -> None:
    for token in (b"\xff", rb"\ud83d", CESU):
        body = b'{"api_key": "%s", "batch": [{"event": "e", "distinct_id": "d"}]}' % token
        assert client.post("/e/", content=body).status_code == 401


def balance(store: Store) -> None:
    with store.transaction() as connection:
        kept = books(connection)
        counted = counted_books(connection, [window.window_start for window in kept], HOUR)
    assert kept == counted
    assert all(window.balances for window in kept)


def test_the_same_event_again_is_one_event_wherever_it_lands(
    client: TestClient, store: Store, rules: Rules, query: Query
) -> None:
    # The clock of the sender, and with it the hour and the day, differs from try to try.
    for hours in (0, 1, 30):
        sent = event(uuid=UUID, timestamp=now(hours=hours))
        assert client.post("/e", content=batch(sent, sent)).json() == OK
    enrich_due(store, rules)
    assert query("SELECT count(*) FROM enriched_event") == [(1,)]
    balance(store)


@pytest.mark.parametrize("path", ["/batch", V1])
@pytest.mark.parametrize("shared", [UUID, "00000000-0000-0000-0000-000000000000"])
@pytest.mark.parametrize("at_once", [True, False])
def test_events_that_share_a_uuid_are_all_there_however_often_each_is_sent(
    client: TestClient,
    store: Store,
    rules: Rules,
    query: Query,
    path: str,
    shared: str,
    at_once: bool,
) -> None:
    events = [
        event(event=name, distinct_id=person, uuid=shared, timestamp=now(hours=5))
        for name, person in (("a", "ann"), ("b", "ann"), ("a", "bob"))
    ]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for order in (events, events[::-1]):
        # The clock of the sender differs from try to try, as at each try of a real one.
        envelope = {"sent_at": now(hours=len(order[0]))}
        for sent in [order] if at_once else [[one] for one in order]:
            answer = client.post(path, content=batch(*sent, **envelope), headers=headers)
            assert answer.status_code == 200
            if path == V1:
                assert answer.json() == {"results": {shared: {"result": "ok"}}}
    enrich_due(store, rules)
    found = query("SELECT event, distinct_id FROM enriched_event ORDER BY 2, 1")
    assert found == [("a", "ann"), ("b", "ann"), ("a", "bob")]
    balance(store)


def test_of_two_events_with_one_uuid_v1_says_what_was_wrong_with_either(client: TestClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    good, bad = event(uuid=UUID), event(uuid=UUID, event=7)
    for order in ((good, bad), (bad, good)):
        answer = client.post(V1, content=batch(*order), headers=headers)
        assert answer.json()["results"][UUID]["result"] == "drop"


def test_an_event_without_uuid_gets_a_new_one_of_version_7(
    client: TestClient, query: Query
) -> None:
    for _ in range(2):
        client.post("/e", content=batch(event(uuid=""), {"event": "b", "distinct_id": "c"}))
    uuids = [row[0] for row in query("SELECT uuid FROM raw_event")]
    assert len(set(uuids)) == 4
    assert {found.version for found in uuids} == {7}  # type: ignore[attr-defined]


def test_times_are_by_our_clock(client: TestClient, query: Query) -> None:
    ahead = timedelta(minutes=50)
    happened = datetime.now(UTC) - timedelta(minutes=10)
    events = [
        event(event="corrected", timestamp=(happened + ahead).isoformat()),
        event(
            event="as it is",
            timestamp=(happened + ahead).isoformat(),
            properties={"$ignore_sent_at": True},
        ),
        event(event="offset", offset=600_000),
        event(event="no time"),
    ]
    client.post("/e", content=batch(*events, sent_at=(datetime.now(UTC) + ahead).isoformat()))
    times = dict(query("SELECT event, occurred_at FROM raw_event"))  # type: ignore[arg-type]
    expected = {
        "corrected": happened,
        "as it is": happened + ahead,
        "offset": happened,
        "no time": datetime.now(UTC),
    }
    for name, moment in expected.items():
        assert abs(times[name] - moment) < timedelta(seconds=10), name  # type: ignore[operator]


@pytest.mark.parametrize(
    "written",
    [
        lambda sent: {"sent_at": str(int(sent.timestamp() * 1000))},
        lambda sent: {"_": str(int(sent.timestamp() * 1000))},
        lambda sent: {"_": str(int(sent.timestamp()))},
        lambda sent: {"sent_at": sent.isoformat(), "_": "1"},
        lambda sent: {"body": sent.isoformat(), "sent_at": "1772366400000"},
        lambda sent: {"body": int(sent.timestamp() * 1000)},
        lambda sent: {"body": sent.strftime("%a, %d %b %Y %H:%M:%S GMT")},
    ],
    ids=["sent_at", "_", "_ in seconds", "ISO", "the body's", "a number", "RFC 2822"],
)
def test_whatever_the_sender_says_of_its_clock_corrects_the_time(
    client: TestClient, query: Query, written: Callable[[datetime], dict[str, object]]
) -> None:
    ahead = timedelta(minutes=50)
    happened = datetime.now(UTC) - timedelta(minutes=10)
    said = written(datetime.now(UTC) + ahead)
    sent = event(timestamp=(happened + ahead).isoformat())
    body = batch(sent, **({"sent_at": said.pop("body")} if "body" in said else {}))
    assert client.post("/e/", content=body, params=said).status_code == 200  # type: ignore[arg-type]
    [(moment,)] = query("SELECT occurred_at FROM raw_event")
    assert abs(moment - happened) < timedelta(seconds=10)  # type: ignore[operator]


@pytest.mark.parametrize("yes", [True, "true", "True"])
def test_a_migration_may_say_so_in_text(client: TestClient, query: Query, yes: object) -> None:
    client.post("/batch", content=batch(event(), historical_migration=yes))
    client.post("/batch", content=batch(event(), historical_migration="false"))
    assert query("SELECT historical FROM raw_batch ORDER BY id") == [(True,), (False,)]


USELESS_TIMES = {
    "words": ({"timestamp": "yesterday"}, UNREADABLE),
    "two ways to read it": ({"timestamp": "28/11/2026 12:30"}, UNREADABLE),
    "a zone of nobody": ({"timestamp": "2026-03-01 12:30 CET"}, UNREADABLE),
    "a small number": ({"timestamp": 12}, UNREADABLE),
    "before all years": ({"timestamp": "0001-01-01T00:00:00+14:00"}, UNREADABLE),
    "an absurd offset": ({"offset": 1e300}, UNREADABLE),
    "a day ahead": ({"timestamp": now(hours=-25)}, TOO_FAR_AHEAD),
    "an offset ahead": ({"offset": -90_000_000}, TOO_FAR_AHEAD),
}


@pytest.mark.parametrize("path", ["/capture", "/batch", V1])
@pytest.mark.parametrize(("fields", "why"), USELESS_TIMES.values(), ids=USELESS_TIMES)
def test_an_event_lives_whatever_it_says_of_its_time_and_its_row_says_which_time_that_is(
    client: TestClient,
    store: Store,
    rules: Rules,
    query: Query,
    path: str,
    fields: dict[str, object],
    why: str,
) -> None:
    events = [
        event(event="useless", **fields, properties={"sku": 1}),
        event(event="epoch", timestamp=str(int((datetime.now(UTC) - HOUR).timestamp()))),
        event(event="none"),
    ]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(2):
        assert client.post(path, content=batch(*events), headers=headers).status_code == 200
    enrich_due(store, rules)
    rows = query("SELECT event, occurred_at, properties FROM enriched_event")
    found = {name: (moment, properties) for name, moment, properties in rows}
    assert {name: properties for name, (_, properties) in found.items()} == {
        "useless": {TIME_IS_ARRIVAL: why, "sku": 1},
        "epoch": None,
        "none": None,
    }
    arrived = datetime.now(UTC)
    expected = {"useless": arrived, "epoch": arrived - HOUR, "none": arrived}
    for name, (moment, _) in found.items():
        assert abs(moment - expected[name]) < timedelta(seconds=30), name  # type: ignore[operator]
    assert query("SELECT count(*) FROM dead_letter") == [(0,)]
    balance(store)


def test_a_migration_waits_behind_what_happens_now(
    client: TestClient, store: Store, rules: Rules, query: Query
) -> None:
    old = event(event="old", timestamp=now(hours=5))
    client.post("/batch", content=batch(old, historical_migration=True))
    client.post("/batch", content=batch(event(event="new")))
    enrich_due(store, rules, claim_events=1)
    order = "SELECT event FROM enriched_event ORDER BY enriched_at"
    assert query(order) == [("new",), ("old",)]


@pytest.mark.parametrize("path", ["/batch", V1, "/webhook/shop"])
def test_events_of_before_the_store_was_made_are_taken(
    client: TestClient, store: Store, rules: Rules, query: Query, path: str
) -> None:
    # A migration, and a phone that was offline for days, on a store that began today.
    old = [datetime(2025, 3, day, 12, 30, tzinfo=UTC) for day in (9, 7, 8)]
    headers = {"Authorization": f"Bearer {SECRET if 'webhook' in path else TOKEN}"}
    for moment in old:
        sent = event(event="old", timestamp=moment.isoformat())
        body = json.dumps(sent) if "webhook" in path else batch(sent, historical_migration=True)
        assert client.post(path, content=body, headers=headers).status_code == 200
    assert query("SELECT count(*) FROM dead_letter") == [(0,)]
    enrich_due(store, rules)
    found = query("SELECT occurred_at FROM enriched_event ORDER BY 1")
    assert found == [(moment,) for moment in sorted(old)]
    balance(store)


@pytest.mark.slow
def test_too_large_is_a_413_before_a_byte_is_read(client: TestClient) -> None:
    length = {"Content-Length": str(21 * 1024 * 1024)}
    assert client.post("/e", content=b"{}", headers=length).status_code == 413
    bomb = gzip.compress(b'{"api_key": "%s"' % TOKEN.encode() + b" " * 30_000_000 + b"}")
    assert client.post("/e", content=bomb).status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"nothing", b"[1", b'{"api_key": "a", "batch": []}'])
def test_what_nobody_can_read_is_a_400_in_one_line(client: TestClient, body: bytes) -> None:
    answer = client.post("/e", content=body)
    assert answer.status_code == 400
    assert len(answer.text.splitlines()) == 1


@pytest.mark.slow
def test_what_takes_long_to_decode_keeps_nobody_waiting(
    store: Store, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = gzip.compress(b'{"batch":[%s"\\ud800"]}' % (b"[]," * 6_900_000), 1)
    may_end = threading.Event()

    def decoding(*arguments: Any) -> bytes:
        if arguments[-1] == capture.MAX_BODY_BYTES:
            may_end.wait(60)
        return json_text(*arguments)

    monkeypatch.setattr(capture, "json_text", decoding)
    with served_by_a_thread(store, api_settings) as url, ThreadPoolExecutor(4) as pool:
        bombs = [pool.submit(httpx.post, f"{url}/e/", content=bomb, timeout=60) for _ in range(4)]
        for _ in range(3):
            assert httpx.get(f"{url}/healthz", timeout=30).status_code == 200
        assert not any(one.done() for one in bombs)
        may_end.set()
        assert {one.result().status_code for one in bombs} == {413}
        balance_of_memory = httpx.get(f"{url}/metrics", headers=READER).text
    assert "enrichment_request_memory_bytes 0.0" in balance_of_memory


def test_a_large_request_waits_for_the_room_that_its_decoding_takes(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = gzip.compress(batch(*[event(properties={"x": "y" * 1_000}) for _ in range(800)]))
    assert client.post("/e", content=large).status_code == 200
    monkeypatch.setattr(capture, "_DECODING_BYTES", MEMORY_BYTES)
    assert client.post("/e", content=large).status_code == 503
    assert client.post("/e", content=batch(event())).status_code == 200


def test_a_body_that_does_not_come_is_a_408_and_gives_its_memory_back(
    store: Store, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.2)
    with served_by_a_thread(store, api_settings) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 20) as stalled:
            stalled.sendall(b"POST /e/ HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n[")
            assert stalled.recv(100).startswith(b"HTTP/1.1 408 ")
        shown = httpx.get(f"{url}/metrics", headers=READER).text
    assert "enrichment_request_memory_bytes 0.0" in shown


@pytest.mark.slow
def test_a_request_of_many_small_events_reserves_what_they_really_take() -> None:
    # What Python holds for each event is many times the byte or two of its payload.
    count = 9_999
    body = b"[%s]" % b",".join(b"%d" % (number % 10 + 10) for number in range(count))
    tracemalloc.start()
    sent = read_body(body)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert capture.size_of(sent) >= held


@pytest.mark.parametrize("path", ["/e/", V1])
def test_an_outage_is_a_503_and_what_got_in_before_is_known_after_it(
    client: TestClient,
    server: EmbeddedPostgres,
    store: Store,
    rules: Rules,
    query: Query,
    path: str,
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body = batch(event(), event())
    assert client.post(path, content=body, headers=headers).status_code == 200
    begin_outage(server, store)
    refused = client.post(path, content=body, headers=headers)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    end_outage(server, store)
    assert client.post(path, content=body, headers=headers).status_code == 200
    assert client.get("/readyz").status_code == 200
    enrich_due(store, rules)
    assert query("SELECT count(*) FROM enriched_event") == [(2,)]
    balance(store)


def test_without_room_the_answer_is_503_and_the_room_is_given_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from enrichment_pipeline.ingest.api import micro_batch

    monkeypatch.setattr(micro_batch.Budget, "most", 300, raising=False)
    small, large = batch(event()), batch(*[event() for _ in range(50)])
    budgets: list[micro_batch.Budget] = []
    before = micro_batch.Reservation.add

    def add(self: micro_batch.Reservation, size: int) -> None:
        self._budget.most = 3_000
        budgets.append(self._budget)
        before(self, size)

    monkeypatch.setattr(micro_batch.Reservation, "add", add)
    for _ in range(3):
        refused = client.post("/e", content=large)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert client.post("/e", content=small).status_code == 200
    assert budgets[-1].taken == 0


@pytest.mark.parametrize(
    "body",
    [
        {"event": json.loads(make_event(at=datetime.now(UTC))), "person": {"id": "1"}},
        json.loads(make_event(at=datetime.now(UTC))),
    ],
)
def test_posthogs_http_destination_forwards_one_event_a_request(
    client: TestClient, query: Query, body: dict[str, object]
) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    for _ in range(2):
        answer = client.post("/webhook/shop", json=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, OK)
    assert query("SELECT project, event FROM raw_event") == [("shop", "$pageview")]
    assert query("SELECT source FROM raw_batch") == [("webhook",)]


@pytest.mark.parametrize(
    ("path", "secret", "status"),
    [
        ("/webhook/shop", "wrong", 401),
        ("/webhook/shop", None, 401),
        ("/webhook/sh%20op", SECRET, 400),
        ("/webhook/shop", TOKEN, 401),
    ],
)
def test_others_may_not_forward(
    client: TestClient, path: str, secret: str | None, status: int
) -> None:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    assert client.post(path, json=event(), headers=headers).status_code == status
