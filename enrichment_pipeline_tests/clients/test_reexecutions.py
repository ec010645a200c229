"""Each way of Dagster's UI to start a run takes dead batches in, asked of a real one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.orchestration.instance import LOCATION
from enrichment_pipeline.orchestration.partitions import add_windows, partition_key, range_tags
from enrichment_pipeline.orchestration.runs import LAUNCHED_BY_SENSOR
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.orchestration.sweep import SWEEP_OP, enrichment_sweep
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.clients.pipeline import Pipeline, wait_until
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import OF_A_TICK, START, die

WINDOWS = [START + hour * HOUR for hour in range(2)]
RANGE = range_tags(WINDOWS)

OF_THE_SENSOR = {LAUNCHED_BY_SENSOR: "true", "dagster/sensor_name": "due_windows", **RANGE}
"""The tags of a run that the sensor asks for, as the preview of its tick shows them too."""

Way = Callable[[dg.DagsterRun], tuple[str, dict[str, Any]]]
"""How a person starts a run, given one of the sensor's that has failed: mutation and variables."""


def tags_of(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def parameters(
    tags: dict[str, str], job: str = ENRICHMENT_JOB, **more: object
) -> dict[str, object]:
    return {
        "mode": "default",
        "selector": {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "pipelineName": job,
        },
        "executionMetadata": {"tags": tags_of(tags)},
        **more,
    }


def by_strategy(strategy: str) -> Way:
    return lambda failed: (
        _RE_EXECUTE,
        {"how": {"parentRunId": failed.run_id, "strategy": strategy}},
    )


def selected_steps(failed: dg.DagsterRun) -> tuple[str, dict[str, Any]]:
    # As of a run that Dagster had retried automatically: the UI copies all tags.
    tags = {**failed.tags, "dagster/retry_number": "1"}
    ids = {"parentRunId": failed.run_id, "rootRunId": failed.run_id}
    given = parameters(tags, stepKeys=["enriched_events"])
    given["executionMetadata"] = {**ids, "tags": tags_of(tags)}
    return _RE_EXECUTE_SELECTED, {"parameters": given}


def materialize(_: dg.DagsterRun) -> tuple[str, dict[str, Any]]:
    given = parameters({"dagster/partition": partition_key(WINDOWS[0])}, "__ASSET_JOB")
    assert isinstance(given["selector"], dict)
    given["selector"]["assetSelection"] = [{"path": ["enriched_events"]}]
    return _LAUNCH, {"parameters": given}


def preview_of_a_tick(_: dg.DagsterRun) -> tuple[str, dict[str, Any]]:
    return _LAUNCH_MULTIPLE, {"parameters": [parameters(OF_THE_SENSOR)]}


def launchpad(_: dg.DagsterRun) -> tuple[str, dict[str, Any]]:
    config = {"ops": {SWEEP_OP: {"config": {"windows": [partition_key(WINDOWS[0])]}}}}
    given = parameters({}, enrichment_sweep.name, runConfigData=config)
    return _LAUNCH, {"parameters": given}


WAYS: dict[str, Way] = {
    "all steps": by_strategy("ALL_STEPS"),
    "from failure": by_strategy("FROM_FAILURE"),
    "from asset failure": by_strategy("FROM_ASSET_FAILURE"),
    "selected steps": selected_steps,
    "materialize": materialize,
    "preview of a tick": preview_of_a_tick,
    "launchpad": launchpad,
}


def dead_batches(store: Store) -> int:
    with store.transaction() as connection:
        found = connection.execute(text("SELECT count(*) FROM raw_batch WHERE state = 'dead'"))
        return int(found.scalar_one())


def test_whatever_a_person_starts_in_the_ui_takes_dead_batches_in_and_an_automatic_retry_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rules: Rules
) -> None:
    pipeline = Pipeline(tmp_path)
    monkeypatch.setenv("ENRICHMENT_HOME", str(tmp_path))
    with (
        # The sensors tick once, and find nothing.
        pipeline.running(sensor_seconds=3600) as store,
        dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance,
    ):

        def launch(mutation: str, **variables: object) -> str:
            [launched] = pipeline.ask(mutation, **variables).values()
            [launched] = launched.get("launchMultipleRunsResult", [launched])
            assert launched["__typename"] == "LaunchRunSuccess", launched
            return str(launched["run"]["id"])

        def run(run_id: str) -> dg.DagsterRun:
            found = instance.get_run_by_id(run_id)
            assert found
            return found

        def ended(run_id: str) -> dg.DagsterRun:
            wait_until(lambda: run(run_id).is_finished, "the run has ended")
            return run(run_id)

        def retry_of(run_id: str) -> str | None:
            return run(run_id).tags.get("dagster/auto_retry_run_id")

        def a_batch_dies() -> None:
            load_events(store, raw_events(2, START, event="bad"), [], "test")
            die(store, rules)
            assert dead_batches(store) == 1

        add_windows(instance, WINDOWS)
        a_batch_dies()
        of_a_tick = parameters({**OF_THE_SENSOR, **OF_A_TICK})
        failed = ended(launch(_LAUNCH, parameters=of_a_tick))
        assert failed.status is dg.DagsterRunStatus.FAILURE
        assert dead_batches(store) == 1
        for name, way in WAYS.items():
            mutation, variables = way(failed)
            last = ended(launch(mutation, **variables))
            assert last.status is dg.DagsterRunStatus.SUCCESS, name
            assert dead_batches(store) == 0, name
            a_batch_dies()

        crashed = launch(_LAUNCH, parameters=of_a_tick)
        # As Dagster's monitoring does, where the process of a run is gone.
        instance.report_run_failed(run(crashed))
        wait_until(lambda: retry_of(crashed) is not None, "Dagster retries the run")
        assert ended(str(retry_of(crashed))).status is dg.DagsterRunStatus.FAILURE
        assert dead_batches(store) == 1


_LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { id } } ... on PythonError { message }
  }
}
"""

_LAUNCH_MULTIPLE = """
mutation($parameters: [ExecutionParams!]!) {
  launchMultipleRuns(executionParamsList: $parameters) {
    __typename ... on LaunchMultipleRunsResult {
      launchMultipleRunsResult { __typename ... on LaunchRunSuccess { run { id } } }
    }
  }
}
"""

_RE_EXECUTE = """
mutation($how: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $how) {
    __typename ... on LaunchRunSuccess { run { id } } ... on PythonError { message }
  }
}
"""

_RE_EXECUTE_SELECTED = """
mutation($parameters: ExecutionParams!) {
  launchRunReexecution(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { id } } ... on PythonError { message }
  }
}
"""
