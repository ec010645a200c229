"""What a project lets models see, and no other project."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.ingest.chunks import load_chunk
from enrichment_pipeline.ingest.file_records import FileRecord
from enrichment_pipeline.settings import SettingsError, load_settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import make_event

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def sentences(store: Store, rules: Rules, project: str) -> list[str]:
    events = [
        make_event(
            "$autocapture",
            NOON,
            properties={
                "$event_type": "click",
                "$el_text": "Write to ann@example.com 4111 1111 1111 1111",
            },
        ),
        make_event("invited", NOON, properties={"who": "bob@example.com"}),
    ]
    load_chunk(store, [FileRecord(event, 1) for event in events], project)
    enrich_due(store, rules)
    with store.transaction() as connection:
        return list(
            connection.execute(
                text("SELECT description FROM enriched_event WHERE project = :p ORDER BY event"),
                {"p": project},
            ).scalars()
        )


def test_only_the_project_that_allows_it_shows_what_it_allows(store: Store, rules: Rules) -> None:
    open_store = replace(
        store, settings=store.settings.model_copy(update={"unmasked": "shop=email"})
    )
    assert sentences(open_store, rules, "shop") == [
        'Clicked "Write to ann@example.com (card)" on /pricing',
        'invited on /pricing (who="bob@example.com")',
    ]
    assert sentences(open_store, rules, "blog") == [
        'Clicked "Write to (email) (card)" on /pricing',
        'invited on /pricing (who="(email)")',
    ]


def test_an_input_that_was_forgotten_is_read_back_as_it_was(store: Store, rules: Rules) -> None:
    open_store = replace(
        store, settings=store.settings.model_copy(update={"unmasked": "shop=email"})
    )
    before = sentences(open_store, rules, "shop")
    with store.transaction() as connection:
        connection.execute(text("TRUNCATE enriched_event, enrichment_input, enrichment_output"))
        connection.execute(text("UPDATE raw_batch SET state = 'pending', enriched_count = 0"))
    # The project allows nothing any more; what came in before stays what it was.
    enrich_due(store, rules)
    with store.transaction() as connection:
        statement = text("SELECT description FROM enriched_event ORDER BY event")
        assert list(connection.execute(statement).scalars()) == before


@pytest.mark.parametrize(
    ("value", "says"), [("shop", "must look like"), ("shop=names", "nothing that is masked")]
)
def test_a_setting_that_is_wrong_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    monkeypatch.setenv("ENRICHMENT_UNMASKED", value)
    with pytest.raises(SettingsError, match=f"ENRICHMENT_UNMASKED.*{says}"):
        load_settings()
