"""Retention, compared with the same triangle without SQL."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.analytics.asking import PREVIOUS, Asked
from enrichment_pipeline.analytics.retention import EVERIES, Every, retention
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.analytics.asking import (
    AGAIN,
    ALL,
    asked,
    cells,
    every_name,
    keep,
    refused,
)
from enrichment_pipeline_tests.analytics.made_acts import (
    ACTS,
    NOON,
    PEOPLE,
    STEPS,
    Act,
    Wanted,
    person_of,
)
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit

DAY = timedelta(days=1)
MINUTES = {"day": 1_440, "week": 7 * 1_440}
ANYTHING = Wanted("")


def triangle_by_hand(
    acts: Sequence[Act], step: Wanted, back: Wanted, every: Every
) -> dict[int, tuple[int, dict[int, int], int]]:
    """Of each period: people, how many came back so many periods later, how many never did."""
    stepped, backed = defaultdict(set), defaultdict(set)
    for act in acts:
        period = act.minute // MINUTES[every]
        for wanted, found in ((step, stepped), (back, backed)):
            # Without a step, any act of a user.
            if wanted.fits(act) and (wanted != ANYTHING or act.event != "$pageleave"):
                found[person_of(act)].add(period)
    triangle = {}
    for first in {min(periods) for periods in stepped.values()}:
        those = [person for person, periods in stepped.items() if min(periods) == first]
        later = [{at - first for at in backed[person] if at > first} for person in those]
        came_back = {n: sum(n in one for one in later) for n in set().union(*later)}
        triangle[first] = (len(those), came_back, sum(not one for one in later))
    return triangle


@AGAIN
@given(
    acts=ACTS,
    spread=st.lists(st.integers(0, 5), min_size=40, max_size=40),
    step=st.sampled_from((ANYTHING, *STEPS)),
    back=st.sampled_from((None, *STEPS)),
    every=st.sampled_from(EVERIES),
)
def test_the_triangle_is_that_of_a_count_by_hand(
    store: Store,
    rules: Rules,
    acts: list[Act],
    spread: list[int],
    step: Wanted,
    back: Wanted | None,
    every: Every,
) -> None:
    length = timedelta(minutes=MINUTES[every])
    spread_out = [
        act._replace(minute=act.minute + period * MINUTES[every], session=None)
        for act, period in zip(acts, spread, strict=False)
    ]
    keep(store, rules, [*spread_out, *every_name()])
    expected = triangle_by_hand(spread_out, step, back or step, every)
    answer = asked(
        store,
        retention,
        Asked(NOON, NOON + 6 * length),
        step.written or None,
        back=back and back.written,
        every=every,
    )
    if not expected:
        assert answer.summary.startswith("nothing found from 2026-03-02 12:00")
        return
    newest = max(act.minute for act in spread_out) // MINUTES[every]
    start = min(expected)
    assert len(answer.rows) == newest + 1 - start
    for place, row in enumerate(answer.rows, start):
        people, came_back, never = expected.get(place, (0, {}, 0))
        named = dict(zip(answer.columns, row, strict=True))
        assert (named["people"], named["never_back"]) == (people, never)
        for later in range(1, newest + 1 - start):
            wanted = came_back.get(later, 0) if place + later <= newest else None
            assert named[f"{every}_{later}"] == wanted
        # Only the newest period has no event after it.
        not_over = f"{every}_{newest - place}" if place < newest else "people"
        assert named["not_over"] == not_over
        assert len(named["newest_of_never"]) == min(never, 3)
        assert len(named["newest_sessions"]) == min(people - never, 3)


def test_periods_that_are_over_are_said_with_their_shares(store: Store, rules: Rules) -> None:
    for number in range(4):
        at = NOON + timedelta(minutes=number)
        take_in(store, rules, visit(f"first-{number}", at, "/a", person=f"u{number}"))
        if number < 3:
            take_in(store, rules, visit(f"second-{number}", at + DAY, "/a", person=f"u{number}"))
    take_in(store, rules, visit("third", NOON + 2 * DAY, "/b", person="u0"))
    for day in range(3):
        build_day(store, (NOON + day * DAY).date(), is_whole=True)
    answer = asked(store, retention, Asked(), every="day")
    assert [list(row) for row in answer.rows] == [
        ["2026-03-02", 4, 3, 1, "day_2", 1, ["s8", "s7", "s6"], ["s4"]],
        ["2026-03-03", 0, 0, None, "day_1", 0, [], []],
        ["2026-03-04", 0, None, None, "people", 0, [], []],
    ]
    assert "day_1: 75.0 % (3 of 4)" in answer.summary
    assert "day_2" not in answer.summary
    assert "the day from 2026-03-04 is not over: not_over names its numbers" in answer.summary
    later = asked(store, retention, Asked(), "/a", back="/b", every="day")
    assert cells(later, "day_1", "day_2", "never_back")[0] == (0, 1, 3)
    weeks = asked(store, retention, Asked())
    assert [row[:2] for row in weeks.rows] == [["2026-03-02", 4]]
    assert "(none is over yet)" in weeks.summary


def test_joined_people_come_back_as_one(store: Store, rules: Rules) -> None:
    acts = [
        Act(day * 1_440, "$pageview", "/cart", None, person, None)
        for day, person in enumerate(PEOPLE[1:])
    ]
    keep(store, rules, acts)
    answer = asked(store, retention, Asked(NOON, NOON + 2 * DAY), "/cart", every="day")
    assert cells(answer, "people", "day_1") == [(1, 1), (0, None)]


def test_what_cannot_be_answered_is_refused_in_one_line(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/checkout"))
    assert refused(store, retention, ALL, "/chekout") == (
        'no page is shown as "/chekout"; there is /checkout'
    )
    assert "no page is shown" in refused(store, retention, ALL, back="/chekout")
    assert "no step of retention" in refused(store, retention, ALL, "signal=error")
    assert "of one time" in refused(store, retention, ALL._replace(compare_to=PREVIOUS))
    early = NOON.replace(year=1, month=1, day=2)
    assert "the end is too early" in refused(store, retention, Asked(None, early))
    long = Asked(NOON, NOON + 13 * DAY)
    assert "13 days are too many, at most 12" in refused(store, retention, long, every="day")


def test_an_empty_store_and_an_empty_time_say_what_was_searched(store: Store, rules: Rules) -> None:
    assert "nothing found from" in asked(store, retention, Asked()).summary
    take_in(store, rules, visit("one", NOON, "/a"))
    later = Asked(NOON + 3 * DAY, NOON + 4 * DAY)
    summary = asked(store, retention, later).summary
    assert summary.startswith("nothing found from 2026-03-05 12:00 to 2026-03-06 12:00 UTC")
