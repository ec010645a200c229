"""The questions that are put about sessions, and of what kind their answers are.

What is true of which session stands in `scripts.yaml`; whether an answer is right, `scoring` says.
"""

from typing import Literal, NamedTuple

Answers = Literal["yes or no", "page", "two pages", "words", "choice", "number"]
"""How an answer is compared."""

NONE = "none"
NOT_KNOWN = "not known"
"""The right answer where a session does not tell what is asked."""

DURATIONS = ("under 1 minute", "1 to 3 minutes", "3 to 10 minutes", "more than 10 minutes")
DEVICES = ("desktop", "mobile", "server")
CAUSES = (
    "a click without effect",
    "an error in the page",
    "a declined payment",
    "a search without results",
    "a failed sign-in",
)
WHICH_SESSION = ("first", "second", "both", "neither")
DIFFERENT_PAGES = "different pages"
"""In the place of a line: the pages that differ are counted."""
GAPS = ("less than a day", "1 to 3 days", "4 to 10 days", "more than 10 days")


class Question(NamedTuple):
    """A question about one script."""

    kind: str
    """A key of `KINDS`; or a question of this script alone: `fact`, `count`, `cause`, or
    `not known`, a fact that the session does not tell."""
    text: str
    answers: Answers
    answer: str
    """The right one."""
    line: str = ""
    """Where the answer is: of a fact, the event that has it; of a count, how the lines begin that
    are counted; of a cause, how the line begins that came of it."""
    says: str = ""
    """Of a fact: the property of that event, where it has several."""
    choices: tuple[str, ...] = ()


class Kind(NamedTuple):
    """A question that fits many sessions."""

    text: str
    answers: Answers
    choices: tuple[str, ...] = ()


KINDS = {
    "bought": Kind("Did the user buy, order or pay for something, with success?", "yes or no"),
    "signed_in": Kind("Was the user identified (by signing in or up) on the way?", "yes or no"),
    "entry": Kind("On which page or screen did the session begin?", "page"),
    "exit": Kind("Which page or screen was the last one viewed?", "page"),
    "hesitated": Kind(
        "On which page or screen was the longest time in which the user did nothing? Events that "
        "come by themselves, like a clock, are nothing that a user does.",
        "page",
    ),
    "hesitated_for": Kind(
        "How long was the longest time in which the user did nothing? Events that come by "
        "themselves, like a clock, are nothing that a user does.",
        "choice",
        DURATIONS,
    ),
    "annoyed": Kind(
        "On which page did clicking annoy the user: again and again, or without any effect?", "page"
    ),
    "annoyed_by": Kind(
        "What is the label of the element that was clicked again and again, or without any effect?",
        "words",
    ),
    "unfinished": Kind(
        "On which page did the user begin to fill in a form that was never sent? "
        f"If there is none: {NONE}",
        "page",
    ),
    "wavered": Kind("Between which two pages or screens did the user go to and fro?", "two pages"),
    "error": Kind("What did the message of the error say?", "words"),
    "device": Kind("On what kind of device did it happen?", "choice", DEVICES),
    "bought_in": Kind(
        "In which of the two sessions did the user buy, order or pay for something, with success?",
        "choice",
        WHICH_SESSION,
    ),
    "annoyed_in": Kind(
        "In which of the two sessions did clicking annoy the user: again and again, or without any "
        "effect?",
        "choice",
        WHICH_SESSION,
    ),
    "returned_to": Kind(
        f"Which page was viewed in both sessions? If there is none: {NONE}", "page"
    ),
    "finished_later": Kind(
        "Did the user begin to fill in a form in the first session and send it in the second?",
        "yes or no",
    ),
    "apart": Kind("How much time passed between the two sessions?", "choice", GAPS),
}
