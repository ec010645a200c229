"""Dagster's own instance: where it keeps its history, and what a new start makes of the last."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import psutil
import pytest
import yaml
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import create_engine, event, inspect

from enrichment_pipeline.cli.code_servers import CodeServer
from enrichment_pipeline.orchestration import instance
from enrichment_pipeline.orchestration.instance import (
    LOCATION,
    LOCATIONS,
    end_runs,
    prepare_home,
    prepare_instance,
    running_runs,
    runs_nothing,
    write_workspace,
)
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.partitions import add_windows, partition_key, range_tags
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.store.database.embedded_server import ServerFiles
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import START
from enrichment_pipeline_tests.orchestration.test_runs import a_job, origin

KEY = "2026-03-01-00:00"


@pytest.fixture
def dagster_home(store: Store, tmp_path: Path) -> Path:
    """A home with the project's `dagster.yaml`, and Dagster's tables."""
    home = prepare_home(tmp_path)
    prepare_instance(home, alone=True)
    return home


@pytest.mark.slow
def test_dagster_keeps_its_history_in_a_database_of_its_own_beside_the_store(
    store: Store, definitions: dg.Definitions, dagster_home: Path
) -> None:
    load_events(store, raw_events(5, START), [], "test")
    job = definitions.resolve_job_def(ENRICHMENT_JOB)
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        add_windows(instance, [START])
        assert job.execute_in_process(instance=instance, partition_key=KEY).success
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        assert len(instance.get_runs()) == 1
        assert instance.get_materialized_partitions(ENRICHED_EVENTS) == {KEY}
    engine = create_engine(store.dagster_url)
    assert {"runs", "event_logs", "alembic_version"} <= set(inspect(engine).get_table_names())
    engine.dispose()
    assert "runs" not in inspect(store.engine).get_table_names()


@pytest.mark.slow
def test_what_a_run_over_many_windows_plans_and_makes_is_written_at_once(
    store: Store, definitions: dg.Definitions, dagster_home: Path
) -> None:
    windows = [START + number * HOUR for number in range(6)]
    load_events(store, [one for window in windows for one in raw_events(1, window)], [], "test")
    job = definitions.resolve_job_def(ENRICHMENT_JOB)
    written: list[str] = []
    connected: list[object] = []
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        add_windows(instance, windows)
        log = instance.event_log_storage
        assert isinstance(log, PostgresEventLogStorage)
        event.listen(log._engine, "connect", lambda *new: connected.append(new))
        event.listen(log._engine, "before_execute", lambda *one: written.append(str(one[1])))
        assert job.execute_in_process(instance=instance, tags=range_tags(windows)).success
        at_once = [one for one in written if "INSERT INTO event_logs" in one and "_m5)" in one]
        assert len(at_once) == 4, "of two assets, what is planned and what is made"
        [run] = instance.get_runs()
        for kind in (
            dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
            dg.DagsterEventType.ASSET_MATERIALIZATION,
        ):
            found = instance.get_records_for_run(run.run_id, of_type=kind).records
            made = {one.partition_key for one in found if one.asset_key == ENRICHED_EVENTS}
            assert made == {partition_key(window) for window in windows}
        assert len(connected) < 10, "a connection is kept"


@pytest.mark.slow
def test_runs_that_ended_with_the_last_start_are_shown_failed_where_nobody_else_can_run_them(
    definitions: dg.Definitions, dagster_home: Path
) -> None:
    job = definitions.resolve_job_def(ENRICHMENT_JOB)
    expected = {
        dg.DagsterRunStatus.STARTED: dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.STARTING: dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.NOT_STARTED: dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.SUCCESS: dg.DagsterRunStatus.SUCCESS,
    }
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        runs = {
            instance.create_run_for_job(job, status=before).run_id: (before, after)
            for before, after in expected.items()
        }

        def statuses() -> dict[str, dg.DagsterRunStatus]:
            return {run.run_id: run.status for run in instance.get_runs()}

        prepare_instance(dagster_home, alone=False)
        assert statuses() == {run_id: before for run_id, (before, _) in runs.items()}
        prepare_instance(dagster_home, alone=True)
        assert statuses() == {run_id: after for run_id, (_, after) in runs.items()}


@pytest.mark.slow
def test_runs_that_end_with_their_code_server_are_started_again_but_not_for_ever(
    definitions: dg.Definitions, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = definitions.resolve_job_def(ENRICHMENT_JOB)
    seen_by_the_daemon: list[str | None] = []
    report = dg.DagsterInstance.report_run_failed

    def report_and_look(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
        # The daemon may read the failure before Dagster has written anything else of it.
        kept = instance.get_run_by_id(run.run_id)
        seen_by_the_daemon.append(kept.tags.get("dagster/will_retry") if kept else None)
        report(instance, run, message)

    monkeypatch.setattr(dg.DagsterInstance, "report_run_failed", report_and_look)
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        first = instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, remote_job_origin=origin(LOCATION)
        )
        last = instance.create_run_for_job(
            job,
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/max_retries": "0"},
            remote_job_origin=origin(LOCATION),
        )
    ended = end_runs(dagster_home, running_runs(dagster_home, LOCATION))
    assert (ended.again, ended.given_up) == (1, [last.run_id])
    assert seen_by_the_daemon == ["true", "true"]
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        again = {run.run_id: run.tags.get("dagster/will_retry") for run in instance.get_runs()}
    assert again == {first.run_id: "true", last.run_id: "false"}


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.slow
def test_runs_that_a_stop_interrupts_are_those_of_the_server_and_are_started_again(
    dagster_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], location: str
) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for name in LOCATIONS:
            instance.create_run_for_job(
                a_job, status=dg.DagsterRunStatus.STARTED, remote_job_origin=origin(name)
            )
        CodeServer(dagster_home, location, tmp_path / "socket").interrupt()
        found = {
            run.remote_job_origin.location_name: (run.status, run.tags.get("dagster/will_retry"))
            for run in instance.get_runs()
            if run.remote_job_origin
        }
    expected = dict.fromkeys(LOCATIONS, (dg.DagsterRunStatus.STARTED, None))
    assert found == {**expected, location: (dg.DagsterRunStatus.FAILURE, "true")}
    said = capsys.readouterr().err
    assert f"1 run of {location} stopped part-way, and will be started again" in said


@pytest.mark.slow
def test_a_closed_instance_uses_the_embedded_server_no_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENRICHMENT_HOME", str(tmp_path))
    home = prepare_home(tmp_path)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert not instance.get_runs()
        pid = (ServerFiles.of(tmp_path).data / "postmaster.pid").read_text().splitlines()[0]
        server = psutil.Process(int(pid))
    # Long before this process ends.
    assert psutil.wait_procs([server], timeout=20)[0] == [server]


def test_webserver_and_daemon_find_the_code_on_one_server_for_each_location(
    tmp_path: Path,
) -> None:
    sockets = {location: Path(f"/run/{location}.sock") for location in LOCATIONS}
    file = write_workspace(tmp_path, sockets)
    entries = yaml.safe_load(file.read_text())["load_from"]
    assert {
        entry["grpc_server"]["location_name"]: Path(entry["grpc_server"]["socket"])
        for entry in entries
    } == sockets


def test_the_workspace_of_the_project_has_the_same_code_locations() -> None:
    file = Path(__file__).parents[2] / "workspace.yaml"
    entries = yaml.safe_load(file.read_text())["load_from"]
    assert {
        entry["python_module"]["location_name"]: entry["python_module"]["module_name"]
        for entry in entries
    } == LOCATIONS


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_the_package_has_the_files_that_dagster_reads_as_the_project_has_them(name: str) -> None:
    packaged = Path(str(instance.__file__)).with_name(name)
    assert packaged.read_text() == (Path(__file__).parents[2] / name).read_text()


@pytest.mark.parametrize("started", ["spawn", "forkserver", "fork"])
def test_a_code_server_is_idle_while_no_run_is_at_work_below_it(started: str) -> None:
    server_code = (
        "import multiprocessing, signal\n"
        f"process = multiprocessing.get_context('{started}').Process\n"
        "run = process(target=signal.pause, daemon=True)\n"
        "print('idle', flush=True); input()\n"
        "run.start(); print('busy', flush=True); input()\n"
        "run.kill()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", server_code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "idle\n"
        assert runs_nothing(server.pid)
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "busy\n"
        assert not runs_nothing(server.pid)
        server.communicate("\n")
    assert not runs_nothing(server.pid), "of what is gone nobody knows"
