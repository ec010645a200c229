"""Which runs of Dagster are under way, and which of them a person asked for."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from enrichment_pipeline.orchestration import runs
from enrichment_pipeline.orchestration.runs import (
    LAUNCHED_BY_SENSOR,
    ProgressLog,
    is_asked_for,
    runs_under_way,
)
from enrichment_pipeline_tests.orchestration.conftest import OF_A_TICK


def origin(location: str = "of_this_test") -> Any:
    """Where a job comes from, as Dagster stores it: only runs that have it can be queued."""
    place = {"__class__": "RegisteredRepositoryLocationOrigin", "location_name": location}
    repository = {
        "__class__": "ExternalRepositoryOrigin",
        "repository_name": "of_this_test",
        "repository_location_origin": place,
    }
    job = {
        "__class__": "ExternalPipelineOrigin",
        "pipeline_name": "a_job",
        "external_repository_origin": repository,
    }
    return dg.deserialize_value(json.dumps(job))


LONG_AGO = datetime.now(UTC) - timedelta(minutes=20)


@dg.job
def a_job() -> None:
    """Nothing: only its state matters."""


def run_in(
    instance: dg.DagsterInstance, status: str, events: dict[str, datetime] | None = None
) -> str:
    """A run in this status since long ago, that logged these events of Dagster at these times."""
    run = instance.create_run_for_job(a_job, status=dg.DagsterRunStatus(status))
    for kind, at in (events or {}).items():
        event = dg.DagsterEvent(kind, a_job.name)
        instance.report_dagster_event(event, run.run_id, timestamp=at.timestamp())
    return run.run_id


def under_way(instance: dg.DagsterInstance) -> list[str]:
    return [run.run_id for run in runs_under_way(instance, job_name=a_job.name)]


def test_a_run_that_began_long_ago_and_logs_is_under_way(instance: dg.DagsterInstance) -> None:
    began = {"PIPELINE_START": LONG_AGO}
    silent = run_in(instance, "NOT_STARTED", began)
    assert under_way(instance) == []
    living = run_in(instance, "NOT_STARTED", {**began, "STEP_START": datetime.now(UTC)})
    assert under_way(instance) == [living]
    assert instance.get_run_by_id(silent).status is dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]


def test_a_run_waits_in_the_queue_for_as_long_as_it_must(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_LONGEST_SILENCE", timedelta(hours=-1))
    run_in(instance, "NOT_STARTED")
    waiting = instance.create_run_for_job(
        a_job,
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=origin(),
    )
    assert under_way(instance) == [waiting.run_id]


def test_a_run_that_has_ended_is_not_under_way(instance: dg.DagsterInstance) -> None:
    for status in ("SUCCESS", "FAILURE", "CANCELED"):
        run_in(instance, status)
    assert under_way(instance) == []


def launched(
    instance: dg.DagsterInstance, tags: dict[str, str], parent: dg.DagsterRun | None = None
) -> dg.DagsterRun:
    return instance.create_run_for_job(
        a_job,
        tags=tags,
        parent_run_id=parent.run_id if parent else None,
        root_run_id=parent.root_run_id or parent.run_id if parent else None,
    )


def retried(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """The automatic retry of a run, tagged as Dagster's daemon does."""
    again = launched(instance, {**run.tags, "dagster/retry_number": "1"}, run)
    instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": again.run_id})
    return again


def test_a_run_of_a_tick_and_its_automatic_retries_are_asked_for_by_nobody(
    instance: dg.DagsterInstance,
) -> None:
    run = launched(instance, OF_A_TICK)
    for _ in range(3):
        assert not is_asked_for(instance, run)
        run = retried(instance, run)


def test_what_a_person_launches_is_asked_for_and_so_are_its_automatic_retries(
    instance: dg.DagsterInstance,
) -> None:
    of_a_tick = launched(instance, OF_A_TICK)
    runs_of_people = [
        launched(instance, {}),
        launched(instance, OF_A_TICK, of_a_tick),
        # As the preview of a tick shows it.
        launched(instance, {LAUNCHED_BY_SENSOR: "true", "dagster/sensor_name": "due_windows"}),
    ]
    # For selected steps the UI copies all tags.
    copied = {**OF_A_TICK, "dagster/retry_number": "1"}
    runs_of_people.append(launched(instance, copied, retried(instance, of_a_tick)))
    for run in runs_of_people:
        assert is_asked_for(instance, run)
        assert is_asked_for(instance, retried(instance, run))


def test_progress_is_logged_twice_a_minute_however_often_it_is_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    caplog.set_level(logging.INFO)
    progress = ProgressLog(logging.getLogger("of this test"))
    for second in range(100):
        now = float(second)
        progress(f"{second} done")
    assert caplog.messages == ["30 done", "60 done", "90 done"]
