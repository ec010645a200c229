"""One evaluation: from what is in the store to what people are notified of."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from enrichment_pipeline.alerts.evaluation import LONGEST_PAUSE, evaluate
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.ingest.api.capture import SOURCE as API
from enrichment_pipeline.ingest.api.capture import WEBHOOK_SOURCE
from enrichment_pipeline.ingest.pull.query_api import SOURCE as QUERY_API
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.ingest.pulled import WindowPosition, keep_position
from enrichment_pipeline.store.monitoring.alerts import (
    LIVE_SOURCES,
    begin_evaluation,
    count_open,
    listed_alerts,
    undelivered_messages,
)
from enrichment_pipeline.store.monitoring.heartbeats import (
    DUE_WINDOWS_SENSOR,
    WATCH,
    WATCH_BEGAN,
    record_heartbeat,
)
from enrichment_pipeline.wording import command
from enrichment_pipeline_tests.alerts.conftest import AddLetters
from enrichment_pipeline_tests.conftest import HOUR, raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CHANNELS = ["one", "other"]

Titles = Callable[[timedelta], list[str]]


@pytest.fixture
def now() -> datetime:
    """The time at which the test begins."""
    return datetime.now(UTC)


@pytest.fixture
def titles(store: Store, settings: Settings, now: datetime) -> Titles:
    """Evaluates, so long after the test began; returns what people are notified of."""

    def evaluated(after: timedelta) -> list[str]:
        return [message.title for message in evaluate(store, settings, CHANNELS, now + after)]

    return evaluated


@pytest.fixture
def watched(store: Store, now: datetime) -> None:
    """Alerts were evaluated all day."""
    with store.transaction() as connection:
        record_heartbeat(connection, WATCH_BEGAN, now - timedelta(days=1))
        record_heartbeat(connection, WATCH, now - 2 * MINUTE)


def age_batches(store: Store, age: timedelta) -> None:
    with store.transaction() as connection:
        connection.execute(
            text("UPDATE raw_batch SET created_at = now() - :age, due_at = now() - :age"),
            {"age": age},
        )


def test_a_dead_letter_is_notified_once_on_every_channel_and_its_end_once(
    store: Store, titles: Titles
) -> None:
    broken = RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"x", NOON)
    load_events(store, [], [broken], "api")
    window = "the window 2026-03-01 12:00 UTC"
    assert titles(MINUTE) == [f"1 dead letter: invalid_json, {window}"]
    assert titles(2 * MINUTE) == []
    with store.transaction() as connection:
        assert [message.channel for message in undelivered_messages(connection, 9)] == CHANNELS
        connection.execute(text("UPDATE dead_letter SET state = 'discarded'"))
    assert titles(3 * MINUTE) == [
        f"All clear: no dead letter with invalid_json is open for {window}"
    ]
    assert titles(4 * MINUTE) == []
    with store.transaction() as connection:
        assert len(undelivered_messages(connection, 9)) == 4
        [listed] = listed_alerts(connection, closed_too=True, most=9)
        assert listed.closed_at
        assert listed_alerts(connection, closed_too=False, most=9) == []


@pytest.mark.parametrize("state", ["replaying", "parked"])
def test_letters_that_are_replayed_or_exhausted_are_not_over(
    store: Store, add_letters: AddLetters, titles: Titles, state: str
) -> None:
    add_letters(2, NOON)
    assert len(titles(MINUTE)) == 1
    with store.transaction() as connection:
        connection.execute(text("UPDATE dead_letter SET state = :state"), {"state": state})
    exhausted = ["2 dead letters exhausted: invalid_json"] if state == "parked" else []
    assert titles(2 * MINUTE) == exhausted


def test_a_million_letters_in_a_thousand_windows_would_be_one_message(
    add_letters: AddLetters, titles: Titles
) -> None:
    for number in range(30):
        add_letters(10, NOON + number * HOUR)
    assert titles(MINUTE) == [
        "300 dead letters: invalid_json, "
        "30 windows from 2026-03-01 12:00 UTC to 2026-03-02 17:00 UTC"
    ]


def test_what_is_reopened_is_notified_again(
    store: Store, add_letters: AddLetters, titles: Titles
) -> None:
    for minutes in (1, 3):
        add_letters(1, NOON)
        assert len(titles(minutes * MINUTE)) == 1
        with store.transaction() as connection:
            connection.execute(text("UPDATE dead_letter SET state = 'resolved'"))
        assert len(titles((minutes + 1) * MINUTE)) == 1


def test_growth_replaces_the_message_that_has_not_arrived(
    store: Store, add_letters: AddLetters, titles: Titles
) -> None:
    add_letters(1, NOON)
    titles(MINUTE)
    add_letters(1, NOON)
    [title] = titles(10 * MINUTE)
    assert title.startswith("2 dead letters: ")
    assert title.endswith("(it grew)")
    with store.transaction() as connection:
        waiting = undelivered_messages(connection, 9)
    assert [message.message["title"] for message in waiting] == [title, title]


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("source", LIVE_SOURCES)
@pytest.mark.slow
def test_silence_is_notified_and_over_when_an_event_arrives(
    store: Store, rules: Rules, titles: Titles, now: datetime, source: str
) -> None:
    load_events(store, raw_events(1, NOON), [], source)
    enrich_due(store, rules)
    age_batches(store, 31 * MINUTE)
    assert titles(timedelta(0)) == ["No events arrive"]
    load_events(store, raw_events(1, NOON), [], source)
    enrich_due(store, rules)
    assert titles(MINUTE) == ["All clear: events arrive again"]


def test_the_live_sources_are_those_that_the_ingest_names() -> None:
    assert set(LIVE_SOURCES) == {API, WEBHOOK_SOURCE, QUERY_API}


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    ("source", "historical"), [("import", False), ("folder", False), ("api", True)]
)
def test_of_what_is_brought_in_by_hand_nobody_expects_more(
    store: Store, rules: Rules, titles: Titles, source: str, historical: bool
) -> None:
    load_events(store, raw_events(1, NOON), [], source, historical=historical)
    enrich_due(store, rules)
    age_batches(store, 31 * MINUTE)
    assert titles(timedelta(0)) == []


@pytest.mark.usefixtures("watched")
def test_the_last_event_is_remembered_when_its_batch_is_gone(store: Store, titles: Titles) -> None:
    load_events(store, raw_events(1, NOON), [], "api")
    age_batches(store, 10 * MINUTE)
    assert titles(-MINUTE) == []
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM raw_batch"))
    for minutes in range(0, 21, 4):
        assert titles(minutes * MINUTE) == []
    assert titles(22 * MINUTE) == ["No events arrive"]


@pytest.mark.usefixtures("watched")
def test_a_queue_that_stands_still_is_notified_but_for_a_migration_that_may_wait(
    store: Store, rules: Rules, titles: Titles
) -> None:
    load_events(store, raw_events(3, NOON), [], "import")
    load_events(store, raw_events(5, NOON + HOUR), [], "import", historical=True)
    age_batches(store, 16 * MINUTE)
    assert titles(timedelta(0)) == ["3 events not enriched"]
    enrich_due(store, rules)
    assert titles(MINUTE) == ["All clear: nothing waits long to be enriched"]


@pytest.mark.usefixtures("watched")
def test_a_sensor_that_stops_is_notified_where_it_ever_ticked(
    store: Store, titles: Titles, now: datetime
) -> None:
    assert titles(-MINUTE) == []
    with store.transaction() as connection:
        record_heartbeat(connection, DUE_WINDOWS_SENSOR, now - 11 * MINUTE)
    assert titles(timedelta(0)) == ["Dagster's sensor due_windows has stopped"]
    with store.transaction() as connection:
        record_heartbeat(connection, DUE_WINDOWS_SENSOR, now)
    assert titles(MINUTE) == ["All clear: Dagster's sensor due_windows ticks again"]


def test_after_a_night_in_which_everything_was_stopped_nobody_is_notified_at_once(
    store: Store, titles: Titles, now: datetime
) -> None:
    with store.transaction() as connection:
        record_heartbeat(connection, DUE_WINDOWS_SENSOR, now - 10 * HOUR)
    assert titles(-10 * HOUR) == []
    for minutes in range(0, 11, 2):
        assert titles(minutes * MINUTE) == [], "the daemon has its time to begin"
    assert titles(12 * MINUTE) == ["Dagster's sensor due_windows has stopped"]
    assert titles(12 * MINUTE + 2 * LONGEST_PAUSE) == [], "what was notified is not over"


def test_of_many_who_evaluate_at_once_one_notifies(
    store: Store, settings: Settings, add_letters: AddLetters
) -> None:
    add_letters(1, NOON)
    with ThreadPoolExecutor(4) as pool:
        messages = [
            message
            for found in pool.map(lambda _: evaluate(store, settings, CHANNELS), range(8))
            for message in found
        ]
    assert len(messages) == 1
    with store.transaction() as connection:
        assert len(undelivered_messages(connection, 9)) == len(CHANNELS)


def test_while_another_process_evaluates_nobody_waits(
    store: Store, settings: Settings, add_letters: AddLetters
) -> None:
    add_letters(1, NOON)
    with store.transaction() as connection:
        assert begin_evaluation(connection)
        assert evaluate(store, settings, CHANNELS) == []
    assert len(evaluate(store, settings, CHANNELS)) == 1


def test_without_a_channel_alerts_are_logged_and_kept(
    store: Store, settings: Settings, add_letters: AddLetters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    add_letters(1, NOON)
    evaluate(store, settings, [])
    [line] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.getMessage().startswith("alert: 1 dead letter: invalid_json, ")
    hint = command("dead-letters list --reason invalid_json")
    assert f"; run: {hint}" in line.getMessage()
    with store.transaction() as connection:
        assert count_open(connection) == {"dead_letters": 1}
        assert undelivered_messages(connection, 9) == []


def test_what_is_long_over_is_forgotten_and_what_never_arrived_is_given_up(
    store: Store,
    settings: Settings,
    add_letters: AddLetters,
    now: datetime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add_letters(1, NOON)
    evaluate(store, settings, CHANNELS)
    with store.transaction() as connection:
        connection.execute(text("UPDATE dead_letter SET state = 'resolved'"))
        connection.execute(text("UPDATE alert_message SET delivered_at = now() WHERE id % 2 = 0"))
    evaluate(store, settings, CHANNELS)
    day = timedelta(days=1)
    evaluate(store, settings, CHANNELS, now + 6 * day)
    assert "given up" not in caplog.text
    evaluate(store, settings, CHANNELS, now + 8 * day)
    assert "3 alert messages could not be delivered for a week: given up" in caplog.text
    with store.transaction() as connection:
        assert undelivered_messages(connection, 9) == []
        assert connection.execute(text("SELECT count(*) FROM alert_message")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM alert")).scalar_one() == 1
    evaluate(store, settings, CHANNELS, now + 31 * day)
    with store.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM alert_message")).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM alert")).scalar_one() == 0


def test_a_window_of_which_posthog_counts_more_is_notified_until_it_agrees(
    store: Store, now: datetime, titles: Titles
) -> None:
    def counted(read: int) -> None:
        with store.transaction() as connection:
            keep_position(connection, "posthog", NOON, WindowPosition(now, None, now, read, 10))

    counted(7)
    assert titles(timedelta(0)) == [
        "The pull of 2026-03-01 12:00 UTC has 7 events, PostHog counts 10"
    ]
    assert titles(MINUTE) == []
    counted(10)
    assert titles(2 * MINUTE) == ["All clear: what was pulled is what PostHog counts"]
