"""The alerts in Dagster: the sensor that evaluates them, and the one whose ticks are watched."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.monitoring.heartbeats import DUE_WINDOWS_SENSOR, last_seen
from enrichment_pipeline_tests.alerts.conftest import AddLetters
from enrichment_pipeline_tests.alerts.receivers import Receiver

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def definitions(settings: Settings) -> dg.Definitions:
    """All definitions."""
    return build_definitions(settings)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A real Dagster instance that is forgotten after the test."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance, name: str) -> str | None:
    sensor = definitions.resolve_sensor_def(name)
    with dg.build_sensor_context(
        instance=instance,
        repository_def=definitions.get_repository_def(),
        resources={"pipeline": Pipeline()},
    ) as context:
        return sensor.evaluate_tick(context).skip_message


def test_the_sensor_alerts_evaluates_and_delivers(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    add_letters: AddLetters,
    inbox: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENRICHMENT_ALERT_WEBHOOK", inbox.webhook)
    add_letters(2, NOON)
    said = tick(definitions, instance, "alerts")
    assert said == "2 dead letters: invalid_json, the window 2026-03-01 12:00 UTC"
    assert inbox.next()["title"] == said
    assert tick(definitions, instance, "alerts") == "nothing new to notify of"
    assert inbox.all() == []


def test_the_sensor_alerts_runs_by_default(definitions: dg.Definitions) -> None:
    sensor = definitions.resolve_sensor_def("alerts")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 30


def test_the_sensor_of_due_windows_says_with_each_tick_that_it_is_there(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    seen: list[datetime] = []
    for _ in range(2):
        tick(definitions, instance, "due_windows")
        with store.transaction() as connection:
            seen.append(last_seen(connection)[DUE_WINDOWS_SENSOR])
    assert seen[0] < seen[1]
