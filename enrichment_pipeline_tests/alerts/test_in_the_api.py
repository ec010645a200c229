"""The alerts in the API's process: its watcher, and its metrics."""

import threading
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from enrichment_pipeline.alerts.channels import channels
from enrichment_pipeline.alerts.evaluation import evaluate
from enrichment_pipeline.ingest.api.app import create_app
from enrichment_pipeline.ingest.api.metrics import Metrics
from enrichment_pipeline.settings import Settings, SettingsError
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.alerts.conftest import AddLetters

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def with_webhook(settings: Settings) -> Settings:
    """Settings that name a webhook, which nothing is sent to."""
    update = {"alert_webhook": SecretStr("http://127.0.0.1:9/x"), "read_token": SecretStr("reader")}
    return settings.model_copy(update=update)


def watching() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("alerts")}


def test_the_watcher_runs_as_long_as_the_api_does(store: Store, with_webhook: Settings) -> None:
    [channel] = channels(with_webhook)
    with TestClient(create_app(store, with_webhook)):
        assert watching() == {"alerts", "alerts-outage", f"alerts-{channel.name}"}
    assert watching() == set()


def test_the_api_does_not_start_with_a_url_that_apprise_does_not_know(
    store: Store, settings: Settings
) -> None:
    wrong = settings.model_copy(update={"alert_urls": SecretStr("nosuch://secret")})
    with pytest.raises(SettingsError, match=r"^ENRICHMENT_ALERT_URLS=…: URL number 1 of 1"):
        create_app(store, wrong)


def test_the_metrics_show_what_is_open_and_what_has_not_arrived(
    store: Store, with_webhook: Settings, add_letters: AddLetters
) -> None:
    [channel] = channels(with_webhook)
    reader = {"Authorization": "Bearer reader"}
    with TestClient(create_app(store, with_webhook)) as client:
        before = client.get("/metrics", headers=reader).text.splitlines()
        assert 'enrichment_alerts_open{kind="dead_letters"} 0.0' in before
        assert f'enrichment_alert_messages_waiting{{channel="{channel.name}"}} 0.0' in before
        add_letters(1, NOON)
        evaluate(store, with_webhook, [channel.name, "gone-123456"])
        after = client.get("/metrics", headers=reader).text.splitlines()
    for line in (
        'enrichment_alerts_open{kind="dead_letters"} 1.0',
        'enrichment_alerts_open{kind="store_down"} 0.0',
        f'enrichment_alert_messages_waiting{{channel="{channel.name}"}} 1.0',
        'enrichment_alert_messages_waiting{channel="gone-123456"} 1.0',
    ):
        assert line in after, line


def test_failures_and_an_outage_are_counted_as_they_come() -> None:
    metrics = Metrics()
    metrics.count_alert_failure("json-123456")
    metrics.set_store_down(True)
    shown = metrics.text().decode().splitlines()
    assert 'enrichment_alert_failures_total{channel="json-123456"} 1.0' in shown
    assert 'enrichment_alerts_open{kind="store_down"} 1.0' in shown
