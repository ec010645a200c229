"""Whether an answer is right, in whatever words a model puts it.

What was asked belongs to `questions`.
"""

import re
import unicodedata
from urllib.parse import urlsplit

from benchmarks.understanding.questions import NONE, NOT_KNOWN, Question
from enrichment_pipeline.events.pages import path_template

_AROUND = "\"'`*.,;:!?()[]{}“”„«»"
_AN_ID = re.compile(r"/(?:\{\w+\}|<\w+>|\[\w+\])")
_WORD = re.compile(r"[^\W_]+")
_NOT_KNOWN = re.compile(
    r"(?:it is |this is |that is |answer )?(?:not known|unknown|unclear|n a|not available"
    r"|not applicable|undetermined"
    r"|(?:i )?(?:do not|don t|cannot|can t) (?:know|tell|say))\b"
)
_NOT_TOLD = re.compile(
    r"\b(?:not|nowhere|never|isn t|wasn t|doesn t|don t|no one) (?:\w+ )?"
    r"(?:known|told|tell|say|stated|given|specified|mentioned|recorded|provided|shown|said"
    r"|available|in the (?:data|timeline|events))\b|\bno (?:such )?(?:information|data)\b"
)
_GUESSES = frozenset({"but", "probably", "likely", "perhaps", "maybe", "presumably", "possibly"})
_NOTHING = (["none"], ["never"], ["no"], ["nothing"])
"""How an answer begins that says that there was none."""
_SAID_NUMBER = re.compile(r"(?<![\w/.,:])(\d+)(?![\w/:]|[.,]\d)")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER_WORDS = {word: number for number, word in enumerate(_NUMBERS)}
_NUMBER_WORDS |= {"once": 1, "twice": 2, "thrice": 3}
_SPARE_WORDS = 12
"""So many may stand around the right words: who says everything has not answered."""


def is_right(question: Question, answer: str) -> bool:
    """Whether this answers the question."""
    if question.answer == NOT_KNOWN:
        # There was no coupon code: who says so has not made one up.
        said = _words(answer)
        return is_not_known(answer) or (said[:1] in _NOTHING and _is_brief(said))
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
        case "number":
            return _numbers(answer) == {int(question.answer)}
        case "words":
            return _has_words(question.answer, answer)


def is_not_known(answer: str) -> bool:
    """Whether this says that the data do not tell, and guesses nothing."""
    said = _words(answer)
    shown = " ".join(said)
    is_said = _NOT_KNOWN.match(shown) or _NOT_TOLD.search(shown)
    return bool(is_said) and _is_brief(said)


def _is_brief(said: list[str]) -> bool:
    """Whether so few words are said that no guess can be among them."""
    return len(said) <= _SPARE_WORDS and not _GUESSES & set(said)


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


def _numbers(answer: str) -> set[int]:
    """The numbers that an answer says, in figures or words; those in paths are none."""
    plain = _plain(answer)
    said = _words(plain)
    words = {_NUMBER_WORDS[word] for word in said if word in _NUMBER_WORDS}
    # "Never" as the answer, not "a form that was never sent".
    words |= {0} if said[:1] in _NOTHING else set()
    return words | {int(found) for found in _SAID_NUMBER.findall(plain)}


def _has_words(expected: str, answer: str) -> bool:
    said, wanted = _words(answer), _words(expected)
    places = range(len(said) - len(wanted) + 1)
    is_there = any(said[at : at + len(wanted)] == wanted for at in places)
    return is_there and len(said) <= len(wanted) + _SPARE_WORDS


def _words(text: str) -> list[str]:
    return _WORD.findall(_plain(text))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
