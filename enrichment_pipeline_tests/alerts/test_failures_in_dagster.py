"""What fails in Dagster (run, check, sensor) is alerted once, and is over when it succeeds."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.alerts.evaluation import evaluate
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import attempts
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.ingest.pull.errors import PullRefusedError
from enrichment_pipeline.orchestration import assets, maintenance, outcomes, resources
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.partitions import add_days, add_windows, windows_of
from enrichment_pipeline.orchestration.private_errors import FailedError
from enrichment_pipeline.orchestration.pull_schedule import PULL_JOB
from enrichment_pipeline.orchestration.replaying import marked_letters
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.orchestration.session_timelines import SESSIONS_JOB
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.monitoring.heartbeats import (
    DUE_WINDOWS_SENSOR,
    SENSORS_BEGAN,
    WATCH,
    WATCH_BEGAN,
    last_seen,
    record_heartbeat,
    sensor_heartbeat,
)
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import (
    OF_A_TICK,
    no_waiting_between_retries,  # noqa: F401  in use for every test here
)
from enrichment_pipeline_tests.poison import RAISES, poisoned

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]
KEYS = ["2026-03-01-00:00", "2026-03-01-01:00"]
MINUTE = timedelta(minutes=1)
OF_A_SCHEDULE = {"dagster/schedule_name": "of_ours"}


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def of_a_user(context: dg.AssetExecutionContext) -> None:
    """An asset that a user added; it fails while there is a file that says so."""
    if context.partition_key in FAILING:
        raise ZeroDivisionError("secret@corp.example")


FAILING: set[str] = set()


@dg.asset_check(asset=of_a_user)
def of_a_user_is_fine() -> dg.AssetCheckResult:
    """A check that a user added."""
    return dg.AssetCheckResult(passed="check" not in FAILING, description="there are 3 too many")


class Dagster:
    """Runs jobs and ticks sensors of the definitions on an instance."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        users = dg.Definitions(assets=[of_a_user], asset_checks=[of_a_user_is_fine])
        self.definitions = dg.Definitions.merge(build_definitions(settings), users)
        add_windows(instance, windows_of(KEYS))
        add_days(instance, map(date.fromisoformat, DAYS))
        self.instance = instance
        self._settings = settings
        self._cursor: str | None = None

    def run(
        self, job: str, partition: str | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=partition, tags=tags, raise_on_error=False
        )

    def materialize(self, partition: str) -> None:
        dg.materialize(
            [of_a_user, of_a_user_is_fine],
            instance=self.instance,
            partition_key=partition,
            raise_on_error=False,
        )

    def tick(self, name: str, cursor: str | None = None) -> str | None:
        sensor = (
            marked_letters
            if name == marked_letters.name
            else self.definitions.resolve_sensor_def(name)
        )
        with dg.build_sensor_context(
            instance=self.instance,
            repository_def=self.definitions.get_repository_def(),
            resources={"pipeline": Pipeline()},
            cursor=cursor,
        ) as context:
            said = sensor(context)
            self._cursor = context.cursor
        return said.skip_message if isinstance(said, dg.SkipReason) else None

    def notified(self) -> list[str]:
        """What the sensor `alerts` notifies people of, one tick after the other."""
        said = self.tick("alerts", self._cursor) or ""
        return [] if said == "nothing new to notify of" else said.split("; ")


@pytest.fixture
def dagster(settings: Settings) -> Iterator[Dagster]:
    FAILING.clear()
    with dg.DagsterInstance.ephemeral() as instance:
        yield Dagster(settings, instance)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_WAIT", timedelta(milliseconds=1))


def fail_once(monkeypatch: pytest.MonkeyPatch, module: object, name: str, error: Exception) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, name, fails)


@pytest.mark.slow
def test_a_failed_run_of_maintenance_is_alerted_and_over_when_a_later_one_succeeds(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        fail_once(failing, maintenance, "make_partitions_ahead", ZeroDivisionError("x"))
        assert not dagster.run("maintenance", tags=OF_A_SCHEDULE).success
    assert dagster.notified() == ["Failed: the run of maintenance"]
    assert dagster.notified() == []
    assert dagster.run("maintenance", tags=OF_A_SCHEDULE).success
    assert dagster.notified() == ["All clear: a later run of maintenance has succeeded"]
    assert dagster.notified() == []


@pytest.mark.slow
def test_a_failed_pull_is_alerted_with_what_the_source_said(
    dagster: Dagster, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENRICHMENT_PULL_FOLDER", "/nowhere")
    settings = settings.model_copy(update={"pull_folder": "/nowhere"})
    pulling = Dagster(settings, dagster.instance)
    with monkeypatch.context() as failing:
        fail_once(failing, assets, "pull_for_run", PullRefusedError("the key is no key"))
        pulling.run(PULL_JOB, KEYS[0], OF_A_SCHEDULE)
    assert pulling.notified() == ["Failed: the run of pull"]
    with store.transaction() as connection:
        message = connection.execute(text("SELECT facts->>'error' FROM alert")).scalar_one()
    assert message == "the key is no key"
    # What has arrived otherwise says nothing of the pull.
    pulling.run(ENRICHMENT_JOB, KEYS[0], OF_A_TICK)
    assert pulling.notified() == []
    monkeypatch.setattr(assets, "pull_for_run", lambda *_: None)
    assert pulling.run(PULL_JOB, KEYS[1], OF_A_SCHEDULE).success
    assert pulling.notified() == ["All clear: a later run of pull has succeeded"]


@pytest.mark.slow
def test_failed_days_of_sessions_share_one_alert_until_each_of_them_is_made(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from enrichment_pipeline.orchestration import session_timelines

    with monkeypatch.context() as failing:
        fail_once(failing, session_timelines, "build_day", MemoryError())
        dagster.run(SESSIONS_JOB, DAYS[0])
        assert dagster.notified() == ["Failed: the run of session_timelines (2026-03-01)"]
        dagster.run(SESSIONS_JOB, DAYS[1])
        assert dagster.notified() == [], "it is one alert"
    dagster.run(SESSIONS_JOB, DAYS[2])
    assert dagster.notified() == [], "another day says nothing of these"
    dagster.run(SESSIONS_JOB, DAYS[0])
    assert dagster.notified() == []
    dagster.run(SESSIONS_JOB, DAYS[1])
    assert dagster.notified() == ["All clear: a later run of session_timelines has succeeded"]


def test_an_asset_and_a_check_that_a_user_added_are_watched_as_ours_are(
    dagster: Dagster, store: Store
) -> None:
    FAILING.update({"a", "check"})
    dagster.materialize("a")
    dagster.materialize("b")
    assert sorted(dagster.notified()) == [
        "Failed: the run of of_a_user (a)",
        "Red: the check of_a_user_is_fine of of_a_user",
    ]
    with store.transaction() as connection:
        kept = connection.execute(text("SELECT facts::text FROM alert")).scalars().all()
    assert "ZeroDivisionError" in "".join(kept)
    assert "secret" not in "".join(kept), "what an error quotes may be an event's"
    FAILING.clear()
    dagster.materialize("a")
    assert sorted(dagster.notified()) == [
        "All clear: a later run of of_a_user has succeeded",
        "All clear: the check of_a_user_is_fine of of_a_user passes",
    ]


def test_a_run_whose_process_was_killed_is_alerted(dagster: Dagster) -> None:
    job = dagster.definitions.resolve_job_def("maintenance")
    run = dagster.instance.create_run_for_job(job)
    dagster.instance.report_run_failed(run, "The process of this run ended with its server.")
    assert dagster.notified() == ["Failed: the run of maintenance"]


@pytest.mark.parametrize("hours", [-3, 3], ids=["behind", "ahead"])
def test_a_failed_run_is_alerted_and_heals_however_wrong_the_clock_of_its_host_is(
    dagster: Dagster, hours: int
) -> None:
    job = dagster.definitions.resolve_job_def("maintenance")

    def end(kind: dg.DagsterEventType) -> None:
        run = dagster.instance.create_run_for_job(job)
        event = dg.DagsterEvent(kind.value, job.name, message="the end")
        at = (datetime.now(UTC) + hours * HOUR).timestamp()
        dagster.instance.report_dagster_event(event, run.run_id, timestamp=at)

    assert dagster.notified() == []
    end(dg.DagsterEventType.RUN_FAILURE)
    assert dagster.notified() == ["Failed: the run of maintenance"]
    end(dg.DagsterEventType.RUN_SUCCESS)
    assert dagster.notified() == ["All clear: a later run of maintenance has succeeded"]
    end(dg.DagsterEventType.RUN_FAILURE)
    assert dagster.notified() == ["Failed: the run of maintenance"], "each failure is read"


def test_more_failed_runs_than_one_tick_reads_are_read_by_the_next_ones(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "_MOST_RUNS", 1)
    assert dagster.notified() == []
    for day in DAYS[:2]:
        job = dagster.definitions.resolve_job_def(SESSIONS_JOB)
        run = dagster.instance.create_run_for_job(job, tags={"dagster/partition": day})
        dagster.instance.report_run_failed(run, "killed")
    job = dagster.definitions.resolve_job_def("maintenance")
    dagster.instance.report_run_failed(dagster.instance.create_run_for_job(job), "killed")
    said = [title for _ in range(3) for title in dagster.notified()]
    assert said == [
        "Failed: the run of session_timelines (2026-03-01)",
        "Failed: the run of maintenance",
    ]


def test_a_run_that_dagster_tries_again_is_not_alerted(dagster: Dagster) -> None:
    job = dagster.definitions.resolve_job_def("maintenance")
    run = dagster.instance.create_run_for_job(job, tags={"dagster/will_retry": "true"})
    dagster.instance.report_run_failed(run, "killed")
    assert dagster.notified() == []


@pytest.mark.slow
def test_a_window_with_a_dead_batch_has_one_alert(
    dagster: Dagster, store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_events(store, raw_events(5, START, event="poison"), [], "test")
    monkeypatch.setattr(resources, "load_rules", lambda _: poisoned(rules, poison=RAISES))
    assert not dagster.run(ENRICHMENT_JOB, KEYS[0]).success
    assert dagster.notified() == ["Failed: the window 2026-03-01 00:00 UTC"]


@pytest.mark.slow
def test_books_that_do_not_balance_are_alerted_until_the_books_of_that_window_do(
    dagster: Dagster, store: Store, rules: Rules
) -> None:
    load_events(store, [*raw_events(5, START), *raw_events(5, START + HOUR)], [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        connection.execute(
            text(
                """
                CREATE TABLE lost AS SELECT * FROM enriched_event
                WHERE occurred_at < '2026-03-01 01:00+00' LIMIT 1;
                DELETE FROM enriched_event WHERE uuid IN (SELECT uuid FROM lost)
                """
            )
        )
    dagster.run(ENRICHMENT_JOB, KEYS[0])
    dagster.run(ENRICHMENT_JOB, KEYS[1])
    assert dagster.notified() == [
        "Red: the check books_balance of enriched_events (2026-03-01-00:00)"
    ]
    dagster.run(ENRICHMENT_JOB, KEYS[1])
    assert dagster.notified() == [], "another window says nothing of this one"
    with store.transaction() as connection:
        connection.execute(text("INSERT INTO enriched_event SELECT * FROM lost; DROP TABLE lost"))
    dagster.run(ENRICHMENT_JOB, KEYS[0])
    assert dagster.notified() == ["All clear: the check books_balance of enriched_events passes"]


SENSORS = (
    "alerts",
    "changed_windows",
    "due_windows",
    "marked_letters",
)


@pytest.mark.parametrize("name", SENSORS)
def test_each_of_our_sensors_records_a_heartbeat_with_each_tick_that_ends_well(
    dagster: Dagster, store: Store, name: str
) -> None:
    dagster.tick(name)
    with store.transaction() as connection:
        assert sensor_heartbeat(name) in last_seen(connection)


def watched_all_day(store: Store, now: datetime) -> None:
    with store.transaction() as connection:
        for name in (WATCH_BEGAN, SENSORS_BEGAN):
            record_heartbeat(connection, name, now - timedelta(days=1))
        record_heartbeat(connection, WATCH, now)
        record_heartbeat(connection, DUE_WINDOWS_SENSOR, now)


def test_a_sensor_that_fails_at_every_tick_is_alerted_with_its_error(
    dagster: Dagster, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    dagster.tick("changed_windows")
    watched_all_day(store, now)
    titles: Callable[[datetime], list[str]] = lambda at: [  # noqa: E731
        message.title for message in evaluate(store, settings, [], at)
    ]
    from enrichment_pipeline.orchestration import changed_sensor

    with monkeypatch.context() as failing:
        fail_once(failing, changed_sensor, "changed_windows", ValueError("no cursor of ours"))
        with pytest.raises(FailedError):
            dagster.tick("changed_windows")
    for minutes in (2, 4, 6, 8):
        later = now + minutes * MINUTE
        with store.transaction() as connection:
            record_heartbeat(connection, DUE_WINDOWS_SENSOR, later)
        assert titles(later) == []
    with store.transaction() as connection:
        record_heartbeat(connection, DUE_WINDOWS_SENSOR, now + 11 * MINUTE)
    [message] = evaluate(store, settings, [], now + 11 * MINUTE)
    assert message.title == "Dagster's sensor changed_windows has stopped"
    assert "ValueError: no cursor of ours" in message.text
    dagster.tick("changed_windows")
    with store.transaction() as connection:
        record_heartbeat(connection, sensor_heartbeat("changed_windows"), now + 12 * MINUTE)
    assert titles(now + 12 * MINUTE) == ["All clear: Dagster's sensor changed_windows ticks again"]


def test_a_daemon_that_stops_is_alerted_once_and_its_sensors_have_their_time_to_begin(
    store: Store, settings: Settings
) -> None:
    now = datetime.now(UTC)
    watched_all_day(store, now)
    with store.transaction() as connection:
        for name in SENSORS:
            record_heartbeat(connection, sensor_heartbeat(name), now)
    titles: list[str] = []
    for minutes in range(2, 40, 2):
        titles += [
            message.title for message in evaluate(store, settings, [], now + minutes * MINUTE)
        ]
    assert titles == ["Dagster's sensor due_windows has stopped"]
    back = now + 40 * MINUTE
    with store.transaction() as connection:
        record_heartbeat(connection, DUE_WINDOWS_SENSOR, back)
    assert [message.title for message in evaluate(store, settings, [], back)] == [
        "All clear: Dagster's sensor due_windows ticks again"
    ]


def test_a_sensor_that_is_there_no_more_is_not_missed(dagster: Dagster, store: Store) -> None:
    now = datetime.now(UTC)
    watched_all_day(store, now)
    with store.transaction() as connection:
        record_heartbeat(connection, sensor_heartbeat("of_an_older_version"), now - HOUR)
    assert dagster.notified() == []
    assert dagster.notified() == []


@pytest.mark.parametrize("cursor", ["what?", "[]", "{}", '{"runs": 1}', json.dumps({"since": 1})])
def test_a_cursor_that_is_none_of_ours_is_as_none(dagster: Dagster, cursor: str) -> None:
    assert dagster.tick("alerts", cursor) == "nothing new to notify of"


@pytest.mark.slow
def test_rules_that_cannot_be_read_fail_runs_with_one_line_and_one_alert(
    dagster: Dagster,
    store: Store,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("events:\n  bought: {event_type: shop}\n")
    monkeypatch.setenv("ENRICHMENT_RULES_FILE", str(file))
    load_events(store, raw_events(2, START), [], "test")
    broken = Dagster(settings.model_copy(update={"rules_file": file}), dagster.instance)
    result = broken.run(ENRICHMENT_JOB, KEYS[0])
    assert not result.success
    failed = result.failure_data_for_node("enriched_events")
    assert failed is not None
    assert failed.user_failure_data is not None
    assert f"{file}:2: " in str(failed.user_failure_data.description)
    assert broken.notified() == ["The rules cannot be read"]
    with store.transaction() as connection:
        message = connection.execute(text("SELECT facts->>'error' FROM alert")).scalar_one()
        assert connection.execute(text("SELECT attempts FROM raw_batch")).scalar_one() == 0
    assert f"{file}:2: " in message
    # What needs no rules goes on.
    assert broken.tick("due_windows") is None, "it asks for runs of what is due"

    file.write_text("events:\n  bought: {event_type: custom, action_type: submit}\n")
    assert broken.run(ENRICHMENT_JOB, KEYS[0]).success
    assert broken.notified() == ["All clear: the rules can be read"]
