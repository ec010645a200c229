"""What changes reaches Dagster and the sessions, whoever changed it: the sensor that consumes the
change feed."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.re_enrich import re_enrich
from enrichment_pipeline.enrichment.replay import replay_marked
from enrichment_pipeline.events.people import People
from enrichment_pipeline.llm.session_days import DayReport, build_day
from enrichment_pipeline.orchestration import publishing, session_launches, session_timelines
from enrichment_pipeline.orchestration.backfill import backfill
from enrichment_pipeline.orchestration.checks import FEW_UNKNOWN
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import (
    DEAD_LETTER,
    ENRICHED_EVENTS,
    RAW_EVENTS,
    SESSION_TIMELINES,
)
from enrichment_pipeline.orchestration.partitions import (
    DAYS,
    RANGE_END,
    RANGE_START,
    WINDOWS,
    add_days,
    add_windows,
    day_places,
    days_in_range,
    partition_key,
)
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.orchestration.session_timelines import SESSIONS_JOB
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, discard, mark_for_replay
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.lifecycle.forget import forget_events
from enrichment_pipeline.store.monitoring.failures import RUN, Failure, note_failures
from enrichment_pipeline.store.windows import books as window_books
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.llm.stored_sessions import sessions_of
from enrichment_pipeline_tests.orchestration.conftest import START, Ticks, die

FIRST = "2026-03-01-00:00"
BOTH = ["raw_events", "enriched_events"]


def load(store: Store, count: int = 3, hour: int = 0, **fields: object) -> None:
    fields = {"properties": {"$session_id": "one"}, **fields}
    load_events(store, raw_events(count, START + hour * HOUR, **fields), [], "test")


def sessions(store: Store) -> int:
    """How many events the sessions have."""
    return sum(events for _, events, _ in sessions_of(store).values())


def build_sessions(ticks: Ticks) -> list[str]:
    """Build what the sensor asks for; returns the days."""
    requests = ticks.asked(job=SESSIONS_JOB)
    for request in requests:
        assert ticks.run(request).success
    return [day for request in requests for day in reversed(days_of(ticks, request))]


def days_of(ticks: Ticks, request: dg.RunRequest) -> list[str]:
    """The days of a run that builds sessions."""
    return [str(day) for day in days_in_range(request.tags, day_places(ticks.instance))]


def asked_days(ticks: Ticks) -> list[list[str]]:
    """The days of each run that builds sessions and that one tick asks for."""
    return [days_of(ticks, request) for request in ticks.asked(job=SESSIONS_JOB)]


@pytest.mark.slow
def test_a_file_with_events_of_long_ago_makes_as_many_partitions_as_it_has_windows_and_days(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    march = datetime(2025, 3, 1, 9, tzinfo=UTC)
    for hours in (0, 1, 30):
        load_events(store, raw_events(10, march + hours * HOUR), [], "import")
    load(store)
    enrich_due(store, rules)
    assert sorted(build_sessions(ticks)) == ["2025-03-01", "2025-03-02", "2026-03-01"]
    assert ticks.asked() == []
    windows = ticks.instance.get_dynamic_partitions(WINDOWS.name)
    assert sorted(windows) == sorted(ticks.shown())
    assert len(windows) == 4
    days = ticks.instance.get_dynamic_partitions(DAYS.name)
    assert ticks.instance.get_materialized_partitions(SESSION_TIMELINES) == set(days)
    assert len(days) == 3


@pytest.mark.slow
def test_windows_that_workers_finished_are_published_once_without_a_run(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    for hour in (0, 5):
        load(store, hour=hour)
    ticks.tick()
    assert ticks.shown() == {}
    enrich_due(store, rules)
    ticks.tick()
    shown = ticks.shown()
    assert list(shown) == [FIRST, "2026-03-01-05:00"]
    assert shown[FIRST]["enriched"].value == 3
    assert "preview" in shown[FIRST]
    ticks.tick()
    assert len(ticks.instance.fetch_materializations(ENRICHED_EVENTS, limit=9).records) == 2
    assert ticks.instance.get_runs() == []


@pytest.mark.slow
def test_the_overview_shows_the_newest_window_that_has_events(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    for hour in (7, 3, 5):
        load(store, hour=hour)
    enrich_due(store, rules)
    ticks.tick()
    newest = ticks.instance.get_latest_materialization_event(ENRICHED_EVENTS)
    assert newest is not None
    assert newest.asset_materialization is not None
    assert newest.asset_materialization.partition == "2026-03-01-07:00"


@pytest.mark.slow
def test_the_overview_shows_it_again_after_an_old_event_has_come(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    load(store, hour=7)
    enrich_due(store, rules)
    ticks.tick()
    load(store, hour=-9_000)
    [request] = ticks.asked("due_windows")
    assert ticks.run(request).success
    for _ in range(2):
        ticks.tick()
    shown = ticks.instance.fetch_materializations(ENRICHED_EVENTS, limit=99).records
    assert [record.partition_key for record in reversed(shown)] == [
        "2026-03-01-07:00",
        "2025-02-19-00:00",
        "2026-03-01-07:00",
    ]


@pytest.mark.slow
def test_a_newer_window_without_events_keeps_no_older_one_from_being_enriched_and_shown(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    load(store, hour=9, distinct_id="somebody")
    enrich_due(store, rules)
    assert forget_events(store, People(["somebody"])).events
    add_windows(ticks.instance, [START + 8 * HOUR, START + 10 * HOUR])
    for hour in (0, 3):
        load(store, hour=hour)
    for request in ticks.asked("due_windows"):
        assert ticks.run(request).success
    load(store, hour=1)
    enrich_due(store, rules)
    for _ in range(2):
        ticks.tick()
    shown = {key: found["enriched"].value for key, found in ticks.shown().items()}
    assert shown == {
        FIRST: 3,
        "2026-03-01-01:00": 3,
        "2026-03-01-03:00": 3,
        "2026-03-01-09:00": 0,
    }
    assert overviews(ticks) == ["2026-03-01-03:00"] * 2


def overviews(ticks: Ticks) -> list[str | None]:
    """The windows that the overviews of raw and of enriched events show."""
    found = []
    for asset in (RAW_EVENTS, ENRICHED_EVENTS):
        last = ticks.instance.get_latest_materialization_event(asset)
        assert last
        assert last.asset_materialization
        found.append(last.asset_materialization.partition)
    return found


def counted_by_the_check(ticks: Ticks) -> object:
    """How many events the overview of a check says that it has looked at."""
    key = dg.AssetCheckKey(ENRICHED_EVENTS, FEW_UNKNOWN)
    [record] = ticks.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert isinstance(record.evaluation, dg.AssetCheckEvaluation)
    return record.evaluation.metadata["events"].value


@pytest.mark.parametrize(
    ("hour", "assets"),
    [(9, ["raw_events"]), (9, BOTH), (-9_000, BOTH)],
    ids=["an empty hour of raw events", "an empty hour", "an old event"],
)
@pytest.mark.slow
def test_the_overviews_of_assets_and_checks_show_the_newest_window_with_events_again(
    store: Store, ticks: Ticks, definitions: dg.Definitions, hour: int, assets: list[str]
) -> None:
    load(store, hour=7)
    [request] = ticks.asked("due_windows")
    assert ticks.run(request).success
    window = START + hour * HOUR
    add_windows(ticks.instance, [window])
    if hour < 0:
        load(store, 1, hour=hour)
    by_hand = dg.materialize(
        list(definitions.assets or []),
        selection=assets,
        partition_key=partition_key(window),
        instance=ticks.instance,
        resources=definitions.resources,
    )
    assert by_hand.success
    assert overviews(ticks)[: len(assets)] == [partition_key(window)] * len(assets)
    ticks.tick()
    assert overviews(ticks) == ["2026-03-01-07:00"] * 2
    assert counted_by_the_check(ticks) == 3
    made = len(ticks.instance.fetch_materializations(RAW_EVENTS, limit=99).records)
    ticks.tick()
    assert len(ticks.instance.fetch_materializations(RAW_EVENTS, limit=99).records) == made


@pytest.mark.slow
def test_a_newest_window_that_has_failed_is_not_judged_at_each_tick(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    load(store)
    load(store, event="bad")
    load(store, hour=-1)
    die(store, rules)
    for request in ticks.failing():
        ticks.run(request)
    ticks.tick()
    key = dg.AssetCheckKey(ENRICHED_EVENTS, FEW_UNKNOWN)
    history = ticks.instance.event_log_storage.get_asset_check_execution_history
    judged = len(history(key, limit=99))
    ticks.tick()
    assert len(history(key, limit=99)) == judged


@pytest.mark.slow
def test_a_window_is_published_again_when_more_is_finished_in_it(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    for count in (3, 4):
        load(store, count)
        enrich_due(store, rules)
        ticks.tick()
    assert ticks.shown()[FIRST]["enriched"].value == 7


@pytest.mark.parametrize("most", [2, 1])
@pytest.mark.slow
def test_a_window_that_is_still_filling_is_published_every_half_minute_and_counted_while_small(
    store: Store, rules: Rules, ticks: Ticks, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(window_books, "MOST_COUNTED", most)
    load_events(store, raw_events(2, datetime.now(UTC).replace(second=0)), [], "test")
    enrich_due(store, rules)
    ticks.tick()
    assert ticks.shown() == {}
    pass_over(store, "31 s")
    ticks.tick()
    [metadata] = ticks.shown().values()
    assert metadata["enriched"].value == 2
    assert "preview" in metadata
    assert ("by_type_and_action" in metadata) == (most == 2)


def pass_over(store: Store, time: str) -> None:
    with store.transaction() as connection:
        connection.execute(
            text("UPDATE enriched_change SET changed_at = changed_at - CAST(:time AS interval)"),
            {"time": time},
        )


@pytest.mark.slow
def test_a_large_window_is_counted_when_it_is_over_though_nothing_comes_any_more(
    store: Store, rules: Rules, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_books, "MOST_COUNTED", 1)
    load_events(store, raw_events(2, datetime.now(UTC).replace(second=0)), [], "test")
    enrich_due(store, rules)
    pass_over(store, "31 s")
    ticks.tick()
    [metadata] = ticks.shown().values()
    assert "by_type_and_action" not in metadata
    monkeypatch.setattr(publishing, "window_start", lambda *_: datetime.max.replace(tzinfo=UTC))
    pass_over(store, "1 hour 31 s")
    ticks.tick()
    [metadata] = ticks.shown().values()
    assert "by_type_and_action" in metadata
    made = len(ticks.instance.fetch_materializations(ENRICHED_EVENTS, limit=9).records)
    ticks.tick()
    assert len(ticks.instance.fetch_materializations(ENRICHED_EVENTS, limit=9).records) == made


@pytest.mark.slow
def test_a_run_leaves_the_rows_of_a_large_window_to_be_counted_once(
    store: Store, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_books, "MOST_COUNTED", 2)
    load(store)
    [request] = ticks.asked("due_windows")
    assert ticks.run(request).success
    assert "by_type_and_action" not in ticks.shown()[FIRST]
    assert "preview" in ticks.shown()[FIRST]
    ticks.tick()
    assert "by_type_and_action" in ticks.shown()[FIRST]


@pytest.mark.slow
def test_a_window_that_a_run_is_at_work_on_is_left_to_it(
    store: Store, rules: Rules, ticks: Ticks, definitions: dg.Definitions
) -> None:
    load(store)
    [request] = ticks.asked("due_windows")
    ticks.instance.create_run_for_job(
        definitions.resolve_job_def(ENRICHMENT_JOB),
        tags=dict(request.tags),
        status=dg.DagsterRunStatus.STARTED,
    )
    enrich_due(store, rules)
    ticks.tick()
    assert ticks.shown() == {}


@pytest.mark.slow
def test_a_run_leaves_nothing_to_publish(store: Store, ticks: Ticks) -> None:
    load(store)
    [request] = ticks.asked("due_windows")
    assert ticks.run(request).success
    ticks.tick()
    assert len(ticks.instance.fetch_materializations(ENRICHED_EVENTS, limit=9).records) == 1


@pytest.mark.slow
def test_what_a_run_has_not_shown_is_published(
    store: Store, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(store)
    [request] = ticks.asked("due_windows")

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("reading failed")

    with monkeypatch.context() as patch:
        patch.setattr("enrichment_pipeline.orchestration.assets.read_windows", fails)
        assert not ticks.run(request).success
    ticks.tick()
    assert ticks.shown()[FIRST]["enriched"].value == 3


def replayed(store: Store, rules: Rules) -> None:
    with store.transaction() as connection:
        mark_for_replay(connection, LetterFilter())
    replay_marked(store, rules, "test", 1e9)


def re_enriched(store: Store, rules: Rules) -> None:
    own = Path("own.yaml")
    own.write_text("events:\n  $pageview: {event_type: click, action_type: submit}\n")
    assert re_enrich(store, load_rules(own), [START]).events == 5


def forgotten(store: Store, rules: Rules) -> None:
    assert forget_events(store, People(["somebody"])).events


def worked(store: Store, rules: Rules) -> None:
    load(store, 1)
    enrich_due(store, rules)


def backfilled(store: Store, rules: Rules) -> None:
    load(store, 1)
    home = Path("home")
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    done = backfill(store.settings, [START], home, re_enrich=False, on_progress=lambda _: None)
    assert done.windows == [START]


@pytest.mark.parametrize(
    ("change", "left"),
    [(replayed, 6), (re_enriched, 5), (forgotten, 3), (worked, 6), (backfilled, 6)],
)
@pytest.mark.slow
def test_whatever_changes_enriched_events_reaches_sessions_and_dagster(
    store: Store,
    rules: Rules,
    ticks: Ticks,
    change: Callable[[Store, Rules], None],
    left: int,
) -> None:
    load(store, 2, distinct_id="somebody")
    load(store, 3)
    load(store, 1, event="bad")
    die(store, rules)
    ticks.tick()
    assert ticks.shown()[FIRST]["enriched"].value == 5
    assert build_sessions(ticks) == ["2026-03-01"]
    assert sessions(store) == 5
    assert build_sessions(ticks) == []
    change(store, rules)
    assert build_sessions(ticks) == ["2026-03-01"]
    assert sessions(store) == left
    # A backfill shows its windows itself, here in an instance of its own.
    if change is not backfilled:
        assert ticks.shown()[FIRST]["enriched"].value == left
    found = ticks.tick()
    assert isinstance(found, dg.SkipReason)
    assert found.skip_message == "nothing changed"


@pytest.mark.parametrize("minutes", [-3, 3], ids=["behind", "ahead"])
@pytest.mark.slow
def test_a_clock_of_dagsters_host_that_is_wrong_changes_nothing(
    store: Store, rules: Rules, ticks: Ticks, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(minutes=minutes)

    for module in ("changed_sensor", "sensors"):
        monkeypatch.setattr(f"enrichment_pipeline.orchestration.{module}.datetime", Wrong)
    load(store)
    assert len(ticks.asked("due_windows")) == 1
    for expected in (3, 6):
        enrich_due(store, rules)
        ticks.tick()
        assert ticks.shown()[FIRST]["enriched"].value == expected
        assert build_sessions(ticks) == ["2026-03-01"]
        assert sessions(store) == expected
        load(store)


@pytest.mark.slow
def test_a_transaction_that_commits_long_after_the_others_is_not_missed(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    load(store)
    with store.transaction() as slow:
        slow.execute(text("SELECT now()"))
        slow.execute(
            text(
                "UPDATE raw_batch SET state = 'enriched', enriched_count = event_count, "
                "finished_at = now() - interval '10 minutes'"
            )
        )
        # As if it had begun to wait ten minutes ago.
        slow.execute(text("UPDATE enriched_change SET changed_at = now() - interval '10 min'"))
        load(store, hour=1)
        assert enrich_due(store, rules).events == 3
        ticks.tick()
        build_sessions(ticks)
    assert list(ticks.shown()) == ["2026-03-01-01:00"]
    ticks.tick()
    assert sorted(ticks.shown()) == [FIRST, "2026-03-01-01:00"]
    assert build_sessions(ticks) == ["2026-03-01"]


@pytest.mark.slow
def test_the_asset_of_dead_letters_is_refreshed_when_one_comes_changes_or_goes(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    def letters() -> list[object]:
        ticks.tick()
        found = ticks.instance.fetch_materializations(DEAD_LETTER, limit=99).records
        return [
            record.asset_materialization.metadata["dead_letters"].value  # type: ignore[union-attr]
            for record in reversed(found)
        ]

    assert letters() == []
    load(store, event="bad")
    load(store, hour=1, event="bad")
    die(store, rules)
    assert letters() == [2]
    assert letters() == [2]
    with store.transaction() as connection:
        mark_for_replay(connection, LetterFilter(until=START + HOUR))
    replay_marked(store, rules, "test", 1e9)
    assert letters() == [2, 1]
    with store.transaction() as connection:
        discard(connection, LetterFilter(), "not needed")
    assert letters() == [2, 1, 0]
    assert ticks.instance.get_runs() == []


@pytest.mark.slow
def test_a_failed_window_heals_when_its_batch_is_replayed_or_discarded(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    for hour in (0, 1):
        load(store, hour=hour, event="bad")
    die(store, rules)
    [failing] = ticks.failing()
    assert not ticks.run(failing).success
    assert ticks.shown() == {}
    with store.transaction() as connection:
        mark_for_replay(connection, LetterFilter(until=START + HOUR))
        discard(connection, LetterFilter(since=START + HOUR), "not needed")
    replay_marked(store, rules, "test", 1e9)
    ticks.tick()
    shown = ticks.shown()
    assert shown[FIRST]["enriched"].value == 3
    assert shown["2026-03-01-01:00"]["dead"].value == 3
    materialized = ticks.instance.fetch_materializations(ENRICHED_EVENTS, limit=1).records[0]
    tags = materialized.asset_materialization.tags or {}  # type: ignore[union-attr]
    assert tags["dagster/code_version"] == rules.version


@pytest.mark.slow
def test_neighbours_that_hold_a_dead_batch_show_failed_by_one_run(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    for hour in (0, 1, 5):
        load(store, hour=hour, event="bad")
    load(store, hour=3)
    die(store, rules)
    requests = ticks.failing()
    assert [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests] == [
        (FIRST, "2026-03-01-01:00"),
        ("2026-03-01-05:00", "2026-03-01-05:00"),
    ]
    for request in requests:
        assert not ticks.run(request).success
    assert ticks.failing() == []


@pytest.mark.slow
def test_a_failed_window_that_somebody_shows_as_finished_shows_failed_again(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    load(store, event="bad")
    die(store, rules)
    [first] = ticks.failing()
    ticks.run(first)
    ticks.instance.report_runless_asset_event(
        dg.AssetMaterialization(ENRICHED_EVENTS, partition=partition_key(START))
    )
    [again] = ticks.failing()
    assert again.run_key is None
    ticks.run(again)
    assert ticks.failing() == []


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED"])
@pytest.mark.slow
def test_a_dead_window_that_a_run_waits_for_or_is_at_work_on_is_left_to_it(
    status: str, store: Store, rules: Rules, ticks: Ticks, definitions: dg.Definitions
) -> None:
    load(store, event="bad")
    die(store, rules)
    [request] = ticks.failing()
    ticks.instance.create_run_for_job(
        definitions.resolve_job_def(ENRICHMENT_JOB),
        tags=dict(request.tags),
        status=dg.DagsterRunStatus(status),
        asset_selection=frozenset([ENRICHED_EVENTS]),
    )
    assert ticks.failing() == []


@pytest.mark.slow
def test_days_are_asked_for_until_they_are_built_and_not_while_they_are(
    store: Store, rules: Rules, ticks: Ticks, definitions: dg.Definitions
) -> None:
    for hour in (0, 72):
        load(store, hour=hour)
    enrich_due(store, rules)
    # Another day is between them: a run for each.
    add_days(ticks.instance, [date(2026, 3, day) for day in (1, 2, 4)])
    wanted = ["2026-03-04", "2026-03-01"]
    for _ in range(2):  # a run that never came to be leaves them due
        assert asked_days(ticks) == [[day] for day in wanted]
    run = ticks.instance.create_run_for_job(
        definitions.resolve_job_def(SESSIONS_JOB),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "2026-03-04"},
    )
    assert asked_days(ticks) == [["2026-03-01"]]
    ticks.instance.report_run_canceled(run)
    assert build_sessions(ticks) == wanted
    assert build_sessions(ticks) == []


@pytest.mark.slow
def test_a_year_of_days_is_built_by_few_runs(
    store: Store, rules: Rules, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_launches, "_MOST_DAYS", 2)
    for day in range(5):
        load(store, hour=24 * day)
    enrich_due(store, rules)
    requests = ticks.asked(job=SESSIONS_JOB)
    asked = [days_of(ticks, request) for request in requests]
    assert asked == [["2026-03-05"], ["2026-03-03", "2026-03-04"]]
    assert ticks.run(requests[1]).success
    built = ticks.instance.get_materialized_partitions(SESSION_TIMELINES)
    assert built == {"2026-03-03", "2026-03-04"}


@pytest.mark.slow
def test_a_day_that_fails_keeps_the_other_days_of_its_run_from_nothing(
    store: Store, rules: Rules, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(store: Store, day: date, **options: Any) -> DayReport:
        if day == date(2026, 3, 2):
            raise ZeroDivisionError
        return build_day(store, day, **options)

    monkeypatch.setattr(session_timelines, "build_day", failing)
    for day in range(3):
        load(store, hour=24 * day)
    enrich_due(store, rules)
    [request] = ticks.asked(job=SESSIONS_JOB)
    run = ticks.run(request)
    assert not run.success
    built = ticks.instance.get_materialized_partitions(SESSION_TIMELINES)
    assert built == {"2026-03-01", "2026-03-03"}
    ticks.tick("alerts")
    load(store, hour=48)
    enrich_due(store, rules)
    assert asked_days(ticks) == [["2026-03-03"], ["2026-03-02"]], "it goes alone from now on"


@pytest.mark.slow
def test_a_day_whose_run_fails_is_launched_ever_more_rarely_and_keeps_no_other_waiting(
    store: Store, rules: Rules, ticks: Ticks, definitions: dg.Definitions
) -> None:
    def fail() -> None:
        [request] = ticks.asked(job=SESSIONS_JOB)
        job = definitions.resolve_job_def(SESSIONS_JOB)
        run = ticks.instance.create_run_for_job(job, tags=dict(request.tags))
        note(days_of(ticks, request), run.run_id)
        ticks.instance.report_run_failed(run)

    def note(days: list[str], run_id: str) -> None:
        """As the sensor of alerts does."""
        now = datetime.now(UTC)
        name = SESSION_TIMELINES.to_user_string()
        with store.transaction() as connection:
            note_failures(
                connection, [Failure(RUN, name, day, now, now, "x", run_id) for day in days]
            )

    def pass_by(interval: str) -> None:
        with store.transaction() as connection:
            connection.execute(
                text(f"UPDATE enriched_change SET changed_at = changed_at - interval '{interval}'")
            )

    for hour in (0, 24):
        load(store, hour=hour)
    enrich_due(store, rules)
    assert asked_days(ticks) == [["2026-03-01", "2026-03-02"]]
    fail()
    assert asked_days(ticks) == [["2026-03-02"], ["2026-03-01"]], "each alone"
    [request, _] = ticks.asked(job=SESSIONS_JOB)
    assert ticks.run(request).success
    fail()
    assert asked_days(ticks) == []
    pass_by("1 minute")
    fail()
    assert asked_days(ticks) == []
    load(store, hour=0)
    enrich_due(store, rules)
    assert asked_days(ticks) == [], "new events make a failing day due no sooner"
    load(store, hour=72)
    enrich_due(store, rules)
    assert asked_days(ticks) == [["2026-03-04"]], "it keeps no other day waiting"
    pass_by("2 minutes")
    assert build_sessions(ticks) == ["2026-03-04", "2026-03-01"]


@pytest.mark.slow
def test_what_is_due_is_found_while_the_sessions_of_its_day_are_built(
    store: Store, rules: Rules, ticks: Ticks, definitions: dg.Definitions
) -> None:
    load(store)
    enrich_due(store, rules)
    [request] = ticks.asked(job=SESSIONS_JOB)
    ticks.instance.create_run_for_job(
        definitions.resolve_job_def(SESSIONS_JOB),
        tags=dict(request.tags),
        status=dg.DagsterRunStatus.STARTED,
    )
    load(store)
    [due] = ticks.asked("due_windows")
    assert due.tags[RANGE_START] == FIRST


def test_what_is_due_is_left_to_the_workers_until_the_grace_time_is_over(
    store: Store, settings: Settings, instance: dg.DagsterInstance
) -> None:
    broker = settings.model_validate({**settings.model_dump(), "broker_url": "amqp://nowhere"})
    ticks = Ticks(build_definitions(broker), instance)
    load(store)
    assert ticks.asked("due_windows") == []
    with store.transaction() as connection:
        connection.execute(text("UPDATE raw_batch SET due_at = now() - interval '31 seconds'"))
    assert len(ticks.asked("due_windows")) == 1


@pytest.mark.slow
def test_a_run_of_the_sensor_that_a_person_executes_again_takes_dead_batches_in(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    load(store, event="bad")
    die(store, rules)
    [request] = ticks.failing()
    failed = ticks.run(request)
    # As the UI does it: Dagster copies the tags, and names the parent.
    again = dg.execute_job(
        dg.reconstructable(enrichment_job),
        instance=ticks.instance,
        tags=dict(request.tags),
        reexecution_options=dg.ReexecutionOptions(parent_run_id=failed.run_id),
    )
    assert again.success
    ticks.tick()
    assert ticks.shown()[FIRST]["enriched"].value == 3


def enrichment_job() -> dg.JobDefinition:
    """The job that the sensors launch, found again by its name."""
    return build_definitions(load_settings()).resolve_job_def(ENRICHMENT_JOB)
