"""What is told of what is wrong: once, again when it grows or lasts, and once that it is over."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.alerts.conditions import DAY, Condition, Kind
from enrichment_pipeline.alerts.decisions import (
    GROWTH,
    GROWTH_PAUSE,
    LASTING,
    Stage,
    Telling,
    decide,
)
from enrichment_pipeline.store.monitoring.alerts import ToldAlert

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

# What is wrong at one look: for each thing how bad it is; and how long after the last look.
LOOK = st.tuples(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 40), max_size=3),
    st.sampled_from([timedelta(seconds=15), MINUTE, 6 * MINUTE, LASTING, DAY]),
)


def wrong(key: str, count: int, since: datetime = NOON) -> Condition:
    return Condition(key, Kind.DEAD_LETTERS, count, since, {})


class People:
    """Who is told, and what they know."""

    def __init__(self) -> None:
        self.told: dict[str, ToldAlert] = {}

    def look(self, counts: dict[str, int], now: datetime) -> list[Telling]:
        conditions = [wrong(key, count) for key, count in counts.items()]
        tellings = decide(conditions, self.told, now)
        for stage, condition in tellings:
            if stage is Stage.CLOSED:
                del self.told[condition.key]
            else:
                self.told[condition.key] = ToldAlert(
                    condition.key, condition.kind, {}, condition.since, now, condition.count
                )
        return tellings


@given(st.lists(LOOK, max_size=30))
def test_each_thing_is_told_once_again_only_when_it_grows_or_lasts_and_its_end_once(
    looks: list[tuple[dict[str, int], timedelta]],
) -> None:
    people, now = People(), NOON
    last: dict[str, tuple[int, datetime]] = {}
    for counts, pause in looks:
        now += pause
        tellings = people.look(counts, now)
        by_key = {condition.key: (stage, condition) for stage, condition in tellings}
        assert len(by_key) == len(tellings), "nothing is told twice in one look"
        for key in counts.keys() | last.keys() | by_key.keys():
            stage = by_key[key][0] if key in by_key else None
            if key not in counts:
                assert stage is Stage.CLOSED, "what is over is told at once"
                assert last.pop(key, None), "only of what was told"
                continue
            if key not in last:
                assert stage is Stage.OPENED
            else:
                count, told_at = last[key]
                grew = counts[key] >= GROWTH * count and now - told_at >= GROWTH_PAUSE
                lasts = now - told_at >= (DAY if told_at - NOON >= DAY else LASTING)
                assert stage is (Stage.GREW if grew else Stage.LASTS if lasts else None)
            if stage:
                last[key] = (counts[key], now)


@given(st.integers(1, 10**6), st.integers(2, 200))
def test_what_grows_with_every_look_is_told_as_often_as_it_doubles(start: int, looks: int) -> None:
    people, told = People(), Counter[Stage]()
    for number in range(looks):
        tellings = people.look({"a": start + number * start}, NOON + number * 10 * MINUTE)
        told.update(stage for stage, _ in tellings)
    assert told[Stage.GREW] <= looks.bit_length()


def test_what_grows_within_minutes_is_not_told_at_each_doubling() -> None:
    people = People()
    assert len(people.look({"a": 1}, NOON)) == 1
    assert people.look({"a": 1000}, NOON + GROWTH_PAUSE - MINUTE) == []
    [(stage, condition)] = people.look({"a": 1000}, NOON + GROWTH_PAUSE)
    assert (stage, condition.count) == (Stage.GREW, 1000)


def test_what_lasts_is_told_every_four_hours_and_after_a_day_once_a_day() -> None:
    people = People()
    hours = [hour for hour in range(24 * 4) if people.look({"a": 1}, NOON + timedelta(hours=hour))]
    assert hours == [0, 4, 8, 12, 16, 20, 24, 48, 72]


def test_the_end_says_what_was_told_last() -> None:
    people = People()
    people.look({"a": 3}, NOON)
    people.look({"a": 2}, NOON + MINUTE)
    assert people.look({}, NOON + 2 * MINUTE) == [Telling(Stage.CLOSED, wrong("a", 3))]
    assert people.look({}, NOON + 3 * MINUTE) == []
