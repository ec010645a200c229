"""The sweep: one run for many windows that are not neighbours (late events).

Dagster's partitioned runs take one stretch of partitions; a job with an op takes any windows, and
logs a materialization for each.
"""

import dagster as dg

from enrichment_pipeline.orchestration.assets import RETRY_OUTAGES
from enrichment_pipeline.orchestration.partitions import windows_of
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.publishing import publish_windows, seen_by_a_run
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import is_asked_for
from enrichment_pipeline.orchestration.windows import enrich_for_run, read_windows

SWEEP_OP = "sweep"


class SweepConfig(dg.Config):
    """Which windows to sweep."""

    windows: list[str]
    """Keys of partitions of `enriched_events`."""


@dg.op(name=SWEEP_OP, retry_policy=RETRY_OUTAGES)
@keeps_errors_private
def sweep(context: dg.OpExecutionContext, config: SweepConfig, pipeline: Pipeline) -> None:
    """Enrich what is due in scattered windows.

    A window with a batch that failed is not shown as materialized: the sensor gives it a run of
    its own, in which it can show FAILED.
    """
    windows = windows_of(config.windows)
    report = enrich_for_run(context, pipeline, windows)
    is_by_hand = is_asked_for(context.instance, context.run)
    with seen_by_a_run(pipeline.store, windows, counts_all=is_by_hand) as shown:
        outcome = read_windows(pipeline.store, shown, report)
        # Dagster takes checks too, but its annotation does not say so yet.
        publish_windows(context.log_event, outcome, pipeline.rules.version)  # type: ignore[arg-type]


@dg.job(name="enrichment_sweep", description="Enriches scattered windows in one run.")
def enrichment_sweep() -> None:
    """The sweep as a job, for the sensor and for the launchpad."""
    sweep()
