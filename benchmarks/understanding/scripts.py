"""Reading the scripted sessions of `scripts.yaml`.

What a step does belongs to `sessions`.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.understanding.questions import CAUSES, KINDS, NOT_KNOWN, Question

_FILE = Path(__file__).with_name("scripts.yaml")
_FIRST_DAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_APART = timedelta(minutes=37)

_WAIT = re.compile(r"\+(?:(\d+)m)?(?:(\d+)s?)?")
_WORDS_OF_YAML = {True: "yes", False: "no"}


class Step(NamedTuple):
    """Something that is done, `wait` seconds after the step before; None: after a few."""

    wait: float | None
    verb: str
    words: tuple[str, ...]


class Script(NamedTuple):
    """A session, or two of one person, and what is true of it."""

    name: str
    client: str
    """web, phone (the web on a phone), app or server."""
    start: datetime
    steps: tuple[Step, ...]
    questions: tuple[Question, ...]


@cache
def all_scripts() -> tuple[Script, ...]:
    """The scripts, in the order of the file."""
    read = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return tuple(read_script(one, number) for number, one in enumerate(read))


def read_script(one: Mapping[str, Any], number: int = 0) -> Script:
    """A script as the file has it; the `number` says when it starts if it says nothing."""
    return Script(
        name=one["name"],
        client=one.get("client", "web"),
        start=one.get("start") or _FIRST_DAY + number * _APART,
        steps=tuple(_step(line) for line in one["steps"].splitlines()),
        questions=tuple(_questions(one)),
    )


def _step(line: str) -> Step:
    words = shlex.split(line)
    wait = None
    if found := _WAIT.fullmatch(words[0]):
        wait = 60.0 * int(found[1] or 0) + int(found[2] or 0)
        words = words[1:]
    # What stands between quotes may hold the line breaks that a label or a message had.
    verb, *rest = (word.replace("\\n", "\n") for word in words)
    return Step(wait, verb, tuple(rest))


def _questions(one: Mapping[str, Any]) -> Iterator[Question]:
    for kind, answer in one.get("asked", {}).items():
        written = _WORDS_OF_YAML[answer] if isinstance(answer, bool) else str(answer)
        text, answers, choices = KINDS[kind]
        yield Question(kind, text, answers, written, choices=choices)
    for fact in one.get("facts", ()):
        kind = NOT_KNOWN if fact["answer"] == NOT_KNOWN else "fact"
        says = fact.get("says", "")
        yield Question(kind, fact["ask"], "words", str(fact["answer"]), fact["line"], says)
    for count in one.get("counts", ()):
        yield Question("count", count["ask"], "number", str(count["answer"]), count["line"])
    for cause in one.get("causes", ()):
        answer, line = cause["answer"], cause["line"]
        yield Question("cause", cause["ask"], "choice", answer, line, choices=CAUSES)
