"""Dagster's instance on one machine: its home, its tables, its workspace.

Starting and stopping the processes belongs to `cli.services`.
"""

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import psutil
import yaml
from dagster_graphql import DagsterGraphQLClient

from enrichment_pipeline.orchestration.forked_runs import is_run
from enrichment_pipeline.orchestration.runs import WILL_RETRY

LOCATION = "enrichment_pipeline"

LOCATIONS = {
    LOCATION: "enrichment_pipeline.orchestration.definitions",
    "dead_letter_worker": "enrichment_pipeline.orchestration.dead_letter_worker",
}
"""The code locations, and the module of each."""

# The package's own file: a wheel does not contain the copy at the top level.
_INSTANCE = Path(__file__).with_name("dagster.yaml")

_RETRY_STRATEGY = "dagster/retry_strategy"
_RUNNING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def prepare_home(home: Path) -> Path:
    """Make Dagster's home below `home`, with the project's `dagster.yaml`; returns it."""
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_INSTANCE, dagster_home / "dagster.yaml")
    return dagster_home


def write_workspace(dagster_home: Path, sockets: Mapping[str, Path]) -> Path:
    """Write a workspace in which each code location is served on its socket; returns its file.

    Webserver and daemon share one code server, so that a reload reaches both.
    """
    file = dagster_home / "workspace.yaml"
    servers = [
        {"grpc_server": {"socket": str(socket), "host": "localhost", "location_name": location}}
        for location, socket in sockets.items()
    ]
    file.write_text(yaml.safe_dump({"load_from": servers}))
    return file


def prepare_instance(dagster_home: Path, *, alone: bool) -> None:
    """Make Dagster's tables, and bring them up to date, before webserver and daemon start: on an
    empty database these two would race, and leave it with two alembic heads.

    Where this machine is `alone` on its database, runs that are recorded as running have ended:
    their processes ended with the last `up`.
    """
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        instance.upgrade()
        if alone:
            for run in instance.get_runs(dg.RunsFilter(statuses=_RUNNING)):
                _report_ended(instance, run)


def reload_location(host: str, port: int) -> None:
    """Let the running webserver load the definitions again, under the current rules."""
    DagsterGraphQLClient(host, port_number=port).reload_repository_location(LOCATION)


def runs_nothing(code_server: int) -> bool:
    """Whether the code server with this process id has no run under way. An idle server takes
    seconds to end, and may be killed."""
    try:
        return not any(map(is_run, psutil.Process(code_server).children(recursive=True)))
    except psutil.Error:
        return False


class EndedRuns(NamedTuple):
    """Runs that ended with their code server."""

    again: int
    """Runs that Dagster starts again automatically."""
    given_up: list[str]
    """Ids of the runs that Dagster does not start again, because they ended so too often."""


def running_runs(dagster_home: Path, location: str) -> dict[str, datetime]:
    """The runs of a code location that are recorded as running: their ids, and the time of the last
    sign of each."""
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        return {
            record.dagster_run.run_id: record.update_timestamp
            for record in instance.get_run_records(dg.RunsFilter(statuses=_RUNNING))
            if (origin := record.dagster_run.remote_job_origin) and origin.location_name == location
        }


def end_runs(dagster_home: Path, left: Mapping[str, datetime]) -> EndedRuns:
    """Mark these runs as failed, where none has given a sign since: their processes ended with
    their server, and a killed server leaves its runs STARTED."""
    if not left:
        return EndedRuns(0, [])
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        records = instance.get_run_records(dg.RunsFilter(run_ids=[*left], statuses=_RUNNING))
        gone = [
            record.dagster_run
            for record in records
            if record.update_timestamp == left[record.dagster_run.run_id]
        ]
        for run in gone:
            _report_ended(instance, run)
        ids = [run.run_id for run in gone]
        ended = instance.get_runs(dg.RunsFilter(run_ids=ids)) if ids else []
    given_up = [run.run_id for run in ended if run.tags.get(WILL_RETRY) != "true"]
    return EndedRuns(len(ended) - len(given_up), given_up)


def _report_ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Report that the process of a run ended with its server."""
    # Dagster records the failure, and a moment later the run's status and whether it is started
    # again. Its daemon reads each failure once: between the two it would find a run that is not to
    # be started again, or cannot be from the step that failed, and the run would be lost.
    instance.add_run_tags(run.run_id, {WILL_RETRY: "true", _RETRY_STRATEGY: "ALL_STEPS"})
    instance.report_run_failed(run, "The process of this run ended with its server.")
