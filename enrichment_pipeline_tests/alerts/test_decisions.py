"""What people are notified of: once, again when it grows or lasts, and once that it is over."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.alerts.conditions import DAY, Condition, Kind
from enrichment_pipeline.alerts.decisions import (
    GROWTH,
    GROWTH_PAUSE,
    LASTING,
    Notice,
    Stage,
    decide,
)
from enrichment_pipeline.store.monitoring.alerts import Alert

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

# What is wrong at one evaluation: for each thing how bad it is; and how long after the last.
EVALUATION = st.tuples(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 40), max_size=3),
    st.sampled_from([timedelta(seconds=15), MINUTE, 6 * MINUTE, LASTING, DAY]),
)


def wrong(key: str, count: int, since: datetime = NOON) -> Condition:
    return Condition(key, Kind.DEAD_LETTERS, count, since, {})


class People:
    """Who is notified, and what they know."""

    def __init__(self) -> None:
        self.notified: dict[str, Alert] = {}

    def evaluate(self, counts: dict[str, int], now: datetime) -> list[Notice]:
        conditions = [wrong(key, count) for key, count in counts.items()]
        notices = decide(conditions, self.notified, now)
        for stage, condition in notices:
            if stage is Stage.CLOSED:
                del self.notified[condition.key]
            else:
                self.notified[condition.key] = Alert(
                    condition.key, condition.kind, {}, condition.since, now, condition.count
                )
        return notices


@given(st.lists(EVALUATION, max_size=30))
@pytest.mark.slow
def test_each_thing_is_notified_once_again_only_when_it_grows_or_lasts_and_its_end_once(
    evaluations: list[tuple[dict[str, int], timedelta]],
) -> None:
    people, now = People(), NOON
    last: dict[str, tuple[int, datetime]] = {}
    for counts, pause in evaluations:
        now += pause
        notices = people.evaluate(counts, now)
        by_key = {condition.key: (stage, condition) for stage, condition in notices}
        assert len(by_key) == len(notices), "nothing is sent twice in one evaluation"
        for key in counts.keys() | last.keys() | by_key.keys():
            stage = by_key[key][0] if key in by_key else None
            if key not in counts:
                assert stage is Stage.CLOSED, "the end is sent at once"
                assert last.pop(key, None), "only of what was sent"
                continue
            if key not in last:
                assert stage is Stage.OPENED
            else:
                count, notified_at = last[key]
                grew = counts[key] >= GROWTH * count and now - notified_at >= GROWTH_PAUSE
                lasts = now - notified_at >= (DAY if notified_at - NOON >= DAY else LASTING)
                assert stage is (Stage.GREW if grew else Stage.LASTS if lasts else None)
            if stage:
                last[key] = (counts[key], now)


@given(st.integers(1, 10**6), st.integers(2, 200))
def test_what_grows_with_every_evaluation_is_sent_as_often_as_it_doubles(
    start: int, evaluations: int
) -> None:
    people, stages = People(), Counter[Stage]()
    for number in range(evaluations):
        notices = people.evaluate({"a": start + number * start}, NOON + number * 10 * MINUTE)
        stages.update(stage for stage, _ in notices)
    assert stages[Stage.GREW] <= evaluations.bit_length()


def test_what_grows_within_minutes_is_not_sent_at_each_doubling() -> None:
    people = People()
    assert len(people.evaluate({"a": 1}, NOON)) == 1
    assert people.evaluate({"a": 1000}, NOON + GROWTH_PAUSE - MINUTE) == []
    [(stage, condition)] = people.evaluate({"a": 1000}, NOON + GROWTH_PAUSE)
    assert (stage, condition.count) == (Stage.GREW, 1000)


def test_what_lasts_is_sent_every_four_hours_and_after_a_day_once_a_day() -> None:
    people = People()
    hours = [
        hour for hour in range(24 * 4) if people.evaluate({"a": 1}, NOON + timedelta(hours=hour))
    ]
    assert hours == [0, 4, 8, 12, 16, 20, 24, 48, 72]


def test_the_end_says_what_was_sent_last() -> None:
    people = People()
    people.evaluate({"a": 3}, NOON)
    people.evaluate({"a": 2}, NOON + MINUTE)
    assert people.evaluate({}, NOON + 2 * MINUTE) == [Notice(Stage.CLOSED, wrong("a", 3))]
    assert people.evaluate({}, NOON + 3 * MINUTE) == []
