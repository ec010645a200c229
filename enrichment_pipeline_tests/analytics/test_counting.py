"""Counting and funnels, each compared with the same answer without SQL."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.analytics.asking import PREVIOUS, Asked
from enrichment_pipeline.analytics.questions import count, funnel
from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.analytics import selection
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.as_reader import reading
from enrichment_pipeline.wording import UserError
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
    count_by,
    funnel_of,
)
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit


@AGAIN
@given(acts=ACTS, by=st.sampled_from(("event", "page", "touched", "hour")))
def test_counts_are_those_of_a_count_by_hand(
    store: Store, rules: Rules, acts: list[Act], by: str
) -> None:
    keep(store, rules, acts)
    answer = asked(store, count, ALL, by=by, limit=100)
    expected = {
        f'"{name}"' if by == "event" and " " in name else name: numbers
        for name, numbers in count_by(acts, by).items()
    }
    found = {row[0]: row[1:] for row in cells(answer, by, "events", "sessions", "people")}
    assert found == expected
    if by != "hour":
        assert [-numbers[0] for numbers in found.values()] == sorted(
            -numbers[0] for numbers in found.values()
        )
    for (named,) in cells(answer, "newest_sessions"):
        assert 1 <= len(named) <= 3


@AGAIN
@given(acts=ACTS, step=st.sampled_from(STEPS))
def test_a_filter_chooses_the_events_that_are_like_it(
    store: Store, rules: Rules, acts: list[Act], step: Wanted
) -> None:
    keep(store, rules, acts)
    chosen = [act for act in acts if step.fits(act)]
    try:
        answer = asked(store, count, ALL._replace(where=step.written), by="page")
    except UserError as error:
        assert not chosen
        assert "is shown as" in str(error)
        return
    sessions = count_by(acts, "page")
    found = {row[0]: row[1] for row in cells(answer, "page", "events")} if answer.rows else {}
    assert found == dict(Counter(act.page for act in chosen))
    assert set(found) <= set(sessions)


@AGAIN
@given(
    acts=ACTS,
    steps=st.lists(st.sampled_from(STEPS), min_size=2, max_size=4),
    hours=st.sampled_from((None, 1, 3)),
)
def test_funnels_are_those_that_trying_every_way_finds(
    store: Store, rules: Rules, acts: list[Act], steps: list[Wanted], hours: int | None
) -> None:
    keep(store, rules, [*acts, *every_name()])
    window = timedelta(hours=hours) if hours else None
    reached, instead = funnel_of(acts, steps, window)
    answer = asked(store, funnel, ALL, [step.written for step in steps], window=window)
    if not reached[0]:
        assert answer.summary.startswith("nothing found from 2026-03-02 12:00 to 2026-03-03 12:00")
        return
    assert [row[0] for row in cells(answer, "people" if hours else "sessions")] == reached
    for (did,), expected in zip(cells(answer, "did_instead"), instead, strict=True):
        ranked = sorted(expected.items(), key=lambda one: (-one[1], _in_order(one[0])))
        assert did == [f"{name}: {many}" for name, many in ranked[:3]]


def _in_order(did: str) -> str:
    return "" if did == "nothing more" else did


def test_two_periods_stand_side_by_side_what_has_changed_most_first(
    store: Store, rules: Rules
) -> None:
    day = timedelta(days=1)
    for number in range(4):
        take_in(store, rules, visit(f"now-{number}", NOON, "/a", "/b", person=f"user-{number}"))
        seen = visit(f"before-{number}", NOON - day, "/a", person=f"user-{number}")
        take_in(store, rules, seen)
    take_in(store, rules, visit("gone", NOON - day, "/c", person="gone"))
    for before in (PREVIOUS, NOON - day):
        answer = asked(store, count, ALL._replace(compare_to=before), by="page")
        found = cells(answer, "page", "sessions", "sessions_before", "sessions_change_%")
        assert found == [("/b", 4, 0, None), ("/c", 0, 1, -100.0), ("/a", 4, 4, 0.0)]
        assert "(before: 5, 5, 5)" in answer.summary
    for hour in cells(asked(store, count, ALL._replace(compare_to=PREVIOUS), by="hour"), "hour"):
        assert hour == ("2026-03-02 12:00",)
    steps = ["/a", "/b"]
    answer = asked(store, funnel, ALL._replace(compare_to=PREVIOUS), steps)
    assert cells(answer, "sessions", "sessions_before", "of_first_before_%") == [
        (4, 4, 100.0),
        (4, 0, 0.0),
    ]


def test_what_is_shown_can_be_asked_for(store: Store, rules: Rules) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    named = "Chat with jane@corp.example"
    take_in(store, rules, visit("one", NOON, f"/p/{token}", "/u/jane%40corp.example/x"))
    for number, name in enumerate(("order_placed", named, "Order Placed", "$screen")):
        at = NOON + timedelta(minutes=number)
        event = make_event(name, at, properties={"$session_id": "one", "$pathname": "/p"})
        take_in(store, rules, [event])
    for by in ("page", "event"):
        answer = asked(store, count, ALL, by=by)
        assert "jane" not in str(answer)
        assert token not in str(answer)
        for name, events in cells(answer, by, "events"):
            again = asked(store, count, ALL._replace(where=f"{by}={name}"), by=by)
            assert (name, events) in cells(again, by, "events"), name
    for written in ("order placed", "order_placed", "ORDER placed", 'Sent event "order placed"'):
        answer = asked(store, count, ALL._replace(where=f"event={written}"))
        assert "order_placed" in str(answer.rows) or written == "ORDER placed"
    begins = asked(store, count, ALL._replace(where="page=/p*"), by="page")
    assert {name for (name,) in cells(begins, "page")} == {"/p", "/p/(token)"}


def test_types_of_a_users_own_change_no_count(store: Store, rules: Rules, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "event_types: [shopping]\naction_types: [looked, touched]\n"
        "events:\n  $pageview: {event_type: shopping, action_type: looked}\n"
        "  $autocapture: {event_type: shopping, action_type: touched}\n"
    )
    own = load_rules(file)
    acts = [Act(n, "$pageview", page, None, "ann", "one") for n, page in enumerate(("/cart", "/"))]
    acts.append(Act(5, "$autocapture", "/", "Pay", "ann", "one"))
    answers = []
    for used in (rules, own):
        keep(store, used, acts)
        answers.append([asked(store, count, ALL, by=by) for by in ("event", "page", "touched")])
        answers[-1].append(asked(store, funnel, ALL, ["/cart", "touched=Pay"]))
    assert answers[0] == answers[1]
    assert cells(answers[0][2], "touched") == [('Clicked button "Pay"',)]


def test_projects_and_people_are_kept_apart(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/a", person="ann"), project="shop")
    take_in(store, rules, visit("one", NOON, "/a", "/b", person="ann"), project="blog")
    take_in(store, rules, visit("two", NOON, "/a", person="bob"), project="blog")
    everything = asked(store, count, ALL, by="project")
    found = cells(everything, "project", "events", "sessions", "people")
    assert found == [("blog", 3, 2, 2), ("shop", 1, 1, 1)]
    assert everything.summary.startswith("4 events, 3 sessions, 3 people;")
    asked_of_ann = asked(store, count, ALL._replace(person="ann", project="blog"), by="page")
    assert cells(asked_of_ann, "page", "sessions") == [("/a", 1), ("/b", 1)]
    with reading(store, 10) as connection:
        from enrichment_pipeline.llm.pseudonyms import Pseudonyms

        name = Pseudonyms(connection).of("blog", "ann")
    by_name = asked(store, count, ALL._replace(person=name), by="project")
    assert cells(by_name, "project", "events") == [("blog", 2)]


def test_signals_are_counted_and_can_be_chosen(store: Store, rules: Rules) -> None:
    for number in range(3):
        take_in(store, rules, visit(f"calm-{number}", NOON, "/a"))
    take_in(store, rules, visit("angry", NOON, "/a", "/b", "/a", "/b", person="ann"))
    build_day(store, NOON.date(), is_whole=True)
    answer = asked(store, count, ALL, by="signal")
    assert cells(answer, "signal", "sessions", "newest_sessions") == [("back_and_forth", 1, ["s1"])]
    answer = asked(store, count, ALL, by="signal_page")
    assert cells(answer, "signal_page", "sessions", "newest_sessions") == [
        ("back_and_forth on /a", 1, ["s1"])
    ]
    assert "4 sessions" in answer.summary
    assert "signals of sessions built up to" in answer.summary
    for signal in ("back_and_forth", "any"):
        pages = asked(store, count, ALL._replace(where=f"signal={signal}"), by="page")
        assert cells(pages, "page", "sessions") == [("/a", 1), ("/b", 1)]


def test_what_cannot_be_asked_is_refused_in_one_line(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/checkout"))
    assert refused(store, count, ALL._replace(where="page=/chekout")) == (
        'no page is shown as "/chekout"; there is /checkout'
    )
    assert 'no event is shown as "ordr"' in refused(store, count, ALL._replace(where="ordr"))
    assert "is no step" in refused(store, count, ALL._replace(where="event="))
    assert "is no step" in refused(store, count, ALL._replace(where="event=a & event=b"))
    assert "2 to 8 steps" in refused(store, funnel, ALL, ["/checkout"])
    assert "has no moment" in refused(store, funnel, ALL, ["/checkout", "signal=error"])
    assert "must end before 2026-03-02 12:00" in refused(
        store, count, ALL._replace(compare_to=NOON - timedelta(hours=1))
    )
    assert "start must be before" in refused(store, count, Asked(NOON, NOON))


def test_an_empty_store_and_an_empty_time_say_what_was_searched(store: Store, rules: Rules) -> None:
    assert "nothing found from" in asked(store, count, Asked()).summary
    take_in(store, rules, visit("one", NOON, "/a"))
    later = Asked(NOON + timedelta(days=3), NOON + timedelta(days=4))
    summary = asked(store, count, later).summary
    assert summary.startswith("nothing found from 2026-03-05 12:00 to 2026-03-06 12:00 UTC")


@AGAIN
@given(acts=ACTS)
def test_however_many_events_have_no_session_id_their_sessions_are_the_same(
    store: Store, rules: Rules, acts: list[Act]
) -> None:
    keep(store, rules, [act._replace(session=act.session and "one") for act in acts])
    few = asked(store, count, ALL, by="page", limit=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_MOST_PLACED", 1)
        assert asked(store, count, ALL, by="page", limit=100) == few
