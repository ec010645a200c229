"""Dagster's own commands: in the folder of the project, and in one that `dagster-files` wrote."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from enrichment_pipeline.orchestration.instance import LOCATION, LOCATIONS, prepare_home
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.partitions import WINDOWS, add_windows, partition_key
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.clients.pipeline import wait_until
from enrichment_pipeline_tests.conftest import free_port, raw_events
from enrichment_pipeline_tests.orchestration.conftest import START

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
ASSETS = {"raw_events", "enriched_events", "dead_letter", "session_timelines"}
WINDOW = partition_key(START)
MODULE = ("--module-name", "enrichment_pipeline.orchestration.definitions")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder that has nothing but the files that `dagster-files` wrote."""
    folder = tmp_path / "theirs"
    assert call("dagster-files", str(folder)).returncode == 0
    return folder


@pytest.fixture(autouse=True)
def home(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own, and no DAGSTER_HOME, as on a machine on which nothing is set."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("ENRICHMENT_HOME", str(tmp_path / "home"))
    return prepare_home(tmp_path / "home")


def typed(folder: Path, *command: str) -> str:
    """What a command printed that ended well."""
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", ["dagster definitions validate", "dg check defs"])
def test_the_definitions_are_found_and_valid(command: str) -> None:
    typed(PROJECT, *command.split())


def test_dg_lists_what_both_code_locations_have(written: Path) -> None:
    found = json.loads(typed(written, "dg", "list", "defs", "--json"))
    assert {asset["asset_key"] for asset in found["assets"]} == ASSETS
    assert {"enrichment", "replay_dead_letters"} <= {job["name"] for job in found["jobs"]}
    assert {"due_windows", "marked_letters"} <= {sensor["name"] for sensor in found["sensors"]}


def test_dagster_lists_the_assets_of_a_module() -> None:
    assert set(typed(PROJECT, "dagster", "asset", "list", *MODULE).split()) == ASSETS


@pytest.mark.parametrize(
    "command",
    [("dagster", "asset", "materialize", *MODULE, "--select"), ("dg", "launch", "--assets")],
    ids=["dagster", "dg"],
)
def test_a_window_is_materialized_in_the_instance_of_the_pipeline(
    command: tuple[str, ...], store: Store, home: Path
) -> None:
    load_events(store, raw_events(1, START), [], "test")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        add_windows(instance, [START])
        typed(PROJECT, *command, "enriched_events", "--partition", WINDOW)
        shown = instance.get_status_by_partition(ENRICHED_EVENTS, [WINDOW], WINDOWS) or {}
        assert shown[WINDOW] is not None
        assert shown[WINDOW].value == "MATERIALIZED"


@pytest.mark.parametrize(
    ("command", "locations"),
    [("dagster dev", {*LOCATIONS}), ("dg dev", {LOCATION})],
    ids=["dagster", "dg"],
)
def test_dev_serves_every_job_and_keeps_its_runs_with_those_of_up(
    command: str, locations: set[str], home: Path, written: Path
) -> None:
    port = free_port()
    # `dagster dev` in a folder of somebody's, `dg dev` in the project: each of the two reads other
    # files, and a test of all four would take another minute.
    folder = written if command == "dagster dev" else PROJECT
    with developing(folder, [*command.split(), "--port", str(port)]):
        wait_until(lambda: jobs_of(port).keys() == locations, "the code locations are loaded")
        assert {"enrichment", "replay_dead_letters"} <= set().union(*jobs_of(port).values())
        launched = ask(port, _LAUNCH)
        assert launched["launchRun"]["__typename"] == "LaunchRunSuccess", launched
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert [run.job_name for run in instance.get_runs()] == ["maintenance"]


@contextmanager
def developing(folder: Path, command: list[str]) -> Iterator[None]:
    """A command that runs until Ctrl-C, which then ends it within the time that Dagster takes."""
    program = Path(sys.executable).with_name(command[0])
    process = subprocess.Popen(
        [program, *command[1:]],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(120)


def ask(port: int, query: str) -> Mapping[str, dict[str, object]]:
    """The answer of Dagster's GraphQL; nothing as long as there is none."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return dict(json.load(response)["data"])
    except OSError:
        return {}


def jobs_of(port: int) -> dict[str, set[str]]:
    """The jobs of each code location that is loaded."""
    found = ask(port, _JOBS).get("repositoriesOrError", {}).get("nodes", [])
    return {node["location"]["name"]: {job["name"] for job in node["jobs"]} for node in list(found)}


_JOBS = """
{ repositoriesOrError { ... on RepositoryConnection {
    nodes { location { name } jobs { name } } } } }
"""

_LAUNCH = """
mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "enrichment_pipeline", repositoryName: "__repository__",
             jobName: "maintenance"}, mode: "default"
}) { __typename } }
"""
