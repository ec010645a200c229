"""What is shown of a session: entries, gaps, noise, outline; the same in whatever order."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.events.touches import BUTTON, CHOICE, LABEL, TYPED
from enrichment_pipeline.llm.timelines import Timeline, page_of
from enrichment_pipeline.store.sessions.reading import SessionEvent
from enrichment_pipeline_tests.llm.made_sessions import (
    DEVICE,
    SESSIONS,
    START,
    built,
    change,
    click,
    custom,
    dead,
    leave,
    lines,
    posthogs,
    rage,
    submit,
    touched,
    view,
)


def test_a_session_is_shown_by_seconds_action_and_sentence() -> None:
    timeline = built(
        view(0, "/"),
        click(2, "Pricing", "/"),
        leave(2.5, "/"),
        view(2.7, "/pricing"),
        custom(9, "plan_chosen", "/pricing", "plan=pro"),
        submit(30, "/pricing"),
    )
    assert lines(timeline) == [
        "0 view /",
        '2 click button "Pricing"',
        "2.7 view /pricing",
        "9 event plan chosen (plan=pro)",
        '30 submit form "Sign up"',
    ]
    assert (timeline.entry, timeline.exit, timeline.pages) == ("/", "/pricing", 2)
    assert (timeline.events, timeline.merged, timeline.dropped.total()) == (6, 1, 0)
    assert (timeline.started_at, timeline.seconds, timeline.device) == (START, 30, DEVICE)
    assert timeline.outline == "/ → /pricing; plan chosen, 1 form sent"


def test_one_event_is_a_session() -> None:
    timeline = built(view(0, "/only"))
    assert lines(timeline) == ["0 view /only"]
    assert (timeline.seconds, timeline.outline, timeline.signals) == (0, "/only", [])


def test_leaving_a_page_is_shown_where_no_other_is_viewed_next() -> None:
    assert lines(built(view(0), leave(5), view(5.1, "/a"))) == ["0 view /", "5.1 view /a"]
    assert lines(built(view(0), leave(5), custom(6, "came back"))) == [
        "0 view /",
        "5 leave /",
        "6 event came back",
    ]
    assert lines(built(view(0), leave(5))) == ["0 view /"]
    assert lines(built(leave(5, "/a"))) == ["0 leave /a"]
    assert lines(built(leave(5, ""))) == ["0 leave a page"]
    # Another tab's, or one that was left for long.
    assert lines(built(view(0), leave(5, "/tab"), view(6, "/a"))) == [
        "0 view /",
        "5 leave /tab",
        "6 view /a",
    ]
    assert lines(built(view(0), leave(5), view(300, "/a"))) == [
        "0 view /",
        "5 leave /",
        "5 idle ",
        "300 view /a",
    ]


def test_the_same_several_times_is_one_entry() -> None:
    timeline = built(view(0), *[click(5 + number, "Next") for number in range(5)], view(20, "/a"))
    assert lines(timeline) == ["0 view /", '5 click button "Next" × 5', "20 view /a"]
    assert timeline.entries[1].until == 9


def test_the_same_before_any_view_is_one_entry_too() -> None:
    assert lines(built(*[click(number) for number in range(3)])) == ['0 click button "Buy now" × 3']


def test_other_details_and_other_pages_are_not_folded() -> None:
    timeline = built(
        custom(0, "added", "/", "sku=1"), custom(1, "added", "/", "sku=2"), custom(2, "added", "/b")
    )
    assert [entry.times for entry in timeline.entries] == [1, 1, 1]


def test_a_minute_of_silence_is_shown_and_less_is_not() -> None:
    timeline = built(view(0), click(59.9), click(119.9), click(400))
    assert [(entry.action, entry.at, entry.until) for entry in timeline.entries] == [
        ("view", 0, 0),
        ("click", pytest.approx(59.9), pytest.approx(59.9)),
        ("idle", pytest.approx(59.9), pytest.approx(119.9)),
        ("click", pytest.approx(119.9), pytest.approx(119.9)),
        ("idle", pytest.approx(119.9), 400),
        ("click", 400, 400),
    ]


def test_silence_ends_with_the_leaving_of_the_page() -> None:
    timeline = built(view(0), leave(100), view(100.2, "/a"))
    assert lines(timeline) == ["0 view /", "0 idle ", "100.2 view /a"]
    assert timeline.entries[1].until == 100


def test_silence_at_the_end_is_shown_where_heartbeats_go_on() -> None:
    timeline = built(view(0), *[custom(30 * number, "heartbeat") for number in range(1, 21)])
    assert lines(timeline) == ["0 view /", "0 idle "]
    assert (timeline.seconds, timeline.dropped) == (600, {"heartbeat": 20})


def test_a_session_of_noise_alone_has_no_page() -> None:
    timeline = built(posthogs(0, "$web_vitals", "Had page speed measured"))
    assert (timeline.entries, timeline.outline, timeline.entry) == ([], "no page", None)
    assert timeline.dropped == {"$web_vitals": 1}


def test_what_comes_like_a_clock_is_noise_jitter_and_missed_beats_too() -> None:
    rng = random.Random(4)
    beats = [
        custom(30 * number + rng.uniform(-2, 2), "player_state", "/a", "playing=true")
        for number in range(1, 40)
        if number not in {7, 8, 20}
    ]
    timeline = built(view(0), click(100), *beats)
    assert timeline.dropped == {"player_state": 36}
    assert [entry.action for entry in timeline.entries if entry.action != "idle"] == [
        "view",
        "click",
    ]


@pytest.mark.parametrize(
    "events",
    [
        [custom(10 * number, "clicked_even", "/", "x=1") for number in range(5)],
        [custom(10 * number, "answered", "/", f"question={number}") for number in range(12)],
        [custom(1.2 * number, "item_added", "/", "sku=1") for number in range(12)],
        [click(10 * number) for number in range(12)],
        [custom(30 * number, "request_failed", "/") for number in range(12)],
        [custom(at, "added", "/") for at in (0, 9, 17, 30, 35, 47, 57, 63)],
    ],
    ids=["five times", "other details", "fast", "clicks", "errors", "uneven"],
)
def test_what_a_person_may_have_done_is_no_heartbeat(events: list[SessionEvent]) -> None:
    timeline = built(*events)
    assert timeline.dropped == {}
    assert sum(entry.times for entry in timeline.entries if entry.action != "idle") == len(events)


@pytest.mark.parametrize(
    ("name", "is_noise"),
    [
        ("heartbeat", True),
        ("video_heartbeat", True),
        ("heartBeat", True),
        ("session_keepalive", True),
        ("keep-alive", True),
        ("ping", True),
        ("$ping_me", False),
        ("shipping", False),
        ("ping_friend", False),
        ("poll_answered", False),
        ("ticket_opened", False),
        ("heartbeat_failed", False),
    ],
)
def test_heartbeats_are_known_by_their_names(name: str, is_noise: bool) -> None:
    assert bool(built(view(0), custom(1, name)).dropped) == is_noise


def test_clicks_of_rage_are_one_entry() -> None:
    clicks = [click(0.2 * number) for number in range(3)]
    timeline = built(*clicks, rage(0.5), click(0.7), click(0.9))
    assert lines(timeline) == ['0 rage_click button "Buy now" × 5']
    assert timeline.merged == 1


def test_a_click_without_effect_is_one_entry() -> None:
    timeline = built(view(0), click(1), dead(3.5), click(30, "Other"))
    assert lines(timeline) == [
        "0 view /",
        '1 dead_click button "Buy now"',
        '30 click button "Other"',
    ]


def test_screens_are_views() -> None:
    timeline = built(
        posthogs(0, "$screen", "Viewed a screen", "Home"),
        posthogs(5, "$screen", "Viewed a screen", "Cart"),
    )
    assert (lines(timeline), timeline.outline) == (["0 view Home", "5 view Cart"], "Home → Cart")


def test_a_long_way_is_cut_in_the_middle_of_the_outline() -> None:
    timeline = built(*[view(number, f"/{chr(97 + number)}") for number in range(12)])
    assert timeline.outline == "/a → /b → /c → /d → (4 more) → /i → /j → /k → /l"


def test_the_outline_names_what_was_done_most_whatever_its_details() -> None:
    detail = 'name="A desk that is long enough to be cut", price=19.9'
    timeline = built(view(0), custom(1, "product_added", "/", detail), submit(2), submit(40))
    assert timeline.outline == "/; product added, 2 forms sent"
    assert (
        built(custom(0, "wrote_to_ann@shop.example", "/", "n=1")).outline == "/; wrote to (email)"
    )


def test_where_nothing_was_viewed_the_pages_of_other_events_are_the_way() -> None:
    assert built(click(0, "Go", "/a"), custom(1, "done", "/b")).outline == "/a → /b; done"
    assert built(view(0, ""), click(1, "Go", "/a")).outline == "/a"
    assert built(custom(0, "job_done", None)).outline == "no page; job done"


def test_pages_are_masked_and_have_no_spaces() -> None:
    assert page_of("/users/ann@example.com") == "/users/(email)"
    assert page_of("/a b\nc") == "/a%20b%20c"
    assert page_of("\n") is None
    assert page_of(None) is page_of("") is None


def test_a_sentence_of_an_older_version_is_shown_on_one_line() -> None:
    timeline = built(posthogs(0, "$new", "Said\nsomething\u2028else\x07", None))
    assert timeline.entries[0].text == "Said something else"


def test_what_happens_at_the_same_moment_is_ordered_as_it_makes_sense() -> None:
    timeline = built(view(5, "/b"), leave(5, "/a"), click(5, "Next", "/a"), view(0, "/a"))
    assert lines(timeline) == ["0 view /a", '5 click button "Next"', "5 view /b"]


def test_ten_thousand_events_become_a_timeline() -> None:
    events = [click(number * 0.5, f"Button {number % 7}") for number in range(10_000)]
    assert len(built(*events).entries) == 10_000
    same = [click(number * 0.5) for number in range(10_000)]
    assert lines(built(*same)) == ['0 click button "Buy now" × 10000']


@given(events=SESSIONS, data=st.data())
def test_the_order_in_which_events_come_changes_nothing(
    events: list[SessionEvent], data: st.DataObject
) -> None:
    assert built(*data.draw(st.permutations(events))) == built(*events)


@given(events=SESSIONS)
def test_every_event_is_accounted_for(events: list[SessionEvent]) -> None:
    timeline = built(*events)
    shown = sum(entry.times for entry in timeline.entries if entry.action != "idle")
    assert shown + timeline.dropped.total() + timeline.merged == timeline.events == len(events)
    assert timeline.merged >= 0


@given(events=SESSIONS)
def test_entries_are_in_the_order_of_time_and_do_not_overlap(events: list[SessionEvent]) -> None:
    timeline = built(*events)
    last = 0.0
    for entry in timeline.entries:
        assert last <= entry.at <= entry.until <= timeline.seconds
        last = entry.until


def texts_of(timeline: Timeline) -> Counter[tuple[str, str | None]]:
    found: Counter[tuple[str, str | None]] = Counter()
    for entry in timeline.entries:
        found[entry.text, entry.page] += entry.times if entry.action != "idle" else 0
    return +found


@given(events=SESSIONS)
@pytest.mark.slow
def test_only_what_is_the_same_is_folded(events: list[SessionEvent]) -> None:
    timeline = built(*events)
    own, all_of_them = Counter[tuple[str, str | None]](), Counter[tuple[str, str | None]]()
    for event in events:
        if event.event not in timeline.dropped:
            alone = texts_of(built(event))
            all_of_them += alone
            if event.event not in {"$rageclick", "$dead_click", "$pageleave"}:
                own += alone
    assert own <= texts_of(timeline) <= all_of_them


def test_a_click_in_between_stays_a_change_of_its_own() -> None:
    timeline = built(change(0), click(1), change(2))
    assert [entry.action for entry in timeline.entries] == ["change", "click", "change"]


def ticked(at: float, *parts: str) -> list[SessionEvent]:
    """What a browser sends of one click on a label: of the label, of its box, of the change."""
    box = 'field "c1"'
    whole = {
        "label": click(at, "Remember me", kind=LABEL),
        "click": click(at + 0.004, "c1"),
        "change": change(at + 0.006, what=box, form=None),
    }
    sentence = 'Clicked label "Remember me" on /'
    whole["label"] = whole["label"]._replace(description=sentence)
    kinds = {"label": ("click", LABEL), "click": ("click", CHOICE), "change": ("change", CHOICE)}
    return [whole[part]._replace(touch=touched(*kinds[part], "c1")) for part in parts]


def test_label_click_and_change_of_a_box_are_one_line() -> None:
    timeline = built(view(0), *ticked(5, "label", "click", "change"))
    assert lines(timeline) == ["0 view /", '5 change field "Remember me"']
    assert (timeline.events, timeline.merged) == (4, 2)


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (("click", "change"), '5.004 change field "c1"'),
        (("label", "change"), '5 change field "Remember me"'),
        (("label",), '5 click label "Remember me"'),
    ],
)
def test_parts_of_one_act_are_one_line(parts: tuple[str, ...], line: str) -> None:
    assert lines(built(view(0), *ticked(5, *parts)))[1:] == [line]


def test_a_box_that_is_ticked_again_is_the_same_line_twice() -> None:
    parts = ("label", "click", "change")
    timeline = built(view(0), *ticked(5, *parts), *ticked(5.8, *parts), *ticked(20, *parts))
    assert lines(timeline) == ["0 view /", '5 change field "Remember me" × 3']
    assert timeline.signals == []


def test_other_boxes_and_later_changes_are_acts_of_their_own() -> None:
    other = [one._replace(touch=touched("click", CHOICE, "c2")) for one in ticked(5, "click")]
    assert len(lines(built(view(0), *ticked(5, "label"), *other))) == 3
    assert len(lines(built(view(0), *ticked(5, "click"), *ticked(8, "change")))) == 3


def test_typing_takes_longer_than_a_moment() -> None:
    field = touched("click", TYPED, "name", "f0"), touched("change", TYPED, "name", "f0")
    events = click(5, "name")._replace(touch=field[0]), change(5.5)._replace(touch=field[1])
    timeline = built(view(0), *events)
    assert lines(timeline) == ["0 view /", '5 click button "name"', '5.5 change field "Email"']
    assert [signal.kind for signal in timeline.signals] == ["form_not_sent"]


def test_a_swipe_is_no_click() -> None:
    swipe = posthogs(5, "$autocapture", 'Swiped "Photos"')._replace(
        touch=touched("gesture", BUTTON, "photos")
    )
    assert lines(built(view(0), *[swipe] * 6)) == ["0 view /", '5 other Swiped "Photos" × 6']
    assert built(view(0), *[swipe] * 6).signals == []


def test_a_dead_click_reads_as_its_click_whatever_its_sentence_says() -> None:
    said = 'Clicked button "Buy now" without any effect on /'
    timeline = built(view(0), dead(5)._replace(description=said))
    assert lines(timeline) == ["0 view /", '5 dead_click button "Buy now"']


def test_a_line_says_where_another_tab_is_used() -> None:
    def tab(number: int, event: SessionEvent) -> SessionEvent:
        return event._replace(tab=number)

    timeline = built(
        tab(301, view(0, "/a")),
        tab(12, view(10, "/b")),
        tab(301, custom(11, "saved", "/b")),
        tab(12, click(12, "Save", "/b")),
        view(13, "/unknown"),
        tab(301, click(20, "Open", "/a")),
        tab(12, leave(21, "/b")),
    )
    assert lines(timeline) == [
        "0 view /a",
        "10 tab now in tab 2",
        "10 view /b",
        "11 event saved",
        '12 click button "Save"',
        "13 view /unknown",
        "20 tab now in tab 1",
        '20 click button "Open"',
        "21 leave /b",
    ]
    assert (timeline.events, timeline.merged) == (7, 0)


def test_one_tab_is_not_mentioned() -> None:
    views = [view(at, page)._replace(tab=5) for at, page in enumerate(("/a", "/b"))]
    assert lines(built(*views)) == ["0 view /a", "1 view /b"]
