"""People have names that are always the same and say nothing."""

import re
from datetime import UTC, datetime

import pytest

from enrichment_pipeline.llm import pseudonyms as module
from enrichment_pipeline.llm.pseudonyms import Pseudonyms
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import raw_events

ANN = "ann@shop.example"


def log_in(store: Store) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    identify = raw_events(
        1, at, event="$identify", distinct_id=ANN, properties={"$anon_distinct_id": "anon"}
    )
    load_events(store, identify, [], "test")


def test_all_ids_of_a_person_have_one_name_and_others_have_another(store: Store) -> None:
    log_in(store)
    with store.transaction() as connection:
        names = Pseudonyms(connection)
        ann = names.of("default", ANN)
        assert re.fullmatch(r"person_[0-9a-f]{10}", ann)
        assert names.of("default", "anon") == ann
        assert names.of("default", "bob") != ann
        assert names.of("shop", ANN) != ann
    with store.transaction() as connection:
        assert Pseudonyms(connection).of("default", ANN) == ann


def test_a_late_login_gives_what_was_done_before_the_name_of_the_person(store: Store) -> None:
    with store.transaction() as connection:
        before = Pseudonyms(connection).of("default", "anon")
    log_in(store)
    with store.transaction() as connection:
        names = Pseudonyms(connection)
        assert names.of("default", "anon") == names.of("default", ANN) != before


def test_only_the_key_of_the_store_leads_from_an_address_to_a_name(store: Store) -> None:
    with store.transaction() as connection:
        name = Pseudonyms(connection).of("default", ANN)
        connection.exec_driver_sql(
            "UPDATE store_secret SET value = 'another' WHERE name = 'pseudonym_key'"
        )
        assert Pseudonyms(connection).of("default", ANN) != name


def test_many_are_looked_up_at_once_and_no_more_remembered_than_there_is_room_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    look_up = module.people_of

    def listen(connection, project, ids):  # type: ignore[no-untyped-def]
        asked.append(list(ids))
        return look_up(connection, project, ids)

    monkeypatch.setattr(module, "people_of", listen)
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 3)
    with store.transaction() as connection:
        names = Pseudonyms(connection)
        names.prepare("default", ["a", "b"])
        first = [names.of("default", one) for one in "ab"]
        assert asked == [["a", "b"]]
        names.prepare("default", ["c", "d"])
        assert [names.of("default", one) for one in "ab"] == first
    assert asked == [["a", "b"], ["c", "d"], ["a"], ["b"]]
