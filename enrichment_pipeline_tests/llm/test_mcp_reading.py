"""Reading as the role that cannot write, and stores that are not there or not up to date."""

from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, connect_store
from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.ingest.people import pseudonym_key
from enrichment_pipeline.store.reading.as_reader import opened_for_reading, reading, took_too_long
from enrichment_pipeline.store.sessions.listing import list_sessions
from enrichment_pipeline.store.windows.freshness import newest_windows
from enrichment_pipeline_tests.databases import execute

WRITES = (
    "DELETE FROM enriched_event",
    "UPDATE store_secret SET value = 'mine' WHERE name = 'pseudonym_key'",
    "CREATE TABLE mine (a int)",
    "CREATE TEMP TABLE mine (a int)",
    "SET TRANSACTION READ WRITE",
)


def test_who_reads_cannot_write(store: Store) -> None:
    for statement in WRITES:
        with (
            pytest.raises(DBAPIError, match=r"permission denied|read-only|read-write mode"),
            reading(store, 5) as connection,
        ):
            connection.execute(text(statement))


def test_the_role_alone_keeps_from_writing(store: Store) -> None:
    with reading(store, 5) as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one() == "enrichment_reader"
    with store.transaction() as connection:
        connection.execute(text("SET LOCAL ROLE enrichment_reader"))
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text("DELETE FROM enriched_event"))


def test_whoever_reads_next_writes_again(store: Store) -> None:
    with reading(store, 5):
        pass
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM alert"))
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "0"


@pytest.mark.slow
def test_a_statement_has_so_many_seconds(store: Store) -> None:
    with pytest.raises(DBAPIError) as caught, reading(store, 1) as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    assert took_too_long(caught.value)
    assert not took_too_long(ValueError())


def test_a_login_that_may_not_become_the_reader_or_not_see_the_key_learns_what_to_run(
    store: Store, server: EmbeddedPostgres
) -> None:
    name = sql.Identifier("outsider")
    execute(server, sql.SQL("CREATE ROLE {} LOGIN").format(name))
    try:
        url = store.engine.url.set(username="outsider", drivername="postgresql")
        settings = Settings(database_url=SecretStr(url.render_as_string()))
        with (
            pytest.raises(StoreError, match='GRANT enrichment_reader TO "outsider"'),
            opened_for_reading(settings),
        ):
            pass
        execute(server, sql.SQL("GRANT enrichment_reader TO {}").format(name))
        with (
            pytest.raises(StoreError, match='GRANT SELECT ON store_secret TO "outsider"'),
            opened_for_reading(settings),
        ):
            pass
        with store.transaction() as connection:
            connection.execute(text('GRANT SELECT ON store_secret TO "outsider"'))
        with opened_for_reading(settings) as opened, reading(opened, 5) as connection:
            assert newest_windows(connection, 3) == []
            assert list_sessions(connection, person="person_0123456789") == []
    finally:
        with store.transaction() as connection:
            connection.execute(text("DROP OWNED BY outsider"))
        execute(server, sql.SQL("DROP ROLE {}").format(name))


def test_who_reads_names_people_and_cannot_see_the_key_that_names_them(store: Store) -> None:
    with store.transaction() as connection:
        key = pseudonym_key(connection)
    with reading(store, 5) as connection:
        assert pseudonym_key(connection) == key
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text("SELECT * FROM store_secret"))
    with store.transaction() as connection:
        connection.execute(text("SET LOCAL ROLE enrichment_reader"))
        with pytest.raises(DBAPIError, match="permission denied"):
            pseudonym_key(connection)


def test_where_no_store_is_none_is_made(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "nowhere")
    with pytest.raises(StoreError, match="there is no store in"), opened_for_reading(settings):
        pass
    assert not settings.home.exists()


def test_where_no_database_is_none_is_made(store: Store) -> None:
    url = store.engine.url.set(database="nobody_made_it", drivername="postgresql")
    settings = Settings(database_url=SecretStr(url.render_as_string()))
    with pytest.raises(StoreError, match="does not exist"), opened_for_reading(settings):
        pass
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url.render_as_string())


def test_a_store_of_an_older_version_is_not_migrated(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("ALTER TABLE session_timeline DROP COLUMN outline"))
    with (
        pytest.raises(StoreError, match=r"no session_timeline\.outline.*migrate. brings"),
        opened_for_reading(store.settings),
    ):
        pass


def test_the_newest_windows_are_found_however_many_batches_they_have(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(
            text(
                """
                INSERT INTO raw_batch (window_start, source, state, event_count, due_at)
                SELECT timestamptz '2026-03-01 00:00Z' + make_interval(hours => number / 50),
                    'test', 'pending', 1, now()
                FROM generate_series(0, 249) number
                """
            )
        )
        found = newest_windows(connection, 3)
        assert [f"{window:%H}" for window in found] == ["04", "03", "02"]
        assert len(newest_windows(connection, 100)) == 5


def test_the_store_that_was_opened_is_closed(store: Store) -> None:
    with opened_for_reading(store.settings) as opened, reading(opened, 5):
        pass
    assert opened.engine.pool.status().startswith("Pool size: 5  Connections in pool: 0")
    connect_store(store.settings).close()
