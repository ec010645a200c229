"""Replaying dead letters in Dagster: the job, and the sensors that launch it.

Job and sensors belong to the code location `dead_letter_worker`, whose runs are children of a
process of its own. The replay itself belongs to `enrichment.replay`.
"""

from datetime import timedelta

import dagster as dg
from pydantic import Field

from enrichment_pipeline.enrichment.attempts import TRANSIENT
from enrichment_pipeline.enrichment.replay import ReplayReport, replay_marked
from enrichment_pipeline.orchestration.assets import RETRY_OUTAGES
from enrichment_pipeline.orchestration.heartbeats import records_heartbeat
from enrichment_pipeline.orchestration.keys import DEAD_LETTER
from enrichment_pipeline.orchestration.metadata import broken_metadata
from enrichment_pipeline.orchestration.partitions import windows_of
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.publishing import DEAD_LETTER_TAGS
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import ProgressLog, run_name, runs_under_way
from enrichment_pipeline.store.dead_letters.letters import (
    LetterCount,
    LetterFilter,
    count_letters,
    count_marked,
    mark_for_replay,
    mark_transient,
)
from enrichment_pipeline.store.dead_letters.summary import broken_now
from enrichment_pipeline.wording import counted

REPLAY_OP = "replay"

WORKER_TAG = "enrichment/worker"
"""`dagster.yaml` lets one run with this tag go at a time."""

TRANSIENT_WAITS = "10 minutes"
"""Wait before a letter with a transient reason is replayed automatically; twice as long after each
replay that failed."""

_SENSOR_SECONDS = 30


class ReplayConfig(dg.Config):
    """Which letters to replay; with nothing set, the letters that are already marked."""

    ids: list[int] = Field([], description="Letters by their ids; exhausted ones too.")
    reason: str | None = Field(None, description="Reason code, as enrichment_raised.")
    first_window: str | None = Field(None, description="Partition key of the first window.")
    last_window: str | None = Field(None, description="Partition key of the last window.")
    rules_version: str | None = Field(None, description="Rules version that they failed under.")
    event: str | None = Field(None, description="Name of the event.")
    everything: bool = Field(False, description="All that are open.")
    dry_run: bool = Field(False, description="Count them, and do nothing.")

    def chosen(self, window: timedelta) -> LetterFilter | None:
        """The letters to mark and replay; None: the letters that are already marked."""
        first = windows_of([self.first_window])[0] if self.first_window else None
        end = windows_of([self.last_window])[0] + window if self.last_window else None
        chosen = LetterFilter(
            ids=tuple(self.ids),
            reason=self.reason,
            since=first,
            until=end,
            rules_version=self.rules_version,
            event=self.event,
        )
        return None if chosen.is_everything and not self.everything else chosen


@dg.op(name=REPLAY_OP, retry_policy=RETRY_OUTAGES)
@keeps_errors_private
def replay(context: dg.OpExecutionContext, config: ReplayConfig, pipeline: Pipeline) -> None:
    """Mark the letters that the configuration chooses, and replay all that are marked."""
    store = pipeline.store
    chosen = config.chosen(store.window)
    with store.transaction() as connection:
        if config.dry_run:
            meant = count_letters(connection, chosen or LetterFilter(states=("replaying",)))
            context.log.info(f"{_both(meant)} would be replayed")
            return
        if chosen and not context.retry_number:
            context.log.info(f"{_both(mark_for_replay(connection, chosen))} marked")
    progress = ProgressLog(context.log)

    def on_progress(report: ReplayReport) -> None:
        progress(f"{report.resolved:,} resolved, {report.failed:,} failed so far")

    report = replay_marked(
        store,
        pipeline.rules,
        run_name(context.run_id),
        pipeline.settings.replay_rate,
        on_progress,
    )
    resolved = counted(report.resolved, "letter")
    context.log.info(f"{resolved} resolved, {report.failed:,} failed again")
    with store.transaction() as connection:
        broken = broken_now(connection)
    metadata = broken_metadata(broken) | {
        "replayed_letters": dg.MetadataValue.int(report.resolved),
        "replayed_events": dg.MetadataValue.int(report.events),
        "failed_again": dg.MetadataValue.int(report.failed),
    }
    context.log_event(
        dg.AssetMaterialization(DEAD_LETTER, metadata=metadata, tags=DEAD_LETTER_TAGS)
    )


@dg.job(
    name="replay_dead_letters",
    tags={WORKER_TAG: "dead_letter"},
    description="Replays dead letters: those that the configuration names, and all that are marked "
    "already (`enrichment-pipeline dead-letters replay --no-wait`).",
)
def replay_dead_letters() -> None:
    """The replay as a job, for the sensors and for the launchpad."""
    replay()


@dg.sensor(
    job=replay_dead_letters,
    minimum_interval_seconds=_SENSOR_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches a replay where letters are marked and none is at work.",
)
@keeps_errors_private
@records_heartbeat("marked_letters")
def marked_letters(
    context: dg.SensorEvaluationContext, pipeline: Pipeline
) -> dg.RunRequest | dg.SkipReason:
    """Replay letters that the command line has marked, or a killed replay has left behind."""
    with pipeline.store.transaction() as connection:
        marked = count_marked(connection)
    if not marked.letters:
        return dg.SkipReason("no letter is marked")
    return _request(context)


@dg.sensor(
    job=replay_dead_letters,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Off by default: replays letters whose reason may be gone "
    f"({', '.join(sorted(TRANSIENT))}) by itself, after {TRANSIENT_WAITS}, and after twice that.",
)
@keeps_errors_private
@records_heartbeat("transient_letters")
def transient_letters(
    context: dg.SensorEvaluationContext, pipeline: Pipeline
) -> dg.RunRequest | dg.SkipReason:
    """Replay letters with transient reasons; exhausted ones are left to people."""
    with pipeline.store.transaction() as connection:
        marked = mark_transient(connection, tuple(TRANSIENT), TRANSIENT_WAITS)
    if not marked.letters:
        return dg.SkipReason("no letter with a transient reason has waited long enough")
    return _request(context)


def _request(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    if runs_under_way(context.instance, job_name=replay_dead_letters.name):
        return dg.SkipReason("a replay is under way")
    return dg.RunRequest()


def _both(count: LetterCount) -> str:
    return f"{counted(count.letters, 'letter')} of {counted(count.events, 'event')}"
