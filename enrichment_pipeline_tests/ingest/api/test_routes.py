"""The other routes: for browsers, for operators, and the description of them all."""

import gzip
import json
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from enrichment_pipeline.ingest.api import exchange
from enrichment_pipeline.ingest.api.app import create_app
from enrichment_pipeline.ingest.api.encodings import MAX_BODY_BYTES
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.ingest.api.conftest import READ_TOKEN, TOKEN, Query

READER = {"Authorization": f"Bearer {READ_TOKEN}"}
PAGE = {"Origin": "https://shop.example"}


def test_posthog_js_is_configured_to_capture_clicks(client: TestClient) -> None:
    config = client.get(f"/array/{TOKEN}/config").json()
    assert config["autocapture_opt_out"] is False
    script = client.get(f"/array/{TOKEN}/config.js")
    assert script.headers["Content-Type"].startswith("application/javascript")
    entry = script.text.partition(f'_POSTHOG_REMOTE_CONFIG["{TOKEN}"] = ')[2].rstrip(";\n")
    assert json.loads(entry) == {"config": config, "siteApps": []}


@pytest.mark.parametrize(("asks", "scheme"), [("127.0.0.1", "https"), ("192.0.2.1", "http")])
def test_a_proxy_on_this_machine_says_how_it_was_asked(
    store: Store, api_settings: Settings, asks: str, scheme: str
) -> None:
    proxy = TestClient(create_app(store, api_settings), client=(asks, 50_000))
    answer = proxy.get("/", headers={"Host": "in.shop.example", "X-Forwarded-Proto": "https"})
    assert f"{scheme}://in.shop.example" in answer.text


@pytest.mark.parametrize("token", ["a'b", 'a"b', "</script>", "a" * 65, "é"])
def test_a_token_that_is_none_becomes_no_part_of_a_script(client: TestClient, token: str) -> None:
    assert client.get(f"/array/{token}/config.js").status_code == 404


@pytest.mark.parametrize(
    "path", [f"/array/{TOKEN}/config", "/flags/?v=2&config=true", "/decide/?v=3", "/decide"]
)
def test_wherever_a_version_of_posthog_js_asks_it_may_capture_clicks_and_compress(
    client: TestClient, path: str
) -> None:
    config = client.get(path).json()
    assert config["autocapture_opt_out"] is False
    assert config["config"] == {"enable_collect_everything": True}
    assert config["supportedCompression"] == ["gzip", "gzip-js"]


@pytest.mark.parametrize(
    "path", ["/flags/?v=2", "/flags/?v=2&config=true", "/flags", "/decide/?v=2", "/decide/?v=3"]
)
def test_there_are_no_feature_flags(client: TestClient, path: str) -> None:
    flags = client.post(path, content=b"{}").json()
    assert flags["flags"] == flags["featureFlags"] == {}
    assert flags["errorsWhileComputingFlags"] is False


@pytest.mark.parametrize("path", ["/decide/", "/decide/?v=1"])
def test_the_oldest_clients_get_a_list_of_no_flags(client: TestClient, path: str) -> None:
    assert client.post(path, content=b"{}").json()["featureFlags"] == []


def test_who_asks_for_flags_alone_gets_no_configuration(client: TestClient) -> None:
    assert "supportedCompression" not in client.post("/flags/?v=2", content=b"{}").json()


def test_posthog_js_itself_comes_from_posthog(client: TestClient) -> None:
    answer = client.get("/static/array.js")
    assert answer.status_code == 307
    assert answer.headers["Location"].endswith(".posthog.com/static/array.js")


# What PostHog's SDKs, tracing and proxies add to requests, and what nobody has heard of.
HEADERS = (
    "authorization, baggage, cache-control, content-encoding, content-type, posthog-attempt, "
    "posthog-request-id, posthog-request-timestamp, posthog-sdk-info, sentry-trace, traceparent, "
    "tracestate, x-posthog-session-id, x-posthog-window-id, x-requested-with, x-anything"
)


@pytest.mark.parametrize(
    "path", ["/e/", "/batch", "/s/", "/flags/", "/array/x/config", "/i/v1/analytics/events"]
)
def test_pages_of_any_origin_may_send_with_whatever_headers(client: TestClient, path: str) -> None:
    asked = {
        **PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": HEADERS,
        "Access-Control-Request-Private-Network": "true",
    }
    allowed = client.options(path, headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
    assert allowed.headers["Access-Control-Allow-Credentials"] == "true"
    assert allowed.headers["Access-Control-Allow-Headers"] == HEADERS
    assert allowed.headers["Access-Control-Allow-Private-Network"] == "true"
    refused = client.post(path, content=b"{", headers=PAGE)
    assert refused.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
    assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "path",
    ["/e/", "/batch", "/i/v0/e", "/engage", "/s/", "/i/v1/analytics/events", "/flags/", "/decide"],
)
def test_options_is_answered_without_a_preflight_too(client: TestClient, path: str) -> None:
    assert client.options(path).status_code == 200


@pytest.mark.parametrize("path", ["/s", "/s/"])
def test_recordings_of_sessions_are_taken_left_out_and_counted(
    client: TestClient, query: Query, path: str
) -> None:
    recording = {"event": "$snapshot", "distinct_id": "ann", "properties": {"$snapshot_data": []}}
    body = gzip.compress(json.dumps({"api_key": TOKEN, "batch": [recording]}).encode())
    sent = client.post(f"{path}?compression=gzip-js&ver=1.150.0", content=body, headers=PAGE)
    assert (sent.status_code, sent.json()) == (200, {"status": "Ok"})
    assert client.post(f"{path}?beacon=1", content=body).status_code == 204
    assert query("SELECT 1 FROM raw_event UNION ALL SELECT 1 FROM dead_letter") == []
    shown = client.get("/metrics", headers=READER).text.splitlines()
    for line in (
        "enrichment_recordings_left_out_total 2.0",
        f"enrichment_request_bytes_total {2 * len(body)}.0",
        'enrichment_requests_total{status="200"} 1.0',
        "enrichment_acknowledge_seconds_count 0.0",
        "enrichment_request_memory_bytes 0.0",
    ):
        assert line in shown, line


def test_a_recording_that_is_too_large_is_refused(client: TestClient) -> None:
    assert client.post("/s/", content=bytes(MAX_BODY_BYTES + 1)).status_code == 413


def test_a_person_who_opens_the_api_reads_what_it_is(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/plain")
    for expected in (
        "PostHog",
        "http://testserver",
        "/batch/",
        "/healthz",
        "docs/reference/api.md",
    ):
        assert expected in page.text, expected
    assert TOKEN not in page.text
    assert client.head("/").status_code == 200


def test_a_route_that_is_none_says_where_the_routes_are(client: TestClient) -> None:
    answer = client.post("/captures", content=b"{}")
    assert answer.status_code == 404
    assert answer.text == "no such route; GET / names those that there are"


def test_what_reads_is_not_open_to_who_may_only_write(client: TestClient) -> None:
    for path in ("/metrics", "/openapi.json"):
        assert client.get(path).status_code == 401
        writer = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get(path, headers=writer).status_code == 401
        assert client.get(path, headers=READER).status_code == 200


def test_metrics_count_what_became_of_events(client: TestClient) -> None:
    good = {"event": "a", "distinct_id": "b", "uuid": "01a2074a-16f5-75be-ae39-7a682b08770e"}
    body = json.dumps({"api_key": TOKEN, "batch": [good, good, {"distinct_id": "x"}]}).encode()
    client.post("/e", content=body)
    client.post("/e", content=b"{")
    shown = client.get("/metrics", headers=READER).text
    for line in (
        'enrichment_events_accepted_total{source="api"} 1.0',
        'enrichment_events_duplicate_total{source="api"} 1.0',
        'enrichment_events_quarantined_total{reason="missing_event_name"} 1.0',
        'enrichment_requests_total{status="200"} 1.0',
        'enrichment_requests_total{status="400"} 1.0',
        f"enrichment_request_bytes_total {len(body) + 1}.0",
        "enrichment_acknowledge_seconds_count 1.0",
        "enrichment_queue_batches 1.0",
        "enrichment_queue_events 1.0",
        "enrichment_waiting_events 0.0",
        "enrichment_request_memory_bytes 0.0",
        "enrichment_store_up 1.0",
    ):
        assert line in shown.splitlines(), line


def test_without_a_secret_webhooks_are_not_taken(store: Store, api_settings: Settings) -> None:
    settings = api_settings.model_copy(update={"webhook_secret": None})
    with TestClient(create_app(store, settings)) as client:
        assert client.post("/webhook/shop", json={"event": "a"}).status_code == 404


def test_every_route_is_described(client: TestClient) -> None:
    described = client.get("/openapi.json", headers=READER).json()["paths"]
    routes = {
        (route.path.replace(":path", "").rstrip("/"), method)
        for route in client.app.routes  # type: ignore[attr-defined]
        for method in route.methods - {"HEAD", "OPTIONS"}
    }
    assert routes == {
        (path.rstrip("/"), method.upper()) for path, item in described.items() for method in item
    }


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://shop.example"}])
def test_a_response_past_the_framework_has_the_headers_of_one_through_it(
    client: TestClient, headers: dict[str, str]
) -> None:
    # No token: both are refused alike.
    past = client.post("/e/", json={"event": "a", "distinct_id": "d"}, headers=headers)
    through = client.get("/e/", params={"data": "{}"}, headers=headers)
    assert past.status_code == through.status_code == 401
    assert {**past.headers, "content-length": ""} == {**through.headers, "content-length": ""}
    assert ("access-control-allow-origin" in past.headers) == ("Origin" in headers)


@given(st.lists(st.tuples(st.text("ab_+%4= "), st.text("1Tä&-:+%2 ="))))
def test_parameters_of_a_url_are_read_as_everywhere(pairs: list[tuple[str, str]]) -> None:
    for query in (urlencode(pairs), "&".join(f"{name}={value}" for name, value in pairs)):
        expected = dict(parse_qsl(query, keep_blank_values=True))
        assert exchange._parameters(query) == expected
