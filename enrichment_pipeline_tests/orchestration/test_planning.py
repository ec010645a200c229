"""Which runs the sensor launches."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.orchestration.planning import (
    MAX_RANGES,
    MAX_WINDOWS,
    Launch,
    plan,
    rest_after,
)
from enrichment_pipeline.store.queue.claims import DueWindow

HOUR = timedelta(hours=1)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)


def due(*hours: int, attempts: int = 0, waited: timedelta = timedelta(0)) -> list[DueWindow]:
    return [DueWindow(FIRST + hour * HOUR, hour + 1, attempts, waited, 10) for hour in hours]


def launches(
    windows: Sequence[DueWindow],
    under_way: Sequence[int] = (),
    order: Sequence[int] = range(-10, 420),
) -> list[Launch]:
    return plan(
        windows,
        under_way={FIRST + hour * HOUR for hour in under_way},
        places={FIRST + hour * HOUR: place for place, hour in enumerate(order)},
    )


def shape(found: Sequence[Launch]) -> list[tuple[bool, int]]:
    return [(launch.is_sweep, len(launch.windows)) for launch in found]


def test_with_nothing_due_nothing_is_launched() -> None:
    assert launches([]) == []


def test_fifty_windows_side_by_side_are_one_range() -> None:
    assert shape(launches(due(*range(50)))) == [(False, 50)]


def test_fifty_scattered_windows_are_one_sweep() -> None:
    assert shape(launches(due(*range(0, 100, 2)))) == [(True, 50)]


def test_a_single_window_is_a_range_of_one() -> None:
    assert shape(launches(due(7))) == [(False, 1)]


def test_stretches_are_ranges_and_what_lies_between_is_a_sweep() -> None:
    found = launches(due(1, 2, 3, 10, 20, 21, 30, 40))
    assert shape(found) == [(False, 3), (False, 2), (True, 3)]


def test_neighbours_are_those_that_dagster_has_side_by_side() -> None:
    # The window 3 came late, after 4 and 5 were partitions.
    found = launches(due(2, 3, 4, 5), order=[1, 2, 4, 5, 3])
    assert [[(start - FIRST) // HOUR for start in launch.windows] for launch in found] == [
        [2, 4, 5, 3]
    ]
    assert shape(launches(due(3, 4), order=[1, 2, 3, 9, 4])) == [(True, 2)]


def test_what_can_wait_is_launched_apart_and_behind() -> None:
    old = [due(hour)[0]._replace(historical=True) for hour in (1, 2, 3)]
    found = launches([*due(10, 11), *old])
    assert [(launch.windows[0], launch.is_behind) for launch in found] == [
        (FIRST + 10 * HOUR, False),
        (FIRST + 1 * HOUR, True),
    ]


def test_a_window_whose_batch_has_failed_gets_a_run_of_its_own() -> None:
    found = launches([*due(1, 2, 4, 5), *due(3, attempts=1)])
    assert shape(found) == [(False, 2), (False, 2), (False, 1)]
    assert found[-1].windows == (FIRST + 3 * HOUR,)


def test_the_same_situation_has_the_same_run_key_and_a_new_batch_another() -> None:
    [once] = launches(due(7))
    [again] = launches(due(7))
    [more] = launches([due(7)[0]._replace(newest_batch=99)])
    [failed] = launches(due(7, attempts=1))
    assert once.run_key == again.run_key
    assert len({once.run_key, more.run_key, failed.run_key}) == 3


@pytest.mark.slow
def test_work_that_stays_due_is_launched_again_ever_more_rarely_and_never_given_up() -> None:
    keys = [
        launches(due(7, waited=timedelta(minutes=minutes)))[0].run_key for minutes in range(24 * 60)
    ]
    changes = [minute for minute in range(1, len(keys)) if keys[minute] != keys[minute - 1]]
    assert changes[:6] == [1, 3, 7, 15, 31, 63]
    assert all(later - earlier == 60 for earlier, later in pairwise(changes[6:]))
    assert len(set(keys)) == len(changes) + 1


@given(
    st.lists(
        st.tuples(st.integers(-5, 410), st.integers(0, 3), st.booleans()),
        unique_by=lambda window: window[0],
    ),
    st.sets(st.integers(0, 400)),
    st.permutations(range(-10, 420)),
)
@pytest.mark.slow
def test_every_due_window_that_no_run_works_on_is_in_exactly_one_launch(
    windows: list[tuple[int, int, bool]], under_way: set[int], order: list[int]
) -> None:
    situation = [
        found._replace(historical=historical)
        for hour, attempts, historical in windows
        for found in due(hour, attempts=attempts)
    ]
    found = launches(situation, sorted(under_way), order)
    launched = [start for launch in found for start in launch.windows]
    assert len(launched) == len(set(launched))
    assert {(start - FIRST) // HOUR for start in launched} == {
        hour for hour, *_ in windows
    } - under_way
    for launch in found:
        assert len(launch.windows) <= MAX_WINDOWS
        places = [order.index((start - FIRST) // HOUR) for start in launch.windows]
        steps = {later - earlier for earlier, later in pairwise(places)}
        assert launch.is_sweep or steps <= {1}
    ranges = [launch for launch in found if not launch.is_sweep and len(launch.windows) > 1]
    assert len(ranges) <= MAX_RANGES
    assert len({launch.run_key for launch in found}) == len(found)


@pytest.mark.parametrize(("took", "rest"), [(0.5, 0), (5, 0), (7, 6), (60, 30)])
def test_after_a_long_run_the_next_one_waits_and_never_longer_than_a_tick(
    took: float, rest: float
) -> None:
    assert rest_after(took, longest=30) == rest
