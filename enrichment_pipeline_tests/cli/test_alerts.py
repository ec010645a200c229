"""`enrichment-pipeline alerts`, as a person types it."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from enrichment_pipeline.alerts.evaluation import evaluate
from enrichment_pipeline.cli import console
from enrichment_pipeline.cli.main import app
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.alerts.receivers import SECRET, receiver
from enrichment_pipeline_tests.conftest import free_port

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["alerts", *arguments])


def test_a_test_says_of_every_channel_whether_the_message_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiver() as well:
        monkeypatch.setenv("ENRICHMENT_ALERT_URLS", well.apprise)
        assert call("test").exit_code == 0
        assert well.next()["title"] == "Test of the alerts"
        down = f"http://127.0.0.1:{free_port()}/{SECRET}"
        monkeypatch.setenv("ENRICHMENT_ALERT_WEBHOOK", down)
        result = call("test", "--json")
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert (first["arrived"], first["error"]) == (True, None)
    assert (second["arrived"], second["channel"][:8]) == (False, "webhook-")
    assert "Connection refused" in second["error"]
    assert "1 of 2 channels did not take the message: webhook-" in result.stderr
    assert SECRET not in result.output


def test_a_test_without_a_channel_says_which_settings_name_one() -> None:
    result = call("test")
    assert result.exit_code == 1
    assert result.stderr.strip() == (
        "error: no channel: set ENRICHMENT_ALERT_URLS or ENRICHMENT_ALERT_WEBHOOK"
    )


def test_the_list_shows_what_is_open_what_was_notified_and_what_has_not_arrived(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "width", 200)
    assert "No alert is open." in call("list").stdout
    broken = RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"x", NOON)
    load_events(store, [], [broken], "api")
    evaluate(store, settings, ["json-123456"])
    figures = json.loads(call("list", "--json").stdout)
    [alert], [message] = figures["alerts"], figures["undelivered"]
    assert (alert["kind"], alert["count"], alert["closed"]) == ("dead_letters", 1, None)
    title = "1 dead letter: invalid_json, the window 2026-03-01 12:00 UTC"
    assert alert["what"] == message["what"] == title
    assert (message["channel"], message["tries"]) == ("json-123456", 0)
    shown = call("list").stdout
    assert title in shown
    assert "Not delivered yet" in shown

    with store.transaction() as connection:
        connection.execute(text("UPDATE dead_letter SET state = 'discarded'"))
    evaluate(store, settings, [])
    assert json.loads(call("list", "--json").stdout)["alerts"] == []
    [closed] = json.loads(call("list", "--all", "--json").stdout)["alerts"]
    assert closed["closed"]


@pytest.mark.parametrize("command", ["test", "list"])
def test_the_help_has_an_example(command: str) -> None:
    assert "Example:" in call(command, "--help").stdout
