"""Scripted sessions with known answers: that each answer is in the timeline, by rule, and what is
left of it in other forms."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import mean

import pytest
from sqlalchemy import Connection

from benchmarks.tokens import count_tokens, plain_dump, raw_json
from benchmarks.understanding.contexts import (
    CSV,
    DUMP,
    FORMS,
    JSON,
    MARKDOWN,
    RAW,
    SHORT_TOKENS,
    TIMELINE,
    contexts_of,
    readable_of,
)
from benchmarks.understanding.questions import CAUSES, KINDS, NOT_KNOWN
from benchmarks.understanding.reading import answer_by_rule
from benchmarks.understanding.scoring import is_right
from benchmarks.understanding.scripts import Script, Step, all_scripts
from benchmarks.understanding.sessions import payloads_of
from benchmarks.understanding.timelines import (
    ARRIVAL,
    PERSON,
    PROJECT,
    by_session,
    timelines_of_payloads,
)
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


def shown(payloads: Sequence[bytes], rules: Rules, max_tokens: int | None = None) -> str:
    """The timelines of a script, as text."""
    timelines = timelines_of_payloads(payloads, rules)
    return "\n".join(render(timeline, max_tokens=max_tokens) for timeline in timelines)


def test_there_are_some_ten_questions_of_each_new_kind_and_of_two_sessions() -> None:
    assert len(SCRIPTS) == len(all_scripts()) == 58
    assert all(2 <= len(script.questions) <= 6 for script in all_scripts())
    kinds = Counter(one.kind for script in all_scripts() for one in script.questions)
    assert kinds.keys() == KINDS.keys() | {"fact", "count", "cause", NOT_KNOWN}
    assert min(kinds.values()) >= 2
    assert min(kinds[kind] for kind in ("count", "cause", NOT_KNOWN)) >= 10
    of_two = [script for script in all_scripts() if len(by_session(payloads_of(script))) == 2]
    assert len(of_two) >= 10
    assert {script.client for script in all_scripts()} == {"web", "phone", "app", "server"}


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("bought", {"yes", "no"}),
        ("signed_in", {"yes", "no"}),
        ("finished_later", {"yes", "no"}),
        ("cause", set(CAUSES)),
        ("count", {"0", "1", "2", "3", "4", "5"}),
    ],
)
def test_no_answer_is_always_the_right_one(kind: str, answers: set[str]) -> None:
    questions = [one for script in all_scripts() for one in script.questions if one.kind == kind]
    assert {one.answer for one in questions} == answers


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_answer_is_in_the_timeline(name: str, rules: Rules) -> None:
    script = SCRIPTS[name]
    payloads = payloads_of(script)
    assert wrong_answers(script, shown(payloads, rules)) == []
    assert wrong_answers(script, shown(payloads, rules, SHORT_TOKENS)) == []
    for timeline in timelines_of_payloads(payloads, rules):
        assert estimate_tokens(render(timeline, max_tokens=SHORT_TOKENS)) <= SHORT_TOKENS


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_what_the_scripts_leave_open_changes_no_answer(seed: int, rules: Rules) -> None:
    for script in all_scripts():
        payloads = payloads_of(script, seed)
        assert wrong_answers(script, shown(payloads, rules)) == [], script.name
        assert wrong_answers(script, shown(payloads, rules, SHORT_TOKENS)) == [], script.name


def test_two_sessions_of_a_script_are_of_one_person_and_days_apart(rules: Rules) -> None:
    script = SCRIPTS["ordered, and complained"]
    first, second = timelines_of_payloads(payloads_of(script), rules)
    assert first.session_id != second.session_id
    assert first.person == second.person
    assert second.started_at - first.started_at > 14 * 86_400
    assert first.exit == "/checkout"
    assert (second.entry, second.pages) == ("/orders", 2)


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
        ("bought at once", NOT_KNOWN, with_other("order_placed", "coupon_applied")),
        ("wrote to support", NOT_KNOWN, with_other("topic=refund", "text=refund")),
        ("cancelled", NOT_KNOWN, with_other("reason=price", "months=7")),
        ("the coupon button is dead", "count", with_other("Apply coupon", "Use coupon")),
        ("left a full cart", "count", with_other("/products", "/cart")),
        ("a full basket", "count", with_other("product_removed", "product_added")),
        ("sent one form and not the other", "count", without("submit")),
        ("another card", "cause", without("event", "payment_failed")),
        ("searched in vain and asked a person", "cause", with_other("results=0", "results=2")),
        ("a forgotten password", "cause", with_other("login_failed", "payment_failed")),
        ("the picture could not be uploaded", "cause", without("error")),
        ("looked on Monday and bought on Thursday", "bought_in", without("later")),
        ("a regular", "bought_in", without("event", "order_placed", "total=18")),
        ("ordered, and complained", "annoyed_in", without("rage")),
        ("the button was dead twice", "annoyed_in", without("dead")),
        ("came back to the same chair", "returned_to", with_other("/", "/products")),
        ("the quote was never asked for", "returned_to", with_other("/blog", "/quote")),
        ("the application was sent a week later", "finished_later", without("submit")),
        ("the survey was finished in the evening", "finished_later", with_other("age", "q")),
        ("signed up after the trial", "apart", with_other("13", "1")),
    ],
)  # fmt: skip
def test_a_session_in_which_something_else_happened_has_another_answer(
    name: str, kind: str, mutation: Callable[[Step], Step | None], rules: Rules
) -> None:
    script = SCRIPTS[name]
    steps = tuple(step for one in script.steps if (step := mutation(one)))
    assert steps != script.steps
    payloads = payloads_of(script._replace(steps=steps))
    for max_tokens in (None, SHORT_TOKENS):
        wrong = wrong_answers(script, shown(payloads, rules, max_tokens))
        assert any(one.startswith(f"{kind}: ") for one in wrong)


def test_another_device_is_another_answer(rules: Rules) -> None:
    for script in all_scripts():
        for client in {"web", "phone"} - {script.client}:
            if script.client in {"web", "phone"}:
                wrong = wrong_answers(
                    script, shown(payloads_of(script._replace(client=client)), rules)
                )
                assert len(wrong) == sum(one.kind == "device" for one in script.questions)


def test_the_real_path_builds_the_same(store: Store, rules: Rules) -> None:
    scripts = {script.name: payloads_of(script) for script in all_scripts()}
    events = [
        parse_event(payload, PROJECT, ARRIVAL)
        for payloads in scripts.values()
        for payload in payloads
    ]
    load_events(store, events, [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        for name, payloads in scripts.items():
            text = "\n".join(stored(connection, some[0]) for some in by_session(payloads))
            assert wrong_answers(SCRIPTS[name], text) == []
            without_store = shown(payloads, rules)
            assert re.sub(r"person_[0-9a-f]{10}", PERSON, text) == without_store


def stored(connection: Connection, payload: bytes) -> str:
    """The timeline of the session to which this event belongs."""
    event = parse_event(payload, PROJECT, ARRIVAL)
    return render(
        timeline_of(connection, event.session_id)
        if event.session_id
        else newest_timeline_of(connection, event.distinct_id)
    )


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


def test_every_form_is_cut_to_the_tokens_of_the_timeline(rules: Rules) -> None:
    for script in all_scripts():
        payloads = payloads_of(script)
        cut = {one.form: one.text for one in contexts_of(payloads, rules)}
        whole = {one.form: one.text for one in contexts_of(payloads, rules, is_whole=True)}
        whole |= {RAW: raw_json(payloads), DUMP: plain_dump(payloads)}
        assert tuple(cut) == FORMS
        assert cut[TIMELINE] == whole[TIMELINE]
        tokens = count_tokens(cut[TIMELINE])
        for form in FORMS:
            assert whole[form].startswith(cut[form])
            assert count_tokens(cut[form]) <= tokens
            assert count_tokens(cut[form]) >= tokens - 4 or cut[form] == whole[form]


def test_what_is_written_out_of_a_timeline_says_the_same_in_each_form(rules: Rules) -> None:
    payloads = payloads_of(SCRIPTS["the button was dead twice"])
    whole = {one.form: one.text for one in contexts_of(payloads, rules, is_whole=True)}
    assert whole.keys() == {TIMELINE, CSV, MARKDOWN, JSON}
    for text in whole.values():
        assert text.count("Choose a day") >= 2 * 2
        assert "Desktop, Chrome on Linux" in text
    assert [json.loads(one)["exit"] for one in whole[JSON].splitlines()] == ["/booking", "/phone"]
    assert whole[CSV].count("\nseconds,action,what,page,times,until,signal\n") == 2


def test_the_rules_find_less_in_what_others_would_show(rules: Rules) -> None:
    scores = by_rule(all_scripts(), rules)
    asked = sum(len(script.questions) for script in all_scripts())
    assert {form: score.asked.total() for form, score in scores.items()} == dict.fromkeys(
        scores, asked
    )
    assert scores[TIMELINE].right.total() == asked
    assert scores[TIMELINE].wrong == []
    # Which button, why, for how much: a dump of times, names and URLs has none of it.
    dump = scores[f"{DUMP}, uncut"]
    assert dump.right["annoyed_by"] == dump.right["fact"] == 0
    assert dump.right.total() < 0.8 * asked
    assert dump.tokens > 2.5 * scores[TIMELINE].tokens
    assert scores[DUMP].right.total() < 0.5 * asked
    assert scores[DUMP].tokens <= scores[TIMELINE].tokens
    assert scores[RAW].right.total() < 0.1 * asked
    # An event of a server is small: of some sessions the first ones are whole.
    assert 0 < scores[RAW].unreadable < asked


def test_only_what_is_whole_is_read_in_cut_events(rules: Rules) -> None:
    readable = readable_of(payloads_of(SCRIPTS["bought at once"]), rules)
    cut = next(one for one in readable if one.form == RAW)
    assert cut.text.startswith('{"uuid":')
    assert cut.timeline == ""
