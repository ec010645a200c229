"""This pipeline's assets in a Dagster project of your own, and an asset of yours behind them.

    pip install enrichment-pipeline
    export DATABASE_URL=postgresql://…      # where the pipeline keeps its events
    dagster dev --module-name definitions

Your instance keeps its storage and its launcher. The sensors come with the definitions, and are
on: they make a partition for each hour that has events, and enrich it.
"""

import dagster as dg
from sqlalchemy import text

from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.partitions import WINDOWS, windows_of
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.settings import load_settings

_ORDERS = text(
    """
    SELECT count(*) FROM enriched_event
    WHERE event = 'order_placed' AND occurred_at >= :start AND occurred_at < :end
    """
)


@dg.asset(deps=[ENRICHED_EVENTS], partitions_def=WINDOWS)
def orders(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult[None]:
    """How many orders were placed in a window."""
    [start] = windows_of([context.partition_key])
    with pipeline.store.transaction() as connection:
        found = connection.execute(_ORDERS, {"start": start, "end": start + pipeline.store.window})
        return dg.MaterializeResult(metadata={"orders": found.scalar_one()})


@dg.definitions
def defs() -> dg.Definitions:
    """The pipeline's definitions, and yours."""
    return dg.Definitions.merge(build_definitions(load_settings()), dg.Definitions(assets=[orders]))
