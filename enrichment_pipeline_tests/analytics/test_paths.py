"""Paths, compared with the same answer without SQL."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.analytics.asking import PREVIOUS, Asked
from enrichment_pipeline.analytics.paths import MOST_ACTS, paths
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.analytics.paths import DIRECTIONS, Direction
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
    STEPS,
    Act,
    Wanted,
    person_of,
    sessions_of,
)
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit


def paths_by_hand(
    acts: Sequence[Act], step: Wanted, direction: Direction, depth: int, window: timedelta | None
) -> tuple[int, Counter[str]]:
    """How many take the step, and how many do each sequence right after or before it."""
    if window is None:
        groups = sessions_of(acts)
    else:
        groups = defaultdict(list)
        for act in sorted(acts):
            groups[person_of(act)].append(act)
    many, found = 0, Counter[str]()
    for theirs in groups.values():
        place = next((n for n, act in enumerate(theirs) if step.fits(act)), None)
        if place is None:
            continue
        many += 1
        near = theirs[place + 1 :] if direction == "after" else theirs[:place][::-1]
        in_time = [
            act for act in near if window is None or abs(act.at - theirs[place].at) <= window
        ]
        found.update(_written(theirs[place], in_time, direction, depth))
    return many, found


def _written(start: Act, near: Sequence[Act], direction: Direction, depth: int) -> Iterator[str]:
    did, last = [], start.sentence
    for act in near:
        if act.event != "$pageleave":
            if act.sentence != last:
                did.append(act.sentence)
            last = act.sentence
    if len(did) < depth:
        did.append("nothing more" if direction == "after" else "nothing before")
    for length in range(1, min(len(did), depth) + 1):
        yield " > ".join(did[:length] if direction == "after" else did[:length][::-1])


@AGAIN
@given(
    acts=ACTS,
    step=st.sampled_from(STEPS),
    direction=st.sampled_from(DIRECTIONS),
    depth=st.integers(1, 4),
    hours=st.sampled_from((None, 1, 3)),
)
def test_paths_are_those_of_reading_every_session(
    store: Store,
    rules: Rules,
    acts: list[Act],
    step: Wanted,
    direction: Direction,
    depth: int,
    hours: int | None,
) -> None:
    keep(store, rules, [*acts, *every_name()])
    window = timedelta(hours=hours) if hours else None
    many, expected = paths_by_hand(acts, step, direction, depth, window)
    answer = asked(
        store,
        paths,
        ALL,
        step.written,
        direction=direction,
        depth=depth,
        window=window,
        limit=1_000,
    )
    if not many:
        assert answer.summary.startswith("nothing found from 2026-03-02 12:00")
        return
    who = "people" if hours else "sessions"
    assert answer.summary.startswith(f"{many} ")
    found = cells(answer, direction, who, "of_all_%")
    assert {name: number for name, number, _ in found} == dict(expected)
    assert [number for _, number, _ in found] == sorted(expected.values(), reverse=True)
    assert all(share == round(100 * number / many, 1) for _, number, share in found)
    for number, named in cells(answer, who, "newest_sessions"):
        assert len(named) == min(number, 3)


def test_the_most_common_come_first_with_their_newest_sessions(store: Store, rules: Rules) -> None:
    for number in range(5):
        then = ("/y", "/y", "/z") if number < 4 else ("/c", "/d")
        at = NOON + timedelta(minutes=number)
        take_in(store, rules, visit(f"v{number}", at, "/a", *then, person=f"u{number}"))
    build_day(store, NOON.date(), is_whole=True)
    answer = asked(store, paths, ALL, "/a", limit=4)
    assert [list(row) for row in answer.rows] == [
        ["Viewed /y", 4, 80.0, ["s4", "s3", "s2"]],
        ["Viewed /y > Viewed /z", 4, 80.0, ["s4", "s3", "s2"]],
        ["Viewed /y > Viewed /z > nothing more", 4, 80.0, ["s4", "s3", "s2"]],
        ["Viewed /c", 1, 20.0, ["s5"]],
    ]
    back = asked(store, paths, ALL, "/d", direction="before", limit=9)
    assert cells(back, "before", "newest_sessions") == [
        ("Viewed /c", ["s5"]),
        ("Viewed /a > Viewed /c", ["s5"]),
        ("nothing before > Viewed /a > Viewed /c", ["s5"]),
    ]


def test_every_act_that_is_shown_can_be_a_step(store: Store, rules: Rules) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    take_in(store, rules, visit("one", NOON, "/", f"/p/{token}", "/u/jane%40corp.example/x"))
    for number, name in enumerate(("order_placed", "Chat with jane@corp.example")):
        at = NOON + timedelta(minutes=number + 1)
        named = {"$session_id": "one", "$pathname": "/p", "sku": f"A{number}"}
        take_in(store, rules, [make_event(name, at, properties=named)])
    answer = asked(store, paths, ALL, "/", depth=1)
    assert [row[0] for row in answer.rows] == ["Viewed /p/(token)"]
    shown = []
    for _ in range(4):
        [[did, *_]] = answer.rows
        shown.append(did)
        answer = asked(store, paths, ALL, f"did={did}", depth=1)
        assert answer.summary.startswith("1 session took the step did="), did
    assert answer.rows[0][0] == "nothing more"
    assert len(set(shown)) == 4
    assert "jane" not in str(shown)
    assert token not in str(shown)


def test_what_is_no_path_is_refused_in_one_line(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/checkout"))
    assert refused(store, paths, ALL, "/chekout") == (
        'no page is shown as "/chekout"; there is /checkout'
    )
    assert "a signal is no step of a path" in refused(store, paths, ALL, "signal=error")
    assert "1 to 6 acts" in refused(store, paths, ALL, "/checkout", depth=MOST_ACTS + 1)
    assert "of one time" in refused(store, paths, ALL._replace(compare_to=PREVIOUS), "/checkout")


@pytest.mark.parametrize("is_filled", [False, True])
def test_where_nobody_took_the_step_the_time_is_said(
    store: Store, rules: Rules, *, is_filled: bool
) -> None:
    if is_filled:
        take_in(store, rules, visit("one", NOON, "/a"))
        asked_for = ALL._replace(start=NOON + timedelta(hours=2))
        assert asked(store, paths, asked_for, "/a").summary.startswith("nothing found from")
    else:
        assert "no page is shown as" in refused(store, paths, Asked(), "/a")
