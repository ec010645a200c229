"""Telling Dagster of windows from within an op: their materializations, and the checks.

What there is to tell is found out in `windows`.
"""

import dagster as dg

from enrichment_pipeline.orchestration.assets import (
    DEAD_LETTER,
    ENRICHED_EVENTS,
    RAW_EVENTS,
    code_version_tags,
)
from enrichment_pipeline.orchestration.checks import nothing_is_dead
from enrichment_pipeline.orchestration.metadata import books_metadata, broken_metadata
from enrichment_pipeline.orchestration.partitions import partition_key
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.windows import Outcome, remember_told
from enrichment_pipeline.store.dead_letters import broken_now


def tell(context: dg.OpExecutionContext, pipeline: Pipeline, outcome: Outcome) -> None:
    """Log a materialization of each finished window, of what is broken, and the checks."""
    found = {row.window_start: row for row in outcome.books}
    with pipeline.store.transaction() as connection:
        broken = broken_now(connection)
    tags = code_version_tags(pipeline.rules.version)
    for window, metadata in outcome.finished.items():
        key = partition_key(window)
        if window in found:
            context.log_event(
                dg.AssetMaterialization(
                    RAW_EVENTS, partition=key, metadata=books_metadata(found[window])
                )
            )
        context.log_event(
            dg.AssetMaterialization(ENRICHED_EVENTS, partition=key, metadata=metadata, tags=tags)
        )
    context.log_event(dg.AssetMaterialization(DEAD_LETTER, metadata=broken_metadata(broken)))
    for asset, results in (
        (ENRICHED_EVENTS, outcome.checks),
        (DEAD_LETTER, [nothing_is_dead(broken)]),
    ):
        for result in results:
            # Dagster takes it, its annotation does not know it yet.
            context.log_event(_evaluation(asset, result))  # type: ignore[arg-type]
    remember_told(pipeline.store, outcome)


def _evaluation(asset: dg.AssetKey, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=str(result.check_name),
        passed=result.passed,
        severity=result.severity,
        metadata=result.metadata,
    )
