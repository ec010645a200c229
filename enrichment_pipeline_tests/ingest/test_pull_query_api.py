"""Pulling from PostHog's query API, against a stand-in for it and into a real store."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from sqlalchemy import text

from enrichment_pipeline.events.raw_event import Arrival
from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.ingest.api.accept import Origin, Submission, accept
from enrichment_pipeline.ingest.chunks import load_chunk
from enrichment_pipeline.ingest.file_records import FileRecord
from enrichment_pipeline.ingest.pull import pull as pulling
from enrichment_pipeline.ingest.pull import query_api
from enrichment_pipeline.ingest.pull.errors import (
    PullError,
    PullRefusedError,
    PullThrottledError,
)
from enrichment_pipeline.ingest.pull.pull import PullReport, pull, windows_due
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline.store.ingest.pulled import claimed, pull_differences
from enrichment_pipeline_tests.conftest import HOUR, make_event
from enrichment_pipeline_tests.ingest.posthog_stand_in import (
    CUT_OFF,
    KEY,
    PROJECT_ID,
    Answer,
    StandIn,
    refused,
    stand_in,
    throttled,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def posthog() -> Iterator[StandIn]:
    """PostHog, with no events yet."""
    with stand_in() as server:
        yield server


@pytest.fixture
def pulling_settings(settings: Settings, posthog: StandIn) -> Settings:
    """Settings that name the stand-in."""
    return settings_for(settings, posthog)


@pytest.fixture(autouse=True)
def small_pages_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_api, "PAGE_EVENTS", 4)
    monkeypatch.setattr(query_api, "FEWEST_EVENTS", 1)
    monkeypatch.setattr(query_api, "FIRST_WAIT", 0.01)


def settings_for(settings: Settings, posthog: StandIn, **others: object) -> Settings:
    named = {
        "posthog_url": posthog.url,
        "posthog_project_id": PROJECT_ID,
        "posthog_api_key": KEY,
        "database_url": settings.database_url,
    }
    return Settings.model_validate({**named, **others})


def events(count: int, at: datetime = NOON) -> list[bytes]:
    return [make_event(at=at + timedelta(seconds=number)) for number in range(count)]


def uuids(store: Store) -> list[str]:
    with store.transaction() as connection:
        rows = connection.execute(text("SELECT uuid FROM raw_event ORDER BY occurred_at, uuid"))
        return [str(row.uuid) for row in rows]


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


def counts(report: PullReport) -> tuple[int, int]:
    return report.summary.accepted, report.summary.duplicates


def test_all_events_of_the_window_come_in_page_by_page_and_none_of_its_neighbours(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(10), *events(3, NOON - timedelta(seconds=3)), *events(3, NOON + HOUR))
    report = pull(store, pulling_settings, [NOON])
    assert counts(report) == (10, 0)
    assert [asked.limit for asked in posthog.asked] == [4, 4, 4, 4], "until a page is empty"
    assert [asked.is_behind for asked in posthog.asked] == [False, True, True, True]
    assert posthog.counts == [NOON]
    assert report.windows[NOON].accepted == 10
    assert rows(store, "SELECT DISTINCT source, window_start FROM raw_batch") == [
        ("query_api", NOON)
    ]


def test_an_event_arrives_as_an_export_would_have_it(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    at = NOON + timedelta(microseconds=123_456)
    properties = {"amount": 1.5, "$session_id": "s"}
    chain = 'button:text="Buy"'
    payload = make_event("$autocapture", at, properties=properties, elements_chain=chain)
    posthog.add(payload)
    pull(store, pulling_settings, [NOON])
    [row] = rows(store, "SELECT project, occurred_at, session_id, payload FROM raw_event")
    assert (row.project, row.occurred_at, row.session_id) == ("default", at, "s")
    assert json.loads(decompress(row.payload)) == json.loads(payload)
    # From PostHog's cache the open window would look the same each time.
    assert {body["refresh"] for body in posthog.bodies} == {"force_blocking"}


def test_the_properties_stay_as_they_were_written(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    written = '{"price": 1.10, "big": 1234567890123456789012345678901234567890, "small": 1E-7}'
    posthog.add(make_event(at=NOON, properties=written))
    pull(store, pulling_settings, [NOON])
    [row] = rows(store, "SELECT payload FROM raw_event")
    assert written.encode() in decompress(row.payload)


def test_an_event_that_was_sent_imported_and_pulled_is_one_though_its_times_differ(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    shared = "5f0d7a3e-1c52-4a0e-9f0c-6a0d6c1e2b3f"
    sent = [
        make_event(name, NOON, uuid=shared, distinct_id=person)
        for name, person in (("a", "ann"), ("b", "ann"), ("a", "$posthog_cookieless"))
    ]
    stored = [
        make_event(name, NOON + timedelta(milliseconds=7), uuid=shared, distinct_id=person)
        for name, person in (("a", "ann"), ("b", "ann"), ("a", "cookieless_k3J9"))
    ]
    live = Arrival(NOON + HOUR, NOON + timedelta(minutes=5))
    accept(store, [Submission(Origin("api"), "default", sent, live)])
    load_chunk(store, [FileRecord(payload, 1) for payload in reversed(stored)], "default")
    posthog.add(*events(3), *stored, *events(2, NOON + timedelta(seconds=1)))
    pull(store, pulling_settings, [NOON])
    names = rows(store, "SELECT event, count(*) FROM raw_event GROUP BY 1 ORDER BY 1")
    assert names == [("$pageview", 5), ("a", 2), ("b", 1)]


def test_broken_characters_cost_neither_their_event_nor_its_page(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(
        make_event("cut \ud83d", at=NOON, properties='{"title": "cut \\ud83d", "price": 1.10}'),
        *events(2, NOON + timedelta(seconds=1)),
    )
    assert counts(pull(store, pulling_settings, [NOON])) == (3, 0)
    found = rows(store, "SELECT event, title FROM raw_event ORDER BY occurred_at LIMIT 1")
    assert found == [("cut \ufffd", "cut \ufffd")]


def test_events_of_the_same_moment_are_all_taken_though_pages_end_among_them(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*(make_event(at=NOON) for _ in range(11)))
    assert counts(pull(store, pulling_settings, [NOON])) == (11, 0)


def test_a_window_whose_events_end_with_a_page_is_read_to_its_end(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(8))
    assert counts(pull(store, pulling_settings, [NOON])) == (8, 0)
    assert rows(store, "SELECT count(*) FROM pull_position WHERE finished_at IS NOT NULL") == [(1,)]


@pytest.mark.parametrize("clamp", [1, 3])
def test_a_server_that_gives_less_than_it_is_asked_for_loses_nothing(
    store: Store, pulling_settings: Settings, posthog: StandIn, clamp: int
) -> None:
    posthog.clamp = clamp
    posthog.add(*events(10))
    report = pull(store, pulling_settings, [NOON])
    assert counts(report) == (10, 0)
    assert report.differences == {}


def test_a_window_that_posthog_counts_otherwise_is_reported_until_it_agrees(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(6), *events(2, NOON + HOUR))
    posthog.unseen.extend(json.loads(event) for event in events(3))
    report = pull(store, pulling_settings, [NOON, NOON + HOUR])
    assert report.differences == {NOON: (6, 9)}
    assert report.difference_lines() == [
        "2026-03-01 12:00: PostHog counts 9 events, 6 could be read"
    ]
    with store.transaction() as connection:
        [difference] = pull_differences(connection)
    assert difference[:3] == (NOON, 6, 9)
    assert pull(store, pulling_settings, [NOON]).windows == {}, "it is complete all the same"
    posthog.unseen.clear()
    again = pull(store, pulling_settings, [NOON], again_before=datetime.now(UTC))
    assert again.differences == {}
    with store.transaction() as connection:
        assert pull_differences(connection) == []


def test_an_event_that_comes_between_reading_and_counting_is_read_and_no_difference(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2))

    def arrive() -> None:
        if len(posthog.bodies) == 3:
            posthog.add(make_event(at=NOON))

    posthog.on_query = arrive
    report = pull(store, pulling_settings, [NOON])
    assert report.differences == {}
    assert counts(report) == (3, 2)


def test_events_of_a_window_that_was_read_in_pieces_are_counted_over_all_of_them(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(10))
    posthog.script.extend([None, None, refused(403, "no")])
    with pytest.raises(PullRefusedError):
        pull(store, pulling_settings, [NOON])
    posthog.script.extend([None, None, refused(403, "no")])
    with pytest.raises(PullRefusedError):
        pull(store, pulling_settings, [NOON])
    assert posthog.counts == [], "what refuses was the count"
    assert pull(store, pulling_settings, [NOON]).differences == {}
    assert rows(store, "SELECT events_read, events_counted FROM pull_position") == [(10, 10)]


def test_a_window_that_may_get_more_is_not_counted(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2, window_start(datetime.now(UTC), HOUR)))
    pull(store, pulling_settings, [window_start(datetime.now(UTC), HOUR)])
    assert posthog.counts == []


def test_a_server_that_gives_the_same_page_again_is_reported_and_not_asked_for_ever(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2))
    page = posthog.page_of(NOON)
    posthog.script.extend([page] * 20)
    with pytest.raises(PullError, match="not behind"):
        pull(store, pulling_settings, [NOON])
    assert len(posthog.bodies) == 2


def test_pulling_again_adds_what_came_late_and_nothing_twice(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(6))
    pull(store, pulling_settings, [NOON])
    posthog.add(make_event(at=NOON + timedelta(seconds=2, milliseconds=500)))
    again = pull(store, pulling_settings, [NOON], again_before=datetime.now(UTC))
    assert counts(again) == (1, 6)
    assert len(set(uuids(store))) == len(uuids(store)) == 7


@pytest.mark.slow
def test_a_complete_window_is_passed_over_unless_it_is_asked_for_again(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    began = datetime.now(UTC)
    posthog.add(*events(2))
    pull(store, pulling_settings, [NOON])
    asked = len(posthog.asked)
    assert pull(store, pulling_settings, [NOON]).windows == {}
    # As when Dagster tries a run again that had finished this window.
    assert pull(store, pulling_settings, [NOON], again_before=began).windows == {}
    assert len(posthog.asked) == asked


def test_a_window_that_is_hardly_over_is_not_read_again_before_posthog_has_had_its_time(
    store: Store, pulling_settings: Settings, posthog: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "LATE", datetime.now(UTC) - NOON)
    posthog.add(*events(2))
    pull(store, pulling_settings, [NOON])
    assert pull(store, pulling_settings, [NOON]).windows == {}
    assert due(store, pulling_settings, NOON + 2.5 * HOUR) == [0, 1, 2], "it has its turn to come"


def test_a_pull_that_died_goes_on_at_its_page(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(10))
    posthog.script.extend([None, None, refused(403, "no")])
    report = PullReport()
    with pytest.raises(PullRefusedError):
        pull(store, pulling_settings, [NOON], report=report)
    assert counts(report) == (8, 0), "what came before the failure is in the store"
    assert report.windows == {}
    assert counts(pull(store, pulling_settings, [NOON])) == (2, 0)
    assert posthog.asked[-2].start == NOON + timedelta(seconds=7)


@pytest.mark.slow
def test_an_open_window_goes_on_where_it_was_and_is_read_once_more_when_it_is_over(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    now = datetime.now(UTC)
    window = window_start(now, HOUR)
    # A whole page of them, so that the last one that is asked for is empty.
    posthog.add(*events(4, window))
    assert counts(pull(store, pulling_settings, [window])) == (4, 0)
    posthog.add(make_event(at=window + timedelta(seconds=10)))
    assert counts(pull(store, pulling_settings, [window])) == (1, 0)
    assert posthog.asked[-1].is_behind
    # One reaches PostHog late, with a time that is behind us.
    posthog.add(make_event(at=window + timedelta(seconds=1, milliseconds=5)))
    grow_older(store, posthog, 2 * HOUR)
    over = window - 2 * HOUR
    assert counts(pull(store, pulling_settings, [over])) == (0, 0), "goes on where it was"
    assert counts(pull(store, pulling_settings, [over])) == (1, 5), "is read from its start"
    assert pull(store, pulling_settings, [over]).windows == {}, "is complete"


def grow_older(store: Store, posthog: StandIn, age: timedelta) -> None:
    """Let everything have happened so much earlier."""
    with store.transaction() as connection:
        connection.execute(
            text(
                "UPDATE pull_position SET window_start = window_start - :age, "
                "began_at = began_at - :age, finished_at = finished_at - :age, "
                "after_timestamp = after_timestamp - :age"
            ),
            {"age": age},
        )
    for event in posthog.events:
        event["timestamp"] = (datetime.fromisoformat(event["timestamp"]) - age).isoformat()


@pytest.mark.slow
def test_the_seconds_that_posthog_asks_for_are_waited(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2))
    posthog.script.append(throttled(1))
    assert counts(pull(store, pulling_settings, [NOON])) == (2, 0)
    first, second, _ = posthog.asked
    assert second.at - first.at >= 1.0
    assert second.limit == first.limit, "asking for less spares no query"


@pytest.mark.slow
def test_the_time_that_posthog_names_is_waited_for(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2))
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    posthog.script.append(throttled(format_datetime(later, usegmt=True)))
    assert counts(pull(store, pulling_settings, [NOON])) == (2, 0)
    assert datetime.now(UTC) >= later
    assert len(posthog.asked) == 3


def test_a_wait_that_is_too_long_ends_the_pull_and_the_next_goes_on(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(6))
    posthog.script.extend([None, throttled(3_000)])
    with pytest.raises(PullThrottledError, match="for 3000 s"):
        pull(store, pulling_settings, [NOON])
    assert len(posthog.asked) == 2
    assert counts(pull(store, pulling_settings, [NOON])) == (2, 0)


@pytest.mark.parametrize(
    "trouble",
    [
        CUT_OFF,
        refused(500, "A server error occurred."),
        refused(504, "Query has hit the max execution time before completing."),
        Answer(502, b"<html>Bad gateway</html>"),
        Answer(200, b'{"results": [["0195'),
        Answer(200, {"results": [["only", "two"]]}),
        Answer(202, {"query_status": {"complete": False}}),
        throttled(None),
    ],
)
@pytest.mark.slow
def test_what_passes_by_itself_is_tried_again_and_nothing_is_lost_or_taken_twice(
    store: Store, pulling_settings: Settings, posthog: StandIn, trouble: Answer
) -> None:
    posthog.add(*events(10))
    posthog.script.extend([None, trouble, trouble])
    assert counts(pull(store, pulling_settings, [NOON])) == (10, 0)
    assert uuids(store) == [event["uuid"] for event in posthog.events]


def test_pages_that_are_too_much_for_posthog_are_made_smaller(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(3))
    posthog.script.extend([refused(504, "memory"), CUT_OFF])
    pull(store, pulling_settings, [NOON])
    assert [asked.limit for asked in posthog.asked] == [4, 2, 1, 1, 1, 1]


def test_pages_that_are_too_much_for_us_are_made_smaller(
    store: Store, pulling_settings: Settings, posthog: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_api, "MOST_BYTES", 2_000)
    posthog.add(*(make_event(at=NOON, properties={"long": "x" * 1_000}) for _ in range(4)))
    assert counts(pull(store, pulling_settings, [NOON])) == (4, 0)
    assert [asked.limit for asked in posthog.asked][:3] == [4, 2, 1]


def test_what_does_not_pass_ends_the_pull_after_some_tries_in_one_line(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.script.extend([refused(503, "Queries are a little too busy right now.")] * 20)
    with pytest.raises(PullError, match="too busy right now") as raised:
        pull(store, pulling_settings, [NOON])
    assert not isinstance(raised.value, PullRefusedError)
    assert len(posthog.asked) == query_api.TRIES
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_window_that_is_never_answered_for_does_not_keep_the_later_ones_from_coming_in(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2), *events(5, NOON + HOUR), *events(2, NOON + 2 * HOUR))
    posthog.script.extend([refused(504, "too much")] * query_api.TRIES)
    report = PullReport()
    with pytest.raises(PullError, match="too much"):
        pull(store, pulling_settings, [NOON, NOON + HOUR, NOON + 2 * HOUR], report=report)
    assert {window: one.accepted for window, one in report.windows.items()} == {
        NOON + HOUR: 5,
        NOON + 2 * HOUR: 2,
    }
    assert posthog.asked[query_api.TRIES].limit == query_api.PAGE_EVENTS
    assert due(store, pulling_settings, NOON + 3.5 * HOUR)[0] <= 0, "it has its turn again"


@pytest.mark.parametrize("answer", [throttled(None), refused(403, "no"), throttled(3_000)])
def test_where_there_is_no_way_in_the_other_windows_are_not_asked_for(
    store: Store, pulling_settings: Settings, posthog: StandIn, answer: Answer
) -> None:
    posthog.script.extend([answer] * query_api.TRIES)
    with pytest.raises(PullError):
        pull(store, pulling_settings, [NOON, NOON + HOUR])
    assert {asked.start for asked in posthog.asked} == {NOON}


def test_a_posthog_that_is_not_there_ends_the_pull(
    store: Store, pulling_settings: Settings
) -> None:
    nowhere = pulling_settings.model_copy(update={"posthog_url": "http://127.0.0.1:1"})
    with pytest.raises(PullError, match="no connection") as raised:
        pull(store, nowhere, [NOON])
    assert not isinstance(raised.value, PullRefusedError)


@pytest.mark.parametrize(
    ("answer", "setting"),
    [
        (refused(401, "Invalid personal API key."), "ENRICHMENT_POSTHOG_API_KEY"),
        (refused(403, "API key missing required scope 'query:read'"), "ENRICHMENT_POSTHOG_API_KEY"),
        (refused(404, "Project not found."), "ENRICHMENT_POSTHOG_PROJECT_ID"),
        (refused(400, "Unable to parse the query."), "ENRICHMENT_POSTHOG_URL"),
        (Answer(301, b"", {"Location": "https://eu.posthog.com"}), "ENRICHMENT_POSTHOG_URL"),
    ],
)
def test_what_a_person_has_to_put_right_is_reported_at_once_with_its_setting(
    store: Store, pulling_settings: Settings, posthog: StandIn, answer: Answer, setting: str
) -> None:
    posthog.script.append(answer)
    with pytest.raises(PullRefusedError, match=setting) as raised:
        pull(store, pulling_settings, [NOON])
    assert len(posthog.asked) == 1
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)


def test_the_key_is_sent_and_another_one_is_refused(
    store: Store, settings: Settings, posthog: StandIn
) -> None:
    with pytest.raises(PullRefusedError, match="Invalid personal API key"):
        pull(store, settings_for(settings, posthog, posthog_api_key="phx_other"), [NOON])


def test_an_event_that_cannot_be_taken_costs_that_event(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2), make_event(at=NOON, event=""), make_event(at=NOON, properties=[1]))
    report = pull(store, pulling_settings, [NOON])
    assert report.summary.accepted == 2
    assert report.summary.quarantined == {"missing_event_name": 1, "invalid_properties": 1}


def test_a_window_that_another_pull_is_at_work_on_is_left_to_it(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2))
    name = f"{query_api.project_url(pulling_settings)} {NOON.isoformat()}"
    with claimed(store, name) as ours:
        assert ours
        report = pull(store, pulling_settings, [NOON])
    assert (report.busy, report.windows, posthog.asked) == ([NOON], {}, [])
    assert counts(pull(store, pulling_settings, [NOON])) == (2, 0), "the claim ended"


def test_a_folder_that_cannot_be_had_does_not_keep_the_query_api_from_being_pulled(
    store: Store, settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(2))
    report = PullReport()
    with pytest.raises(PullRefusedError, match="ENRICHMENT_PULL_FOLDER=missing"):
        pull(store, settings_for(settings, posthog, pull_folder="missing"), [NOON], report=report)
    assert counts(report) == (2, 0)


def test_without_a_source_or_with_a_bad_project_the_pull_says_what_to_set(
    store: Store, settings: Settings, posthog: StandIn
) -> None:
    with pytest.raises(PullRefusedError, match="ENRICHMENT_PULL_FOLDER"):
        pull(store, settings, [NOON])
    with pytest.raises(PullRefusedError, match="ENRICHMENT_PULL_PROJECT='a b'"):
        pull(store, settings_for(settings, posthog, pull_project="a b"), [NOON])


def due(store: Store, settings: Settings, now: datetime) -> list[int]:
    """The due windows, in hours after noon."""
    return [(window - NOON) // HOUR for window in windows_due(store, settings, now)]


def test_the_window_that_is_open_and_the_one_before_are_due_from_the_beginning(
    store: Store, pulling_settings: Settings
) -> None:
    assert due(store, pulling_settings, NOON + 1.5 * HOUR) == [0, 1]


def test_after_a_silence_every_window_since_the_last_complete_one_is_due_the_oldest_first(
    store: Store, pulling_settings: Settings
) -> None:
    pull(store, pulling_settings, [NOON])
    assert due(store, pulling_settings, NOON + 5.5 * HOUR) == [0, 1, 2, 3, 4, 5]
    assert due(store, pulling_settings, NOON + 300 * HOUR) == list(range(pulling.MOST_DUE))


def test_a_window_that_was_begun_and_not_finished_stays_due_though_later_ones_are_complete(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(6))
    posthog.script.extend([None, refused(403, "no")])
    with pytest.raises(PullRefusedError):
        pull(store, pulling_settings, [NOON])
    pull(store, pulling_settings, [NOON + HOUR])
    assert due(store, pulling_settings, NOON + 3.5 * HOUR) == [0, 1, 2, 3]


def test_a_window_that_is_too_old_to_be_due_keeps_no_other_waiting(
    store: Store, pulling_settings: Settings, posthog: StandIn
) -> None:
    posthog.add(*events(6))
    posthog.script.extend([None, refused(403, "no")])
    with pytest.raises(PullRefusedError):
        pull(store, pulling_settings, [NOON])
    later = NOON + pulling.MOST_DUE * HOUR
    pull(store, pulling_settings, [later])
    assert due(store, pulling_settings, later + 0.5 * HOUR)[0] == 0
    assert due(store, pulling_settings, later + 1.5 * HOUR)[0] == pulling.MOST_DUE


def test_what_is_due_of_one_project_is_not_of_another(
    store: Store, pulling_settings: Settings
) -> None:
    pull(store, pulling_settings, [NOON])
    other = pulling_settings.model_copy(update={"posthog_project_id": 6})
    assert due(store, other, NOON + 5.5 * HOUR) == [4, 5]
