"""Forgetting people in what Dagster shows."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.people import People
from enrichment_pipeline.orchestration.forgetting import forget_in_dagster
from enrichment_pipeline.orchestration.instance import prepare_home
from enrichment_pipeline.orchestration.metadata import table
from enrichment_pipeline.orchestration.partitions import add_windows, partition_key
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline_tests.conftest import raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENRICHED = dg.AssetKey("enriched_events")
ANN, BOB = "ann@shop.example", "user-1"


def told(store: Store) -> str:
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


@pytest.mark.usefixtures("settings")
def test_previews_lose_their_events_and_errors_their_text_and_all_else_is_as_it_was(
    store: Store, rules: Rules, definitions: dg.Definitions, tmp_path: Path
) -> None:
    assert forget_in_dagster(store, People([ANN])) == 0, "Dagster has never run"
    people = (ANN, BOB)
    load_events(store, [raw_events(1, NOON, distinct_id=one)[0] for one in people], [], "test")
    samples = table(pd.DataFrame({"reason": ["a", "b"], "sample": [f"of {ANN}", f"of {BOB}"]}))
    with dg.DagsterInstance.from_config(str(prepare_home(tmp_path))) as instance:
        job = definitions.resolve_job_def(ENRICHMENT_JOB)
        add_windows(instance, [NOON])
        assert job.execute_in_process(instance=instance, partition_key=partition_key(NOON)).success
        instance.report_runless_asset_event(
            dg.AssetMaterialization("dead_letter", metadata={"by_reason": samples})
        )
        enrich_due(store, rules)
        assert told(store).count(ANN) > 2

        would = forget_in_dagster(store, People([ANN]), dry_run=True)
        assert ANN in told(store)
        assert forget_in_dagster(store, People([ANN])) == would > 0
        assert ANN not in told(store)
        assert forget_in_dagster(store, People([ANN])) == 0

        shown = instance.get_latest_materialization_event(ENRICHED)
        assert shown is not None
        assert shown.asset_materialization is not None
        preview = shown.asset_materialization.metadata["preview"]
        assert isinstance(preview, dg.TableMetadataValue)
        assert [record.data["distinct_id"] for record in preview.records] == [BOB]
        broken = instance.get_latest_materialization_event(dg.AssetKey("dead_letter"))
        assert broken is not None
        assert broken.asset_materialization is not None
        by_reason = broken.asset_materialization.metadata["by_reason"]
        assert isinstance(by_reason, dg.TableMetadataValue)
        assert [record.data["reason"] for record in by_reason.records] == ["a", "b"]
        assert by_reason.records[1].data["sample"] == f"of {BOB}"
