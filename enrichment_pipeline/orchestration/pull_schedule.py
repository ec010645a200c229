"""The schedule of the pull, and its job: both exist only where a source to pull from is set.

Pulling belongs to `ingest.pull`, which the asset calls.
"""

from datetime import UTC, datetime

import dagster as dg

from enrichment_pipeline.ingest.pull.pull import windows_due
from enrichment_pipeline.orchestration.heartbeats import records_heartbeat
from enrichment_pipeline.orchestration.keys import RAW_EVENTS
from enrichment_pipeline.orchestration.partitions import add_windows, places, range_tags
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import LAUNCHED_BY_SCHEDULE, runs_under_way

PULL_JOB = "pull"


def build_pull_schedule() -> dg.ScheduleDefinition:
    """The schedule, and the job that it launches."""
    job = dg.define_asset_job(
        PULL_JOB,
        selection=dg.AssetSelection.assets(RAW_EVENTS),
        description="Pulls the events of a window or a stretch of windows.",
    )

    @dg.schedule(
        name="pull_every_5_minutes",
        job=job,
        cron_schedule="*/5 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Pulls new files, and the windows that are due: the open one, the one before, "
        "and those that were not read to their end.",
    )
    @keeps_errors_private
    @records_heartbeat("pull_every_5_minutes")
    def pull_schedule(
        context: dg.ScheduleEvaluationContext, pipeline: Pipeline
    ) -> dg.RunRequest | dg.SkipReason:
        # A run under way pulls what is left; more runs beside it would not be faster, because
        # PostHog's limits hold for the project.
        if runs_under_way(context.instance, job_name=PULL_JOB):
            return dg.SkipReason("a pull is under way")
        due = windows_due(pipeline.store, pipeline.settings, datetime.now(UTC))
        if not due:
            return dg.SkipReason("no window is due")
        add_windows(context.instance, due)
        # The windows between them are complete, and passed over.
        in_place = sorted(due, key=places(context.instance).__getitem__)
        return dg.RunRequest(tags={LAUNCHED_BY_SCHEDULE: "true", **range_tags(in_place)})

    return pull_schedule
