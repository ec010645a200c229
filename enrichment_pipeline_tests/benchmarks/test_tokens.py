"""Counting tokens with a real tokenizer, and what a timeline costs."""

import json
import re
from datetime import datetime
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import tokens
from benchmarks.measure import Report
from benchmarks.tokens import PLAIN, RAW, count_tokens, first_tokens, plain_dump, tokens_of
from benchmarks.understanding.scripts import all_scripts
from benchmarks.understanding.sessions import payloads_of
from benchmarks.understanding.timelines import timeline_of_payloads
from enrichment_pipeline.classification import Rules

pytestmark = pytest.mark.slow

Counted = list[tuple[int, dict[str, int]]]


@pytest.fixture(scope="module")
def scripted(rules: Rules) -> Counted:
    sessions = tokens.scripted_sessions()
    return [(len(payloads), tokens_of(payloads, rules)) for payloads in sessions]


@pytest.fixture(scope="module")
def sample(rules: Rules) -> Counted:
    return [(len(payloads), tokens_of(payloads, rules)) for payloads in tokens.sample_sessions()]


@pytest.mark.parametrize("sessions", ["scripted", "sample"])
def test_a_timeline_has_a_fiftieth_of_the_tokens_of_its_events_and_fewer_than_a_plain_dump(
    sessions: str, request: pytest.FixtureRequest
) -> None:
    counted: Counted = request.getfixturevalue(sessions)
    for other, ratio in ((RAW, 50), (PLAIN, 1)):
        ratios = [one[other] / one["text"] for _, one in counted]
        assert median(ratios) >= ratio
        assert sum(one[other] for _, one in counted) >= ratio * sum(
            one["text"] for _, one in counted
        )
    assert all(one["text"] < one[PLAIN] for events, one in counted if events >= 6)


def test_the_sessions_are_shown_as_they_went(rules: Rules) -> None:
    # Not as they would arrive: an event of the future happened when it arrived.
    sessions = [*tokens.sample_sessions(), *tokens.scripted_sessions()]
    for payloads in sessions:
        times = [json.loads(payload)["timestamp"] for payload in payloads]
        first, last = (datetime.fromisoformat(time) for time in (times[0], times[-1]))
        timeline = timeline_of_payloads(payloads, rules)
        assert timeline.events == len(payloads)
        assert timeline.seconds == pytest.approx((last - first).total_seconds(), abs=0.01)


def test_text_is_the_form_with_the_fewest_tokens(scripted: Counted, sample: Counted) -> None:
    for _, one in scripted + sample:
        assert one["text"] < one["markdown"] < one["json"]


def test_the_figures_are_shown_beside_what_is_asked_for(rules: Rules) -> None:
    report = Report({})
    tokens.measure(report, rules)
    figures = {name: (value, target) for name, value, target in report.facts}
    assert {target for _, target in figures.values()} == {"", "≥ 50", "> 1", "all"}
    value, _ = figures[
        "tokens, 69 sessions scripted: raw events / timeline as text, median and in all"
    ]
    assert re.fullmatch(r"\d+\.\d, \d+\.\d", value)
    sums, _ = figures["tokens, 24 sessions of the sample: in all"]
    for form in ("raw events", "plain dump", "text", "markdown", "json", "csv"):
        assert re.search(rf"\b{form} [\d,]{{5,}}", sums)


def test_a_plain_dump_has_the_time_the_name_and_the_url_of_each_event() -> None:
    script = next(one for one in all_scripts() if one.name == "came and went")
    for line, event in zip(
        plain_dump(payloads_of(script)).splitlines(), ("$pageview", "$pageleave"), strict=True
    ):
        url = "https://shop.example/blog/ten-desks"
        assert re.fullmatch(rf"2026-03-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z,\{event},{url}", line)


def test_tokens_are_those_of_the_vocabulary() -> None:
    # Digits stand alone in it, and a space belongs to the word behind it.
    assert count_tokens("2026") == 4
    assert count_tokens(" click button") == 2


@given(st.text(), st.integers(0, 40))
def test_the_first_tokens_of_a_text_are_its_beginning_and_no_more_than_asked_for(
    text: str, count: int
) -> None:
    beginning = first_tokens(text, count)
    assert text.startswith(beginning)
    assert count_tokens(beginning) <= count
    if count_tokens(text) <= count:
        assert beginning == text


def test_a_letter_of_several_tokens_is_not_cut_in_two() -> None:
    text = "𓀀" * 4
    for count in range(count_tokens(text)):
        assert set(first_tokens(text, count)) <= {"𓀀"}
