"""`--json`: every command that has it prints one JSON document on standard output, and no more."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.cli.test_commands import call, every_command
from enrichment_pipeline_tests.conftest import make_event, raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOWHERE = "json://127.0.0.1:1"

ARGUMENTS = {
    "alerts list": [],
    "alerts test": [],
    "backfill": ["--failed", "--dry-run"],
    "cite check": ["answer.txt"],
    "compare": ["$pageview"],
    "config": [],
    "count": [],
    "dead-letters discard": ["--all", "--dry-run"],
    "dead-letters list": [],
    "dead-letters replay": ["--all", "--dry-run"],
    "dead-letters show": ["LETTER"],
    "errors": [],
    "export": ["events", "out"],
    "forget": ["nobody", "--dry-run"],
    "migrate": ["--check"],
    "funnel": ["$pageview", "$pageleave"],
    "import": ["events.jsonl", "missing.jsonl"],
    "paths": ["$pageview"],
    "person": ["user-1"],
    "pull": [],
    "retention": [],
    "rules check": [],
    "rules diff": [],
    "rules show": [],
    "rules unmatched": [],
    "sessions list": [],
    "sessions build": [],
    "show": ["EVENT"],
    "sql": ["SELECT 1 AS one"],
    "status": [],
    "timeline": ["SESSION"],
}


def commands() -> Iterator[str]:
    """The names of all commands that have --json."""
    for name, command in every_command().items():
        if any("--json" in parameter.opts for parameter in command.params):
            yield name


def test_every_command_with_json_is_here() -> None:
    assert sorted(commands()) == sorted(ARGUMENTS)


@pytest.mark.parametrize("is_filled", [False, True])
@pytest.mark.parametrize("command", ARGUMENTS)
@pytest.mark.slow
def test_json_is_one_document_and_errors_are_lines_of_their_own(
    store: Store, rules: Rules, tmp_path: Path, *, command: str, is_filled: bool
) -> None:
    values = prepared(store, rules, tmp_path, is_filled=is_filled)
    arguments = [values.get(argument, argument) for argument in ARGUMENTS[command]]
    result = call(*command.split(), *arguments, "--json", ENRICHMENT_ALERT_URLS=NOWHERE)
    if result.stdout or result.returncode == 0:
        json.loads(result.stdout)
    assert bool(result.stderr) == bool(result.returncode), result
    assert "Traceback" not in result.stderr


def prepared(store: Store, rules: Rules, folder: Path, *, is_filled: bool) -> dict[str, str]:
    """What commands are called on, in a folder and a store; the values of names in ARGUMENTS."""
    (folder / "events.jsonl").write_bytes(make_event(at=NOON) if is_filled else b"")
    (folder / "answer.txt").write_text("Somebody came (s1).")
    [event] = raw_events(1, NOON, properties={"$session_id": "s"})
    if is_filled:
        broken = RejectedEvent("default", RejectionReason.INVALID_JSON, "not JSON", b"{", NOON)
        load_events(store, [event], [broken], "test")
        enrich_due(store, rules)
    letter = call("sql", "SELECT coalesce(max(id), 1) AS id FROM dead_letter", "--json")
    return {
        "LETTER": str(json.loads(letter.stdout)[0]["id"]),
        "EVENT": str(event.uuid),
        "SESSION": "s",
    }
