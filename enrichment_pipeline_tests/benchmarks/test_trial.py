"""What a trial counts, how sure its figures are, and what whoever reads nothing gets right."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.understanding.contexts import FORMS, TIMELINE
from benchmarks.understanding.figures import sign_test, wilson
from benchmarks.understanding.questions import NOT_KNOWN
from benchmarks.understanding.scripts import all_scripts
from benchmarks.understanding.trial import (
    COMMONEST,
    FIRST_CHOICE,
    Score,
    beside,
    in_order,
    without_reading,
)

RESULTS = Path(__file__).parents[2] / "benchmarks" / "understanding" / "results"
SCRIPT = next(one for one in all_scripts() if one.name == "bought at once")
BOUGHT, FORM, *_ = SCRIPT.questions


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 0) == (0, 1)


@given(st.integers(1, 500), st.data())
def test_an_interval_holds_its_share(asked: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, asked))
    low, high = wilson(right, asked)
    assert 0 <= low < high <= 1
    assert low - 1e-9 <= right / asked <= high + 1e-9
    assert (1 - high, 1 - low) == pytest.approx(wilson(asked - right, asked))


def test_two_forms_differ_as_a_coin_would_tell() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(3, 3) == 1
    assert sign_test(0, 5) == sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(1, 9) == pytest.approx(2 * 11 / 1024)
    assert sign_test(0, 2_000) < 1e-300


def test_forms_are_compared_question_by_question() -> None:
    timeline, other = Score(), Score()
    for right, wrong in ((timeline, other), (timeline, other), (other, timeline)):
        right.add(SCRIPT, BOUGHT, "yes")
        wrong.add(SCRIPT, BOUGHT, "no")
    timeline.add(SCRIPT, FORM, "none")
    other.add(SCRIPT, FORM, "none")
    assert other.against(timeline) == (1, 2, 1)
    assert timeline.against(other)[:2] == (2, 1)
    assert beside({TIMELINE: timeline, "other": other}, "other") is timeline
    assert beside({TIMELINE: timeline}, TIMELINE) is None


def test_who_gives_up_wrongly_is_counted_apart_from_who_errs() -> None:
    score = Score()
    for answer in ("not known", "no", None, "yes"):
        score.add(SCRIPT, BOUGHT, answer)
    assert (score.right.total(), score.not_known, score.unreadable) == (1, 1, 1)
    assert score.wrong[0] == "bought at once: bought: wanted 'yes', got 'not known'"


def test_who_reads_nothing_gets_right_what_is_always_so() -> None:
    scores = without_reading(all_scripts())
    unknown = scores[COMMONEST].asked[NOT_KNOWN]
    assert scores[COMMONEST].right[NOT_KNOWN] == scores[FIRST_CHOICE].right[NOT_KNOWN] == unknown
    bought = [one for s in all_scripts() for one in s.questions if one.kind == "bought"]
    says_yes = sum(one.answer == "yes" for one in bought)
    assert scores[FIRST_CHOICE].right["bought"] == says_yes
    assert scores[COMMONEST].right["bought"] == max(says_yes, len(bought) - says_yes)
    # What is commonest is so in the whole set, however few are asked.
    few = without_reading([SCRIPT])[COMMONEST]
    assert few.wrong[0] == "bought at once: bought: wanted 'yes', got 'no'"
    # Whoever reads has far to go.
    assert scores[FIRST_CHOICE].right.total() < 0.25 * scores[FIRST_CHOICE].asked.total()
    assert scores[COMMONEST].right.total() < 0.4 * scores[COMMONEST].asked.total()


def test_the_first_scripts_of_a_short_run_are_those_of_every_longer_one() -> None:
    ordered = in_order(all_scripts())
    assert sorted(ordered) == sorted(all_scripts())
    assert in_order(all_scripts()) == ordered
    kinds = {one.kind for script in ordered[:20] for one in script.questions}
    assert len(kinds) >= 15


def test_what_was_published_is_of_the_questions_that_there_are() -> None:
    files = sorted(RESULTS.glob("*.json"))
    assert len(files) == 2
    for file in files:
        published = json.loads(file.read_text())
        asked = in_order(all_scripts())[: published["scripts"]]
        questions = sum(len(script.questions) for script in asked)
        [model] = published["models"]
        scores = published["scores"][model]
        assert tuple(scores) == FORMS
        assert {score["questions"] for score in scores.values()} == {questions}
