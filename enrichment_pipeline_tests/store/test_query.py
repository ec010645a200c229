"""Asking anything, without being able to change it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.database.roles import READER, SQL_LOGIN, ensure_reader
from enrichment_pipeline.store.database.secrets import LEDGER_KEY, PSEUDONYM_KEY
from enrichment_pipeline.store.database.tables import READABLE
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.reading import query as module
from enrichment_pipeline.store.reading.query import query
from enrichment_pipeline_tests.conftest import FAST_AND_FORGETFUL, raw_events
from enrichment_pipeline_tests.databases import database_url, execute

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def loaded(server: EmbeddedPostgres) -> Iterator[Store]:
    """A store with two events, for tests that cannot change it, asked through its URL."""
    # A new one each time: a worker of a parallel run can come back to a module it has left.
    name = f"asked_{uuid4().hex[:12]}"
    with opened_store(Settings(database_url=database_url(server, name))) as store:
        load_events(store, raw_events(2, NOON), [], "test")
        yield store


@pytest.fixture
def embedded(loaded: Store, server: EmbeddedPostgres) -> Store:
    """The same store, asked as the one that this process started."""
    return replace(loaded, embedded=server)


def test_a_query_gives_columns_and_rows(loaded: Store) -> None:
    result = query(loaded, "SELECT event, count(*) AS n FROM raw_event GROUP BY 1")
    assert (result.columns, result.rows) == (["event", "n"], [("$pageview", 2)])


def test_a_percent_sign_is_no_placeholder(loaded: Store) -> None:
    assert query(loaded, "SELECT 1 AS one WHERE 'abc' LIKE '%b%'").rows == [(1,)]


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
        "INSERT INTO store_setting VALUES ('a', 'b') RETURNING name",
        "SELECT * FROM raw_event FOR UPDATE",
        "SELECT * INTO mine FROM raw_event",
        "CREATE TEMP TABLE mine (a int)",
        "COPY store_setting FROM STDIN",
        "DO 'BEGIN DELETE FROM raw_event; END'",
        "EXPLAIN ANALYZE DELETE FROM raw_event",
        "LOCK TABLE raw_event IN ACCESS EXCLUSIVE MODE",
        "SET default_transaction_read_only = off",
        "RESET ROLE",
        "COMMIT",
        "SELECT * FROM pg_authid",
        "SELECT pg_read_file('PG_VERSION')",
        "VACUUM",
        "SELEKT 1",
        "",
    ],
)
def test_a_statement_that_would_change_something_is_refused_in_one_line(
    loaded: Store, embedded: Store, statement: str
) -> None:
    for store in (loaded, embedded):
        with pytest.raises(StoreError) as raised:
            query(store, statement)
        assert "\n" not in str(raised.value)
    with loaded.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM raw_event")).scalar_one() == 2
        assert connection.execute(text("SELECT name FROM store_setting")).scalars().all() == [
            "window_minutes"
        ]


def test_a_block_of_code_cannot_take_its_role_back_and_run_a_program(loaded: Store) -> None:
    code = "BEGIN RESET ROLE; COPY (SELECT 1) TO PROGRAM ''cat > ran''; END"
    with pytest.raises(StoreError, match="sql takes one SELECT"):
        query(loaded, f"DO '{code}'")
    with loaded.transaction() as connection:
        # A program runs in the folder of the server's data.
        ran = connection.execute(text("SELECT pg_stat_file('ran', true) IS NOT NULL"))
        assert ran.scalar_one() is False


def test_whoever_asks_the_embedded_store_is_the_reader_and_cannot_become_another(
    embedded: Store,
) -> None:
    assert query(embedded, "SELECT session_user, current_user").rows == [(SQL_LOGIN, READER)]
    for setting in ("role", "session_authorization"):
        with pytest.raises(StoreError, match="permission denied"):
            query(embedded, f"SELECT set_config('{setting}', 'postgres', false)")


def test_nobody_logs_in_as_the_reading_role(loaded: Store, server: EmbeddedPostgres) -> None:
    url = loaded.engine.url.set(username=READER, drivername="postgresql").render_as_string()
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(url)
    # As a store of an earlier version has it.
    with loaded.transaction() as connection:
        connection.execute(text(f"ALTER ROLE {READER} LOGIN"))
        ensure_reader(connection)
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(url)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM store_secret",
        "SELECT set_config('role', 'none', false), "
        "query_to_xml('SELECT * FROM store_secret', true, true, '')",
        "SELECT set_config('role', 'enrichment_sql', false), "
        "query_to_xml('SELECT * FROM store_secret', true, true, '')",
        "SELECT * FROM ts_stat('SELECT to_tsvector(value) FROM store_secret')",
    ],
)
def test_whoever_asks_the_embedded_store_sees_no_secret(embedded: Store, statement: str) -> None:
    with pytest.raises(StoreError, match="permission denied"):
        query(embedded, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT set_config('role', 'none', false), (SELECT string_agg(word, '') FROM "
        "ts_stat('SELECT to_tsvector(value) FROM store_secret'))",
        "SELECT set_config('role', 'none', false), (SELECT string_agg(word, '') FROM "
        "pg_catalog.\"ts_stat\"('SELECT to_tsvector(value) FROM store_' || 'secret'))",
        "SELECT set_config('role', 'none', false), (SELECT string_agg(word, '') FROM "
        "U&\"t\\0073_stat\"('SELECT to_tsvector(value) FROM store_secret'))",
        "SELECT set_config('role', 'none', false), Table_To_XML('store_secret', true, true, '')",
        "WITH free AS MATERIALIZED (SELECT set_config('role', 'none', false)) "
        "SELECT * FROM free, store_secret",
    ],
)
def test_who_takes_back_the_role_sees_no_secret_all_the_same(loaded: Store, statement: str) -> None:
    with pytest.raises(StoreError, match=r"sql does not run|permission denied"):
        query(loaded, statement)


def test_no_table_that_the_reader_sees_holds_a_secret(loaded: Store, embedded: Store) -> None:
    with loaded.transaction() as connection:
        secrets = dict(connection.execute(text("SELECT name, value FROM store_secret")).all())
    assert secrets.keys() == {PSEUDONYM_KEY, LEDGER_KEY}
    for table in READABLE:
        seen = str(query(embedded, f"SELECT t::text FROM {table} t").rows)
        assert not any(secret in seen for secret in secrets.values()), table
    with pytest.raises(StoreError, match="permission denied"):
        query(loaded, "SELECT * FROM store_secret")


def test_the_reader_may_read_every_table(embedded: Store) -> None:
    for table in READABLE:
        assert query(embedded, f"SELECT count(*) FROM {table}").columns == ["count"]


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("WITH one AS (SELECT 1) SELECT * FROM one; -- the end", [(1,)]),
        ("SELECT 1 WHERE false", []),
    ],
)
def test_every_form_of_a_select_is_answered(
    loaded: Store, statement: str, rows: list[tuple[int]]
) -> None:
    assert query(loaded, statement).rows == rows


@pytest.mark.slow
def test_an_owner_who_is_no_superuser_asks_as_the_reading_role(tmp_path: Path) -> None:
    # Roles belong to a whole server; on that of the other tests a superuser has made this one.
    with EmbeddedPostgres(tmp_path, FAST_AND_FORGETFUL) as alone:
        execute(alone, sql.SQL("CREATE ROLE owner LOGIN CREATEROLE CREATEDB"))
        url = database_url(alone, "owned").replace(f"//{alone.address.user}@", "//owner@")
        with opened_store(Settings(database_url=url)) as store:
            found = query(store, "SELECT session_user, current_user, count(*) FROM raw_event")
    assert found.rows == [("owner", READER, 0)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM store_secret",
        'SELECT * FROM "public"."Store_Secret"'.lower(),
        "SELECT most_common_vals FROM pg_stats WHERE tablename LIKE 'store%'",
    ],
)
def test_where_there_is_no_role_to_read_as_the_secrets_are_refused_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(module, "reads_as_reader", lambda _: False)
    assert query(store, "SELECT count(*) FROM raw_event").rows == [(0,)]
    with pytest.raises(StoreError, match="has secrets of the store"):
        query(store, statement)
