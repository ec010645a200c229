"""The commands about sessions, rules and exports, and what they say of wrong input."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event, raw_events
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    take_in(store, rules, visit("one", NOON, "/", "/a", "/", "/a", person="ann@example.com"))
    order = make_event("order_placed", NOON, distinct_id="bob", properties={"$session_id": "two"})
    take_in(store, rules, [order])
    return store


@pytest.mark.usefixtures("filled")
def test_sessions_are_built_listed_and_read() -> None:
    assert "2 sessions of 5 events" in call("sessions", "build").stdout
    assert call("sessions", "build").stdout == "The sessions of every day are built.\n"
    assert call("sessions", "tell").stdout == call("sessions", "build").stdout, "its earlier name"
    assert json.loads(call("sessions", "build", "2026-03-02", "--json").stdout)[0]["sessions"] == 2
    listed = json.loads(call("sessions", "list", "--json").stdout)
    assert {session["session_id"] for session in listed} == {"one", "two"}
    assert "back_and_forth" in call("sessions", "list", "--signal", "back_and_forth").stdout
    found = json.loads(call("sessions", "list", "--json", "--person", "ann@example.com").stdout)
    assert [session["session_id"] for session in found] == ["one"]
    text = call("timeline", "one").stdout
    assert text.startswith("session s1, p1, ")
    assert "example.com" not in text
    assert call("timeline", "--person", "ann@example.com").stdout == text
    assert call("timeline", "one", "--markdown").stdout.startswith("## Session s1")
    assert json.loads(call("timeline", "one", "--json").stdout)["session_id"] == "one"


def test_events_that_are_not_enriched_yet_are_said_to_be_in_no_session(store: Store) -> None:
    load_events(store, raw_events(60, NOON), [], "test")
    said = call("sessions", "build").stdout
    assert said.startswith("60 events pending: in no session before enriched")
    assert "result." not in said


@pytest.mark.usefixtures("filled")
@pytest.mark.slow
def test_rules_are_shown_checked_diffed_and_written_as_sql(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("events:\n  order_placed: {event_type: custom, action_type: submit}\n")
    shown = json.loads(call("rules", "show", "--json").stdout)
    assert {"sub-type", "name", "pattern", "default"} == {rule["rule"] for rule in shown["rules"]}
    assert "order_placed: custom/submit" in call("rules", "check", str(file)).stdout
    assert json.loads(call("rules", "check", str(file), "--json").stdout)["names"]
    result = call("rules", "diff", str(file)).stdout
    assert "1 event of order_placed: custom/click would be custom/submit" in result
    assert json.loads(call("rules", "diff", str(file), "--json").stdout)["events"] == 1
    assert "Nothing would come out otherwise" in call("rules", "diff").stdout
    [name] = json.loads(call("rules", "unmatched", "--json").stdout)
    assert name["event"] == "order_placed"
    file.write_text(f"events:\n  {name['suggestion']}\n")
    assert call("rules", "check", str(file)).returncode == 0
    sql = call("rules", "export", "--dialect", "bigquery").stdout
    assert sql.startswith("-- bigquery: generated, not run\n")
    assert "not run" not in call("rules", "export", "--dialect", "duckdb").stdout


@pytest.mark.usefixtures("filled")
def test_only_windows_that_other_rules_change_are_done_again(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("events:\n  order_placed: {event_type: custom, action_type: submit}\n")
    chosen = call("backfill", "--changed", "--dry-run", "--json", ENRICHMENT_RULES_FILE=str(file))
    assert [one["window"] for one in json.loads(chosen.stdout)["windows"]] == [NOON.isoformat()]
    nothing = call("backfill", "--changed", "--dry-run")
    assert "would change nothing" in nothing.stdout


@pytest.mark.usefixtures("filled")
def test_events_and_timelines_are_exported(tmp_path: Path) -> None:
    done = call("export", "events", str(tmp_path), "--format", "csv", "--json")
    assert json.loads(done.stdout)["rows"] == 5
    call("sessions", "build")
    assert "2 timelines of 1 day in 1 file," in call("export", "timelines", str(tmp_path)).stdout


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["timeline"], "name a session or --person"),
        (["timeline", "one", "--person", "x"], "name a session or --person"),
        (["timeline", "nobody"], "no session nobody"),
        (["timeline", "one", "--json", "--markdown"], "choose one"),
        (["sessions", "list", "--signal", "anger"], "'anger' is none"),
        (["sessions", "list", "--from", "soon"], "no day and no time"),
        (["sessions", "build", "someday"], "'someday' is no day"),
        (["rules", "check", "/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
        (["rules", "export", "--dialect", "cobol"], "'cobol' is none"),
        (["rules", "export", "--dialect", "duckdb", "--event", "(("], "is no SQL of duckdb"),
        (["export", "events", "out", "--from", "x"], "'x' is no day"),
        (["export", "events", "o", "--from", "2026-03-02", "--to", "2026-03-01"], "before --to"),
        (["export", "events", "nothing://here"], "nothing://here"),
        (["backfill", "--failed", "--changed"], "choose one"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(arguments: list[str], says: str) -> None:
    called = call(*arguments)
    assert called.returncode == 1
    assert says in called.stderr
    assert len(called.stderr.splitlines()) == 1
    assert called.stdout == ""
