"""The sweep: one run for many windows that do not lie side by side (late events).

Dagster's partitioned runs take one stretch of partitions; a job of an op takes any windows, and
logs a materialization for each.
"""

import dagster as dg

from enrichment_pipeline.orchestration.assets import (
    DEAD_LETTER,
    ENRICHED_EVENTS,
    RAW_EVENTS,
    RETRY_OUTAGES,
)
from enrichment_pipeline.orchestration.checks import nothing_is_dead
from enrichment_pipeline.orchestration.metadata import books_metadata, broken_metadata
from enrichment_pipeline.orchestration.partitions import partition_key, windows_of
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.windows import enrich_windows, run_name
from enrichment_pipeline.store.books import books
from enrichment_pipeline.store.dead_letters import broken_now

SWEEP_OP = "sweep"


class SweepConfig(dg.Config):
    """Which windows to sweep."""

    windows: list[str]
    """Keys of partitions of `enriched_events`."""


@dg.op(name=SWEEP_OP, retry_policy=RETRY_OUTAGES)
def sweep(context: dg.OpExecutionContext, config: SweepConfig, pipeline: Pipeline) -> None:
    """Enrich what is due in scattered windows.

    A window with a batch that failed is not shown as materialized: the sensor gives it a run of
    its own, in which it can show FAILED.
    """
    windows = windows_of(config.windows)
    worker = run_name(context.run_id)
    outcome = enrich_windows(pipeline.store, pipeline.rules, windows, worker)
    for failure in outcome.report.failures:
        context.log.warning(failure)
    with pipeline.store.transaction() as connection:
        found = {row.window_start: row for row in books(connection, windows)}
        broken = broken_now(connection)
    for window, metadata in outcome.finished.items():
        key = partition_key(window)
        if window in found:
            context.log_event(
                dg.AssetMaterialization(
                    RAW_EVENTS, partition=key, metadata=books_metadata(found[window])
                )
            )
        context.log_event(
            dg.AssetMaterialization(ENRICHED_EVENTS, partition=key, metadata=metadata)
        )
    context.log_event(dg.AssetMaterialization(DEAD_LETTER, metadata=broken_metadata(broken)))
    for asset, results in (
        (ENRICHED_EVENTS, outcome.checks),
        (DEAD_LETTER, [nothing_is_dead(broken)]),
    ):
        for result in results:
            # Dagster takes it, its annotation does not know it yet.
            context.log_event(_evaluation(asset, result))  # type: ignore[arg-type]


def _evaluation(asset: dg.AssetKey, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=str(result.check_name),
        passed=result.passed,
        severity=result.severity,
        metadata=result.metadata,
    )


@dg.job(name="enrichment_sweep", description="Enriches scattered windows in one run.")
def enrichment_sweep() -> None:
    """The sweep as a job, for the sensor and for the launchpad."""
    sweep()
