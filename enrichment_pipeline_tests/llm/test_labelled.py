"""Signals of two hundred sessions of which it is known who did what: how often they are right."""

import re
from pathlib import Path

import pytest

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline_tests.llm.labelled.measuring import (
    KINDS,
    all_sessions,
    scores,
    timeline_of,
)

SESSIONS = all_sessions()
PARTS = {"dev": 110, "given": 5, "held": 85}
PRECISION = {"form_not_sent": 0.9, "rage_click": 0.9, "dead_click": 0.95, "error": 0.95}
RECALL = {"form_not_sent": 0.8, "rage_click": 0.8, "dead_click": 0.95, "error": 0.95}
DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "rules.md"


def test_there_are_two_hundred_sessions_with_and_without_each_signal() -> None:
    assert len(SESSIONS) >= 200
    assert len({session.name for session in SESSIONS}) == len(SESSIONS)
    for part, fewest in PARTS.items():
        assert sum(session.part == part for session in SESSIONS) >= fewest
    for kind in KINDS:
        there = sum(kind in session.signals for session in SESSIONS)
        assert 40 <= there <= len(SESSIONS) - 40


@pytest.mark.parametrize("part", PARTS)
def test_signals_are_right(part: str, rules: Rules) -> None:
    found = scores([session for session in SESSIONS if session.part == part], rules)
    for kind, score in found.items():
        assert score.precision >= PRECISION[kind], (kind, score)
        assert score.recall >= RECALL[kind], (kind, score)


def test_rules_as_the_docs_recommend_change_no_signal(rules: Rules, tmp_path: Path) -> None:
    written = re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert written
    file = tmp_path / "rules.yaml"
    file.write_text(written[1])
    own = load_rules(file)
    assert own.version != rules.version
    for session in SESSIONS:
        mine, ours = timeline_of(session, own), timeline_of(session, rules)
        assert (mine.signals, mine.outline) == (ours.signals, ours.outline)
