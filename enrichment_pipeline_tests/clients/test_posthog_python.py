"""posthog-python, unchanged: what it captures is what is enriched."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from posthog import Posthog
from posthog.capture_v1 import CaptureV1Error

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.raw_event import RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import enriched, rows
from enrichment_pipeline_tests.clients.serving import PROJECT, TOKEN, Api

MODES = ["v0", "v1"]

Failures = list[Exception]


@contextmanager
def client(api: Api, **options: Any) -> Iterator[tuple[Posthog, Failures]]:
    """A client, and what it says that it could not send; at the end everything is sent."""
    failures: Failures = []
    posthog = Posthog(
        TOKEN, host=api.url, on_error=lambda error, _: failures.append(error), **options
    )
    try:
        yield posthog, failures
    finally:
        posthog.shutdown()


@pytest.mark.parametrize("mode", MODES)
def test_captured_events_are_enriched_once_under_the_uuids_that_the_client_gave_them(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    with client(api, capture_mode=mode) as (posthog, failures):
        captured = {
            posthog.capture(
                "Order completed",
                distinct_id=f"user-{number % 7}",
                properties={"number": number, "$session_id": "session-1"},
            )
            for number in range(250)
        }
        posthog.flush()
    assert failures == []
    found = enriched(store, rules)
    assert len(found) == 250
    assert {str(row.uuid) for row in found} == captured
    assert {(row.project, row.event, row.event_type, row.action_type) for row in found} == {
        (PROJECT, "Order completed", "custom", "submit")
    }
    assert {row.distinct_id for row in found} == {f"user-{number}" for number in range(7)}
    assert {row.session_id for row in found} == {"session-1"}
    assert sorted(row.properties["number"] for row in found) == list(range(250))


@pytest.mark.parametrize("mode", MODES)
def test_a_pageview_keeps_its_path_its_time_and_its_uuid(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    moment = datetime.now(UTC) - timedelta(hours=3)
    event_uuid = uuid.uuid4()
    with client(api, capture_mode=mode) as (posthog, failures):
        posthog.capture(
            "$pageview",
            distinct_id="user-1",
            uuid=event_uuid,
            timestamp=moment,
            properties={"$current_url": "https://shop.example/pricing?x=1", "title": "Prices"},
        )
    assert failures == []
    [row] = enriched(store, rules)
    assert (row.event_type, row.action_type, row.path) == ("pageview", "view", "/pricing")
    assert (row.uuid, row.title) == (event_uuid, "Prices")
    assert abs(row.occurred_at - moment) < timedelta(seconds=30)


@pytest.mark.parametrize("mode", MODES)
def test_whatever_else_the_client_sends_is_taken(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    calls: dict[str, Callable[[Posthog], object]] = {
        "$set": lambda it: it.set(distinct_id="user-1", properties={"plan": "pro"}),
        "$create_alias": lambda it: it.alias("visitor-1", "user-1"),
        "$groupidentify": lambda it: it.group_identify("company", "acme", {"size": 3}),
        "$exception": lambda it: it.capture_exception(ValueError("no"), distinct_id="user-1"),
        "$ai_generation": lambda it: it.capture_ai("$ai_generation", distinct_id="user-1"),
    }
    with client(api, capture_mode=mode) as (posthog, failures):
        for call in calls.values():
            call(posthog)
    assert failures == []
    assert {row.event for row in enriched(store, rules)} == set(calls)


def test_every_compression_of_the_client_is_read(api: Api, store: Store, rules: Rules) -> None:
    ways: list[dict[str, Any]] = [
        {"capture_mode": "v0", "gzip": True},
        *(
            {"capture_mode": "v1", "capture_compression": compression}
            for compression in ("none", "gzip", "deflate", "zstd")
        ),
    ]
    for way in ways:
        with client(api, **way) as (posthog, failures):
            posthog.capture(f"sent as {way}", distinct_id="user-1")
        assert failures == []
    assert [row.event for row in enriched(store, rules)] == [f"sent as {way}" for way in ways]


@pytest.mark.parametrize("mode", MODES)
def test_a_historical_migration_becomes_batches_that_wait_behind_live_ones(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    with client(api, capture_mode=mode, historical_migration=True) as (posthog, failures):
        posthog.capture(
            "Signed up", distinct_id="user-1", timestamp=datetime(2026, 2, 1, 12, 30, tzinfo=UTC)
        )
    with client(api, capture_mode=mode) as (posthog, _):
        posthog.capture("Signed in", distinct_id="user-1")
    assert failures == []
    assert rows(store, "SELECT historical FROM raw_batch ORDER BY window_start") == [
        (True,),
        (False,),
    ]
    signed_up, _ = enriched(store, rules)
    assert f"{signed_up.occurred_at:%Y-%m-%d %H:%M}" == "2026-02-01 12:30"


@pytest.mark.parametrize("mode", MODES)
def test_an_event_that_cannot_be_taken_costs_itself_alone_and_v1_is_answered_so(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    with client(api, capture_mode=mode) as (posthog, failures):
        posthog.capture("before", distinct_id="user-1")
        refused = posthog.capture(
            "long ago", distinct_id="user-1", timestamp=datetime(1999, 1, 1, tzinfo=UTC)
        )
        posthog.capture("after", distinct_id="user-1")
    assert [row.event for row in enriched(store, rules)] == ["before", "after"]
    [letter] = rows(store, "SELECT event, project, reason_code FROM dead_letter")
    assert letter == ("long ago", PROJECT, RejectionReason.TIMESTAMP_TOO_OLD)
    if mode == "v1":
        [failure] = failures
        assert isinstance(failure, CaptureV1Error)
        assert [dropped for dropped, _ in failure.drops] == [refused]
    else:
        assert failures == []


@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_token_is_reported_to_the_client_and_nothing_is_kept(
    api: Api, store: Store, mode: str
) -> None:
    failures: Failures = []
    posthog = Posthog(
        "phc_unknown",
        host=api.url,
        capture_mode=mode,
        on_error=lambda error, _: failures.append(error),
    )
    posthog.capture("Signed up", distinct_id="user-1")
    posthog.shutdown()
    assert [getattr(failure, "status", None) for failure in failures] == [401]
    assert rows(store, "SELECT 1 FROM raw_batch") == []
