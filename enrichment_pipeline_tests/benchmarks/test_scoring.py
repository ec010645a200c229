"""What an answer is worth: right in whatever words, and wrong if it says something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.understanding.questions import CAUSES, KINDS, NOT_KNOWN, WHICH_SESSION, Question
from benchmarks.understanding.scoring import is_not_known, is_right
from benchmarks.understanding.scripts import all_scripts

pytestmark = pytest.mark.slow


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
        (
            question("number", "2"),
            ("2", "2.", "Two", "twice", "2 times", "2 (two)", "The payment failed 2 times."),
            ("", "1", "12", "2 or 3", "2.5", "/orders/2", "some", "between 2 and 4", "02:00"),
        ),
        (
            question("number", "0"),
            ("0", "none", "Never.", "No forms were sent", "zero"),
            ("1", "", "a form that was never sent", "not known", "none, or 1"),
        ),
        (
            question("choice", "a declined payment", CAUSES),
            ("a declined payment", "A declined payment.", "It was a declined payment"),
            ("the payment", "", "a failed sign-in", "a declined payment or a failed sign-in"),
        ),
        (
            question("choice", "second", WHICH_SESSION),
            ("second", "In the second session", "Second."),
            ("first", "both", "first and second", "2", "the last one", ""),
        ),
        (
            question("words", NOT_KNOWN),
            ("not known", "Not known.", "unknown", "It is not known", "N/A", "none", "nothing",
             "no coupon was applied", "The data do not tell", "not mentioned in the data",
             "The timeline doesn't say", "I cannot say", "This is not specified."),
            ("", "WELCOME", "not WELCOME", "not known, but probably WELCOME", "a known one",
             "likely not known", "The code is known", "desk lamp", "yes",
             "no one can be sure, so the one that most people on this page would use: WELCOME"),
        ),
        (
            question("words", "WELCOME"),
            ("WELCOME",),
            ("not known", "none", "unknown"),
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


@pytest.mark.parametrize("answer", ["no", "none", "nothing", "/checkout", "", "0"])
def test_a_wrong_answer_that_denies_something_does_not_say_that_it_is_not_known(
    answer: str,
) -> None:
    assert not is_not_known(answer)
