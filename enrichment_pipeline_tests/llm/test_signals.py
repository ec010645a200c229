"""What deserves attention in a session, and what does not."""

import time

import pytest

from enrichment_pipeline.events.touches import (
    AWAY,
    CHOICE,
    LABEL,
    NEXT,
    REPEAT,
    SEARCH,
    SELECT,
    SEND,
    SUBMIT,
    SURFACE,
    TYPED,
)
from enrichment_pipeline.llm.signals import KINDS
from enrichment_pipeline.store.sessions.reading import SessionEvent
from enrichment_pipeline_tests.llm.made_sessions import (
    built,
    change,
    click,
    custom,
    dead,
    lines,
    posthogs,
    rage,
    signals,
    submit,
    touched,
    view,
)

RAGE = ("rage_click", 5, 'button "Buy now" on /')
NOT_SENT = ("form_not_sent", 2, "form on / started, not sent")


def test_four_clicks_in_three_seconds_are_one_signal() -> None:
    timeline = built(view(0), *[click(5 + 0.9 * number) for number in range(4)])
    assert signals(timeline) == [RAGE]
    assert [entry.signal for entry in timeline.entries] == [None, "rage_click"]


@pytest.mark.parametrize(
    "events",
    [
        [click(5 + 0.9 * number) for number in range(3)],
        [click(5 + 1.1 * number) for number in range(10)],
        [click(5 + 0.5 * number, f"Button {number}") for number in range(10)],
        [custom(5 + 0.5 * number, "added") for number in range(10)],
        [change(5 + 0.5 * number) for number in range(3)] + [submit(9)],
    ],
    ids=["three", "slow", "others", "no clicks", "typing"],
)
def test_other_clicks_are_no_rage(events: list[SessionEvent]) -> None:
    assert built(view(0), *events).signals == []


def test_a_burst_among_slow_clicks_is_rage() -> None:
    burst = [click(40 + 0.5 * number) for number in range(4)]
    assert [kind for kind, *_ in built(view(0), click(5), *burst, click(80)).signals] == [
        "rage_click"
    ]


def test_long_rage_is_one_signal() -> None:
    assert signals(built(view(0), *[click(5 + 0.5 * number) for number in range(40)])) == [RAGE]


def test_rage_with_events_of_the_site_in_between_is_one_signal() -> None:
    events = [
        event
        for number in range(12)
        for event in (click(5 + 0.5 * number), custom(5.1 + 0.5 * number, "buy_clicked"))
    ]
    assert [kind for kind, *_ in built(view(0), *events).signals] == ["rage_click"]


def test_what_posthog_says_of_rage_adds_no_signal_of_its_own() -> None:
    clicks = [click(5 + 0.2 * number) for number in range(9)]
    assert signals(built(view(0), *clicks, rage(5.4), rage(6.0), rage(6.6))) == [RAGE]


def test_rage_at_two_times_is_two_signals() -> None:
    early = [click(5 + 0.5 * number) for number in range(4)]
    late = [click(500 + 0.5 * number) for number in range(4)]
    assert [at for _, at, *_ in built(view(0), *early, *late).signals] == [5, 500]


def test_a_click_without_effect_is_a_signal() -> None:
    timeline = built(view(0), click(5), dead(8))
    assert signals(timeline) == [("dead_click", 5, 'button "Buy now" on /')]


def test_a_form_that_is_filled_in_and_not_sent_is_a_signal() -> None:
    timeline = built(view(0), change(2), change(5), view(9, "/a"))
    assert signals(timeline) == [NOT_SENT]
    assert timeline.entries[1].signal == "form_not_sent"


@pytest.mark.parametrize(
    "events",
    [
        [change(2), submit(5)],
        [change(2), change(3, what='field "Name"'), click(4), submit(5)],
        [change(2), custom(5, "signup_completed")],
        [change(2), custom(5, "purchased", "/thanks")],
        [change(2, what='select "Sort by"', kind=SELECT), view(5, "/a")],
        [submit(2)],
        [],
    ],
    ids=["sent", "two fields", "completed", "purchased", "sorted", "sent at once", "nothing"],
)
def test_a_form_that_is_sent_is_no_signal(events: list[SessionEvent]) -> None:
    assert built(view(0), *events).signals == []


@pytest.mark.parametrize(
    "events",
    [
        [change(2), submit(9, "/b")],
        [submit(1), change(2)],
        [change(2), custom(5, "consent_read", "/complete/purchase")],
        [change(2), custom(5, "sentiment_seen", "/", 'note="completed"')],
    ],
    ids=["another page's", "before", "name of a page", "name of a detail"],
)
def test_what_sends_no_form_leaves_it_not_sent(events: list[SessionEvent]) -> None:
    assert signals(built(view(0), *events)) == [NOT_SENT]


def test_a_form_whose_sending_failed_is_not_sent() -> None:
    kinds = [kind for kind, *_ in built(view(0), change(2), custom(5, "submit_failed")).signals]
    assert kinds == ["form_not_sent", "error"]


def test_two_forms_not_sent_are_two_signals() -> None:
    timeline = built(view(0), change(2), view(5, "/b"), change(6, "/b"))
    assert [text for _, _, text, _ in timeline.signals] == [
        "form on / started, not sent",
        "form on /b started, not sent",
    ]


def test_a_form_without_a_page_is_a_signal_of_a_page() -> None:
    assert signals(built(change(0, None))) == [
        ("form_not_sent", 0, "form on a page started, not sent")
    ]


def test_an_error_is_a_signal_once_however_often_it_is_repeated() -> None:
    timeline = built(view(0, "/pay"), *[custom(at, "payment_failed", "/pay") for at in (5, 6, 7)])
    assert signals(timeline) == [("error", 5, "payment failed on /pay; nothing followed")]
    exception = posthogs(5, "$exception", 'Ran into an error (TypeError: "x is null")', "/pay")
    assert signals(built(view(0, "/pay"), exception)) == [
        ("error", 5, 'TypeError: "x is null" on /pay; nothing followed')
    ]


@pytest.mark.parametrize(
    ("pages", "views"),
    [("abab", 4), ("ababa", 5), ("aabab", 4), ("aba", None), ("abcabc", None), ("aaaaaa", None)],
)
def test_two_pages_in_turns_are_back_and_forth(pages: str, views: int | None) -> None:
    timeline = built(*[view(10 * at, f"/{page}") for at, page in enumerate(pages)])
    text = f"back and forth between /a and /b, {views} views"
    assert [text for _, _, text, _ in timeline.signals] == ([text] if views else [])


def test_back_and_forth_is_seen_through_what_is_done_on_the_pages() -> None:
    events = [
        event
        for at, page in enumerate(["/a", "/b", "/a", "/b"])
        for event in (view(10 * at, page), click(10 * at + 5, "Look", page))
    ]
    timeline = built(*events)
    assert signals(timeline) == [("back_and_forth", 0, "back and forth between /a and /b, 4 views")]
    assert timeline.entries[4].signal == "back_and_forth"


def test_signals_are_in_the_order_of_time_and_of_known_kinds() -> None:
    timeline = built(
        view(0),
        change(1),
        *[click(20 + 0.5 * number) for number in range(4)],
        custom(10, "error"),
        *[view(30 + at, f"/{at % 2}") for at in range(6)],
        click(50, "Dead", "/1"),
        dead(52, "/1", "Dead"),
    )
    assert [(signal.kind, signal.at) for signal in timeline.signals] == [
        ("form_not_sent", 1),
        ("error", 10),
        ("rage_click", 20),
        ("back_and_forth", 30),
        ("dead_click", 50),
    ]
    assert {signal.kind for signal in timeline.signals} == set(KINDS)


@pytest.mark.slow
def test_ten_thousand_views_of_one_page_take_no_long_time() -> None:
    events = [
        event
        for number in range(10_000)
        for event in (view(number, "/a"), click(number + 0.5, f"Next {number}", "/a"))
    ]
    started = time.process_time()
    assert built(*events).signals == []
    assert time.process_time() - started < 5


@pytest.mark.parametrize("kind", [TYPED, SEARCH, SELECT, REPEAT, NEXT, SURFACE])
def test_what_is_clicked_quickly_on_purpose_is_no_rage(kind: str) -> None:
    clicks = [click(5 + 0.2 * number, "+", kind=kind) for number in range(9)]
    timeline = built(view(0), *clicks, rage(5.3, "+", kind=kind))
    assert timeline.signals == []
    assert lines(timeline) == ["0 view /", '5 click button "+" × 9']


def test_what_posthog_calls_rage_on_a_label_is_a_box_ticked_twice() -> None:
    def ticked(at: float) -> list[SessionEvent]:
        box = touched("click", CHOICE, "dark"), touched("change", CHOICE, "dark")
        return [
            click(at, "dark", kind=LABEL),
            click(at + 0.004, "dark", kind=CHOICE),
            change(at + 0.008)._replace(touch=box[1]),
        ]

    timeline = built(view(0), *ticked(5), *ticked(5.9), rage(5.9, "dark", kind=LABEL))
    assert timeline.signals == []


def test_clicks_at_one_place_of_two_pages_are_no_rage() -> None:
    events = [click(5 + 0.5 * number, "Show", f"/{number}") for number in range(6)]
    assert built(view(0), *events).signals == []


@pytest.mark.parametrize("off", [-2.5, -0.01, 0, 0.01, 2.5])
def test_a_click_without_effect_stands_beside_its_click_whenever_it_arrived(off: float) -> None:
    timeline = built(view(0), click(4, "Other"), click(8), click(9, "Next"), dead(8 + off))
    assert signals(timeline) == [("dead_click", 8, 'button "Buy now" on /')]
    assert lines(timeline) == [
        "0 view /",
        '4 click button "Other"',
        '8 dead_click button "Buy now"',
        '9 click button "Next"',
    ]


def test_of_several_clicks_on_one_thing_each_can_be_without_effect_once() -> None:
    timeline = built(view(0), click(10), click(20), click(30), dead(9), dead(21))
    assert lines(timeline)[1:] == [
        '10 dead_click button "Buy now" × 2',
        '30 click button "Buy now"',
    ]


def test_a_rage_click_without_effect_is_both() -> None:
    clicks = [click(5 + 0.5 * number) for number in range(5)]
    timeline = built(view(0), *clicks, dead(6.2))
    assert [(kind, at) for kind, at, _, _ in timeline.signals] == [
        ("rage_click", 5),
        ("dead_click", 5),
    ]
    assert lines(timeline)[1:] == ['5 dead_click button "Buy now" × 5']


@pytest.mark.parametrize("kind", [TYPED, SEARCH, SELECT, CHOICE, LABEL, AWAY, SUBMIT, SURFACE])
def test_what_answers_outside_of_the_page_is_not_without_effect(kind: str) -> None:
    timeline = built(view(0), click(5, kind=kind), dead(5, kind=kind))
    assert timeline.signals == []
    assert lines(timeline) == ["0 view /", '5 click button "Buy now"']


@pytest.mark.parametrize(
    ("answer", "is_dead"),
    [
        (custom(5.6, "link_copied"), False),
        (custom(5.6, "copy_clicked"), True),
        (custom(9.0, "link_copied"), True),
        (custom(5.6, "copy_failed"), True),
        (view(6, "/new-tab"), False),
        (click(5.6, "Other"), True),
    ],
    ids=["copied", "tracked", "too late", "failed", "another tab", "another click"],
)
def test_a_click_that_the_site_answers_is_not_without_effect(
    answer: SessionEvent, is_dead: bool
) -> None:
    kinds = {kind for kind, *_ in built(view(0), click(5), dead(5), answer).signals}
    assert ("dead_click" in kinds) == is_dead


@pytest.mark.parametrize(
    "events",
    [
        [change(2, kind=SEARCH)],
        [change(2, kind=CHOICE), change(3, kind=SELECT)],
        [change(2, form="~a1")],
        [change(2, form=None), change(3, what="note", form=None)],
        [change(2, form="~a1"), change(3, what="name", form="~b2")],
    ],
    ids=["search", "choices", "a note", "alone", "apart"],
)
def test_what_is_no_form_is_not_left_unsent(events: list[SessionEvent]) -> None:
    assert built(view(0), *events, view(9, "/a")).signals == []


def test_fields_that_stand_together_are_a_form() -> None:
    fields = [change(2, form="~a1"), change(5, what="name", form="~a1")]
    assert signals(built(view(0), *fields, view(9, "/a"))) == [NOT_SENT]
    sender = click(7, "Save", kind=SEND)
    assert built(view(0), *fields, sender, view(9, "/a")).signals == []


def test_a_form_is_sent_by_itself_alone() -> None:
    newsletter = [change(3, form="news"), submit(4, form="news")]
    assert signals(built(view(0), change(2), *newsletter)) == [NOT_SENT]


def test_what_is_sent_later_on_another_page_sends_no_form_of_before() -> None:
    away = [view(9, "/a"), view(20, "/b"), custom(30, "order_placed", "/b")]
    assert signals(built(view(0), change(2), *away)) == [NOT_SENT]


def test_who_signs_in_has_sent_the_form() -> None:
    identified = posthogs(9, "$identify", "Was identified (signed in or signed up)")
    assert built(view(0), change(2), identified).signals == []


FAILED = custom(6, "payment_failed", "/pay")
PAY = click(5, "Pay", "/pay")


@pytest.mark.parametrize(
    ("events", "degree"),
    [
        ([FAILED, click(9, "Menu", "/pay")], "nothing followed"),
        ([PAY, FAILED, view(12, "/help"), click(20, "Chat", "/help")], "nothing followed"),
        ([PAY, FAILED], "blocked, the session ended"),
        (
            [PAY, FAILED, click(8, "Pay", "/pay"), custom(9, "payment_failed", "/pay")],
            "blocked, tried again 1 time",
        ),
        ([submit(5, "/pay"), FAILED, view(9, "/help")], "blocked, given up"),
        ([PAY, FAILED, click(8, "Pay", "/pay"), view(40, "/thanks")], "worked around"),
        ([submit(5, "/pay"), FAILED, custom(60, "order placed", "/pay")], "worked around"),
    ],
)
def test_an_error_says_how_much_it_was_in_the_way(events: list[SessionEvent], degree: str) -> None:
    first = built(view(0, "/pay"), *events).signals[0]
    assert first.text == f"payment failed on /pay; {degree}"


@pytest.mark.parametrize(
    ("event", "detail", "is_failed"),
    [
        ("$ai_generation", 'error="Rate limit reached", ai_model=m', True),
        ("$mcp_tool_call", 'error="Timed out", mcp_tool_name=ask', True),
        ("$ai_span", "ai_span_name=m, ai_is_error=true", True),
        ("$ai_generation", "ai_model=m, ai_is_error=false", False),
        ("$ai_generation", "ai_model=m", False),
        ("checkout seen", "error=none", False),
    ],
)
def test_a_call_of_a_model_that_failed_is_an_error(
    event: str, detail: str, is_failed: bool
) -> None:
    kinds = [one.kind for one in built(view(0), custom(5, event, "/", detail)).signals]
    assert kinds == (["error"] if is_failed else [])


def in_tab(tab: int, event: SessionEvent) -> SessionEvent:
    """The event, in a tab of the browser."""
    return event._replace(tab=tab)


def test_pages_viewed_in_two_tabs_in_turns_are_no_back_and_forth() -> None:
    pages = ["/a", "/b"] * 3
    views = [in_tab(at % 2, view(10 * at, page)) for at, page in enumerate(pages)]
    assert signals(built(*views)) == []
    same = [in_tab(7, view(10 * at, page)) for at, page in enumerate(pages)]
    assert signals(built(*same)) == [
        ("back_and_forth", 0, "back and forth between /a and /b, 6 views")
    ]
