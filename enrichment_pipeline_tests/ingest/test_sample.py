"""The demo's sample: complete, repeatable, and shaped like what was recorded."""

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from enrichment_pipeline import classify_event
from enrichment_pipeline.ingest.files import read_records
from enrichment_pipeline.ingest.sample import from_requests, sample, shapes
from enrichment_pipeline.ingest.sample.chains import chain_element

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return [json.loads(event) for event in sample.sample_events(NOW)]


def moment(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


def without_times(event: dict[str, Any]) -> dict[str, Any]:
    timeless = {"$time": 0, "$initialization_time": 0}
    return {**event, "timestamp": 0, "properties": {**event["properties"], **timeless}}


def test_the_sample_shows_every_type_and_action_of_the_rules(events: list[dict[str, Any]]) -> None:
    found = {tuple(classify_event(e["event"], e["properties"])) for e in events}
    assert found == {
        ("pageview", "view"),
        ("navigation", "leave"),
        ("click", "rage_click"),
        ("unknown", "unknown"),
        *product(["click"], ["click", "submit", "change"]),
        *product(["custom"], ["click", "submit", "navigate"]),
    }


def test_the_sample_is_large_enough_to_look_at(events: list[dict[str, Any]]) -> None:
    assert 300 <= len(events) <= 1000
    assert len({e["properties"]["$session_id"] for e in events}) == 24
    assert len({e["properties"]["$device_id"] for e in events}) == 9
    assert len({e["properties"]["$pathname"] for e in events}) >= 8
    custom = [e for e in events if not e["event"].startswith("$")]
    assert len({e["event"] for e in custom}) >= 10
    assert 2300 < sum(len(json.dumps(e)) for e in events) / len(events) < 3300


def test_the_sample_fills_the_six_hours_before_now_in_order(events: list[dict[str, Any]]) -> None:
    moments = [moment(event) for event in events]
    assert moments == sorted(moments)
    assert NOW - timedelta(hours=6) <= moments[0] < NOW - timedelta(hours=5)
    assert NOW - timedelta(minutes=1) < moments[-1] < NOW
    assert {m.hour for m in moments} >= {7, 8, 9, 10, 11, 12}


def test_only_times_change_from_one_import_of_the_sample_to_the_next(
    events: list[dict[str, Any]],
) -> None:
    later = [json.loads(event) for event in sample.sample_events(NOW + timedelta(days=3, hours=1))]
    assert len({event["uuid"] for event in events}) == len(events)
    assert [without_times(event) for event in later] == [without_times(event) for event in events]


def test_a_session_keeps_its_person_until_that_person_is_identified(
    events: list[dict[str, Any]],
) -> None:
    for event in events:
        properties = event["properties"]
        if properties["$is_identified"]:
            assert properties["distinct_id"] == properties["$user_id"] != properties["$device_id"]
        else:
            assert properties["distinct_id"] == properties["$device_id"]
            assert "$user_id" not in properties
        if event["event"] == "$identify":
            assert properties["$anon_distinct_id"] == properties["$device_id"]


def test_events_have_the_keys_that_were_recorded_for_their_kind(
    events: list[dict[str, Any]],
) -> None:
    for event in events:
        if not event["event"].startswith("$pageview"):
            continue
        recorded = shapes.recorded_shapes()["$pageview"]
        assert event.keys() == recorded.keys()
        assert event["properties"].keys() - {"$user_id"} == recorded["properties"].keys()
        assert event["$set_once"]["$initial_pathname"] == event["properties"]["$pathname"]
        assert event["$set_once"].keys() == recorded["$set_once"].keys()


def test_the_recorded_events_do_not_change_while_they_are_filled_in() -> None:
    before = json.dumps(dict(shapes.recorded_shapes()))
    list(sample.sample_events(NOW))
    assert json.dumps(dict(shapes.recorded_shapes())) == before


def test_the_recorded_events_read_as_a_file_of_events() -> None:
    assert sample.__file__ is not None
    file = Path(sample.__file__).with_name("posthog_js_sample.jsonl")
    assert file.stat().st_size < 200_000
    records = list(read_records(str(file)))
    assert len(records) == 17
    assert all(json.loads(record.payload)["properties"] for record in records)


def test_a_chain_is_written_as_posthog_js_writes_it() -> None:
    recorded = shapes.recorded_shapes()["$rageclick"]["properties"]["$elements_chain"]
    attributes = {"class": "btn primary", "data-attr": "buy-now", "id": "buy"}
    button = chain_element("button", "Buy now", attributes, nth=3)
    assert f"{button};{chain_element('body', nth=2)}" == recorded
    link = chain_element("a", "Pricing", {"href": "#pricing", "id": "pricing"})
    assert link == (
        'a:attr__href="#pricing"attr__id="pricing"attr_id="pricing"href="#pricing"'
        'nth-child="1"nth-of-type="1"text="Pricing"'
    )
    assert 'text="say \\"hi\\""' in chain_element("p", 'say "hi"')


def test_a_sample_is_made_from_the_capture_requests_alone(tmp_path: Path) -> None:
    event = {"event": "größer", "uuid": "", "properties": {"n": 1.0, "big": 12345678901234567890}}
    requests = [
        {"path": "/e/", "headers": {}, "body": {"api_key": "k", "batch": [event]}},
        {"path": "/flags/?v=2", "headers": {}, "body": {"token": "k"}},
        {"path": "/i/v0/e/?beacon=1", "headers": {}, "body": {"batch": [event, event]}},
    ]
    source, target = tmp_path / "requests.jsonl", tmp_path / "sample.jsonl"
    source.write_text("\n".join(json.dumps(request) for request in requests))
    from_requests.main([str(source), str(target)])
    lines = target.read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == [event] * 3
    assert b" " not in lines[0]


def test_making_a_sample_without_files_says_how() -> None:
    with pytest.raises(SystemExit, match="usage: python -m enrichment_pipeline"):
        from_requests.main([])
