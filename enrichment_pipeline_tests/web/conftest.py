"""The pages in this process, on a store with something to read, asked as a browser asks."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.web.pages import Pages
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.mcp_asking import NOON, fill
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in

TOKEN = "reader"
HOSTILE = "<script>alert(1)</script>"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def client(store: Store, settings: Settings) -> Iterator[TestClient]:
    """A browser that is not signed in, and follows nothing by itself."""
    app = create_app(store, settings, parts=Parts(pages=Pages(store, TOKEN)))
    with TestClient(app, follow_redirects=False, headers=BROWSER) as browser:
        yield browser


@pytest.fixture
def reader(client: TestClient) -> TestClient:
    """A browser that is signed in."""
    assert client.post("/sign-in", data={"token": TOKEN}).status_code == 303
    return client


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    """Sessions of Ann (on a phone), Bob and Eve, an error, two dead letters; hostile text."""
    fill(store, rules)
    phone = {NAME: "three", "$device_type": "Mobile", "$browser": "Safari", "$os": "iOS"}
    exception = [{"type": "TypeError", "value": f"{HOSTILE} of ann@example.com"}]
    click = {"$event_type": "click", "$elements_chain": f'button:text="{HOSTILE}"'}
    events = [
        ("$pageview", {"$pathname": "/docs/start"}),
        ("$autocapture", {"$pathname": "/docs/start", **click}),
        ("$exception", {"$exception_list": exception}),
        (HOSTILE, {}),
    ]
    take_in(
        store,
        rules,
        [
            make_event(
                name,
                NOON + timedelta(hours=2, seconds=10 * second),
                distinct_id="ann@example.com",
                properties=phone | properties,
            )
            for second, (name, properties) in enumerate(events)
        ],
    )
    build_day(store, NOON.date(), is_whole=True)
    letters = [
        RejectedEvent(
            "default", reason, f"{HOSTILE} ann@example.com", reason.encode(), NOON, HOSTILE
        )
        for reason in (RejectionReason.INVALID_JSON, RejectionReason.REFUSED_BY_STORE)
    ]
    load_events(store, [], letters, "test")
    return store
