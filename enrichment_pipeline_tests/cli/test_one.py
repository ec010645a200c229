"""Where there is one of each, no message speaks of several."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enrichment_pipeline.alerts.evaluation import evaluate
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import free_port, make_event
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_ONE = make_event(at=NOON, event="Buy", properties={NAME: "s0"})
_SEVERAL = re.compile(
    r"(?<![\w.,:-])1 (?:more |single |dead |open |other )?"
    r"(?:are|were|have|do|\w+ (?:are|were|have)|(?!is|was|has|this|its|s\b)\w+[^s\W]s)\b"
)
# In this order: what is discarded and forgotten is asked for before.
COMMANDS = [
    ["import", "events.jsonl"],
    ["pull"],
    ["status"],
    ["status", "--verify"],
    ["sessions", "list"],
    ["sessions", "build"],
    ["sessions", "build", "2026-03-01"],
    ["timeline", "s0"],
    ["timeline", "s0", "--markdown"],
    ["export", "events", "out"],
    ["export", "timelines", "out"],
    ["dead-letters", "list"],
    ["dead-letters", "list", "--state", "resolved"],
    ["dead-letters", "replay", "--all", "--dry-run"],
    ["dead-letters", "replay", "--all", "--no-wait"],
    ["dead-letters", "replay", "--all"],
    ["dead-letters", "export", "--out", "letters.csv"],
    ["dead-letters", "discard", "--all", "--dry-run"],
    ["backfill", "--from", "2026-03-01", "--dry-run"],
    ["backfill", "--failed", "--dry-run"],
    ["rules", "diff", "rules.yaml"],
    ["rules", "unmatched"],
    ["rules", "check", "rules.yaml"],
    ["alerts", "list"],
    ["alerts", "test"],
    ["dead-letters", "discard", "--all", "--because", "ours", "--yes"],
    ["forget", "user-1", "--dry-run"],
    ["forget", "user-1", "--yes"],
    ["forget", "user-1", "--yes"],
    ["import", "_letter.json"],
]


@pytest.fixture
def one_of_each(store: Store, rules: Rules, tmp_path: Path) -> Store:
    """A store with an event, a session, a dead letter and an alert."""
    take_in(store, rules, [_ONE])
    build_day(store, NOON.date(), is_whole=True)
    rejected = RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"{", NOON)
    load_events(store, [], [rejected], "test")
    assert evaluate(store, store.settings, ["one"])
    (tmp_path / "events.jsonl").write_bytes(_ONE)
    (tmp_path / "_letter.json").write_bytes(b'{"event": "cut o')
    (tmp_path / "rules.yaml").write_text(
        "events:\n  Buy: {event_type: custom, action_type: view}\n"
    )
    return store


@pytest.mark.usefixtures("one_of_each")
@pytest.mark.slow
def test_no_command_counts_one_as_several() -> None:
    variables = {
        "ENRICHMENT_PULL_FOLDER": str(Path.cwd()),
        "ENRICHMENT_ALERT_WEBHOOK": f"http://127.0.0.1:{free_port()}",
    }
    said = [call(*words, **variables) for words in COMMANDS]
    texts = [one.stdout + one.stderr for one in said]
    assert all(one.stdout or one.stderr for one in said)
    found = [
        (" ".join(words), match[0])
        for words, text in zip(COMMANDS, texts, strict=True)
        for match in _SEVERAL.finditer(text)
    ]
    assert found == []
