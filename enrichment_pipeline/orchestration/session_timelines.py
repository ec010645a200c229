"""The asset `session_timelines`, its job, and the sensor that refreshes a day when its events are.

How a day is told belongs to `llm.session_days`.
"""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg
import pandas as pd

from enrichment_pipeline.llm.session_days import DayReport, tell_day
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline.orchestration.assets import (
    ENRICHED_EVENTS,
    LAUNCHED_BY_SENSOR,
    RETRY_OUTAGES,
)
from enrichment_pipeline.orchestration.metadata import table
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import UNDER_WAY
from enrichment_pipeline.orchestration.sensors import Job
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.session_building import due_days
from enrichment_pipeline.store.sessions import SessionRow, list_sessions, text_of_session

SESSION_TIMELINES = dg.AssetKey("session_timelines")
SESSIONS_JOB = "sessions"

DAY_FORMAT = "%Y-%m-%d"

_PREVIEW_ROWS = 20
_MOST_DAYS = 5
_PARTITION = "dagster/partition"
# Fresh events first: who asks for a timeline gets it from them, told or not.
_PRIORITY = {"dagster/priority": "-1"}
_LONGEST_SILENCE = timedelta(minutes=15)
_NEVER = "1970-01-01T00:00:00+00:00"


def build_session_timelines(start: datetime) -> dg.AssetsDefinition:
    """The asset, with a partition for each UTC day from that of `start`."""
    partitions = dg.DailyPartitionsDefinition(
        start_date=start.strftime(DAY_FORMAT), timezone="UTC", end_offset=1
    )

    @dg.asset(
        key=SESSION_TIMELINES,
        deps=[dg.AssetDep(ENRICHED_EVENTS, partition_mapping=dg.TimeWindowPartitionMapping())],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="events",
        kinds={"postgres"},
        retry_policy=RETRY_OUTAGES,
        description="What happened in each session that began on a day (UTC), for people and "
        "language models. The sensor refreshes what events have come to; materialized by hand, a "
        "day is told anew from all of its events. Table `session_timeline`.",
    )
    def session_timelines(
        context: dg.AssetExecutionContext, pipeline: Pipeline
    ) -> dg.MaterializeResult[None]:
        is_whole = LAUNCHED_BY_SENSOR not in context.run.tags
        for key in context.partition_keys:
            report = tell_day(pipeline.store, _day(key), is_whole=is_whole)
            context.log.info(
                f"{key}: {report.sessions:,} sessions of {report.events:,} events told in "
                f"{report.seconds:.1f} s"
            )
            context.add_asset_metadata(_metadata(pipeline.store, report), partition_key=key)
        return dg.MaterializeResult()

    return session_timelines


def build_sessions_job() -> Job:
    """The job that the sensor launches."""
    return dg.define_asset_job(
        SESSIONS_JOB,
        selection=dg.AssetSelection.assets(SESSION_TIMELINES),
        description="Tells the sessions of a day.",
    )


class _Cursor(NamedTuple):
    """What the sensor knows from its last tick."""

    looked_at: str = _NEVER
    waiting: Sequence[str] = ()
    """Days that are due until a run has told them, whatever became of the last one."""


def build_sessions_sensor(start: datetime, job: Job, seconds: int) -> dg.SensorDefinition:
    """The sensor, which ticks every so many seconds; days before that of `start` are none."""

    @dg.sensor(
        name="due_sessions",
        job=job,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes the sessions of days to which enriched events have come.",
    )
    def due_sessions(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.SensorResult:
        now = datetime.now(UTC)
        cursor = _Cursor(**json.loads(context.cursor)) if context.cursor else _Cursor()
        since = datetime.fromisoformat(cursor.looked_at)
        with pipeline.store.transaction() as connection:
            due = due_days(connection, since, [_day(key) for key in cursor.waiting])
        busy = _under_way(context.instance)
        launched = [
            day for day in due if start.date() <= day <= now.date() and _key(day) not in busy
        ][:_MOST_DAYS]
        requests = [
            dg.RunRequest(
                f"{_key(day)}:{now.isoformat()}",
                partition_key=_key(day),
                tags={LAUNCHED_BY_SENSOR: "true", **_PRIORITY},
            )
            for day in launched
        ]
        after = _Cursor(now.isoformat(), [_key(day) for day in due])
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(after._asdict()))

    return due_sessions


def _under_way(instance: dg.DagsterInstance) -> set[str]:
    runs = instance.get_runs(
        dg.RunsFilter(
            job_name=SESSIONS_JOB,
            statuses=UNDER_WAY,
            # A run whose process was killed stays STARTED for hours.
            updated_after=datetime.now(UTC) - _LONGEST_SILENCE,
        )
    )
    return {run.tags[_PARTITION] for run in runs if _PARTITION in run.tags}


def _day(key: str) -> date:
    return date.fromisoformat(key)


def _key(day: date) -> str:
    return day.strftime(DAY_FORMAT)


def _metadata(store: Store, report: DayReport) -> dict[str, dg.MetadataValue[Any]]:
    with store.transaction() as connection:
        start = datetime.combine(report.day, datetime.min.time(), UTC)
        newest = list_sessions(
            connection, start=start, end=start + timedelta(days=1), limit=_PREVIEW_ROWS
        )
        example = _example(newest)
        timeline = text_of_session(connection, example) if example else None
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "sessions_told": dg.MetadataValue.int(report.sessions),
        "events_told": dg.MetadataValue.int(report.events),
        "seconds": dg.MetadataValue.float(round(report.seconds, 3)),
        "all_of_the_day": dg.MetadataValue.bool(report.is_whole),
    }
    if report.signals:
        counts = pd.DataFrame(report.signals.most_common(), columns=["signal", "sessions"])
        metadata["signals"] = table(counts)
    if newest:
        columns = ["started_at", "person", "events", "outline", "signals", "session_id"]
        metadata["newest"] = table(pd.DataFrame(newest)[columns])
    if timeline:
        metadata["example"] = dg.MetadataValue.md(f"```\n{timeline}\n```")
        metadata["tokens_of_the_example"] = dg.MetadataValue.int(estimate_tokens(timeline))
    return metadata


def _example(sessions: Sequence[SessionRow]) -> SessionRow | None:
    """The one that shows most."""
    return max(
        sessions, key=lambda session: (len(session.signals), min(session.events, 40)), default=None
    )
