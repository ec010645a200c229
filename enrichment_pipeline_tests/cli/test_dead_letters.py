"""`enrichment-pipeline dead-letters`, in this process: a process of its own costs a second."""

import csv
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.cli import console, dead_letters, replay_letters
from enrichment_pipeline.enrichment import replay as replaying
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.replay import ReplayReport
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import HOUR, make_event, raw_events
from enrichment_pipeline_tests.poison import IS_BAD, RAISES, poisoned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BROKEN = b'{"half": "\\ud800"'


@pytest.fixture(autouse=True)
def a_wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is broken."""
    for one in (console.out, console.err):
        monkeypatch.setattr(one, "width", 250)


def run(*arguments: str, said: str | None = None) -> Result:
    return CliRunner().invoke(dead_letters.app, list(arguments), input=said)


def printed(*arguments: str) -> Any:
    """What a command says as JSON."""
    result = run(*arguments, "--json")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


def states(store: Store) -> list[str]:
    return [row.state for row in rows(store, "SELECT state FROM dead_letter ORDER BY id")]


def refuse(store: Store, *payloads: bytes, at: datetime = NOON, event: str | None = None) -> None:
    """Letters of events that were refused at ingestion."""
    reason = RejectionReason.BEFORE_FIRST_PARTITION
    refused = [RejectedEvent("shop", reason, "too early", one, at, event) for one in payloads]
    load_events(store, [], refused, "test")


def some_letters(store: Store, rules: Rules) -> None:
    """1 to 4: two events that failed, one that was refused an hour later, and a batch."""
    good = raw_events(3, NOON)
    load_events(store, [*good, *raw_events(2, NOON, event="odd")], [], "test")
    enrich_due(store, poisoned(rules, odd=IS_BAD))
    refuse(store, BROKEN, at=NOON + HOUR, event="[/b]")
    load_events(store, raw_events(5, NOON + HOUR, event="bad"), [], "test")
    for _ in range(4):
        enrich_due(store, poisoned(rules, bad=RAISES))
        rows(store, "UPDATE raw_batch SET due_at = now() WHERE state = 'pending' RETURNING id")


def test_an_empty_ledger_is_reported_in_one_line(store: Store) -> None:
    assert run("list").stdout == "No dead letters.\n"
    assert run("list", "--event", "x").stdout == "No dead letter is like that.\n"
    refuse(store, b"{}")
    rows(store, "UPDATE dead_letter SET state = 'resolved' RETURNING id")
    assert run("list").stdout == "No dead letter is open; there are: resolved 1 (1 event)\n"


def test_letters_are_listed_the_newest_first_and_counted_by_state(
    store: Store, rules: Rules
) -> None:
    some_letters(store, rules)
    rows(store, "UPDATE dead_letter SET state = 'discarded' WHERE id = 1 RETURNING id")
    lines = run("list", "--limit", "2").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("│")] == ["4", "3"]
    assert "batch of 5" in lines[3]
    assert "[/b]" in lines[4]
    assert lines[-2:] == [
        "The newest 2 of 3 letters; --limit shows more.",
        "open 3 (7 events) · discarded 1 (1 event)",
    ]
    listed = printed("list", "--limit", "1")
    assert listed["totals"]["open"] == {"letters": 3, "events": 7}
    assert listed["totals"]["exhausted"] == {"letters": 0, "events": 0}
    assert [letter["reason_code"] for letter in listed["letters"]] == ["enrichment_failed"]


@pytest.mark.slow
def test_each_filter_chooses_letters(store: Store, rules: Rules) -> None:
    some_letters(store, rules)
    rows(store, "UPDATE dead_letter SET state = 'resolved' WHERE id = 1 RETURNING id")
    for options, ids in (
        ("", [4, 3, 2]),
        ("1 2", [2, 1]),
        ("1 2 --state open", [2]),
        ("--state open --state resolved", [4, 3, 2, 1]),
        ("--reason enrichment_raised", [2]),
        ("--rules-version VERSION", [4, 2]),
        ("--event odd", [2]),
        ("--kind batch", [4]),
        ("--project shop", [3]),
        ("--from 2026-03-01T13:30", [4, 3]),
        ("--from 2026-03-02", []),
        ("--to 2026-03-01-13:00", [2]),
        ("--from 2026-03-01 --to 2026-03-02", [4, 3, 2]),
        ("--window 2026-03-01-12:00", [2]),
        ("--window 2026-03-01T13:59:59Z", [4, 3]),
    ):
        words = [
            f"poisoned {rules.version}" if word == "VERSION" else word for word in options.split()
        ]
        chosen = [letter["id"] for letter in printed("list", *words)["letters"]]
        assert chosen == ids, options


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("list --reason odd", "--reason 'odd' is no reason code; those are: before_first_part"),
        ("list --kind x", "--kind 'x' is none of event, batch"),
        ("list --state x", "--state 'x' is none of open, replaying"),
        ("list --from soon", "--from 'soon' is no day"),
        ("list --from 2026-03-02 --to 2026-03-02", "--from must be before --to"),
        ("list --window 2026-03-02 --to 2026-03-02", "--window goes without"),
        ("list x", "'x' is not the id of a dead letter"),
        ("list 0", "'0' is not the id"),
        ("list 9999999999999999999", "'9999999999999999999' is not the id"),
        ("show ٣", "'٣' is not the id"),
        ("replay", "which letters? Name ids or filters, or add --all to replay every one"),
        ("discard --because x --yes", "or add --all to discard every one that is open"),
        ("discard --all --yes", "why?"),
        ("discard --all --yes --because \t", "why?"),
        ("discard --all --because x", "no terminal to ask on: add --yes"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(arguments: str, line: str) -> None:
    is_one_line(run(*arguments.split(" ")), line)


@pytest.mark.usefixtures("store")
def test_what_is_not_there_is_reported_in_one_line() -> None:
    for arguments, line in (
        ("show 7", "there is no dead letter 7"),
        ("replay 7", "there is no dead letter 7"),
        ("discard 7 --because x --yes", "there is no dead letter 7"),
        ("export --out /proc/none/x", "--out /proc/none/x: No such file or directory"),
    ):
        is_one_line(run(*arguments.split()), line)


def is_one_line(result: Result, line: str) -> None:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert line in result.stderr


def test_a_letter_is_shown_with_its_traceback_and_its_payload(store: Store, rules: Rules) -> None:
    some_letters(store, rules)
    shown = run("show", "1").stdout
    assert "│ reason_code     │ enrichment_raised" in shown
    assert "Traceback (most recent call last):" in shown
    assert '  "event": "odd",' in shown
    letter = printed("show", "1")
    assert (letter["id"], letter["replays"], letter["payload"]["event"]) == (1, 0, "odd")
    assert "Traceback" in letter["traceback"]
    assert "sample" not in letter


def test_a_payload_that_is_not_json_is_shown_as_it_arrived(store: Store, rules: Rules) -> None:
    refuse(store, BROKEN, b'{"half": "\\ud800"}', b"\xff\x00")
    assert BROKEN.decode() in run("show", "1").stdout
    assert '{"half": "\\ud800"}' in run("show", "2").stdout
    assert printed("show", "3")["payload"] == "\\xff\x00"


def test_of_a_batch_some_events_are_shown(store: Store, rules: Rules) -> None:
    some_letters(store, rules)
    assert [one["event"] for one in printed("show", "4")["sample"]] == ["bad"] * 3
    shown = run("show", "4").stdout
    assert "Event 3 of the first 3 of the batch:" in shown
    assert '"event": "bad"' in shown
    # Its last failure alone.
    assert "During handling of the above exception" not in shown


def test_a_dry_run_of_a_replay_counts_and_changes_nothing(store: Store, rules: Rules) -> None:
    some_letters(store, rules)
    rows(store, "UPDATE dead_letter SET state = 'parked' WHERE id = 1 RETURNING id")
    shown = run("replay", "--all", "--dry-run").stdout.splitlines()
    assert shown[-2:] == [
        "3 letters of 7 events would be replayed.",
        "1 letter skipped, being exhausted: name them by id to replay them.",
    ]
    planned = printed("replay", "1", "4", "--dry-run")
    assert (planned["dry_run"], planned["skipped_exhausted"]) == (True, 0)
    assert planned["meant"] == {
        "letters": 2,
        "events": 6,
        "by_reason": {
            "enrichment_failed": {"letters": 1, "events": 5},
            "enrichment_raised": {"letters": 1, "events": 1},
        },
    }
    assert states(store) == ["parked", "open", "open", "open"]


def test_a_replay_says_what_came_of_it_and_ends_with_1_where_some_failed(
    store: Store, rules: Rules
) -> None:
    refuse(store, make_event(at=NOON), make_event(at=NOON), b"{}")
    result = run("replay", "--project", "shop")
    assert result.exit_code == 1
    assert result.stdout.startswith("resolved 2 (2 events) · failed 1, of which 0 exhausted · ")
    assert result.stderr.startswith("error: 1 letter failed again: see why with")
    assert states(store) == ["resolved", "resolved", "open"]
    again = printed("replay", "--all")
    assert (again["resolved"], again["failed"], again["exhausted"]) == (0, 1, 1)
    [worker] = rows(store, "SELECT worker FROM dead_letter WHERE state = 'parked'")
    assert worker[0].startswith("dead-letters replay, ")


def test_a_dead_batch_is_replayed_under_the_rules_of_now(store: Store, rules: Rules) -> None:
    some_letters(store, rules)
    result = run("replay", "--kind", "batch")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("resolved 1 (5 events)")
    assert rows(store, "SELECT count(*) FROM enriched_event WHERE event = 'bad'") == [(5,)]


def test_an_exhausted_letter_is_replayed_where_an_id_names_it(store: Store) -> None:
    refuse(store, make_event(at=NOON))
    rows(store, "UPDATE dead_letter SET state = 'parked' RETURNING id")
    skipped = run("replay", "--all").stdout.splitlines()
    assert skipped[0] == "No dead letter that can be replayed is like that."
    assert skipped[1].startswith("1 letter skipped, being exhausted")
    assert "│ exhausted │" in run("list").stdout
    for name in ("exhausted", "parked"):
        [letter] = printed("list", "--state", name)["letters"]
        assert letter["state"] == printed("show", "1")["state"] == "exhausted"
    assert json.loads(run("export").stdout)["state"] == "exhausted"
    assert printed("replay", "1")["resolved"] == 1
    assert "No dead letter that can" in run("replay", "1").stdout


def test_without_waiting_letters_are_only_marked(store: Store) -> None:
    refuse(store, make_event(at=NOON), make_event(at=NOON))
    assert run("replay", "1", "--no-wait").stdout == (
        "1 letter marked; Dagster's code location dead_letter_worker replays them.\n"
    )
    assert states(store) == ["replaying", "open"]
    assert printed("replay", "--all", "--no-wait")["marked"] == 2


def test_a_replay_that_is_stopped_says_how_to_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    refuse(store, *(make_event(at=NOON) for _ in range(3)))
    with monkeypatch.context() as stopped:
        stopped.setattr(replaying, "LETTERS_AT_ONCE", 1)
        stopped.setattr(replaying, "sleep", interrupt)
        result = run("replay", "--all")
    assert result.exit_code == 130
    assert result.stdout.startswith("resolved 1 (1 event)")
    assert result.stderr.startswith("Stopped. 2 letters still marked: the same command goes on")
    assert states(store) == ["resolved", "replaying", "replaying"]
    assert printed("replay", "--all")["resolved"] == 2


def test_the_rate_is_that_of_the_command_or_else_of_the_setting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def replay_nothing(*given: Any) -> ReplayReport:
        rates.append(given[3])
        return ReplayReport()

    monkeypatch.setattr(replay_letters, "replay_marked", replay_nothing)
    refuse(store, b"{}")
    run("replay", "1")
    monkeypatch.setenv("ENRICHMENT_REPLAY_RATE", "7")
    run("replay", "1")
    run("replay", "1", "--rate", "9")
    assert rates == [2000, 7, 9]
    assert run("replay", "1", "--rate", "0").exit_code == 2


def test_letters_that_another_replay_took_are_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replay_elsewhere(*given: Any) -> ReplayReport:
        rows(store, "UPDATE dead_letter SET state = 'resolved' RETURNING id")
        return ReplayReport(resolved=1, events=1)

    monkeypatch.setattr(replay_letters, "replay_marked", replay_elsewhere)
    refuse(store, b"{}", b"[]", b"1")
    assert "2 letters taken by another replay that is at work." in run("replay", "--all").stdout


@pytest.mark.parametrize(
    ("arguments", "after"),
    [
        (["replay", "--all"], ["resolved"]),
        (["discard", "--all", "--because", "ours"], ["discarded"]),
    ],
)
def test_on_a_terminal_somebody_is_asked_before_everything_goes(
    arguments: list[str], after: list[str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(dead_letters, "sys", terminal)
    monkeypatch.setattr(replay_letters, "sys", terminal)
    refuse(store, make_event(at=NOON))
    assert run(*arguments, said="n\n").exit_code == 1
    assert states(store) == ["open"]
    assert run(*arguments, said="y\n").exit_code == 0
    assert states(store) == after


def test_a_discarded_letter_keeps_its_row_and_why(store: Store) -> None:
    refuse(store, b"{}", b"[]", event="ours")
    refuse(store, b"1")
    planned = run("discard", "--event", "ours", "--dry-run").stdout
    assert planned.endswith("2 letters of 2 events would be discarded.\n")
    assert states(store) == ["open"] * 3
    because = ("--because", " a test of ours ", "--yes")
    assert run("discard", "--event", "ours", *because).stdout == (
        "2 letters of 2 events discarded: a test of ours\n"
    )
    notes = rows(store, "SELECT closing_note FROM dead_letter WHERE state = 'discarded'")
    assert notes == [("a test of ours",)] * 2
    done = printed("discard", "--event", "ours", *because)
    assert (done["meant"]["letters"], done["discarded"]["letters"]) == (0, 0)


@pytest.mark.slow
def test_letters_are_exported_whole_with_their_payload_as_json(store: Store, rules: Rules) -> None:
    some_letters(store, rules)
    refuse(store, b'{ "n": 1.50,\n "e": 1e3 }')
    rows(store, "UPDATE dead_letter SET state = 'discarded' WHERE id = 1 RETURNING id")
    lines = run("export").stdout.splitlines()
    letters = [json.loads(line) for line in lines]
    assert [letter["id"] for letter in letters] == [2, 3, 4, 5]
    assert letters[0]["payload"]["event"] == "odd"
    assert "Traceback" in letters[0]["traceback"]
    assert letters[1]["payload"] == BROKEN.decode()
    assert letters[2]["payload"] is None
    # Numbers stay as they were written.
    assert '"payload":{"n":1.50,"e":1e3}' in lines[3]
    assert len(run("export", "--state", "discarded").stdout.splitlines()) == 1


@pytest.mark.slow
def test_letters_are_exported_as_csv_to_a_file_of_that_name(
    store: Store, rules: Rules, tmp_path: Path
) -> None:
    some_letters(store, rules)
    file = tmp_path / "letters.csv"
    assert run("export", "--out", str(file)).stderr == f"4 letters in {file}\n"
    csv.field_size_limit(sys.maxsize)
    with file.open(newline="") as source:
        letters = list(csv.DictReader(source))
    assert [letter["id"] for letter in letters] == ["1", "2", "3", "4"]
    assert json.loads(letters[0]["payload"])["event"] == "odd"
    assert letters[2]["payload"] == BROKEN.decode()
    assert letters[3]["window_start"] == "2026-03-01T13:00:00+00:00"
    run("export", "--out", str(file), "--format", "jsonl")
    assert json.loads(file.read_text().splitlines()[0])["id"] == 1
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_that_fails_leaves_what_was_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(store, b"{}")
    file = tmp_path / "letters.jsonl"
    file.write_text("before")
    rows(store, "UPDATE dead_letter SET payload = 'no zstd' RETURNING id")
    assert run("export", "--out", str(file)).exception is not None
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("command", ["list", "show", "replay", "discard", "export"])
def test_the_help_of_every_command_of_the_ledger_has_an_example(command: str) -> None:
    assert f"enrichment-pipeline dead-letters {command}" in run(command, "--help").stdout
