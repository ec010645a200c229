"""Deaths of Dagster's own processes and of the API, in the middle of work: `up` starts them again,
and every event is enriched once."""

import time
import urllib.error
from pathlib import Path

import psutil
import pytest

from enrichment_pipeline.store.engine import Store
from enrichment_pipeline_tests.clients.pipeline import EVENTS, Pipeline, counts, wait_until


def processes(pipeline: Pipeline, *words: str) -> list[psutil.Process]:
    """The processes of the pipeline with all of these words in their command."""
    found = []
    for process in pipeline.process.children(recursive=True):
        try:
            command = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if all(word in command for word in words):
            found.append(process)
    return found


def runs(pipeline: Pipeline) -> list[psutil.Process]:
    """The processes of runs: children of the code server."""
    servers = {process.pid for process in processes(pipeline, "grpc", ".definitions")}
    return [one for one in processes(pipeline, "spawn_main") if one.ppid() in servers]


def send(pipeline: Pipeline, event: str) -> None:
    """Send until it is acknowledged, as an SDK does; its events have uuids of their own."""
    while True:
        try:
            pipeline.send(event)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
        else:
            return


def kill(pipeline: Pipeline, *words: str) -> None:
    wait_until(lambda: bool(processes(pipeline, *words)), f"there is a process of {words}")
    for process in processes(pipeline, *words):
        process.kill()


@pytest.mark.parametrize(
    "words",
    [
        ("dagster-daemon",),
        ("code-server", "orchestration.definitions"),
        ("enrichment-pipeline", "api"),
    ],
    ids=["daemon", "code_server", "api"],
)
def test_a_service_that_is_killed_is_started_again_and_nothing_is_lost(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path)
    with pipeline.running() as store:
        send(pipeline, "before")
        kill(pipeline, *words)
        send(pipeline, "after")
        wait_until(lambda: enriched_once(store, 2), "all is enriched")
    assert "is started again" in (tmp_path / "up.log").read_text()


def test_a_run_that_is_killed_is_done_again(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    with pipeline.running() as store:
        send(pipeline, "before")
        wait_until(lambda: bool(runs(pipeline)), "a run is at work")
        for run in runs(pipeline):
            run.kill()
        send(pipeline, "after")
        wait_until(lambda: enriched_once(store, 2), "all is enriched")


def enriched_once(store: Store, requests: int) -> bool:
    return counts(store) == (requests * EVENTS, 0, 0)
