"""A trial: all sessions, each question in each form, and how many answers are right.

Who answers belongs to `reading` (by rule) and `asking` (a model); how sure the figures are, to
`figures`.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.tokens import count_tokens
from benchmarks.understanding.contexts import TIMELINE, Context, contexts_of, readable_of
from benchmarks.understanding.figures import sign_test, wilson
from benchmarks.understanding.questions import NOT_KNOWN, Question
from benchmarks.understanding.reading import answer_by_rule
from benchmarks.understanding.scoring import is_not_known, is_right
from benchmarks.understanding.scripts import Script, all_scripts
from benchmarks.understanding.sessions import payloads_of
from enrichment_pipeline.classification import Rules

Ask = Callable[[Context, Sequence[Question]], Sequence[str | None]]

FIRST_CHOICE = "always yes, the first choice, 1, / or not known"
COMMONEST = "always the commonest answer to this kind"


class Against(NamedTuple):
    """Two forms of the same questions, compared question by question."""

    better: int
    """Questions that this form alone has right."""
    worse: int
    """Questions that the other one alone has right."""
    p: float
    """How probable so unequal parts are by chance."""


@dataclass
class Score:
    """What came out of one form."""

    asked: Counter[str] = field(default_factory=Counter)
    """Questions by kind."""
    right: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    """Questions that got no answer."""
    not_known: int = 0
    """Wrong answers that say that it is not known."""
    tokens: int = 0
    """Of the sessions in this form."""
    verdicts: list[bool] = field(default_factory=list)
    """Whether each answer is right, in the order of the questions."""
    wrong: list[str] = field(default_factory=list)
    """One line for each wrong answer."""

    def add(self, script: Script, question: Question, answer: str | None) -> None:
        """Count one answer; None where there was none."""
        self.asked[question.kind] += 1
        self.unreadable += answer is None
        verdict = is_right(question, answer or "")
        self.verdicts.append(verdict)
        if verdict:
            self.right[question.kind] += 1
        else:
            self.not_known += is_not_known(answer or "")
            was = f"wanted {question.answer!r}, got {answer!r}"
            self.wrong.append(f"{script.name}: {question.kind}: {was}")

    def against(self, other: "Score") -> Against:
        """This form beside another one of the same questions."""
        pairs = Counter(zip(self.verdicts, other.verdicts, strict=True))
        better, worse = pairs[True, False], pairs[False, True]
        return Against(better, worse, sign_test(better, worse))

    def interval(self) -> tuple[float, float]:
        """The share of right answers, from and to, with 95 % certainty."""
        return wilson(self.right.total(), self.asked.total())

    def as_json(self, timeline: "Score | None" = None) -> Mapping[str, object]:
        """For --json; beside the timeline, where that was asked too."""
        against = {"against_timeline": self.against(timeline)._asdict()} if timeline else {}
        return {
            "questions": self.asked.total(),
            "right": self.right.total(),
            "interval": [round(end, 3) for end in self.interval()],
            **against,
            "unreadable": self.unreadable,
            "wrongly_not_known": self.not_known,
            "tokens": self.tokens,
            "by_kind": {
                kind: {"questions": asked, "right": self.right[kind]}
                for kind, asked in sorted(self.asked.items())
            },
            "wrong": self.wrong,
        }


Scores = dict[str, Score]
"""By form."""


def beside(scores: Mapping[str, Score], form: str) -> Score | None:
    """What a form is compared with: the timeline as text; None for that itself."""
    return scores.get(TIMELINE) if form != TIMELINE else None


def in_order(scripts: Sequence[Script]) -> list[Script]:
    """The scripts so that the first few of them are of all kinds, whatever the file begins with."""
    return random.Random(1).sample(scripts, len(scripts))


def by_rule(scripts: Iterable[Script], rules: Rules) -> Scores:
    """The scores of the rules."""
    scores: defaultdict[str, Score] = defaultdict(Score)
    for script in scripts:
        for form, text, timeline in readable_of(payloads_of(script), rules):
            scores[form].tokens += count_tokens(text)
            for question in script.questions:
                answer = answer_by_rule(question, timeline) if timeline else None
                scores[form].add(script, question, answer)
    return dict(scores)


def without_reading(scripts: Sequence[Script]) -> Scores:
    """The scores of whoever reads nothing, but may know how all scripts are answered: what the
    others must be measured by."""
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for script in all_scripts():
        for question in script.questions:
            answers[question.kind][question.answer] += 1
    scores = {FIRST_CHOICE: Score(), COMMONEST: Score()}
    for script in scripts:
        for question in script.questions:
            commonest = answers[question.kind].most_common(1)[0][0]
            scores[FIRST_CHOICE].add(script, question, _first_choice(question))
            scores[COMMONEST].add(script, question, commonest)
    return scores


def _first_choice(question: Question) -> str:
    first = {"yes or no": "yes", "number": "1", "page": "/", "words": NOT_KNOWN}
    return question.choices[0] if question.choices else first.get(question.answers, "")


def by_model(
    scripts: Iterable[Script],
    rules: Rules,
    ask: Ask,
    on_progress: Callable[[], None],
    *,
    is_whole: bool = False,
) -> Scores:
    """The scores of a model."""
    scores: defaultdict[str, Score] = defaultdict(Score)
    for script in scripts:
        for context in contexts_of(payloads_of(script), rules, is_whole=is_whole):
            scores[context.form].tokens += count_tokens(context.text)
            answers = ask(context, script.questions)
            for question, answer in zip(script.questions, answers, strict=True):
                scores[context.form].add(script, question, answer)
        on_progress()
    return dict(scores)
