"""The asset `session_timelines` and its job.

Building the sessions of a day belongs to `llm.session_days`, launching it to `session_launches`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd

from enrichment_pipeline.llm.session_days import DayReport, build_day
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline.orchestration.assets import IN_PIECES, RETRY_OUTAGES
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS, SESSION_TIMELINES
from enrichment_pipeline.orchestration.metadata import table
from enrichment_pipeline.orchestration.partitions import DAYS
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.publishing import publish_of_failing_run
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import ProgressLog, is_asked_for
from enrichment_pipeline.orchestration.sensors import Job
from enrichment_pipeline.orchestration.windows import Metadata
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import is_store_failure, kind_of
from enrichment_pipeline.store.sessions.listing import (
    SessionRow,
    day_totals,
    list_sessions,
    text_of_session,
)
from enrichment_pipeline.wording import counted

SESSIONS_JOB = "sessions"

_PREVIEW_ROWS = 10


def build_session_timelines() -> dg.AssetsDefinition:
    """The asset, with a partition for each UTC day that has events."""

    @dg.asset(
        key=SESSION_TIMELINES,
        deps=[ENRICHED_EVENTS],
        partitions_def=DAYS,
        backfill_policy=IN_PIECES,
        group_name="events",
        kinds={"postgres"},
        retry_policy=RETRY_OUTAGES,
        description="What happened in each session that began on a day (UTC), for people and "
        "language models. The sensor refreshes what events have come to; materialized by hand, a "
        "day is built anew from all of its events. Table `session_timeline`.",
    )
    @keeps_errors_private
    def session_timelines(
        context: dg.AssetExecutionContext, pipeline: Pipeline
    ) -> Iterator[dg.MaterializeResult[None]]:
        is_whole = is_asked_for(context.instance, context.run)
        built: dict[str, Metadata] = {}
        failed: list[Exception] = []
        for key in context.partition_keys:
            try:
                built[key] = _build_day(
                    context, pipeline.store, date.fromisoformat(key), is_whole=is_whole
                )
            except Exception as error:  # raised below, when the other days are built
                if is_store_failure(error):
                    raise
                context.log.warning(f"{key} failed: {kind_of(error)}")
                failed.append(error)
        if failed:
            publish_of_failing_run(
                context.instance,
                (
                    dg.AssetMaterialization(SESSION_TIMELINES, partition=key, metadata=metadata)
                    for key, metadata in built.items()
                ),
            )
            raise failed[0]
        for key, metadata in built.items():
            context.add_asset_metadata(metadata, partition_key=key)
        yield dg.MaterializeResult()

    return session_timelines


def _build_day(
    context: dg.AssetExecutionContext, store: Store, day: date, *, is_whole: bool
) -> Metadata:
    progress = ProgressLog(context.log)
    report = build_day(
        store,
        day,
        is_whole=is_whole,
        on_progress=lambda so_far: progress(
            f"{day}: {counted(so_far.sessions, 'session')} built so far"
        ),
    )
    context.log.info(
        f"{day}: {counted(report.sessions, 'session')} of {counted(report.events, 'event')} "
        f"built in {report.seconds:.1f} s"
    )
    return _metadata(store, report)


def build_sessions_job() -> Job:
    """The job that the sensor launches."""
    return dg.define_asset_job(
        SESSIONS_JOB,
        selection=dg.AssetSelection.assets(SESSION_TIMELINES),
        description="Builds the sessions of a day.",
    )


def _metadata(store: Store, report: DayReport) -> Metadata:
    with store.transaction() as connection:
        start = datetime.combine(report.day, datetime.min.time(), UTC)
        totals = day_totals(connection, report.day)
        newest = list_sessions(
            connection, start=start, end=start + timedelta(days=1), limit=_PREVIEW_ROWS
        )
        example = _example(newest)
        timeline = text_of_session(connection, example) if example else None
    metadata: Metadata = {
        # The totals of the whole day, however much of it was built now.
        "sessions": dg.MetadataValue.int(totals.sessions),
        "events": dg.MetadataValue.int(totals.events),
    }
    if newest:
        # Few columns: beside its menus, Dagster leaves a table a quarter of the page.
        rows = [(f"{one.started_at:%H:%M:%S}", _in_short(one)) for one in newest]
        metadata["newest"] = table(pd.DataFrame(rows, columns=["time", "outline"]))
    if totals.signals:
        metadata["signals"] = table(pd.DataFrame(totals.signals, columns=["signal", "sessions"]))
    if timeline:
        # One row for each line: a single text would be as wide as its longest line, and so would
        # the tables above it.
        lines = pd.DataFrame({"as a model reads it": timeline.splitlines()})
        metadata["example"] = table(lines)
        metadata["example_tokens"] = dg.MetadataValue.int(estimate_tokens(timeline))
    metadata["sessions_built_now"] = dg.MetadataValue.int(report.sessions)
    metadata["whole_day_rebuilt"] = dg.MetadataValue.bool(report.is_whole)
    metadata["run_seconds"] = dg.MetadataValue.float(round(report.seconds, 3))
    return metadata


def _in_short(session: SessionRow) -> str:
    signals = f" [{', '.join(session.signals)}]" if session.signals else ""
    return f"{session.outline}{signals}"


def _example(sessions: Sequence[SessionRow]) -> SessionRow | None:
    """The session that shows most."""
    return max(
        sessions, key=lambda session: (len(session.signals), min(session.events, 40)), default=None
    )
