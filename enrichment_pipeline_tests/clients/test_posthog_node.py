"""posthog-node, unchanged: what it captures is what is enriched."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.raw_event import RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import enriched, rows
from enrichment_pipeline_tests.clients.node_client import node_client
from enrichment_pipeline_tests.clients.serving import PROJECT, Api

pytestmark = pytest.mark.usefixtures("node_modules")

MODES = ["v0", "v1"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("disable_compression", [False, True])
def test_captured_events_are_enriched_once_under_the_uuids_that_the_client_gave_them(
    api: Api, store: Store, rules: Rules, mode: str, disable_compression: bool
) -> None:
    captured = [str(uuid.uuid4()) for _ in range(250)]
    with node_client(api, mode, disableCompression=disable_compression) as posthog:
        for number, event_uuid in enumerate(captured):
            posthog.capture(
                "Order completed",
                f"user-{number % 7}",
                uuid=event_uuid,
                properties={"number": number, "$session_id": "session-1"},
            )
        assert posthog.shut_down() == ""
    found = enriched(store, rules)
    assert len(found) == 250
    assert {str(row.uuid) for row in found} == set(captured)
    assert {(row.project, row.event, row.event_type, row.action_type) for row in found} == {
        (PROJECT, "Order completed", "custom", "submit")
    }
    assert {row.distinct_id for row in found} == {f"user-{number}" for number in range(7)}
    assert {row.session_id for row in found} == {"session-1"}
    assert sorted(row.properties["number"] for row in found) == list(range(250))


@pytest.mark.parametrize("mode", MODES)
def test_a_pageview_keeps_its_path_and_its_time(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    moment = datetime.now(UTC) - timedelta(hours=3)
    with node_client(api, mode) as posthog:
        posthog.capture(
            "$pageview",
            "user-1",
            timestamp=moment.isoformat(),
            properties={"$current_url": "https://shop.example/pricing?x=1", "title": "Prices"},
        )
        assert posthog.shut_down() == ""
    [row] = enriched(store, rules)
    assert (row.event_type, row.action_type) == ("pageview", "view")
    assert (row.path, row.title) == ("/pricing", "Prices")
    assert abs(row.occurred_at - moment) < timedelta(seconds=30)


@pytest.mark.parametrize("mode", MODES)
def test_whatever_else_the_client_sends_is_taken(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    group = {"groupType": "company", "groupKey": "acme", "properties": {"size": 3}}
    with node_client(api, mode) as posthog:
        posthog.call("identify", {"distinctId": "user-1", "properties": {"plan": "pro"}})
        posthog.call("alias", {"distinctId": "user-1", "alias": "visitor-1"})
        posthog.call("groupIdentify", group)
        posthog.call("captureException", "no", "user-1")
        posthog.call("captureAi", {"event": "$ai_generation", "distinctId": "user-1"})
        assert posthog.shut_down() == ""
    assert {row.event for row in enriched(store, rules)} == {
        "$identify",
        "$create_alias",
        "$groupidentify",
        "$exception",
        "$ai_generation",
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_historical_migration_becomes_batches_that_wait_behind_live_ones(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    with node_client(api, mode, historicalMigration=True) as posthog:
        posthog.capture("Signed up", "user-1", timestamp="2026-02-01T12:30:30Z")
        assert posthog.shut_down() == ""
    assert rows(store, "SELECT historical FROM raw_batch") == [(True,)]
    [signed_up] = enriched(store, rules)
    assert f"{signed_up.occurred_at:%Y-%m-%d %H:%M}" == "2026-02-01 12:30"


@pytest.mark.parametrize("mode", MODES)
def test_an_event_that_cannot_be_taken_costs_itself_alone_and_v1_is_answered_so(
    api: Api, store: Store, rules: Rules, mode: str
) -> None:
    with node_client(api, mode) as posthog:
        posthog.capture("before", "user-1")
        posthog.capture("long ago", "user-1", timestamp="1999-01-01T00:00:00Z")
        posthog.capture("after", "user-1")
        complaints = posthog.shut_down()
    assert sorted(row.event for row in enriched(store, rules)) == ["after", "before"]
    [letter] = rows(store, "SELECT event, project, reason_code FROM dead_letter")
    assert letter == ("long ago", PROJECT, RejectionReason.TIMESTAMP_TOO_OLD)
    assert ("dropped" in complaints) is (mode == "v1"), complaints


@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_token_is_reported_to_the_client_and_nothing_is_kept(
    api: Api, store: Store, mode: str
) -> None:
    with node_client(api, mode, token="phc_unknown") as posthog:  # noqa: S106  and it is refused
        posthog.capture("Signed up", "user-1")
        complaints = posthog.shut_down()
    assert "401" in complaints
    assert rows(store, "SELECT 1 FROM raw_batch") == []
