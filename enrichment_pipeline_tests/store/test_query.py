"""Asking anything, without being able to change it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.errors import StoreError
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline.store.query import query
from enrichment_pipeline_tests.conftest import raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_query_gives_columns_and_rows(store: Store) -> None:
    load_events(store, raw_events(2, NOON), [], "test")
    result = query(store, "SELECT event, count(*) AS n FROM raw_event GROUP BY 1")
    assert (result.columns, result.rows) == (["event", "n"], [("$pageview", 2)])


def test_a_percent_sign_is_no_placeholder(store: Store) -> None:
    assert query(store, "SELECT 1 AS one WHERE 'abc' LIKE '%b%'").rows == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM raw_event",
        "INSERT INTO store_setting VALUES ('a', 'b')",
        "CREATE TABLE mine (a int)",
        "DROP TABLE raw_event",
        "WITH gone AS (DELETE FROM raw_event RETURNING 1) SELECT * FROM gone",
        "SELECT 1; DELETE FROM raw_event",
        "COMMIT; DELETE FROM raw_event",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT query_to_xml('DELETE FROM raw_event', true, true, '')",
        "SELECT set_config('role', 'none', false), "
        "query_to_xml('DELETE FROM raw_event RETURNING 1', true, true, '')",
        "COPY raw_event TO PROGRAM 'cat'",
        "SELECT lo_create(0)",
        "SELECT nextval(pg_get_serial_sequence('raw_batch', 'id'))",
        "VACUUM",
        "SELEKT 1",
        "",
    ],
)
def test_a_statement_that_would_change_something_is_refused_in_one_line(
    store: Store, statement: str
) -> None:
    load_events(store, raw_events(2, NOON), [], "test")
    with pytest.raises(StoreError) as told:
        query(store, statement)
    assert "\n" not in str(told.value)
    with store.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM raw_event")).scalar_one() == 2
