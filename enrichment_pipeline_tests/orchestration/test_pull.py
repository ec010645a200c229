"""The pull in Dagster: what the asset does by hand, by its schedule and for the sensor."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.ingest.pull import pull as pulling
from enrichment_pipeline.ingest.pull import query_api
from enrichment_pipeline.orchestration import assets, runs
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.partitions import RANGE_END, RANGE_START, partition_key
from enrichment_pipeline.orchestration.pull_schedule import PULL_JOB
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import LAUNCHED_BY_SCHEDULE
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import HOUR, make_event
from enrichment_pipeline_tests.ingest.posthog_stand_in import (
    KEY,
    PROJECT_ID,
    StandIn,
    refused,
    stand_in,
    throttled,
)
from enrichment_pipeline_tests.orchestration.conftest import OF_A_TICK, START
from enrichment_pipeline_tests.orchestration.test_assets import materializations
from enrichment_pipeline_tests.outage import begin_outage, end_outage

pytestmark = pytest.mark.usefixtures("windows_of_a_day")

FIRST, SECOND = "2026-03-01-00:00", "2026-03-01-01:00"


@pytest.fixture
def posthog(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """PostHog, which the settings name."""
    with stand_in() as server:
        monkeypatch.setenv("ENRICHMENT_POSTHOG_URL", server.url)
        monkeypatch.setenv("ENRICHMENT_POSTHOG_PROJECT_ID", str(PROJECT_ID))
        monkeypatch.setenv("ENRICHMENT_POSTHOG_API_KEY", KEY)
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, which the settings name."""
    landing = tmp_path / "landing"
    landing.mkdir()
    monkeypatch.setenv("ENRICHMENT_PULL_FOLDER", str(landing))
    return landing


@pytest.fixture
def kept_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with files, which the tick of a schedule opens again by itself."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_api, "FIRST_WAIT", 0.01)
    at_once = dg.RetryPolicy(max_retries=assets.RETRY_OUTAGES.max_retries, delay=0)
    monkeypatch.setattr(assets, "RETRY_OUTAGES", at_once)


def definitions() -> dg.Definitions:
    """As they are with the settings that the test has made."""
    return build_definitions(load_settings())


def run(
    instance: dg.DagsterInstance, *, job: str = PULL_JOB, last: str = SECOND, **tags: str
) -> dg.ExecuteInProcessResult:
    return (
        definitions()
        .resolve_job_def(job)
        .execute_in_process(
            instance=instance,
            tags={RANGE_START: FIRST, RANGE_END: last, **tags},
            raise_on_error=False,
        )
    )


def tick(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """What the schedule asks for now."""
    found = definitions()
    schedule = found.resolve_schedule_def("pull_every_5_minutes")
    with dg.build_schedule_context(
        instance=instance,
        repository_def=found.get_repository_def(),
        resources={"pipeline": Pipeline()},
        scheduled_execution_time=datetime.now(UTC),
    ) as context:
        data = schedule.evaluate_tick(context)
    if data.skip_message:
        return dg.SkipReason(data.skip_message)
    [request] = data.run_requests or []
    return request


def count(store: Store) -> int:
    with store.transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM raw_event")).scalar_one())


def shown(result: dg.ExecuteInProcessResult, key: str, *names: str) -> tuple[Any, ...]:
    metadata = materializations(result, RAW_EVENTS)[key]
    return tuple(metadata.get(name) for name in names)


@pytest.mark.slow
def test_materializing_windows_by_hand_pulls_them_and_says_what_came(
    store: Store, posthog: StandIn, instance: dg.DagsterInstance
) -> None:
    posthog.add(*(make_event(at=START) for _ in range(3)), make_event(at=START + HOUR))
    result = run(instance)
    assert result.success
    assert shown(result, FIRST, "pulled", "pulled_before", "accepted") == (3, 0, 3)
    assert shown(result, SECOND, "pulled", "pulled_before", "accepted") == (1, 0, 1)


@pytest.mark.slow
def test_a_backfill_adds_what_came_late_and_nothing_twice(
    store: Store, posthog: StandIn, instance: dg.DagsterInstance
) -> None:
    posthog.add(*(make_event(at=START) for _ in range(3)))
    run(instance, last=FIRST)
    posthog.add(make_event(at=START))
    result = run(instance, job=ENRICHMENT_JOB, last=FIRST)
    assert shown(result, FIRST, "pulled", "pulled_before", "accepted") == (1, 3, 4)
    assert materializations(result, ENRICHED_EVENTS)[FIRST]["enriched"] == 4


@pytest.mark.slow
def test_runs_of_the_sensor_pull_nothing(
    store: Store, posthog: StandIn, folder: Path, instance: dg.DagsterInstance
) -> None:
    (folder / "a.jsonl").write_bytes(make_event(at=START))
    posthog.add(make_event(at=START))
    result = run(instance, job=ENRICHMENT_JOB, **OF_A_TICK)
    assert result.success
    assert (count(store), posthog.asked) == (0, [])
    assert shown(result, SECOND, "pulled", "files_pulled") == (None, None)


@pytest.mark.slow
def test_runs_of_the_schedule_pass_over_windows_that_are_complete(
    store: Store, posthog: StandIn, instance: dg.DagsterInstance
) -> None:
    run(instance)
    asked = len(posthog.asked)
    assert run(instance, **{LAUNCHED_BY_SCHEDULE: "true"}, **OF_A_TICK).success
    assert len(posthog.asked) == asked


@pytest.mark.slow
def test_the_folder_is_pulled_and_a_broken_file_is_shown_and_fails_nothing(
    store: Store, folder: Path, instance: dg.DagsterInstance
) -> None:
    (folder / "a.jsonl").write_bytes(make_event(at=START))
    (folder / "b.parquet").write_bytes(b"PAR1, and no more")
    page = b'{"next": "https://eu.posthog.com/x", "results": [%s]}' % make_event(at=START)
    (folder / "c.json").write_bytes(page)
    result = run(instance)
    assert result.success
    names = ("files_pulled", "files_broken", "file_events")
    assert shown(result, SECOND, *names) == (2, 1, 2)
    assert "b.parquet" in str(shown(result, SECOND, "broken_files"))
    assert "c.json: one page of more" in str(shown(result, SECOND, "pages_of_more"))
    assert shown(result, FIRST, *names) == (None, None, None), "files are of no window"


@pytest.mark.slow
def test_settings_that_posthog_refuses_fail_the_run_at_once(
    store: Store, posthog: StandIn, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENRICHMENT_POSTHOG_API_KEY", "phx_other")
    result = run(instance)
    assert not result.success
    assert len(posthog.asked) == 1
    [failure] = result.get_step_failure_events()
    assert "ENRICHMENT_POSTHOG_API_KEY" in str(failure.step_failure_data.error)


def test_a_rate_limit_that_is_used_up_for_long_is_not_asked_again_by_the_run(
    store: Store, posthog: StandIn, instance: dg.DagsterInstance
) -> None:
    posthog.script.append(throttled(3_000))
    assert not run(instance).success
    assert len(posthog.asked) == 1


@pytest.mark.slow
def test_a_posthog_that_is_away_for_a_while_is_tried_again_and_what_is_done_is_not_done_again(
    store: Store, posthog: StandIn, instance: dg.DagsterInstance
) -> None:
    posthog.add(make_event(at=START), make_event(at=START + HOUR))
    # The page of the first window, an empty one, and the count.
    posthog.script.extend([None] * 3 + [refused(503, "busy")] * query_api.TRIES)
    result = run(instance)
    assert result.success
    assert count(store) == 2
    assert [asked.start for asked in posthog.asked].count(START) == 2
    assert posthog.counts == [START, START + HOUR]


def test_of_a_run_that_fails_the_windows_that_were_pulled_are_green(
    store: Store, posthog: StandIn, instance: dg.DagsterInstance
) -> None:
    posthog.add(make_event(at=START))
    posthog.script.extend([None, None, None, refused(403, "no")])
    result = run(instance)
    assert not result.success
    assert instance.get_materialized_partitions(RAW_EVENTS) == {FIRST}


@pytest.mark.slow
def test_an_outage_of_the_store_is_ridden_out_within_the_run(
    store: Store,
    server: EmbeddedPostgres,
    posthog: StandIn,
    instance: dg.DagsterInstance,
) -> None:
    posthog.add(make_event(at=START))
    asked = 0

    def outage() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            begin_outage(server, store)

    posthog.on_query = outage
    original = pulling.pull

    def pull_when_it_is_back(*arguments: Any, **named: Any) -> Any:
        if asked:
            end_outage(server, store)
        return original(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("enrichment_pipeline.orchestration.pulling.pull", pull_when_it_is_back)
        result = run(instance, last=FIRST)
    assert result.success
    assert count(store) == 1


def test_the_schedule_asks_for_the_open_window_and_the_one_before(
    store: Store, posthog: StandIn, kept_instance: dg.DagsterInstance
) -> None:
    now = window_start(datetime.now(UTC), HOUR)
    request = tick(kept_instance)
    assert isinstance(request, dg.RunRequest)
    keys = (partition_key(now - HOUR), partition_key(now))
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == keys
    assert request.tags[LAUNCHED_BY_SCHEDULE] == "true"


@pytest.mark.slow
def test_while_a_pull_is_under_way_the_schedule_asks_for_no_other(
    store: Store, posthog: StandIn, kept_instance: dg.DagsterInstance
) -> None:
    job = definitions().resolve_job_def(PULL_JOB)
    under_way = kept_instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(tick(kept_instance), dg.SkipReason)
    kept_instance.report_run_failed(under_way)
    assert isinstance(tick(kept_instance), dg.RunRequest)


@pytest.mark.slow
def test_a_pull_that_has_said_nothing_for_long_does_not_stop_the_schedule(
    store: Store,
    posthog: StandIn,
    kept_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = definitions().resolve_job_def(PULL_JOB)
    kept_instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(tick(kept_instance), dg.SkipReason)
    monkeypatch.setattr(runs, "_LONGEST_SILENCE", -HOUR)
    assert isinstance(tick(kept_instance), dg.RunRequest)


@pytest.mark.slow
def test_a_window_in_which_posthog_has_nothing_is_no_partition(
    store: Store, posthog: StandIn, instance: dg.DagsterInstance
) -> None:
    posthog.add(make_event(at=START + HOUR))
    assert run(
        instance, last="2026-03-01-02:00", **{LAUNCHED_BY_SCHEDULE: "true"}, **OF_A_TICK
    ).success
    left = instance.get_dynamic_partitions("windows")
    assert left[:2] == [SECOND, "2026-03-01-03:00"]


def test_the_schedule_runs_by_default_where_a_source_is_set_and_is_not_there_otherwise(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [schedule.name for schedule in build_definitions(settings).schedules or []]
    assert names == ["maintenance_daily"]
    monkeypatch.setenv("ENRICHMENT_PULL_FOLDER", "somewhere")
    schedule = definitions().resolve_schedule_def("pull_every_5_minutes")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "*/5 * * * *"
