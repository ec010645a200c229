"""Dagster for these tests: a real instance, the definitions, and ticks of their sensors."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.partitions import add_windows
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import HOUR
from enrichment_pipeline_tests.poison import RAISES, poisoned

START = datetime(2026, 3, 1, tzinfo=UTC)

OF_A_TICK = {"dagster/tick": "1"}
"""The tag that Dagster's daemon gives the runs that a tick asked for."""


@pytest.fixture(autouse=True)
def no_waiting_between_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often something is tried again is what tests look at, not how long that takes."""
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)


@pytest.fixture
def definitions(settings: Settings) -> dg.Definitions:
    """All definitions; their resource opens the store of the test."""
    return build_definitions(settings)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A real Dagster instance that is forgotten after the test."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


class Ticks:
    """Ticks of our sensors, and the runs that they ask for."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._definitions = definitions
        self.instance = instance

    def tick(
        self, sensor: str = "changed_windows", cursor: str | None = None
    ) -> dg.SensorResult | dg.SkipReason:
        """What one tick comes to."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            repository_def=self._definitions.get_repository_def(),
            resources={"pipeline": Pipeline()},
        ) as context:
            found = self._definitions.resolve_sensor_def(sensor)(context)
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        return found

    def asked(self, sensor: str = "changed_windows", job: str | None = None) -> list[dg.RunRequest]:
        """The runs that one tick asks for, of this job."""
        found = self.tick(sensor)
        requests = found.run_requests or [] if isinstance(found, dg.SensorResult) else []
        return [request for request in requests if job in (None, request.job_name)]

    def failing(self) -> list[dg.RunRequest]:
        """The runs of one tick in which windows show FAILED."""
        return self.asked(job=ENRICHMENT_JOB)

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what was asked for."""
        return self._definitions.resolve_job_def(str(request.job_name)).execute_in_process(
            instance=self.instance,
            run_config=request.run_config,
            tags={**request.tags, **OF_A_TICK},
            partition_key=request.partition_key,
            raise_on_error=False,
        )

    def shown(self, asset: dg.AssetKey = ENRICHED_EVENTS) -> dict[str, Any]:
        """The newest metadata of each partition that is materialized."""
        found = self.instance.fetch_materializations(asset, limit=1000).records
        return {
            str(record.partition_key): record.asset_materialization.metadata  # type: ignore[union-attr]
            for record in reversed(found)
        }


@pytest.fixture
def ticks(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Ticks:
    """Ticks of the sensors, as they are where Dagster enriches."""
    return Ticks(definitions, instance)


@pytest.fixture
def windows_of_a_day(instance: dg.DagsterInstance) -> None:
    """Partitions for the hours of the first day, as a sensor makes them."""
    add_windows(instance, [START + hour * HOUR for hour in range(24)])


def die(store: Store, rules: Rules) -> None:
    """Let the batches of events called "bad" fail until they are dead."""
    for _ in range(4):
        enrich_due(store, poisoned(rules, bad=RAISES))
        with store.transaction() as connection:
            connection.execute(text("UPDATE raw_batch SET due_at = now() WHERE state = 'pending'"))
