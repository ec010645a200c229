"""A trial: all sessions, each question in each form, and how many answers are right.

Who answers belongs to `reading` (by rule) and `asking` (a model).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.tokens import count_tokens
from benchmarks.understanding.contexts import Context, contexts_of, readable_of
from benchmarks.understanding.questions import Question
from benchmarks.understanding.reading import answer_by_rule
from benchmarks.understanding.scoring import is_right
from benchmarks.understanding.scripts import Script
from benchmarks.understanding.sessions import payloads_of
from enrichment_pipeline.classification import Rules

Ask = Callable[[Context, Sequence[Question]], Sequence[str | None]]


@dataclass
class Score:
    """What came out of one form."""

    asked: Counter[str] = field(default_factory=Counter)
    """Questions by kind."""
    right: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    """Questions that got no answer."""
    tokens: int = 0
    """Of the sessions in this form."""
    wrong: list[str] = field(default_factory=list)
    """One line for each wrong answer."""

    def add(self, script: Script, question: Question, answer: str | None) -> None:
        """Count one answer; None where there was none."""
        self.asked[question.kind] += 1
        self.unreadable += answer is None
        if is_right(question, answer or ""):
            self.right[question.kind] += 1
        else:
            verdict = f"wanted {question.answer!r}, got {answer!r}"
            self.wrong.append(f"{script.name}: {question.kind}: {verdict}")

    def as_json(self) -> Mapping[str, object]:
        """For --json."""
        return {
            "questions": self.asked.total(),
            "right": self.right.total(),
            "unreadable": self.unreadable,
            "tokens": self.tokens,
            "by_kind": {
                kind: {"questions": asked, "right": self.right[kind]}
                for kind, asked in sorted(self.asked.items())
            },
            "wrong": self.wrong,
        }


def by_rule(scripts: Iterable[Script], rules: Rules) -> dict[str, Score]:
    """The scores of the rules, by form."""
    scores: dict[str, Score] = {}
    for script in scripts:
        for form, text, timeline in readable_of(payloads_of(script), rules):
            score = scores.setdefault(form, Score())
            score.tokens += count_tokens(text)
            for question in script.questions:
                answer = answer_by_rule(question, timeline) if timeline else None
                score.add(script, question, answer)
    return scores


def by_model(
    scripts: Iterable[Script], rules: Rules, ask: Ask, on_progress: Callable[[], None]
) -> dict[str, Score]:
    """The scores of a model, by form."""
    scores: dict[str, Score] = {}
    for script in scripts:
        for context in contexts_of(payloads_of(script), rules):
            score = scores.setdefault(context.form, Score())
            score.tokens += count_tokens(context.text)
            answers = ask(context, script.questions)
            for question, answer in zip(script.questions, answers, strict=True):
                score.add(script, question, answer)
        on_progress()
    return scores
