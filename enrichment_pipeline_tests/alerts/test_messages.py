"""What messages say."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from enrichment_pipeline.alerts.conditions import DAY, Condition, Kind
from enrichment_pipeline.alerts.decisions import Notice, Stage
from enrichment_pipeline.alerts.messages import Message, compose, trial_message
from enrichment_pipeline.settings import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = {"windows": 1, "first_window": "2026-03-01T12:00", "last_window": "2026-03-01T12:00"}
MANY = {"windows": 30, "first_window": "2026-03-01T12:00", "last_window": "2026-03-04T13:00"}
CONDITIONS = {
    "letters": Condition("k", Kind.DEAD_LETTERS, 5, NOON, {"reason": "too_large", **ONE}),
    "many letters": Condition("k", Kind.DEAD_LETTERS, 5000, NOON, {"reason": "too_large", **MANY}),
    "failed": Condition(
        "k", Kind.FAILED_WINDOW, 1, NOON, {"batches": 1, "events": 7, "reasons": ["odd"], **ONE}
    ),
    "exhausted": Condition("k", Kind.REPLAYS_EXHAUSTED, 1, NOON, {"reason": "odd", **ONE}),
    "silent": Condition("k", Kind.SILENT_INGEST, 1, NOON, {}),
    "stalled": Condition("k", Kind.STALLED_QUEUE, 9, NOON, {"batches": 2, "events": 9}),
    "stopped": Condition("k", Kind.SENSOR_STOPPED, 1, NOON, {"sensor": "due_windows"}),
    "differs": Condition(
        "k",
        Kind.PULL_DIFFERENCE,
        3,
        NOON,
        {"differences": [{"window": "2026-03-01T12:00", "pulled": 7, "posthog": 10}], **ONE},
    ),
    "down": Condition("k", Kind.STORE_DOWN, 1, NOON, {"error": "connection refused"}),
}


def composed(name: str, stage: Stage = Stage.OPENED, after: timedelta = timedelta(0)) -> Message:
    return compose(Notice(stage, CONDITIONS[name]), Settings(), NOON + after)


@pytest.mark.parametrize(
    ("name", "title", "parts"),
    [
        (
            "letters",
            "5 dead letters: too_large, the window 2026-03-01 12:00 UTC",
            [
                "5 events",
                "since 2026-03-01 12:00 UTC",
                "pipeline dead-letters list --reason too_large --window 2026-03-01T12:00",
                "dead-letters replay --reason too_large --window 2026-03-01T12:00",
                "http://127.0.0.1:3000/assets/dead_letter",
            ],
        ),
        (
            "many letters",
            "5,000 dead letters: too_large, 30 windows from 2026-03-01 12:00 UTC to 2026-03-04 "
            "13:00 UTC",
            ["dead-letters replay --reason too_large\n"],
        ),
        (
            "failed",
            "Failed: the window 2026-03-01 12:00 UTC",
            ["7 events in 1 batch ", "odd", "enrichment-pipeline backfill --failed", "view=part"],
        ),
        (
            "differs",
            "The pull of 2026-03-01 12:00 UTC has 7 events, PostHog counts 10",
            [
                "the window 2026-03-01 12:00 UTC",
                "3 events",
                "pipeline pull --from 2026-03-01T12:00 --to 2026-03-01T12:01",
            ],
        ),
        (
            "exhausted",
            "1 dead letter exhausted: odd",
            ["dead-letters replay ID", "--state exhausted"],
        ),
        ("silent", "No events arrive", ["accepted at 2026-03-01 12:00 UTC"]),
        (
            "stalled",
            "9 events not enriched",
            ["2 batches", "oldest since 2026-03-01 12:00", "/runs"],
        ),
        ("stopped", "Dagster's sensor due_windows has stopped", ["last at 2026-03-01 12:00 UTC"]),
        ("down", "PostgreSQL does not answer", ["connection refused", "Since 2026-03-01 12:00"]),
    ],
)
def test_a_message_says_what_how_many_since_when_and_what_to_do(
    name: str, title: str, parts: list[str]
) -> None:
    message = composed(name)
    assert message.title == title
    for part in parts:
        assert part in message.body


@pytest.mark.parametrize("name", CONDITIONS)
def test_an_all_clear_says_what_is_over_and_asks_for_nothing(name: str) -> None:
    message = composed(name, Stage.CLOSED, timedelta(minutes=125))
    assert message.title.startswith("All clear: ")
    assert "began at 2026-03-01 12:00 UTC, 2 hours ago" in message.body
    assert (message.status, message.commands, message.link) == ("closed", (), None)


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_message_is_json_with_the_fields_that_are_documented(name: str) -> None:
    message = composed(name)
    sent = json.loads(json.dumps(message.as_json()))
    assert sent["version"] == 1
    fields = {field.name for field in dataclasses.fields(Message)}
    assert sent.keys() == fields
    assert dataclasses.replace(Message.from_json(sent), commands=message.commands) == message


def test_what_is_sent_again_says_why() -> None:
    assert composed("silent", Stage.GREW).title == "No events arrive (it grew)"
    for after, length in (
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=4), "4 hours"),
        (3 * DAY, "3 days"),
    ):
        message = composed("silent", Stage.LASTS, after)
        assert message.title == f"No events arrive (for {length} now)"
        assert (message.status, message.why) == ("open", "lasts")


@pytest.mark.parametrize(
    ("host", "ui_url", "link"),
    [
        ("0.0.0.0", None, "http://localhost:3100/runs"),  # noqa: S104
        ("::1", None, "http://[::1]:3100/runs"),
        ("dagster.example", None, "http://dagster.example:3100/runs"),
        ("0.0.0.0", "https://dagster.example/ui/", "https://dagster.example/ui/runs"),  # noqa: S104
    ],
)
def test_the_link_leads_to_the_ui(host: str, ui_url: str | None, link: str) -> None:
    settings = Settings(host=host, ui_port=3100, ui_url=ui_url)
    message = compose(Notice(Stage.OPENED, CONDITIONS["stalled"]), settings, NOON)
    assert message.link == link


def test_a_trial_says_that_nothing_is_wrong() -> None:
    message = trial_message(NOON)
    assert (message.status, message.kind) == ("test", "test")
    assert "Nothing is wrong" in message.body
