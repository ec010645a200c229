"""What a project lets models see, and no other project."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.ingest.chunks import load_chunk
from enrichment_pipeline.ingest.file_records import FileRecord
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.settings import SettingsError, load_settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import NAME

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
        "invited on /pricing",
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


def test_pages_that_a_project_distinguishes_by_a_query_are_read_back_too(
    store: Store, rules: Rules
) -> None:
    its_store = replace(
        store, settings=store.settings.model_copy(update={"page_queries": "shop=page, blog=p"})
    )
    url = "https://shop.example/index.php?page=billing&p=7&token=x"
    viewed = {"$current_url": url, "$pathname": "/index.php"}
    for project in ("shop", "blog", "other"):
        event = make_event(at=NOON, properties=viewed)
        load_chunk(its_store, [FileRecord(event, 1)], project)
    statement = text("SELECT project, description FROM enriched_event ORDER BY project")
    for _ in range(2):
        enrich_due(store, rules)
        with store.transaction() as connection:
            assert connection.execute(statement).all() == [
                ("blog", "Viewed /index.php/p=:id"),
                ("other", "Viewed /index.php"),
                ("shop", "Viewed /index.php/page=billing"),
            ]
            connection.execute(text("TRUNCATE enriched_event, enrichment_input, enrichment_output"))
            connection.execute(text("UPDATE raw_batch SET state = 'pending', enriched_count = 0"))


_TEXT = "Seepferdchen 4711"
_WITH_TEXT: list[tuple[str, dict[str, object]]] = [
    ("$autocapture", {"$event_type": "click", "$el_text": _TEXT}),
    ("$autocapture", {"$elements_chain": f'button:text="{_TEXT}"', "$el_text": _TEXT}),
    ("$autocapture", {"$elements_chain": f'div:attr__role="option"text="{_TEXT}"'}),
    ("$autocapture", {"$event_type": "change", "$elements_chain": f'input:attr__name="{_TEXT}"'}),
    ("$exception", {"$exception_type": "TypeError", "$exception_message": _TEXT}),
    ("survey sent", {"$survey_name": _TEXT, "$survey_response": _TEXT}),
    ("diary saved", {"entry": _TEXT, "words": 4711, "is_sad": True, "price": 47.11}),
    ("$pageview", {"title": _TEXT}),
]


def test_a_project_may_show_no_free_text_at_all(store: Store, rules: Rules) -> None:
    closed = replace(
        store, settings=store.settings.model_copy(update={"unmasked": "clinic=no-text"})
    )
    events = [
        make_event(
            name, NOON + timedelta(seconds=at), properties={"title": _TEXT, NAME: "one"} | given
        )
        for at, (name, given) in enumerate(_WITH_TEXT)
    ]
    for project in ("clinic", "shop"):
        load_chunk(closed, [FileRecord(event, 1) for event in events], project)
    enrich_due(closed, rules)
    build_day(closed, NOON.date(), is_whole=True)
    statement = text(
        """
        SELECT title, element_label, description, s.device, s.timeline, s.outline, s.entry, s.exit
        FROM enriched_event JOIN session_timeline s USING (project, session_id)
        WHERE project = :p ORDER BY occurred_at
        """
    )
    with store.transaction() as connection:
        rows = {
            project: connection.execute(statement, {"p": project}).all()
            for project in ("clinic", "shop")
        }
    assert "Seepferdchen" in str(rows["shop"])
    assert not re.search(r"Seepf|47\.?11|true", str(rows["clinic"]))
    assert [row.description for row in rows["clinic"]] == [
        "Clicked an element on /pricing",
        "Clicked button on /pricing",
        "Clicked option on /pricing",
        "Changed field on /pricing",
        "Ran into an error on /pricing (TypeError)",
        "survey sent on /pricing",
        "diary saved on /pricing",
        "Viewed /pricing",
    ]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ENRICHMENT_UNMASKED", "shop", "must look like"),
        ("ENRICHMENT_UNMASKED", "shop=names", "nothing that is masked"),
        ("ENRICHMENT_PAGE_QUERIES", "page+tab", "must look like shop=page"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}.*{says}"):
        load_settings()
