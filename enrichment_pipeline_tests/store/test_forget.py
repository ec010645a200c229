"""Forgetting people: nothing of theirs is left anywhere, nothing of anybody else is gone, and the
books balance."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.people import People, ledger_name
from enrichment_pipeline.events.raw_event import Arrival, RejectedEvent, parse_event, reject
from enrichment_pipeline.events.raw_event import EventRejectedError as Rejection
from enrichment_pipeline.ingest.api.accept import Origin, Submission, accept
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline.store.database.tables import metadata
from enrichment_pipeline.store.dead_letters.summary import dead_windows
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.ingest.people import also_known_as
from enrichment_pipeline.store.lifecycle import forget as module
from enrichment_pipeline.store.lifecycle.forget import ForgetReport, forget_events
from enrichment_pipeline.store.lifecycle.forget_texts import REMOVED
from enrichment_pipeline.store.lifecycle.retention import FirstKept, drop_days_before
from enrichment_pipeline.store.queue.claims import claim, mark_enriched
from enrichment_pipeline.store.queue.enriched import (
    EventFailure,
    dead_letter_events,
    write_enriched,
)
from enrichment_pipeline.store.queue.unused_inputs import forget_unused_inputs
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import HOUR, make_event, raw_events
from enrichment_pipeline_tests.poison import RAISES, poisoned

LATE = datetime(2026, 3, 1, 22, tzinfo=UTC)
WINDOWS = [LATE + number * HOUR for number in range(4)]  # of two days
ANN, BOB, CAT = "ann@shop.example", "user-1", "user-10"
EVERYBODY = (ANN, BOB, CAT)

_FIGURES = ("enriched", "dead", "pending")


@pytest.fixture
def rules(rules: Rules) -> Rules:
    """Enrichment raises for events of the name `poison`."""
    return poisoned(rules, poison=RAISES)


def rows(store: Store, statement: str) -> list[tuple[Any, ...]]:
    with store.transaction() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def change(store: Store, statement: str, **given: object) -> None:
    with store.transaction() as connection:
        connection.execute(text(statement), given)


def load(store: Store, person: str, at: datetime, count: int = 1, **fields: object) -> None:
    load_events(store, raw_events(count, at, distinct_id=person, **fields), [], "test")


def rejected(payload: bytes, at: datetime, project: str = "default") -> RejectedEvent:
    """What ingestion makes of a payload that it refuses."""
    with pytest.raises(Rejection) as refusal:
        parse_event(payload, project, Arrival(at))
    return reject(payload, project, Arrival(at), refusal.value)


def refuse(store: Store, payload: bytes, at: datetime = LATE, project: str = "default") -> None:
    load_events(store, [], [rejected(payload, at, project)], "test")


def enrich(store: Store, rules: Rules) -> None:
    """Until whatever can fail is dead."""
    for _ in range(4):
        enrich_due(store, rules)
        change(store, "UPDATE raw_batch SET due_at = now() WHERE state = 'pending'")


def totals(store: Store) -> tuple[int, ...]:
    """Enriched, dead and pending, by the batches and counted, after making sure that both agree."""
    with store.transaction() as connection:
        kept = books(connection)
        counted = counted_books(connection, [window.window_start for window in kept], HOUR)
    assert kept == counted
    assert all(window.balances for window in kept)
    return tuple(sum(getattr(window, name) for window in kept) for name in _FIGURES)


def traces(store: Store, person: str) -> list[str]:
    """The tables that name a person, in any column or payload."""
    people = People([person])
    found = []
    for table in metadata.tables.values():
        named = [str(row) for row in rows(store, f"SELECT t::text FROM {table.name} t")]
        if "payload" in table.c:
            payloads = rows(store, f"SELECT payload FROM {table.name} WHERE payload IS NOT NULL")
            named += [decompress(payload).decode(errors="replace") for (payload,) in payloads]
        if any(people.named_in(one) for one in named):
            found.append(table.name)
    return found


def forget(store: Store, *people: str, project: str | None = None) -> ForgetReport:
    return forget_events(store, People(people), project)


happening = st.tuples(
    st.sampled_from(EVERYBODY),
    st.sampled_from(WINDOWS),
    st.sampled_from(["$pageview", "product clicked", "poison", "refused", "no time", "broken"]),
)


def happen(store: Store, events: Sequence[tuple[str, datetime, str]]) -> None:
    """One load of events of all kinds, some of which do not get in."""
    good, bad = [], []
    for number, (person, at, kind) in enumerate(events):
        if kind == "no time":
            payload = make_event(at=at, distinct_id=person, uuid=f"day {number}")
            bad.append(rejected(payload, at))
        elif kind == "broken":
            payload = make_event(f"number {number}", at, distinct_id=person)[:-1]
            bad.append(rejected(payload, at))
        else:
            [event] = raw_events(1, at, event=kind, distinct_id=person)
            good.append(event._replace(title="a\0b") if kind == "refused" else event)
    load_events(store, good, bad, "test")


@examples(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(happening, min_size=1, max_size=12),
    st.lists(happening, max_size=6),
    st.sets(st.sampled_from(EVERYBODY), min_size=1),
)
@pytest.mark.slow
def test_the_books_balance_whoever_is_forgotten_and_the_others_lose_nothing(
    store: Store,
    rules: Rules,
    first: list[tuple[str, datetime, str]],
    then: list[tuple[str, datetime, str]],
    whom: set[str],
) -> None:
    change(store, f"TRUNCATE {', '.join({*metadata.tables} - {'store_setting', 'store_secret'})}")
    happen(store, first)
    enrich(store, rules)
    happen(store, then)
    before = totals(store)

    would = forget_events(store, People(whom), dry_run=True)
    assert totals(store) == before
    report = forget(store, *whom)

    assert would == report
    gone = [sum(getattr(row, name) for row in report.events) for name in _FIGURES]
    assert [was - went for was, went in zip(before, gone, strict=True)] == list(totals(store))
    assert sum(gone) == sum(person in whom for person, _, _ in [*first, *then])
    for person in EVERYBODY:
        assert bool(traces(store, person)) == any(
            person == other and person not in whom for other, _, _ in [*first, *then]
        )
    assert forget(store, *whom) == ForgetReport(forgotten_before=sum(gone))
    enrich(store, rules)
    assert sum(totals(store)) == sum(before) - sum(gone)


def test_the_ledger_says_how_many_went_of_which_window_and_not_who(
    store: Store, rules: Rules
) -> None:
    load(store, ANN, LATE, 3)
    enrich_due(store, rules)
    load(store, ANN, LATE + HOUR, 2)
    refuse(store, make_event(at=LATE, distinct_id=ANN, uuid="today"), LATE)
    forget(store, ANN)
    kept = rows(
        store,
        "SELECT project, person, window_start, enriched, dead, pending "
        "FROM forgotten ORDER BY window_start",
    )
    [(key,)] = rows(store, "SELECT value FROM store_secret WHERE name = 'ledger_key'")
    person = ledger_name(key, "default", ANN)
    assert kept == [
        ("default", person, LATE, 3, 1, 0),
        ("default", person, LATE + HOUR, 0, 0, 2),
    ]
    assert traces(store, ANN) == []


@pytest.mark.slow
def test_a_dead_batch_loses_those_who_are_forgotten_and_is_dead_no_more_without_any(
    store: Store, rules: Rules
) -> None:
    events = [
        *raw_events(2, LATE, event="poison", distinct_id=ANN),
        *raw_events(1, LATE, event="poison", distinct_id=BOB),
    ]
    load_events(store, events, [], "test")
    enrich(store, rules)
    letters = "SELECT kind, state, event_count FROM dead_letter"
    assert rows(store, letters) == [("batch", "open", 3)]

    forget(store, ANN)
    assert rows(store, letters) == [("batch", "open", 1)]
    assert totals(store) == (0, 1, 0)

    forget(store, BOB)
    assert rows(store, letters) == [("batch", "resolved", 0)]
    assert totals(store) == (0, 0, 0)
    assert rows(store, "SELECT state FROM raw_batch") == [("enriched",)]
    with store.transaction() as connection:
        assert dead_windows(connection, [LATE]) == {}


def test_a_pending_batch_of_which_nothing_is_left_is_finished_and_any_other_is_due(
    store: Store, rules: Rules
) -> None:
    load(store, ANN, LATE)
    load_events(
        store,
        [*raw_events(1, LATE, distinct_id=ANN), *raw_events(1, LATE, distinct_id=BOB)],
        [],
        "test",
    )
    forget(store, ANN)
    assert rows(store, "SELECT state, event_count FROM raw_batch ORDER BY id") == [
        ("enriched", 0),
        ("pending", 1),
    ]
    assert enrich_due(store, rules).events == 1
    assert totals(store) == (1, 0, 0)


def test_an_event_that_died_alone_goes_with_its_letter(store: Store, rules: Rules) -> None:
    events = [*raw_events(1, LATE, event="poison", distinct_id=ANN), *raw_events(5, LATE)]
    load_events(store, events, [], "test")
    enrich(store, rules)
    assert rows(store, "SELECT kind, distinct_id FROM dead_letter") == [("event", ANN)]
    change(store, "UPDATE dead_letter SET distinct_id = NULL")
    assert [row[1:] for row in forget(store, ANN).events] == [(ANN, LATE, 0, 1, 0)]
    assert rows(store, "SELECT * FROM dead_letter") == []
    assert totals(store) == (5, 0, 0)


def test_a_letter_that_was_resolved_goes_and_counts_for_nothing(store: Store, rules: Rules) -> None:
    refuse(store, make_event(at=LATE, distinct_id=ANN, uuid="today"))
    change(store, "UPDATE dead_letter SET state = 'resolved'")
    change(store, "UPDATE raw_batch SET event_count = 0, dead_count = 0")
    report = forget(store, ANN)
    assert (report.events, report.letters) == ([], 1)
    assert rows(store, "SELECT * FROM dead_letter") == []
    assert totals(store) == (0, 0, 0)


def test_a_letter_from_ingestion_is_theirs_by_what_its_payload_says(store: Store) -> None:
    theirs = [
        b'{"distinct_id": "user-1", "event": 5}',
        b'{"event": "x", "properties": {"$user_id": "user-1"}}',
        b'{"distinct_id": "\\u0075ser-1", "event": 5}',
        b"GET /user-1 HTTP/1.1",
    ]
    of_others = [
        b'{"distinct_id": "user-10", "event": 5}',
        b'{"distinct_id": "user-10", "properties": {"friend": "user-1"}, "event": 5}',
    ]
    for payload in [*theirs, *of_others]:
        refuse(store, payload)
    assert forget(store, BOB).letters == len(theirs)
    left = [decompress(payload) for (payload,) in rows(store, "SELECT payload FROM dead_letter")]
    assert sorted(left) == sorted(of_others)
    assert totals(store) == (0, 2, 0)


def test_enriched_events_that_outlived_their_raw_ones_go_too(store: Store, rules: Rules) -> None:
    for person in (ANN, BOB):
        load(store, person, LATE)
    enrich_due(store, rules)
    drop_days_before(store, FirstKept(LATE.date() + timedelta(days=1), LATE.date()))
    assert [row[1:] for row in forget(store, ANN).events] == [(ANN, LATE, 1, 0, 0)]
    assert rows(store, "SELECT distinct_id FROM enriched_event") == [(BOB,)]
    assert totals(store) == (0, 0, 0)


def test_only_the_project_that_is_named_forgets(store: Store, rules: Rules) -> None:
    for project in ("shop", "blog"):
        event = parse_event(make_event(at=LATE, distinct_id=ANN), project, Arrival(LATE))
        load_events(store, [event], [], "test")
        refuse(store, make_event(at=LATE, distinct_id=ANN, uuid="x"), project=project)
    enrich(store, rules)
    report = forget(store, ANN, project="shop")
    assert {row.project for row in report.events} == {"shop"}
    assert rows(store, "SELECT project FROM enriched_event") == [("blog",)]
    assert rows(store, "SELECT project FROM dead_letter") == [("blog",)]
    assert totals(store) == (1, 1, 0)


def test_an_event_that_is_sent_again_after_it_was_forgotten_is_a_duplicate(
    store: Store, rules: Rules
) -> None:
    payloads = [make_event(at=datetime.now(UTC), distinct_id=ANN) for _ in range(3)]
    payloads.append(make_event(at=datetime.now(UTC), distinct_id=ANN, uuid="x"))
    request = Submission(Origin("api"), "shop", payloads, Arrival(datetime.now(UTC)))
    accept(store, [request])
    enrich(store, rules)
    forget(store, ANN)
    result = accept(store, [request]).result
    assert (result.accepted, result.duplicates, result.quarantined.total()) == (0, 4, 0)
    assert traces(store, ANN) == []
    assert totals(store) == (0, 0, 0)


@pytest.mark.parametrize("dead", [0, 1])
def test_a_run_at_work_on_a_batch_is_waited_for_with_all_that_comes_of_it(
    store: Store, rules: Rules, dead: int
) -> None:
    load(store, BOB, LATE, 3)
    enrich(store, rules)
    events = raw_events(3, LATE, distinct_id=ANN)
    load_events(store, events, [], "test")
    [version] = rows(
        store, "SELECT DISTINCT version, rules_version FROM enrichment_output, enriched_event"
    )
    at_fault = {event.uuid: EventFailure("enrichment_raised", "x", None) for event in events[:dead]}
    done: list[ForgetReport] = []
    thread = threading.Thread(target=lambda: done.append(forget(store, ANN)))
    with store.transaction() as connection:
        [batch] = claim(connection, 10)
        thread.start()
        await_a_wait(store)
        dead_letter_events(connection, [batch], HOUR, at_fault, "uuid", "1", "test")
        batch = batch._replace(dead_count=dead)
        assert write_enriched(connection, [batch], HOUR, *version) == 3 - dead
        mark_enriched(connection, [batch])
    thread.join()
    assert [row[3:] for row in done[0].events] == [(3 - dead, dead, 0)]
    assert rows(store, "SELECT * FROM dead_letter") == []
    assert totals(store) == (3, 0, 0)


def await_a_wait(store: Store) -> None:
    """Return when a transaction waits for another one."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    deadline = time.monotonic() + 10
    while not rows(store, waiting)[0][0]:
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.01)


def test_a_call_that_is_killed_half_way_leaves_books_that_balance_and_is_made_again(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    for window in WINDOWS:
        load(store, ANN, window, 2)
    enrich(store, rules)
    killed_at(monkeypatch, LATE + timedelta(days=1))
    with pytest.raises(KeyboardInterrupt):
        forget(store, ANN)
    assert totals(store) == (4, 0, 0)
    monkeypatch.undo()
    assert sum(row.enriched for row in forget(store, ANN).events) == 4
    assert totals(store) == (0, 0, 0)
    assert rows(store, "SELECT sum(enriched)::int FROM forgotten") == [(8,)]


def killed_at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """The call dies on the day of `moment`, just before its commit."""
    write: Callable[..., None] = module._Day._write_ledger

    def die(day: Any, gone: Any) -> None:
        write(day, gone)
        if day._parameters["start"].date() == moment.date():
            raise KeyboardInterrupt

    monkeypatch.setattr(module._Day, "_write_ledger", die)


@pytest.mark.slow
def test_texts_of_their_batches_that_name_somebody_go_with_them_and_others_stay(
    store: Store, rules: Rules
) -> None:
    for person in (BOB, CAT):
        load(store, person, LATE, 2, event="poison")
    enrich(store, rules)
    assert rows(store, "SELECT kind FROM dead_letter") == [("batch",)] * 2
    first, second = (row[0] for row in rows(store, "SELECT batch_id FROM dead_letter ORDER BY id"))
    naming, other = f"Failing row contains (1, default, {BOB}, secret).", f"of {CAT} alone"
    for batch, said in ((first, naming), (second, other)):
        change(
            store,
            "UPDATE dead_letter SET message = :said, traceback = :said, closing_note = 'x'"
            " WHERE batch_id = :batch",
            said=said,
            batch=batch,
        )
        change(
            store,
            "UPDATE raw_batch SET last_error = :said WHERE id = :batch",
            said=said,
            batch=batch,
        )

    assert forget_events(store, People([BOB]), dry_run=True).texts == 3
    assert traces(store, BOB) == ["raw_batch", "raw_event", "dead_letter"]
    assert forget(store, BOB).texts == 3

    assert traces(store, BOB) == []
    assert rows(store, "SELECT message, traceback, closing_note FROM dead_letter ORDER BY id") == [
        (REMOVED, REMOVED, "its events went with people who were forgotten"),
        (other, other, "x"),
    ]
    assert rows(store, "SELECT last_error FROM raw_batch ORDER BY id") == [(REMOVED,), (other,)]


@pytest.mark.parametrize("word", ["1", "a", "events", "enrichment", "fail", "default", "poison"])
def test_who_is_called_like_a_word_or_a_number_takes_nothing_of_others_away(
    store: Store, rules: Rules, word: str
) -> None:
    load(store, CAT, LATE, event="poison")
    refuse(store, b'{"event": 1, "a": "events", "enrichment": ["fail"], "default": "poison"}')
    refuse(store, b"1 a events enrichment fail default poison")
    enrich(store, rules)
    change(store, "UPDATE raw_batch SET last_error = '1 a events enrichment fail default poison'")
    tables = [table for table in metadata.tables if table != "store_secret"]
    before = [rows(store, f"SELECT t::text FROM {table} t") for table in tables]
    assert forget(store, word) == ForgetReport()
    assert [rows(store, f"SELECT t::text FROM {table} t") for table in tables] == before

    load(store, word, LATE, event="poison")
    enrich(store, rules)
    report = forget(store, word)
    assert (len(report.events), report.texts) == (1, 0)


def test_inputs_that_nobody_else_has_go_and_one_that_comes_again_is_read_back(
    store: Store, rules: Rules
) -> None:
    button = {"$event_type": "click", "$el_text": "Ann Smith, your account"}
    load(store, ANN, LATE, event="$autocapture", properties=button)
    load(store, ANN, LATE)
    load(store, BOB, LATE)
    enrich_due(store, rules)
    assert forget_unused_inputs(store) == 0
    forget(store, ANN)
    assert forget_unused_inputs(store) == 1
    assert len(rows(store, "SELECT * FROM enrichment_output")) == 1
    assert "Ann" not in str(rows(store, "SELECT * FROM enrichment_input"))

    # This process remembers to have written it.
    load(store, BOB, LATE, event="$autocapture", properties=button)
    assert len(rows(store, "SELECT * FROM enrichment_input")) == 1
    assert enrich_due(store, rules).events == 1
    assert totals(store) == (2, 0, 0)
    assert len(rows(store, "SELECT * FROM enrichment_input")) == 2


def test_the_other_ids_of_a_person_are_found_whichever_of_them_is_named(store: Store) -> None:
    load(store, ANN, LATE, event="$identify", properties={"$anon_distinct_id": "anonymous-7"})
    load(store, ANN, LATE, event="$create_alias", properties={"alias": BOB})
    load(store, CAT, LATE, event="$pageview", properties={"alias": "no link"})
    with store.transaction() as connection:
        assert also_known_as(connection, None, [ANN]) == {ANN: ["anonymous-7", BOB]}
        assert also_known_as(connection, None, ["anonymous-7", ANN]) == {
            "anonymous-7": [BOB],
            ANN: [BOB],
        }
        assert also_known_as(connection, None, [BOB]) == {BOB: [ANN, "anonymous-7"]}
        assert also_known_as(connection, None, [CAT]) == {}
        assert also_known_as(connection, "another", [ANN]) == {}


def test_a_raw_event_whose_enriched_one_is_not_there_is_found_by_the_books(
    store: Store, rules: Rules
) -> None:
    events = [
        *raw_events(1, LATE, event="poison", distinct_id=ANN),
        *raw_events(4, LATE, distinct_id=BOB),
    ]
    load_events(store, events, [], "test")
    enrich(store, rules)
    # As one that nobody needs.
    change(store, "UPDATE dead_letter SET state = 'discarded', closed_at = now()")
    load(store, ANN, LATE + HOUR)
    assert sorted(row[3:6] for row in forget(store, ANN).events) == [(0, 0, 1), (0, 1, 0)]
    assert traces(store, ANN) == []
    assert totals(store) == (4, 0, 0)


def keep_session(
    store: Store, session: str, person: str, at: datetime, project: str = "default"
) -> None:
    """A row of a session, as the build of its day leaves it."""
    change(
        store,
        "INSERT INTO session_timeline (project, session_id, day, distinct_id, started_at, ended_at,"
        " events, pages, outline, signals, timeline)"
        " VALUES (:project, :session, :day, :person, :at, :at, 1, 1, 'x', '{}', :person)",
        project=project,
        session=session,
        day=at.date(),
        person=person,
        at=at,
    )


def kept_sessions(store: Store) -> list[str]:
    found = rows(store, "SELECT session_id FROM session_timeline ORDER BY 1")
    return [session for (session,) in found]


def built(store: Store) -> None:
    """The sessions of all days are built."""
    change(store, "DELETE FROM enriched_change")


def changed(store: Store) -> list[date]:
    """The days that are to be built whole."""
    statement = "SELECT DISTINCT window_start FROM enriched_change WHERE consumer = 'sessions'"
    return [at.date() for (at,) in rows(store, f"{statement} AND batch_ids IS NULL")]


def test_their_sessions_go_and_those_of_who_remains_in_them_are_built_again(
    store: Store, rules: Rules
) -> None:
    load(store, ANN, LATE, properties={"$session_id": "shared"})
    load(store, BOB, LATE, properties={"$session_id": "shared"})
    load(store, BOB, LATE + timedelta(days=1))
    enrich(store, rules)
    keep_session(store, "hers", ANN, LATE)
    keep_session(store, "shared", BOB, LATE)
    keep_session(store, "his", BOB, LATE)
    keep_session(store, "next day", BOB, LATE + timedelta(days=1))
    built(store)
    forget_events(store, People([ANN]), dry_run=True)
    assert kept_sessions(store) == ["hers", "his", "next day", "shared"]
    assert changed(store) == []
    forget(store, ANN)
    assert kept_sessions(store) == ["his", "next day"]
    assert changed(store) == [LATE.date()]
    assert traces(store, ANN) == []


def test_a_person_is_forgotten_among_people_with_the_sessions_under_their_other_ids(
    store: Store, rules: Rules
) -> None:
    load(store, ANN, LATE, event="$identify", properties={"$anon_distinct_id": "anonymous-7"})
    load(store, BOB, LATE, event="$identify", properties={"$anon_distinct_id": "anonymous-8"})
    load(store, "anonymous-7", LATE)
    enrich(store, rules)
    keep_session(store, "hers", ANN, LATE)
    keep_session(store, "his", "anonymous-8", LATE)
    people = "SELECT distinct_id FROM person ORDER BY 1"
    before = rows(store, people)
    forget_events(store, People(["anonymous-7"]), dry_run=True)
    assert rows(store, people) == before
    assert kept_sessions(store) == ["hers", "his"]
    forget(store, "anonymous-7")
    assert rows(store, people) == [(ANN,), ("anonymous-8",), (BOB,)]
    assert kept_sessions(store) == ["his"]


def test_sessions_and_people_of_other_projects_stay(store: Store, rules: Rules) -> None:
    for project in ("shop", "blog"):
        payload = make_event(
            "$identify", LATE, distinct_id=ANN, properties={"$anon_distinct_id": "anonymous-7"}
        )
        load_events(store, [parse_event(payload, project, Arrival(LATE))], [], "test")
        keep_session(store, "hers", ANN, LATE, project)
        keep_session(store, "before", "anonymous-7", LATE, project)
    enrich(store, rules)
    forget(store, ANN, project="shop")
    assert rows(store, "SELECT project, session_id FROM session_timeline ORDER BY 2") == [
        ("blog", "before"),
        ("blog", "hers"),
    ]
    assert rows(store, "SELECT project, distinct_id FROM person ORDER BY 1, 2") == [
        ("blog", ANN),
        ("blog", "anonymous-7"),
        ("shop", "anonymous-7"),
    ]
