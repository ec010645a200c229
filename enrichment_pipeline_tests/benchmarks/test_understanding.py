"""Forty sessions with known answers: that each answer is in the timeline, by rule; and what an
answer is worth."""

import json
import re
from collections import Counter
from collections.abc import Callable
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tokens import count_tokens, raw_json
from benchmarks.understanding.contexts import (
    DUMP,
    RAW_CUT,
    SHORT_TOKENS,
    TIMELINE,
    contexts_of,
    readable_of,
)
from benchmarks.understanding.questions import KINDS, Question
from benchmarks.understanding.reading import answer_by_rule
from benchmarks.understanding.scoring import is_right
from benchmarks.understanding.scripts import Script, Step, all_scripts
from benchmarks.understanding.sessions import payloads_of
from benchmarks.understanding.timelines import ARRIVAL, PERSON, PROJECT, timeline_of_payloads
from benchmarks.understanding.trial import by_rule
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import parse_event
from enrichment_pipeline.ingest.sample.shapes import recorded_shapes
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.sessions import newest_timeline_of, timeline_of
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events

pytestmark = pytest.mark.slow

SCRIPTS = {script.name: script for script in all_scripts()}


def wrong_answers(script: Script, timeline: str) -> list[str]:
    """What the rules do not find in this timeline."""
    return [
        f"{question.kind}: wanted {question.answer!r}, got {answer!r}"
        for question in script.questions
        if not is_right(question, answer := answer_by_rule(question, timeline))
    ]


def test_there_are_forty_sessions_with_two_to_four_questions_of_every_kind() -> None:
    assert len(SCRIPTS) == len(all_scripts()) == 40
    assert all(2 <= len(script.questions) <= 4 for script in all_scripts())
    kinds = Counter(one.kind for script in all_scripts() for one in script.questions)
    assert kinds.keys() == KINDS.keys() | {"fact"}
    assert min(kinds.values()) >= 2
    assert {script.client for script in all_scripts()} == {"web", "phone", "app", "server"}
    for kind in ("bought", "signed_in"):
        answers = {one.answer for s in all_scripts() for one in s.questions if one.kind == kind}
        assert answers == {"yes", "no"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_answer_is_in_the_timeline(name: str, rules: Rules) -> None:
    script = SCRIPTS[name]
    timeline = timeline_of_payloads(payloads_of(script), rules)
    assert wrong_answers(script, render(timeline)) == []
    short = render(timeline, max_tokens=SHORT_TOKENS)
    assert wrong_answers(script, short) == []
    assert estimate_tokens(short) <= SHORT_TOKENS


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_what_the_scripts_leave_open_changes_no_answer(seed: int, rules: Rules) -> None:
    for script in all_scripts():
        timeline = timeline_of_payloads(payloads_of(script, seed), rules)
        assert wrong_answers(script, render(timeline)) == [], script.name
        assert wrong_answers(script, render(timeline, max_tokens=SHORT_TOKENS)) == [], script.name


def without(verb: str, *words: str) -> Callable[[Step], Step | None]:
    """Leaves out these steps."""
    return lambda step: None if (step.verb, step.words[: len(words)]) == (verb, words) else step


def with_other(old: str, new: str) -> Callable[[Step], Step | None]:
    """Puts another word."""
    return lambda step: step._replace(words=tuple(new if w == old else w for w in step.words))


def no_wait(step: Step) -> Step:
    """Without the waits of the script."""
    return step._replace(wait=None)


@pytest.mark.parametrize(
    ("name", "kind", "mutation"),
    [
        ("bought at once", "bought", without("event", "order_placed")),
        ("left a full cart", "bought", with_other("coupon_applied", "order_placed")),
        ("sent one form and not the other", "unfinished", without("submit")),
        ("could not sign in", "unfinished", without("change")),
        ("sent one form and not the other", "unfinished", with_other("/quote", "/x")),
        ("the 3D view did not open", "annoyed", without("rage")),
        ("the 3D view did not open", "annoyed_by", with_other("Show in 3D", "Show in 2D")),
        ("an Arabic button without effect", "annoyed", with_other("/ar/products/lamp", "/ar/x")),
        ("an Arabic button without effect", "annoyed_by", without("dead")),
        ("two lamps, and one of them bought", "wavered", with_other("/products/floor-lamp", "/x")),
        ("two screens of the app in turns", "wavered", without("screen", "Notifications")),
        ("thought about it for four minutes, then paid", "hesitated", no_wait),
        ("thought about it for four minutes, then paid", "hesitated_for", no_wait),
        ("the editor beats while its user is away", "hesitated_for", without("beats")),
        ("signed in on the way", "signed_in", without("identify")),
        ("the checkout broke", "error", without("error")),
        ("came and went", "entry", with_other("/blog/ten-desks", "/blog")),
        ("wrote to support", "exit", without("view", "/contact")),
        ("a German cart that does not react", "entry", without("view", "/")),
        ("found nothing", "fact", with_other("query=standing desk", "query=chair")),
        ("long, and bought in the middle", "fact", with_other("total=310", "total=311")),
    ],
)  # fmt: skip
def test_a_session_in_which_something_else_happened_has_another_answer(
    name: str, kind: str, mutation: Callable[[Step], Step | None], rules: Rules
) -> None:
    script = SCRIPTS[name]
    steps = tuple(step for one in script.steps if (step := mutation(one)))
    assert steps != script.steps
    timeline = timeline_of_payloads(payloads_of(script._replace(steps=steps)), rules)
    for max_tokens in (None, SHORT_TOKENS):
        wrong = wrong_answers(script, render(timeline, max_tokens=max_tokens))
        assert any(one.startswith(f"{kind}: ") for one in wrong)


def test_another_device_is_another_answer(rules: Rules) -> None:
    for script in all_scripts():
        for client in {"web", "phone"} - {script.client}:
            if script.client in {"web", "phone"}:
                timeline = timeline_of_payloads(payloads_of(script._replace(client=client)), rules)
                wrong = wrong_answers(script, render(timeline))
                assert len(wrong) == sum(one.kind == "device" for one in script.questions)


def test_the_real_path_builds_the_same(store: Store, rules: Rules) -> None:
    sessions = {script.name: payloads_of(script) for script in all_scripts()}
    events = {
        name: [parse_event(payload, PROJECT, ARRIVAL) for payload in payloads]
        for name, payloads in sessions.items()
    }
    load_events(store, [event for some in events.values() for event in some], [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        for name, (first, *_) in events.items():
            timeline = (
                timeline_of(connection, first.session_id)
                if first.session_id
                else newest_timeline_of(connection, first.distinct_id)
            )
            text = render(timeline)
            assert wrong_answers(SCRIPTS[name], text) == []
            without_store = render(timeline_of_payloads(sessions[name], rules))
            assert re.sub(r"person_[0-9a-f]{10}", PERSON, text) == without_store


def test_events_look_like_those_of_posthog_js_and_are_as_large() -> None:
    sizes = []
    for script in all_scripts():
        if script.client != "web":
            continue
        for payload in payloads_of(script):
            event = json.loads(payload)
            shape = event["event"]
            if shape == "$autocapture":
                shape = f"$autocapture:{event['properties']['$event_type']}"
            recorded = recorded_shapes().get(shape, recorded_shapes()["plan_upgrade_started"])
            assert event.keys() >= recorded.keys()
            assert event["properties"].keys() >= recorded["properties"].keys()
            sizes.append(len(payload))
    assert 2_400 < mean(sizes) < 3_000


def test_a_seed_makes_the_same_bytes_and_another_one_other_events() -> None:
    script = SCRIPTS["signed in on the way"]
    assert payloads_of(script, 5) == payloads_of(script, 5)
    uuids = {json.loads(one)["uuid"] for seed in (5, 6) for one in payloads_of(script, seed)}
    assert len(uuids) == 2 * len(payloads_of(script))


def test_raw_events_are_cut_to_the_tokens_of_the_timeline(rules: Rules) -> None:
    for script in all_scripts():
        payloads = payloads_of(script)
        timeline, raw = contexts_of(payloads, rules)
        assert (timeline.form, raw.form) == (TIMELINE, RAW_CUT)
        assert raw_json(payloads).startswith(raw.text)
        assert count_tokens(timeline.text) - 4 <= count_tokens(raw.text)
        assert count_tokens(raw.text) <= count_tokens(timeline.text)


def test_the_rules_find_less_in_what_others_would_show(rules: Rules) -> None:
    scores = by_rule(all_scripts(), rules)
    asked = sum(len(script.questions) for script in all_scripts())
    assert {form: score.asked.total() for form, score in scores.items()} == dict.fromkeys(
        scores, asked
    )
    assert scores[TIMELINE].right.total() == asked
    assert scores[TIMELINE].wrong == []
    # Which button, why, for how much: a dump of times, names and URLs has none of it.
    assert scores[DUMP].right["annoyed_by"] == scores[DUMP].right["fact"] == 0
    assert scores[DUMP].right.total() < 0.8 * asked
    assert scores[DUMP].tokens > 3 * scores[TIMELINE].tokens
    assert scores[RAW_CUT].right.total() < 0.1 * asked
    # An event of a server is small: of some sessions the first ones are whole.
    assert 0 < scores[RAW_CUT].unreadable < asked


def test_only_what_is_whole_is_read_in_cut_events(rules: Rules) -> None:
    readable = readable_of(payloads_of(SCRIPTS["bought at once"]), rules)
    cut = next(one for one in readable if one.form == RAW_CUT)
    assert cut.text.startswith('{"uuid":')
    assert cut.timeline == ""


def question(answers: str, answer: str, choices: tuple[str, ...] = ()) -> Question:
    return Question("some", "?", answers, answer, choices=choices)  # type: ignore[arg-type]


DURATIONS = KINDS["hesitated_for"].choices


@pytest.mark.parametrize(
    ("asked", "right", "wrong"),
    [
        (
            question("yes or no", "yes"),
            ("yes", "Yes.", "**yes** - an order was placed", " YES"),
            ("no", "", "not sure: yes or no", "I think yes", "nothing"),
        ),
        (
            question("page", "/orders/:id"),
            ("/orders/:id", "`/orders/8231`", "https://shop.example/orders/8231?a=b",
             "/orders/{id}", "/orders/[id]/", "On /orders/<order>."),
            ("/orders", "/orders/:id or /cart", "orders", "", "/"),
        ),
        (
            question("page", "/"),
            ("/", "https://shop.example/", "https://shop.example", "The home page (/)"),
            ("/home", "home", "/ and /cart"),
        ),
        (
            question("page", "none"),
            ("none", "None.", "none: it was sent"),
            ("/checkout", "", "There is none on /checkout"),
        ),
        (
            question("page", "Checkout"),
            ("Checkout", "checkout", "the Checkout screen"),
            ("Home", "", "Home and Checkout"),
        ),
        (
            question("two pages", "/a and /b"),
            ("/a and /b", "/b, /a", "`/b` ↔ `/a`"),
            ("/a", "/a and /c", "/a, /b and /c", ""),
        ),
        (
            question("two pages", "Settings and Notifications"),
            ("Notifications and Settings",),
            ("Settings", "Settings and Home"),
        ),
        (
            question("choice", "3 to 10 minutes", DURATIONS),
            ("3 to 10 minutes", "3 To 10 Minutes.", "about four: 3 to 10 minutes"),
            ("1 to 3 minutes", "4 minutes", "1 to 3 minutes or 3 to 10 minutes", ""),
        ),
        (
            question("words", "insufficient_funds"),
            ("insufficient_funds", '"insufficient funds"', "Insufficient funds, it says"),
            ("funds", "", "insufficient", "insufficientfunds"),
        ),
        (
            question("words", "39.5"),
            ("39.5", "39.5 EUR", "total=39.5"),
            ("39", "395", "139.5", "39.55"),
        ),
        (
            question("words", "カートに入れる"),
            ("カートに入れる", "「カートに入れる」"),
            ("カート", ""),
        ),
        (
            question("words", "pro"),
            ("pro", "plan=pro"),
            ("product", "one of: free, pro, team, business, school, trial, "
             "starter, basic, plus, max, solo, duo, crew, club"),
        ),
    ],
)  # fmt: skip
def test_an_answer_is_right_in_whatever_words_and_wrong_if_it_says_something_else(
    asked: Question, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    assert [one for one in right if not is_right(asked, one)] == []
    assert [one for one in wrong if is_right(asked, one)] == []


@given(st.text(), st.sampled_from([one for script in all_scripts() for one in script.questions]))
def test_no_answer_is_too_strange_to_be_scored(answer: str, asked: Question) -> None:
    assert is_right(asked, answer) in {True, False}
    assert is_right(asked, asked.answer)
