"""Rows of Parquet files, as PostHog and others write them."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from enrichment_pipeline.events.raw_event import RejectionReason
from enrichment_pipeline.ingest.files import BrokenFileError, FileRecord, read_records
from enrichment_pipeline_tests.ingest.stored_files import (
    parquet,
    payloads,
    stored,
)


def test_the_columns_of_a_posthog_export_become_an_event() -> None:
    moment = datetime(2026, 11, 23, 7, 23, 45, 781000, tzinfo=UTC)
    data = parquet(
        {
            "uuid": ["01a2074a-16f5-75be-ae39-7a682b08770e"],
            "event": ["$pageview"],
            "distinct_id": ["user-1"],
            "person_id": pa.array([None], pa.string()),
            "properties": ['{"$os": "Linux", "exact": 1.0, "big": 1e400}'],
            "person_properties": [""],
            "elements_chain": [""],
            "timestamp": pa.array([moment], pa.timestamp("us", "UTC")),
            "created_at": pa.array([moment.replace(tzinfo=None)], pa.timestamp("ns")),
            "_inserted_at": pa.array(
                [moment.astimezone(timezone(timedelta(hours=2)))], pa.timestamp("ms", "+02:00")
            ),
        }
    )
    assert list(read_records(stored(data))) == [
        FileRecord(
            b'{"uuid":"01a2074a-16f5-75be-ae39-7a682b08770e","event":"$pageview",'
            b'"distinct_id":"user-1",'
            b'"properties":{"$os": "Linux", "exact": 1.0, "big": 1e400},"elements_chain":"",'
            b'"timestamp":"2026-11-23T07:23:45.781000Z","created_at":"2026-11-23T07:23:45.781000Z",'
            b'"_inserted_at":"2026-11-23T07:23:45.781000Z"}',
            1,
        )
    ]


def test_a_row_with_broken_json_has_a_problem_and_its_neighbours_have_none() -> None:
    data = parquet({"event": ["a", "b", "c"], "properties": ["{}", "{nope", '{"x": 1}']})
    records = list(read_records(stored(data)))
    assert [record.problem for record in records] == [
        None,
        "column properties is not valid JSON",
        None,
    ]
    assert json.loads(records[1].payload) == {"event": "b", "properties": "{nope"}
    assert records[1].reason is RejectionReason.INVALID_JSON


def test_a_row_with_half_an_emoji_has_no_problem() -> None:
    data = parquet({"event": ["a"], "properties": ['{"title": "cut \\ud83d", "price": 1.10}']})
    [record] = read_records(stored(data))
    assert record.problem is None
    assert record.payload == b'{"event":"a","properties":{"title": "cut \\ufffd", "price": 1.10}}'


def test_properties_kept_as_a_struct_become_an_object() -> None:
    data = parquet({"event": ["a"], "properties": [{"$os": "Linux", "tags": ["x"]}]})
    assert json.loads(payloads(data)[0])["properties"] == {"$os": "Linux", "tags": ["x"]}


def test_parquet_without_events_is_refused_in_one_line() -> None:
    with pytest.raises(BrokenFileError, match=r"no column 'event', so no events; it has id, name$"):
        list(read_records(stored(parquet({"id": [1], "name": ["x"]}))))
