"""Whether an answer is right, in whatever words a model puts it.

What was asked belongs to `questions`.
"""

import re
import unicodedata
from urllib.parse import urlsplit

from benchmarks.understanding.questions import NONE, Question
from enrichment_pipeline.events.pages import path_template

_AROUND = "\"'`*.,;:!?()[]{}“”„«»"
_AN_ID = re.compile(r"/(?:\{\w+\}|<\w+>|\[\w+\])")
_WORD = re.compile(r"[^\W_]+")
_SPARE_WORDS = 12
"""So many may stand around the right words: who says everything has not answered."""


def is_right(question: Question, answer: str) -> bool:
    """Whether this answers the question."""
    match question.answers:
        case "yes or no":
            return _words(answer)[:1] == [question.answer]
        case "page":
            return _is_page(question.answer, answer)
        case "two pages":
            expected = question.answer.split(" and ")
            return _pages(answer, expected) == set(expected)
        case "choice":
            said = _plain(answer)
            return [one for one in question.choices if _plain(one) in said] == [question.answer]
        case "words":
            return _has_words(question.answer, answer)


def _is_page(expected: str, answer: str) -> bool:
    if expected == NONE:
        return _words(answer)[:1] == [NONE]
    return _pages(answer, [expected]) == {expected}


def _pages(answer: str, expected: list[str]) -> set[str]:
    """The pages that an answer names: its paths, or, where screens have been asked for, its words
    that are not only there to join others."""
    # An id may have been named in another way.
    words = [word.strip(_AROUND) for word in _AN_ID.sub("/:id", answer).split()]
    if any(page.startswith("/") for page in expected):
        return {_template(word) for word in words if "/" in word}
    names = {word.casefold() for word in words} - {"", "and", "the", "screen", "screens", "↔"}
    by_name = {page.casefold(): page for page in expected}
    return {by_name.get(name, name) for name in names}


def _template(word: str) -> str:
    path = urlsplit(word).path if "://" in word else word.partition("?")[0].partition("#")[0]
    return path_template(path.rstrip("/") or "/")


def _has_words(expected: str, answer: str) -> bool:
    said, wanted = _words(answer), _words(expected)
    places = range(len(said) - len(wanted) + 1)
    is_there = any(said[at : at + len(wanted)] == wanted for at in places)
    return is_there and len(said) <= len(wanted) + _SPARE_WORDS


def _words(text: str) -> list[str]:
    return _WORD.findall(_plain(text))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
