"""Who is who: a person does not split in two at login, and two people do not become one."""

import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from enrichment_pipeline.events.raw_event import Arrival, RawEvent, parse_event
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, open_store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.ingest.people import (
    forget_people,
    ids_of,
    lone_person,
    people_of,
    person_join,
    person_sql,
    pseudonym_key,
    pseudonym_of,
    pseudonym_sql,
)
from enrichment_pipeline_tests.conftest import make_event

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = {"$identify": "$anon_distinct_id", "$create_alias": "alias", "$merge_dangerously": "alias"}
IDS = [f"id-{number}" for number in range(8)]


def link(
    distinct_id: str, other: object, event: str = "$identify", project: str = "default"
) -> RawEvent:
    payload = make_event(event, AT, distinct_id=distinct_id, properties={NAMES[event]: other})
    return parse_event(payload, project, Arrival(AT))


def take_in(store: Store, *events: RawEvent) -> None:
    """Each in a load of its own, in this order."""
    for event in events:
        load_events(store, [event], [], "test")


def groups(store: Store, ids: Sequence[str] = IDS, project: str = "default") -> set[frozenset[str]]:
    """Which of these ids are one person."""
    with store.transaction() as connection:
        people = people_of(connection, project, ids)
    return {
        frozenset(one for one in ids if people[one] == person) for person in set(people.values())
    }


def same(store: Store, *ids: str) -> bool:
    return groups(store, ids) == {frozenset(ids)}


def query(store: Store, statement: str, **given: object) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement), given))


def test_a_person_stays_one_at_login_with_all_that_was_done_before(store: Store) -> None:
    before = parse_event(make_event(at=AT, distinct_id="anon"), "default", Arrival(AT))
    take_in(store, before, link("ann", "anon"))
    assert same(store, "ann", "anon")
    joined = query(
        store,
        f"SELECT {person_sql('raw_event')} FROM raw_event {person_join('raw_event')} GROUP BY 1",
    )
    assert len(joined) == 1
    with store.transaction() as connection:
        assert ids_of(connection, "default", "anon") == ["ann", "anon"]
        assert ids_of(connection, None, "nobody else") == ["nobody else"]


@pytest.mark.parametrize("event", ["$identify", "$create_alias", "$merge_dangerously"])
def test_each_kind_of_link_joins_an_id_that_nobody_had(store: Store, event: str) -> None:
    take_in(store, link("ann", "phone", event), link("ann", "laptop", event))
    assert same(store, "ann", "phone", "laptop")


def test_a_chain_of_ids_is_one_person(store: Store) -> None:
    take_in(store, link("a", "b"), link("b", "c"), link("c", "d"))
    assert same(store, "a", "b", "c", "d")


@pytest.mark.parametrize("event", ["$identify", "$create_alias"])
def test_two_who_are_identified_stay_two(store: Store, event: str) -> None:
    take_in(store, link("ann", "anon-1"), link("bob", "anon-2"), link("ann", "bob", event))
    assert same(store, "ann", "anon-1")
    assert not same(store, "ann", "bob")


def test_a_device_that_two_people_share_makes_no_one_of_them(store: Store) -> None:
    take_in(store, link("ann", "device"), link("bob", "device"))
    assert same(store, "ann", "device")
    assert not same(store, "ann", "bob")


def test_a_dangerous_merge_joins_two_groups_whole(store: Store) -> None:
    take_in(
        store,
        link("ann", "a-1"),
        link("ann", "a-2"),
        link("bob", "b-1"),
        link("a-2", "b-1", "$merge_dangerously"),
    )
    assert same(store, "ann", "a-1", "a-2", "bob", "b-1")


def test_links_of_one_load_count_in_their_order(store: Store) -> None:
    events = [
        link("a", "b", "$merge_dangerously"),
        link("c", "d", "$merge_dangerously"),
        link("c", "a", "$merge_dangerously"),
        link("e", "c", "$merge_dangerously"),
        link("f", "e"),
    ]
    load_events(store, events, [], "test")
    assert same(store, "a", "b", "c", "d", "e")
    assert not same(store, "e", "f")


NOBODY = (
    *("anonymous", "GUEST", "null", "None", "0", "undefined", "[object Object]", " ", "'null'"),
    *('"undefined"', "NaN", "00000000-0000-0000-0000-000000000000", "", None, True, {"a": 1}),
)


def test_an_id_that_anybody_has_joins_nobody(store: Store) -> None:
    for nobody in NOBODY:
        take_in(store, *(link(person, nobody, "$merge_dangerously") for person in ("ann", "bob")))
        if isinstance(nobody, str) and nobody.strip():
            take_in(store, link(nobody, "ann"), link(nobody, "bob"))
        assert query(store, "SELECT * FROM person") == [], nobody
    assert not same(store, "ann", "bob")


def test_a_project_has_people_of_its_own(store: Store) -> None:
    take_in(store, link("ann", "anon", project="shop"))
    assert groups(store, ["ann", "anon"], "shop") == {frozenset({"ann", "anon"})}
    assert not same(store, "ann", "anon")


def test_ids_are_joined_as_columns_have_them(store: Store) -> None:
    take_in(store, link("a\0b", "x" * 300), link("y", 5))
    assert same(store, "a\ufffdb", "x" * 200)
    assert same(store, "y", "5")


def statements(store: Store) -> list[str]:
    """The statements that the store is sent from here on."""
    sent: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sqlalchemy_event.listen(store.engine, "before_cursor_execute", listen)
    return sent


def test_the_same_link_again_waits_for_nobody(store: Store) -> None:
    take_in(store, link("ann", "anon"), link("bob", "anon"))
    sent = statements(store)
    take_in(store, link("ann", "anon"), link("bob", "anon"))
    assert not any("pg_advisory_xact_lock" in one or "INSERT INTO person" in one for one in sent)
    take_in(store, link("bob", "another"))
    assert any("pg_advisory_xact_lock" in one for one in sent)


def test_many_links_cost_as_few_statements_as_one(store: Store) -> None:
    sent = statements(store)
    load_events(store, [link(f"p{n}", f"a{n}") for n in range(300)], [], "test")
    assert sum("person" in one for one in sent) <= 4
    assert same(store, "p299", "a299")


def test_whoever_waited_for_a_join_sees_what_it_did(store: Store) -> None:
    take_in(store, link("a", "b"), link("c", "d"))
    with store.transaction() as connection:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('person default', 0))")
        )
        thread = threading.Thread(
            target=take_in, args=(store, link("a", "d", "$merge_dangerously"))
        )
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        deadline = time.monotonic() + 10
        while not query(store, waiting)[0][0]:
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)
        connection.execute(
            text("UPDATE person SET person_id = :new WHERE person_id = :old"),
            {"new": lone_person("default", "c"), "old": lone_person("default", "a")},
        )
    thread.join()
    assert same(store, "a", "b", "c", "d")
    assert len(query(store, "SELECT DISTINCT person_id FROM person")) == 1


pairs = st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=12)


def joined(links: Sequence[tuple[str, str]]) -> set[frozenset[str]]:
    """What a plain union-find makes of them."""
    found = {frozenset({one}) for one in IDS}
    for one, other in links:
        merged = frozenset().union(*(group for group in found if {one, other} & group))
        found = {group for group in found if not group & merged} | {merged}
    return found


@examples(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs, st.integers(1, 5))
def test_merges_end_in_the_same_people_however_they_are_shared_out_to_loads(
    store: Store, links: list[tuple[str, str]], size: int
) -> None:
    project = uuid.uuid4().hex
    events = [link(*pair, "$merge_dangerously", project) for pair in links]
    for first in range(0, len(events), size):
        load_events(store, events[first : first + size], [], "test")
    assert groups(store, project=project) == joined(links)


@examples(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pairs, min_size=4, max_size=4))
@pytest.mark.slow
def test_merges_of_several_at_once_end_in_the_same_people_as_one_after_the_other(
    store: Store, settings: Settings, shares: list[list[tuple[str, str]]]
) -> None:
    projects = [uuid.uuid4().hex, uuid.uuid4().hex]
    barrier = threading.Barrier(len(shares))

    def load(share: Sequence[tuple[str, str]]) -> None:
        opened = open_store(settings)
        try:
            barrier.wait(30)
            for first in range(0, len(share), 3):
                # Both projects in each load, in either order.
                events = [
                    link(*pair, "$merge_dangerously", project)
                    for pair in share[first : first + 3]
                    for project in (projects if first % 2 else projects[::-1])
                ]
                load_events(opened, events, [], "test")
        finally:
            opened.close()

    with ThreadPoolExecutor(len(shares)) as pool:
        list(pool.map(load, shares))
    expected = joined([pair for share in shares for pair in share])
    for project in projects:
        assert groups(store, project=project) == expected


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@examples(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names, names)
def test_postgresql_and_python_agree_on_people_and_their_pseudonyms(
    store: Store, project: str, distinct_id: str
) -> None:
    with store.transaction() as connection:
        key = pseudonym_key(connection)
        [row] = connection.execute(
            text(
                f"""
                SELECT {person_sql("one")} AS person, {pseudonym_sql("one")} AS pseudonym
                FROM (VALUES (CAST(:project AS text), CAST(:id AS text)))
                    one (project, distinct_id)
                {person_join("one")}
                """
            ),
            {"project": project, "id": distinct_id, "pseudonym_key": key},
        )
        person = lone_person(project, distinct_id)
        assert row.person == person
        assert row.pseudonym == pseudonym_of(key, person)
        assert people_of(connection, project, [distinct_id]) == {distinct_id: person}


def test_forgotten_ids_go_from_the_one_project_or_from_all(store: Store) -> None:
    take_in(store, *(link("ann", "anon", project=project) for project in ("shop", "blog")))
    left = "SELECT project, distinct_id FROM person ORDER BY 1, 2"
    with store.transaction() as connection:
        forget_people(connection, "shop", ["ann"])
    assert query(store, left) == [("blog", "ann"), ("blog", "anon"), ("shop", "anon")]
    with store.transaction() as connection:
        forget_people(connection, None, ["ann", "anon"])
    assert query(store, left) == []


def test_who_was_forgotten_and_comes_again_can_be_joined_again(store: Store) -> None:
    take_in(store, link("ann", "anon"), link("bob", "b-1"))
    with store.transaction() as connection:
        forget_people(connection, None, ["ann"])
    # In one load: the person that ann was is bob's before she is one of his.
    events = [link("bob", "anon", "$merge_dangerously"), link("ann", "bob", "$merge_dangerously")]
    load_events(store, events, [], "test")
    take_in(store, link("ann", "new"))
    assert same(store, "ann", "new", "bob", "b-1", "anon")
