"""Which runs build the sessions of the days that changed, for the sensor `changed_windows`.

The asset that they materialize belongs to `session_timelines`.
"""

from collections.abc import Collection, Sequence
from datetime import date

import dagster as dg
from sqlalchemy import Connection

from enrichment_pipeline.orchestration.keys import SESSION_TIMELINES
from enrichment_pipeline.orchestration.partitions import (
    add_days,
    day_places,
    day_range_tags,
    days_in_range,
    stretches,
)
from enrichment_pipeline.orchestration.planning import launch_number
from enrichment_pipeline.orchestration.runs import LAUNCHED_BY_SENSOR, runs_under_way
from enrichment_pipeline.orchestration.session_timelines import SESSIONS_JOB
from enrichment_pipeline.store.monitoring.failures import RUN, failures
from enrichment_pipeline.store.queue.changes import ChangedDay

_MOST_DAYS = 31
"""Days in one run: a process of its own for each would take longer than their sessions."""

_MOST_RUNS = 2
"""Runs that one tick launches, of each kind; the next ticks launch the others."""

_LAUNCH = "enrichment/launch"
# Fresh events first: timelines are made from enriched events, whether their day is built or not.
_BEHIND = {"dagster/priority": "-1"}


def session_launches(
    instance: dg.DagsterInstance, changed: Sequence[ChangedDay], failed: Collection[date]
) -> list[dg.RunRequest]:
    """The runs to launch now, the newest days first. A day whose run has `failed` is launched
    alone, and ever more rarely: it keeps no other day waiting."""
    if not changed:
        return []
    busy = _days_under_way(instance)
    waiting = {one.day: one for one in changed if one.day not in busy}
    add_days(instance, waiting)
    found = stretches(waiting.keys() - failed, day_places(instance), _MOST_DAYS)
    again = [waiting[day] for day in sorted(waiting.keys() & failed, reverse=True)]
    return [
        *(_request(days) for days in reversed(found[-_MOST_RUNS:])),
        *_launches_of_failed(instance, again)[:_MOST_RUNS],
    ]


def days_that_failed(connection: Connection) -> set[date]:
    """The days whose last run has failed, as the alerts know it."""
    asset = SESSION_TIMELINES.to_user_string()
    return {
        date.fromisoformat(failure.part)
        for failure in failures(connection, RUN)
        if failure.subject == asset and failure.part
    }


def _days_under_way(instance: dg.DagsterInstance) -> set[date]:
    known = day_places(instance)
    runs = runs_under_way(instance, job_name=SESSIONS_JOB)
    return {day for run in runs for day in days_in_range(run.tags, known)}


def _launches_of_failed(
    instance: dg.DagsterInstance, days: Sequence[ChangedDay]
) -> list[dg.RunRequest]:
    if not days:
        return []
    names = {_launch_name(one): one.day for one in days}
    launched = instance.get_runs(dg.RunsFilter(tags={_LAUNCH: list(names)}))
    done = {run.tags[_LAUNCH] for run in launched}
    return [_request([day], **{_LAUNCH: name}) for name, day in names.items() if name not in done]


def _launch_name(changed: ChangedDay) -> str:
    """Names the launch that is due for a day. A run that succeeds removes the day's changes: the
    first of the next ones has another time."""
    return f"{changed.day}:{changed.since.isoformat()}:{launch_number(changed.waited)}"


def _request(days: Sequence[date], **tags: str) -> dg.RunRequest:
    tags |= {LAUNCHED_BY_SENSOR: "true", **_BEHIND, **day_range_tags(days)}
    return dg.RunRequest(job_name=SESSIONS_JOB, tags=tags)
