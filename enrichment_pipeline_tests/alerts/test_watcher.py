"""The watcher: real threads, a real store that goes away, real receivers that hang."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from enrichment_pipeline.alerts import delivery
from enrichment_pipeline.alerts import watcher as watching
from enrichment_pipeline.alerts.messages import Message
from enrichment_pipeline.alerts.outage import PATIENCE
from enrichment_pipeline.alerts.watcher import Watcher
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.monitoring.alerts import listed_alerts
from enrichment_pipeline.wording import command
from enrichment_pipeline_tests.alerts.conftest import AddLetters
from enrichment_pipeline_tests.alerts.receivers import SECONDS, Receiver, receiver
from enrichment_pipeline_tests.outage import begin_outage, end_outage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHORT = timedelta(seconds=1)


def with_channels(settings: Settings, *urls: str, webhook: str | None = None) -> Settings:
    return settings.model_copy(
        update={
            "alert_urls": SecretStr(" ".join(urls)) if urls else None,
            "alert_webhook": SecretStr(webhook) if webhook else None,
        }
    )


@contextmanager
def watched(
    store: Store,
    settings: Settings,
    on_failure: Callable[[str], None] = lambda _: None,
    on_outage: Callable[[bool], None] = lambda _: None,
    patience: timedelta = PATIENCE,
) -> Iterator[Watcher]:
    watcher = Watcher(
        store, settings, on_failure, on_outage, evaluation_seconds=0.05, patience=patience
    )
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


@contextmanager
def outage(server: EmbeddedPostgres, store: Store) -> Iterator[None]:
    begin_outage(server, store)
    try:
        yield
    finally:
        end_outage(server, store)


@pytest.mark.slow
def test_what_is_wrong_reaches_every_channel_and_its_end_too(
    store: Store, settings: Settings, add_letters: AddLetters, inbox: Receiver
) -> None:
    with (
        receiver() as other,
        watched(store, with_channels(settings, other.apprise, webhook=inbox.webhook)),
    ):
        add_letters(3, NOON)
        assert inbox.next()["title"].startswith("3 dead letters: invalid_json")
        assert other.next()["type"] == "warning"
        with store.transaction() as connection:
            connection.execute(text("UPDATE dead_letter SET state = 'resolved'"))
        assert inbox.next()["why"] == "closed"
        assert other.next()["title"].startswith("All clear: ")


@pytest.mark.slow
def test_people_are_notified_of_a_store_that_is_gone_without_it_and_its_return_is_kept(
    server: EmbeddedPostgres,
    store: Store,
    settings: Settings,
    add_letters: AddLetters,
    inbox: Receiver,
) -> None:
    outages: list[bool] = []
    with receiver() as other:
        channels = with_channels(settings, other.apprise, webhook=inbox.webhook)
        with watched(store, channels, on_outage=outages.append, patience=SHORT):
            with outage(server, store):
                sent = inbox.next()
                assert (sent["kind"], sent["why"]) == ("store_down", "opened")
                assert "not currently accepting connections" in sent["text"]
                assert other.next()["title"] == "PostgreSQL does not answer"
            over = inbox.next()
            assert (over["title"], over["since"]) == (
                "All clear: PostgreSQL answers again",
                sent["since"],
            )
            assert other.next()["title"] == over["title"]
            # Evaluations later, it is not sent once more.
            for reason in ("invalid_json", "too_large"):
                add_letters(1, NOON, reason)
                assert inbox.next()["facts"]["reason"] == reason
                assert reason in other.next()["title"]
    assert (inbox.all(), other.all()) == ([], [])
    assert outages == [True, False]
    with store.transaction() as connection:
        listed = listed_alerts(connection, closed_too=True, most=9)[-1]
    assert listed.alert.kind == "store_down"
    assert listed.closed_at


@pytest.mark.slow
def test_a_channel_that_is_down_during_the_outage_is_notified_of_its_end_alone(
    server: EmbeddedPostgres,
    store: Store,
    settings: Settings,
    inbox: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (watching, delivery):
        monkeypatch.setattr(module, "wait_after", lambda _: timedelta(seconds=0.01))
    failures: list[str] = []
    inbox.status = 500
    channels = with_channels(settings, webhook=inbox.webhook)
    with watched(store, channels, failures.append, patience=SHORT) as watcher:
        with outage(server, store):
            for _ in range(3):
                assert inbox.next_refused()["kind"] == "store_down"
            urgent = [thread for thread in threading.enumerate() if "urgent" in thread.name]
        for thread in urgent:
            thread.join(SECONDS)
            assert not thread.is_alive()
        inbox.status = 200
        assert inbox.next()["why"] == "closed"
    assert len(urgent) == 1
    assert len(failures) >= 3
    assert {channel.name for channel in watcher.channels} == set(failures)
    assert inbox.all() == []


def test_nobody_is_notified_of_a_short_outage(
    server: EmbeddedPostgres,
    store: Store,
    settings: Settings,
    add_letters: AddLetters,
    inbox: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = threading.Event()
    monkeypatch.setattr(watching.Outage, "failed", lambda *_: failed.set())
    watcher = Watcher(
        store, with_channels(settings, webhook=inbox.webhook), evaluation_seconds=0.05
    )
    watcher.start()
    with outage(server, store):
        assert failed.wait(SECONDS)
    add_letters(1, NOON)
    assert inbox.next()["kind"] == "dead_letters"
    watcher.stop()
    assert inbox.all() == []


@pytest.mark.slow
def test_a_channel_that_hangs_holds_up_neither_the_others_nor_the_end(
    store: Store, settings: Settings, add_letters: AddLetters, inbox: Receiver
) -> None:
    with receiver() as hanging:
        hanging.release.clear()
        watcher = Watcher(
            store,
            with_channels(settings, hanging.apprise, webhook=inbox.webhook),
            evaluation_seconds=0.05,
        )
        watcher.start()
        add_letters(1, NOON)
        assert hanging.reached.wait(SECONDS)
        assert inbox.next()["count"] == 1
        add_letters(1, NOON, "too_large")
        assert inbox.next()["facts"]["reason"] == "too_large"
        began = time.monotonic()
        watcher.stop()
        assert time.monotonic() - began < 3


def test_an_evaluation_that_fails_is_logged_once_and_the_next_goes_on(
    store: Store,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    evaluations: list[int] = []
    done = threading.Event()

    def evaluate(*_: object) -> list[Message]:
        evaluations.append(1)
        if len(evaluations) < 4:
            raise ValueError("something odd\nand its details")
        done.set()
        return []

    monkeypatch.setattr(watching, "evaluate", evaluate)
    answers: list[int] = []
    monkeypatch.setattr(watching.Outage, "answered", lambda _: answers.append(1))
    with watched(store, settings):
        assert done.wait(SECONDS)
    assert len(answers) >= 3, "the store is well, though our evaluations are not"
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["alerts cannot be evaluated: ValueError: something odd"]


@pytest.mark.slow
def test_without_a_channel_an_outage_is_logged(
    server: EmbeddedPostgres, store: Store, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    began, ended = threading.Event(), threading.Event()

    def note(is_notified: bool) -> None:
        (began if is_notified else ended).set()

    with watched(store, settings, on_outage=note, patience=SHORT):
        with outage(server, store):
            assert began.wait(SECONDS)
        assert ended.wait(SECONDS)
    titles = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if "alert: " in record.msg
    ]
    assert titles == [
        ("WARNING", f"alert: PostgreSQL does not answer; run: {command('status')}"),
        ("INFO", "alert: All clear: PostgreSQL answers again"),
    ]


def test_an_evaluation_that_takes_long_makes_the_next_wait(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []
    done = threading.Event()

    def evaluate(*_: object) -> list[Message]:
        times.append(time.monotonic())
        if len(times) == 2:
            done.set()
        time.sleep(0.02)
        return []

    monkeypatch.setattr(watching, "evaluate", evaluate)
    with watched(store, settings):
        assert done.wait(SECONDS)
    assert times[1] - times[0] > 20 * 0.02
