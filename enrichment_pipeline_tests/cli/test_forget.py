"""The command forget, as a person types it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.cli import forget as module
from enrichment_pipeline.cli.main import app
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.people import ledger_name
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.secrets import LEDGER_KEY, secret
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.books import books
from enrichment_pipeline_tests.conftest import raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def call(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["forget", *arguments], input=typed, env={"COLUMNS": "200"})


def left(store: Store) -> int:
    with store.transaction() as connection:
        return sum(window.accepted for window in books(connection))


@pytest.fixture
def somebody(store: Store, rules: Rules) -> None:
    """Three events of user-1, who is known by another id, and one of user-2."""
    names = ["$pageview", "$pageview", "$identify"]
    properties = {"$anon_distinct_id": "anonymous-7"}
    events = [
        event for name in names for event in raw_events(1, NOON, event=name, properties=properties)
    ]
    load_events(store, [*events, *raw_events(1, NOON, distinct_id="user-2")], [], "test")
    enrich_due(store, rules)


@pytest.mark.usefixtures("somebody")
def test_a_dry_run_says_what_would_go_and_removes_nothing(store: Store) -> None:
    with store.transaction() as connection:
        key = secret(connection, LEDGER_KEY)
    result = call("user-1", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "dry_run": True,
        "people": [
            {
                "project": "default",
                "distinct_id": "user-1",
                "enriched": 3,
                "dead": 0,
                "pending": 0,
                "windows": 1,
                "person": ledger_name(key, "default", "user-1"),
            }
        ],
        "forgotten_before": 0,
        "dead_letters": 0,
        "texts": 0,
        "entries_of_dagster": 0,
        "inputs": None,
        "also_known_as": {"user-1": ["anonymous-7"]},
    }
    shown = call("user-1", "--dry-run").stdout
    assert "would be removed" in shown
    assert "user-1 is also known as anonymous-7" in shown
    assert left(store) == 4


@pytest.mark.usefixtures("somebody")
def test_with_yes_they_go_and_a_second_time_nothing_is_left_to_go(store: Store) -> None:
    result = call("user-1", "--yes", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["people"][0]["enriched"], figures["inputs"]) == (3, 1)
    assert left(store) == 1
    again = call("user-1", "--yes")
    assert again.exit_code == 0
    assert "No events found." in again.stdout
    assert "3 events were forgotten before." in again.stdout


@pytest.mark.usefixtures("somebody")
def test_without_a_terminal_to_ask_on_it_refuses(store: Store) -> None:
    result = call("user-1")
    assert result.exit_code == 1
    assert "--yes" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert left(store) == 4


@pytest.mark.parametrize(("answer", "code", "stay"), [("n", 1, 4), ("", 1, 4), ("y", 0, 1)])
@pytest.mark.usefixtures("somebody")
def test_on_a_terminal_it_shows_what_would_go_and_asks(
    store: Store, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, stay: int
) -> None:
    monkeypatch.setattr(module, "_can_ask", lambda: True)
    result = call("user-1", typed=f"{answer}\n")
    assert result.exit_code == code
    assert "would be removed" in result.stdout
    assert "for good?" in result.stderr
    assert left(store) == stay


@pytest.mark.usefixtures("somebody")
def test_several_are_forgotten_at_once_from_a_file_or_a_pipe(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "people"
    file.write_text("user-1\r\n\nuser-3\n")
    assert call("--file", str(file), "--yes").exit_code == 0
    assert left(store) == 1
    assert call("--file", "-", "--yes", typed="user-2\n").exit_code == 0
    assert left(store) == 0


@pytest.mark.usefixtures("somebody")
@pytest.mark.slow
def test_a_file_may_name_any_number_of_people(store: Store, tmp_path: Path) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE raw_batch SET last_error = 'what user-1 did'"))
    file = tmp_path / "people"
    # As Windows' editors write it, with a mark at the beginning.
    file.write_text("\n".join(f"user-{number}" for number in range(1, 70_000)), "utf-8-sig")
    result = call("--file", str(file), "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["texts"] == 1
    assert left(store) == 0
    assert call("--file", str(file), "--dry-run").exit_code == 0


@pytest.mark.usefixtures("somebody")
def test_an_id_that_no_event_can_have_is_nobodys(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "people"
    file.write_bytes(b"user-\x001\n" + b"x" * 300 + b"\n")
    result = call("\udcff", "--file", str(file), "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert left(store) == 4


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "DISTINCT_ID"),
        (["--yes", ""], "DISTINCT_ID"),
        (["--yes", "--file", "missing"], "missing"),
    ],
)
def test_nobody_to_forget_is_one_line(arguments: list[str], line: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 1
    assert line in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
