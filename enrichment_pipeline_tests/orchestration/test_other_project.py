"""The assets in a Dagster project of somebody else: `examples/dagster_project`."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import dagster as dg
import pytest

from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import raw_events
from enrichment_pipeline_tests.orchestration.conftest import START, Ticks

FILE = Path(__file__).parents[2] / "examples" / "dagster_project" / "definitions.py"
WINDOW = "2026-03-01-00:00"


@pytest.fixture
def definitions(settings: Settings) -> dg.Definitions:
    """What Dagster loads from the example."""
    spec = spec_from_file_location("example", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.defs()
    assert isinstance(found, dg.Definitions)
    return found


@pytest.mark.slow
def test_an_asset_of_theirs_follows_ours_on_an_instance_of_their_own(
    store: Store, definitions: dg.Definitions, tmp_path: Path
) -> None:
    load_events(store, raw_events(3, START, event="order_placed"), [], "test")
    # Dagster's own storage in files, and no file of settings of ours.
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        ticks = Ticks(definitions, instance)
        [request] = ticks.asked("due_windows")
        assert ticks.run(request).success
        assert list(ticks.shown()) == [WINDOW]
        theirs = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, partition_key=WINDOW, asset_selection=[dg.AssetKey("orders")]
        )
        assert theirs.success
        [shown] = ticks.shown(dg.AssetKey("orders")).values()
        assert shown["orders"].value == 3
        assert definitions.resolve_asset_graph().get(dg.AssetKey("orders")).parent_keys == {
            ENRICHED_EVENTS
        }
