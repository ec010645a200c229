"""Action inputs as the store keeps them."""

import traceback
from uuid import UUID

import pytest
from sqlalchemy import text

from enrichment_pipeline.events.inputs import EnrichmentInput, input_key
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.inputs import read_inputs, remember_stored, store_inputs

HARD = [
    "it's",
    '"quoted"',
    "back\\slash",
    "\\'; DROP TABLE enrichment_input; --",
    "%s %(name)s 100%",
    "$1 {} :name",
    "line\nbreak\ttab",
    "Überraschung 🎉",
    "$$dollars$$",
]


def inputs_of(*texts: str) -> dict[UUID, EnrichmentInput]:
    """Inputs with these texts in all their fields."""
    made = [EnrichmentInput(text, text, text, text, text) for text in texts]
    return {input_key(one): one for one in made}


@pytest.mark.parametrize("hard", HARD)
def test_whatever_an_input_holds_is_kept_as_it_is(store: Store, hard: str) -> None:
    inputs = inputs_of(hard)
    store_inputs(store, inputs)
    assert read_inputs(store, list(inputs)) == inputs


def test_an_error_quotes_nothing_of_an_input(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("ALTER TABLE enrichment_input RENAME TO away"))
    inputs = inputs_of("ann@shop.example")
    with pytest.raises(Exception, match="enrichment_input") as raised:
        store_inputs(store, inputs)
    assert "ann@shop.example" not in "".join(traceback.format_exception(raised.value))
    with store.transaction() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO enrichment_input"))


def test_inputs_are_stored_again_until_something_durable_followed_them(store: Store) -> None:
    inputs = inputs_of("one", "other")
    assert set(store_inputs(store, inputs)) == inputs.keys()
    assert set(store_inputs(store, inputs)) == inputs.keys()
    remember_stored(store, list(inputs))
    assert store_inputs(store, inputs) == []
    assert read_inputs(store, list(inputs)) == inputs
