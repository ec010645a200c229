"""What is wrong, and what is not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.alerts.conditions import (
    DAY,
    MOST_ALONE,
    MOST_LISTED,
    Condition,
    Kind,
    Limits,
    Situation,
    conditions,
    limits,
)
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.ingest.pulled import PullDifference
from enrichment_pipeline.store.monitoring.alerts import Alert, LetterGroup, QueueWait
from enrichment_pipeline_tests.conftest import HOUR

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIMITS = Limits(silence=30 * MINUTE, queue=15 * MINUTE, sensor=10 * MINUTE)
FINE = Situation(
    now=NOON,
    letters=(),
    waiting=QueueWait(0, 0, None),
    live_event=NOON,
    sensor_tick=NOON,
    watched_since=NOON - DAY,
)


def group(hour: int, reason: str = "invalid_json", **other: object) -> LetterGroup:
    window = NOON + hour * HOUR
    return LetterGroup("event", reason, window, 1, 1, window, 0, None)._replace(**other)


def notified(found: Sequence[Condition]) -> dict[str, Alert]:
    return {
        condition.key: Alert(
            condition.key, condition.kind, condition.facts, condition.since, NOON, condition.count
        )
        for condition in found
    }


def keys(
    letters: Sequence[LetterGroup], known: Mapping[str, Alert]
) -> tuple[list[str], dict[str, Alert]]:
    found = conditions(replace(FINE, letters=letters), LIMITS, known)
    return [condition.key.partition("/")[2] for condition in found], notified(found)


def test_where_nothing_is_wrong_nothing_is() -> None:
    assert conditions(FINE, LIMITS, {}) == []


def test_letters_of_one_reason_and_window_are_one_thing() -> None:
    [found] = conditions(replace(FINE, letters=[group(0, letters=5, events=5)]), LIMITS, {})
    assert (found.key, found.kind, found.count, found.since) == (
        "dead_letters/invalid_json/2026-03-01T12:00",
        Kind.DEAD_LETTERS,
        5,
        NOON,
    )


def test_each_reason_has_its_own_alert() -> None:
    letters = [group(0), group(0, "too_large")]
    assert keys(letters, {})[0] == ["invalid_json/2026-03-01T12:00", "too_large/2026-03-01T12:00"]


def test_windows_that_come_together_share_one_alert() -> None:
    letters = [group(number, letters=1000, events=1000) for number in range(1000)]
    [found] = conditions(replace(FINE, letters=letters), LIMITS, {})
    assert (found.key, found.count) == ("dead_letters/invalid_json/several", 1_000_000)
    assert found.facts["windows"] == 1000
    assert (found.facts["first_window"], found.facts["last_window"]) == (
        "2026-03-01T12:00",
        "2026-04-12T03:00",
    )
    assert len(found.facts["window_starts"]) == MOST_LISTED


def test_windows_that_come_one_by_one_have_their_own_up_to_a_number_then_they_share() -> None:
    known: dict[str, Alert] = {}
    for number in range(1, 8):
        found, known = keys([group(hour) for hour in range(number)], known)
        assert len(found) == min(number, MOST_ALONE + 1)
    assert found[-1] == "invalid_json/several"


def test_a_window_that_comes_after_those_that_share_has_its_own() -> None:
    found, known = keys([group(0), group(1)], {})
    assert found == ["invalid_json/several"]
    found, known = keys([group(0), group(1), group(2)], known)
    assert found == ["invalid_json/2026-03-01T14:00", "invalid_json/several"]
    # That it is still there changes nothing, nor that one of the others is gone.
    assert keys([group(0), group(1), group(2)], known)[0] == found
    assert keys([group(1), group(2)], known)[0] == found
    assert keys([group(2)], known)[0] == found[:1]


@given(st.lists(st.sets(st.integers(0, 9)), max_size=20))
@pytest.mark.slow
def test_a_window_is_always_in_exactly_one_alert_and_stays_in_the_alert_that_was_sent(
    evaluations: list[set[int]],
) -> None:
    known: dict[str, Alert] = {}
    for hours in evaluations:
        letters = [group(hour) for hour in sorted(hours)]
        found = conditions(replace(FINE, letters=letters), LIMITS, known)
        windows = [window for condition in found for window in condition.facts["window_starts"]]
        assert sorted(windows) == [f"{NOON + hour * HOUR:%Y-%m-%dT%H:%M}" for hour in sorted(hours)]
        assert len(found) <= MOST_ALONE + 1
        places = {
            window: condition.key
            for condition in found
            for window in condition.facts["window_starts"]
        }
        for alert in known.values():
            for window in alert.facts["window_starts"]:
                assert places.get(window, alert.key) == alert.key
        known = notified(found)


def test_a_dead_batch_makes_a_failed_window_and_no_other_alert() -> None:
    letters = [group(0, "enrichment_failed", kind="batch", letters=2, events=70)]
    [found] = conditions(replace(FINE, letters=letters), LIMITS, {})
    assert (found.key, found.kind, found.count) == (
        "failed_window/2026-03-01T12:00",
        Kind.FAILED_WINDOW,
        1,
    )
    assert (found.facts["batches"], found.facts["events"]) == (2, 70)


def test_failed_windows_that_come_together_share_one_alert_whatever_their_reasons() -> None:
    letters = [
        group(0, "a", kind="batch"),
        group(1, "a", kind="batch"),
        group(1, "b", kind="batch"),
    ]
    [found] = conditions(replace(FINE, letters=letters), LIMITS, {})
    assert (found.key, found.count) == ("failed_window/several", 2)
    assert found.facts["reasons"] == ["a", "b"]


def test_exhausted_letters_are_alerted_by_reason_beside_those_that_are_open() -> None:
    exhausted = NOON - MINUTE
    letters = [group(hour, letters=5, exhausted=2, exhausted_since=exhausted) for hour in (0, 1)]
    found = conditions(replace(FINE, letters=letters), LIMITS, {})
    assert [(condition.kind, condition.count) for condition in found] == [
        (Kind.DEAD_LETTERS, 10),
        (Kind.REPLAYS_EXHAUSTED, 4),
    ]
    assert found[1].since == exhausted


SILENT = replace(FINE, live_event=NOON - 31 * MINUTE)
STALLED = replace(FINE, waiting=QueueWait(2, 50, NOON - 16 * MINUTE))
STOPPED = replace(FINE, sensor_tick=NOON - 11 * MINUTE)
STANDING_STILL = [
    (Kind.SILENT_INGEST, SILENT),
    (Kind.STALLED_QUEUE, STALLED),
    (Kind.SENSOR_STOPPED, STOPPED),
]


@pytest.mark.parametrize(("kind", "situation"), STANDING_STILL)
def test_what_stands_still_for_longer_than_its_limit_is_wrong(
    kind: Kind, situation: Situation
) -> None:
    [found] = conditions(situation, LIMITS, {})
    assert (found.kind, found.key) == (kind, str(kind))
    earlier = replace(situation, now=situation.now - 2 * MINUTE)
    assert conditions(earlier, LIMITS, {}) == []


@pytest.mark.parametrize(("kind", "situation"), STANDING_STILL)
def test_what_stood_still_while_nobody_watched_has_its_time_again(
    kind: Kind, situation: Situation
) -> None:
    begun = replace(situation, watched_since=NOON - MINUTE)
    assert conditions(begun, LIMITS, {}) == []
    # What was notified is not over because the watch began anew.
    [found] = conditions(begun, LIMITS, notified(conditions(situation, LIMITS, {})))
    assert found.kind is kind


@pytest.mark.parametrize(("kind", "situation"), STANDING_STILL)
def test_what_moves_again_is_over(kind: Kind, situation: Situation) -> None:
    known = notified(conditions(situation, LIMITS, {}))
    assert conditions(FINE, LIMITS, known) == []


@pytest.mark.parametrize(("kind", "situation"), STANDING_STILL)
def test_what_has_no_limit_is_not_watched(kind: Kind, situation: Situation) -> None:
    assert conditions(situation, Limits(None, None, None), {}) == []


def test_where_there_never_was_an_event_or_a_tick_nothing_is_missing() -> None:
    assert conditions(replace(FINE, live_event=None, sensor_tick=None), LIMITS, {}) == []


def test_silence_where_no_event_came_for_days_is_nothing_new_but_lasts_once_notified() -> None:
    long_ago = replace(SILENT, live_event=NOON - 3 * DAY)
    assert conditions(long_ago, LIMITS, {}) == []
    [found] = conditions(long_ago, LIMITS, notified(conditions(SILENT, LIMITS, {})))
    assert found.since == NOON - 3 * DAY


def test_a_queue_that_moves_slowly_is_not_over_at_every_other_evaluation() -> None:
    known = notified(conditions(STALLED, LIMITS, {}))
    slower = replace(FINE, waiting=QueueWait(1, 9, NOON - 14 * MINUTE))
    assert conditions(slower, LIMITS, {}) == []
    [found] = conditions(slower, LIMITS, known)
    assert found.count == 9
    assert (
        conditions(replace(FINE, waiting=QueueWait(1, 9, NOON - 7 * MINUTE)), LIMITS, known) == []
    )


def test_the_limits_are_those_of_the_settings_and_zero_is_none() -> None:
    assert limits(Settings()) == LIMITS
    off = Settings(alert_silence_minutes=0, alert_queue_minutes=0, alert_sensor_minutes=0)
    assert limits(off) == Limits(None, None, None)


def test_windows_that_differ_from_posthogs_count_are_one_thing_with_each_number() -> None:
    differences = [
        PullDifference(NOON, 7, 10, NOON + HOUR),
        PullDifference(NOON + HOUR, 5, 4, NOON + 2 * HOUR),
    ]
    [found] = conditions(replace(FINE, pull_differences=differences), LIMITS, {})
    assert (found.key, found.count, found.since) == ("pull_difference", 4, NOON + HOUR)
    assert found.facts["differences"] == [
        {"window": "2026-03-01T12:00", "pulled": 7, "posthog": 10},
        {"window": "2026-03-01T13:00", "pulled": 5, "posthog": 4},
    ]
