"""Forgetting people in what Dagster shows."""

import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import dagster as dg
import pytest
from sqlalchemy import create_engine, text

from enrichment_pipeline.enrichment import attempts, path
from enrichment_pipeline.events.people import People
from enrichment_pipeline.events.raw_event import (
    Arrival,
    EventRejectedError,
    RejectedEvent,
    parse_event,
    reject,
)
from enrichment_pipeline.orchestration import dead_letter_worker
from enrichment_pipeline.orchestration.forgetting import forget_in_dagster
from enrichment_pipeline.orchestration.instance import prepare_home
from enrichment_pipeline.orchestration.partitions import add_days, add_windows, partition_key
from enrichment_pipeline.orchestration.private_errors import FailedError
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import make_event, raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN, BOB = "ann@shop.example", "user-1"


def logged(store: Store) -> str:
    """All that Dagster has kept of events and of the latest ones."""
    engine = create_engine(store.dagster_url)
    with engine.begin() as connection:
        kept = connection.execute(
            text(
                "SELECT event FROM event_logs UNION ALL SELECT last_materialization FROM asset_keys"
            )
        )
        texts = " ".join(filter(None, kept.scalars()))
    engine.dispose()
    return texts


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that keeps its log in the database beside the store."""
    with dg.DagsterInstance.from_config(str(prepare_home(tmp_path))) as instance:
        add_windows(instance, [NOON])
        yield instance


@pytest.mark.usefixtures("settings")
@pytest.mark.slow
def test_previews_of_earlier_versions_lose_their_events_and_all_else_is_as_it_was(
    store: Store, kept: dg.DagsterInstance
) -> None:
    def log(asset: str, name: str, **columns: list[str]) -> None:
        # As it was written then: without masks.
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        schema = dg.TableSchema([dg.TableColumn(column) for column in columns])
        metadata = {name: dg.MetadataValue.table([dg.TableRecord(row) for row in rows], schema)}
        partition = partition_key(NOON) if asset == "enriched_events" else None
        kept.report_runless_asset_event(
            dg.AssetMaterialization(asset, partition=partition, metadata=metadata)
        )

    log("enriched_events", "preview", event=["a", "b"], distinct_id=[ANN, BOB])
    log("enriched_events", "preview", event=["a", ANN], distinct_id=[BOB, "enrichment"])
    log("dead_letter", "by_reason", reason=["a", "b"], sample=[f"of {ANN}", f"of {BOB}"])
    before = logged(store)
    for word in ("1", "a", "b", "events", "materialization", "user", "nobody"):
        assert forget_in_dagster(store, People([word])) == 0
    assert forget_in_dagster(store, People([ANN]), dry_run=True) == 1
    assert logged(store) == before
    assert forget_in_dagster(store, People([ANN])) == 1
    assert forget_in_dagster(store, People([ANN])) == 0
    assert forget_in_dagster(store, People(["enrichment"])) == 2, "in its asset's latest, too"
    assert logged(store).count(ANN) == 2, "in what was said of others"
    assert logged(store).count(BOB) == before.count(BOB)
    assert forget_in_dagster(store, People([f"user-{number}" for number in range(30_000)])) == 3
    assert '"distinct_id": "' not in logged(store)


def test_where_dagster_has_never_run_nobody_is_to_be_forgotten(store: Store) -> None:
    assert forget_in_dagster(store, People([ANN])) == 0


@pytest.mark.usefixtures("settings")
@pytest.mark.slow
def test_no_id_of_a_person_reaches_dagster_whatever_fails(
    store: Store,
    definitions: dg.Definitions,
    kept: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise ValueError(f"of {ANN}") from KeyError(ANN)

    def refuse(store: Store) -> NoReturn:
        with store.transaction() as connection:
            connection.execute(text("SELECT CAST(CAST(:id AS text) AS integer)"), {"id": ANN})
        raise AssertionError

    job = definitions.resolve_job_def(ENRICHMENT_JOB)

    def run() -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            instance=kept, partition_key=partition_key(NOON), raise_on_error=False
        )

    load_events(store, raw_events(2, NOON, distinct_id=ANN), [], "test")
    load_events(store, [], [rejected(make_event(event=None, distinct_id=ANN))], "test")
    with monkeypatch.context() as broken:
        broken.setattr(path, "write", fail)
        broken.setattr(path, "write_alone", fail)
        broken.setattr(attempts, "is_last", lambda *_: True)
        assert not run().success
    with store.transaction() as connection:
        letters = connection.execute(text("SELECT message FROM dead_letter")).scalars().all()
    assert f"of {ANN}" in letters, "who may look into the store sees it there"
    assert "dead-letters show" in logged(store)
    assert run().success
    for failing in (fail, lambda self: refuse(store)):
        with monkeypatch.context() as broken:
            broken.setattr(Pipeline, "store", property(failing))
            sensors = [*(definitions.sensors or ()), *(dead_letter_worker.defs().sensors or ())]
            for sensor in sensors:
                with pytest.raises(FailedError) as raised:
                    tick(sensor, definitions, kept)
                assert ANN not in "".join(traceback.format_exception(raised.value)), sensor
    add_days(kept, [NOON.date()])
    worker = dead_letter_worker.defs().resolve_job_def("replay_dead_letters")
    jobs = {name: definitions.resolve_job_def(name) for name in ("maintenance", "sessions")}
    with monkeypatch.context() as broken:
        broken.setattr(Pipeline, "store", property(lambda self: refuse(store)))
        for one in (jobs["maintenance"], jobs["sessions"], job, worker):
            ended = one.execute_in_process(
                instance=kept,
                partition_key={"sessions": f"{NOON:%Y-%m-%d}", job.name: partition_key(NOON)}.get(
                    one.name
                ),
                raise_on_error=False,
            )
            assert not ended.success, one.name
    assert "ValueError" in logged(store)
    assert "InvalidTextRepresentation (SQLSTATE 22P02)" in logged(store)
    assert ANN not in logged(store)


def tick(sensor: object, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    assert isinstance(sensor, dg.SensorDefinition)
    with dg.build_sensor_context(
        instance=instance,
        repository_def=definitions.get_repository_def(),
        resources={"pipeline": Pipeline()},
    ) as context:
        sensor(context)


def rejected(payload: bytes) -> RejectedEvent:
    with pytest.raises(EventRejectedError) as refusal:
        parse_event(payload, "default", Arrival(NOON))
    return reject(payload, "default", Arrival(NOON), refusal.value)
