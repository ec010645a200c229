"""Comparing sessions, with the same numbers counted without SQL."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.analytics.asking import PREVIOUS, Asked
from enrichment_pipeline.analytics.comparison import compare
from enrichment_pipeline.analytics.steps import parse_step
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.analytics.comparing import FEWEST, find_sides
from enrichment_pipeline.store.analytics.selection import About
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.as_reader import reading
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
    sessions_of,
)
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit

Having = dict[tuple[str, str], tuple[int, int]]


def compared_by_hand(
    acts: Sequence[Act], step: Wanted, against: Wanted | None
) -> tuple[int, int, int, Having]:
    """The sessions of both sides, those of both, and how many of each have what in them."""
    sides: tuple[list[list[Act]], list[list[Act]]] = ([], [])
    both = 0
    for theirs in sessions_of(acts).values():
        is_this = any(map(step.fits, theirs))
        is_other = any(map(against.fits, theirs)) if against else not is_this
        if is_this and is_other:
            both += 1
        elif is_this or is_other:
            sides[not is_this].append(theirs)
    found: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for side, sessions in enumerate(sides):
        for theirs in sessions:
            for what in {what for act in theirs for what in _in(act, [step, against])}:
                found[what][side] += 1
    everyone = sum(map(len, sides))
    kept = {
        what: (these, others)
        for what, (these, others) in found.items()
        if FEWEST <= these + others < everyone
    }
    return len(sides[0]), len(sides[1]), both, kept if all(sides) else {}


def _in(act: Act, chosen_by: Sequence[Wanted | None]) -> set[tuple[str, str]]:
    steps = [step for step in chosen_by if step]
    found = set()
    if act.event != "$pageleave":
        if not any(step.event and Wanted("", event=step.event).fits(act) for step in steps):
            found.add(("event", act.event))
        if not any(step.page and Wanted("", page=step.page).fits(act) for step in steps):
            found.add(("page", act.page))
    if act.label and not any(step.label == act.label for step in steps):
        found.add(("touched", f'Clicked button "{act.label}"'))
    return found


@AGAIN
@given(acts=ACTS, step=st.sampled_from(STEPS), against=st.sampled_from((None, *STEPS)))
def test_sides_and_what_is_in_them_are_those_of_a_count_by_hand(
    store: Store, rules: Rules, acts: list[Act], step: Wanted, against: Wanted | None
) -> None:
    keep(store, rules, [*acts, *every_name()])
    # More sessions, so that something is in as many as are compared.
    more = [
        act._replace(minute=act.minute + 1_000 * n, session=act.session and f"{act.session}{n}")
        for n in range(3)
        for act in acts
    ]
    take_in(store, rules, [act.payload() for act in more if act.minute >= 1_000])
    about = About(NOON, NOON + timedelta(days=3))
    with reading(store, 30) as connection:
        other = parse_step(against.written) if against else None
        sides = find_sides(connection, about, parse_step(step.written), other)
    these, others, both, expected = compared_by_hand(more, step, against)
    assert (len(sides.these.sessions), len(sides.others.sessions)) == (these, others)
    if against != step:
        assert sides.both == both
    found = {(one.kind, one.what): (one.these, one.others) for one in sides.found}
    assert found == expected
    for one in sides.found:
        for many, named, side in (
            (one.these, one.newest, sides.these),
            (one.others, one.newest_others, sides.others),
        ):
            assert min(many, 1) <= len(named) <= min(many, 3)
            assert set(named) <= set(side.sessions)
            places = [side.sessions.index(session) for session in named]
            assert places == sorted(places, reverse=True)


def shop(store: Store, rules: Rules) -> None:
    """Who looks at /help buys; nothing else matters."""
    for number in range(40):
        pages = ["/", f"/p{number // 2 % 4}", *(["/help"] if number % 2 else [])]
        at = NOON + timedelta(minutes=number)
        events = visit(f"v{number:02}", at, *pages, person=f"u{number}")
        if number % 2 and number != 7:
            named = {"$session_id": f"v{number:02}", "$pathname": "/thanks", "release": "2.0"}
            later = at + timedelta(seconds=50)
            events.append(
                make_event("order_placed", later, distinct_id=f"u{number}", properties=named)
            )
        take_in(store, rules, events)
    build_day(store, NOON.date(), is_whole=True)


def test_what_differs_comes_first_and_what_chance_explains_does_not_come(
    store: Store, rules: Rules
) -> None:
    shop(store, rules)
    answer = asked(store, compare, ALL, "event=order placed")
    found = cells(answer, "what", "these", "these_%", "others", "others_%", "points")
    assert found == [
        ("page=/thanks", 19, 100.0, 0, 0.0, 100.0),
        ("release=2.0", 19, 100.0, 0, 0.0, 100.0),
        ("page=/help", 19, 100.0, 1, 4.8, 95.2),
    ]
    # v07 is the eighth session, and the only one with /help that bought nothing.
    assert cells(answer, "sessions_of_others")[2] == (["s8"],)
    assert cells(answer, "sessions_of_these")[2][0][0] == "s40"
    for said in (
        "19 sessions with event=order placed (these), 21 without (others)",
        "median 4 events a session against 2",
        "Tested: ",
        "6 pages",
        "3 differ by more than chance",
        "signals of sessions built up to",
    ):
        assert said in answer.summary, said
    for (what,) in cells(answer, "what"):
        if not what.startswith("release"):
            again = asked(store, compare, ALL, what)
            assert "(these)" in again.summary


def test_two_steps_are_compared_without_the_sessions_that_have_both(
    store: Store, rules: Rules
) -> None:
    shop(store, rules)
    answer = asked(store, compare, ALL, "page=/help", against="page=/p3")
    assert answer.summary.startswith(
        "15 sessions with page=/help (these), 5 with page=/p3 (others), 5 with both left out"
    )
    answer = asked(store, compare, ALL, "page=/thanks", against="event=order placed")
    assert answer.summary.startswith(
        "0 sessions with page=/thanks (these), 0 with event=order placed (others), 19 with both"
    )
    answer = asked(store, compare, ALL, "page=/p1", against="page=/p3")
    assert "0 differ by more than chance" in answer.summary
    assert not answer.rows


def test_signals_and_devices_can_be_the_sides(store: Store, rules: Rules) -> None:
    for number in range(12):
        pages = ("/a", "/b", "/a", "/b") if number % 2 else ("/c",)
        browser = {"$browser": "Safari" if number % 2 else "Chrome", "$os": "iOS"}
        for payload in visit(f"v{number}", NOON + timedelta(minutes=number), *pages):
            event = payload.replace(b'"properties": {', b'"properties": ' + _inner(browser), 1)
            take_in(store, rules, [event])
    build_day(store, NOON.date(), is_whole=True)
    answer = asked(store, compare, ALL, "signal=any")
    kinds = {what.partition("=")[0] for (what,) in cells(answer, "what")}
    assert kinds == {"page", "device"}
    [device] = {what for (what,) in cells(answer, "what") if what.startswith("device=Safari")}
    by_device = asked(store, compare, ALL, device)
    kinds = {what.partition("=")[0] for (what,) in cells(by_device, "what")}
    assert kinds == {"page", "signal"}


def test_what_is_shown_as_different_can_be_asked_for(store: Store, rules: Rules) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    named = {"$elements_chain": 'button:text="Write to jane@corp.example"', "$event_type": "click"}
    for number in range(12):
        at = NOON + timedelta(minutes=number)
        events = visit(f"v{number}", at, "/a", person=f"u{number}")
        if number % 2:
            events += visit(f"v{number}", at, f"/p/{token}", "/b", person=f"u{number}")
            for name, more in (("Chat with jane@corp.example", {}), ("$autocapture", named)):
                properties = {"$session_id": f"v{number}", "$pathname": "/b", **more}
                events.append(make_event(name, at, properties=properties))
        take_in(store, rules, events)
    answer = asked(store, compare, ALL, "page=/b")
    shown = [what for (what,) in cells(answer, "what")]
    assert {what.partition("=")[0] for what in shown} == {"event", "page", "touched"}
    assert "page=/p/(token)" in shown
    assert "jane" not in str(answer)
    for what in shown:
        assert asked(store, compare, ALL, what).summary.startswith("6 sessions with"), what


def _inner(properties: dict[str, str]) -> bytes:
    return b"{" + ", ".join(f'"{a}": "{b}"' for a, b in properties.items()).encode() + b", "


def test_what_cannot_be_compared_is_refused_in_one_line(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/checkout"))
    assert refused(store, compare, ALL, "page=/chekout") == (
        'no page is shown as "/chekout"; there is /checkout'
    )
    assert "no page is shown" in refused(store, compare, ALL, "/checkout", against="/chekout")
    assert "are the same" in refused(store, compare, ALL, "/checkout", against="page=/checkout")
    both = ALL._replace(compare_to=PREVIOUS)
    assert "of one time" in refused(store, compare, both, "/checkout")


def test_an_empty_time_says_what_was_searched(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/a"))
    assert "nothing to compare" in asked(store, compare, Asked(), "/a").summary
    later = Asked(NOON + timedelta(days=3), NOON + timedelta(days=4))
    assert asked(store, compare, later, "/a").summary.startswith("nothing found from 2026-03-05")
