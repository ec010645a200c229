"""`--from` and `--to` mean the same in every command: the one is included, the other is not."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.cli.test_commands import call, every_command
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.ingest.posthog_stand_in import KEY, PROJECT_ID, stand_in
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in

FIRST, SECOND = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
ONE_OF_EACH = (FIRST, SECOND)

_WANT_A_BEGINNING = ("pull", "backfill")
LEDGER = ["--dry-run", "--json"]
COMMANDS: dict[str, tuple[list[str], Callable[[Any], int]]] = {
    "backfill": (["--dry-run", "--json"], lambda printed: len(printed["windows"])),
    "dead-letters discard": (LEDGER, lambda printed: printed["meant"]["letters"]),
    "dead-letters replay": (LEDGER, lambda printed: printed["meant"]["letters"]),
    "dead-letters list": (["--json"], lambda printed: len(printed["letters"])),
    "dead-letters export": (["--out", "letters.jsonl"], len),
    "sessions list": (["--json"], len),
    "person": (["user-1", "--json"], lambda printed: len(printed["sessions"])),
    "errors": (["--json"], lambda printed: sum(group["errors"] for group in printed)),
    "count": (["--json"], lambda printed: sum(row["events"] for row in printed["rows"])),
    "funnel": (
        ["$exception", "/pricing", "--json"],
        lambda printed: printed["rows"][1]["sessions"],
    ),
    "paths": (
        ["$exception", "--json"],
        lambda printed: sum(row["sessions"] for row in printed["rows"]),
    ),
    "compare": (
        ["$exception", "--json"],
        lambda printed: int(printed["summary"].split(" session")[0]),
    ),
    "retention": (
        ["$exception", "--every", "day", "--json"],
        lambda printed: sum(row["people"] + (row.get("day_1") or 0) for row in printed["rows"]),
    ),
    "export": (["events", "out", "--json"], lambda printed: printed["rows"]),
    "pull": (["--json"], lambda printed: printed["accepted"]),
}


@pytest.fixture
def two_days(store: Store, rules: Rules) -> Store:
    """An error, a session and a dead letter at the very beginning of each of two days."""
    for day in ONE_OF_EACH:
        rejected = RejectedEvent(
            "default", RejectionReason.INVALID_JSON, "no JSON", f"{day}".encode(), day
        )
        load_events(store, [], [rejected], "test")
        take_in(store, rules, [make_event("$exception", day, properties={NAME: f"s{day:%d}"})])
        build_day(store, day.date(), is_whole=True)
    return store


def found(command: str, *period: str) -> int:
    """How many of the two the command is about."""
    arguments, count = COMMANDS[command]
    with stand_in() as posthog:
        posthog.add(*(make_event(at=day) for day in ONE_OF_EACH))
        result = call(
            *command.split(),
            *arguments,
            *period,
            ENRICHMENT_POSTHOG_URL=posthog.url,
            ENRICHMENT_POSTHOG_PROJECT_ID=str(PROJECT_ID),
            ENRICHMENT_POSTHOG_API_KEY=KEY,
        )
    assert result.returncode == 0, result.stderr
    if command == "dead-letters export":
        return count(Path("letters.jsonl").read_text().splitlines())
    return count(json.loads(result.stdout))


def test_every_command_with_a_period_is_here() -> None:
    options = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in every_command().items()
    }
    assert sorted(COMMANDS) == sorted(name for name, those in options.items() if "--to" in those)
    assert all("--from" in options[name] for name in COMMANDS)


@pytest.mark.usefixtures("two_days")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.slow
def test_the_beginning_is_included_and_the_end_is_not(command: str) -> None:
    assert found(command, "--from", "2026-03-01", "--to", "2026-03-02") == 1
    assert found(command, "--from", "2026-03-01", "--to", "2026-03-03") == 2
    assert found(command, "--from", "2026-03-02", "--to", "2026-03-03") == 1
    assert command == "pull" or found(command, "--from", "2026-03-02") == 1
    assert command in _WANT_A_BEGINNING or found(command, "--to", "2026-03-02") == 1


@pytest.mark.usefixtures("two_days")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("end", ["2026-03-02", "2026-03-01"])
def test_an_end_that_is_not_after_the_beginning_is_refused_in_one_line(
    command: str, end: str
) -> None:
    result = call(*command.split(), *COMMANDS[command][0], "--from", "2026-03-02", "--to", end)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.strip() == "error: --from must be before --to, which is not included"


@pytest.mark.usefixtures("two_days")
@pytest.mark.parametrize("command", ["backfill", "dead-letters list"])
def test_times_within_one_window_are_compared_too(command: str) -> None:
    period = ["--from", "2026-03-01T12:30", "--to", "2026-03-01T12:15"]
    result = call(*command.split(), *period)
    assert "--from must be before --to" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_says_so(command: str) -> None:
    said = " ".join(call(*command.split(), "--help").stdout.replace("│", " ").split())
    assert "on (UTC), included" in said or "UTC day on, included" in said
    assert ", not included" in said
