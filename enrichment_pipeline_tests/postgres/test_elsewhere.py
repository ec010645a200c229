"""What is different on a server that is not the embedded one: what is made there, what is refused
in one line, and what a transaction has of its own."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.orchestration.instance import prepare_home, prepare_instance
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database import databases
from enrichment_pipeline.store.database.engine import Store, open_store, opened_store
from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.ingest.pulled import claimed
from enrichment_pipeline.store.reading.as_reader import reading, took_too_long
from enrichment_pipeline.store.reading.query import query
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import raw_events
from enrichment_pipeline_tests.postgres.conftest import LIMITED, PLAIN, POOLED, SCHEMA, Place
from enrichment_pipeline_tests.postgres.servers import TIME_ZONE, Server, pgbouncer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

only = pytest.mark.parametrize


def refusal(url: str) -> str:
    """The one line that a store is refused with."""
    with pytest.raises(StoreError) as raised, opened_store(Settings(database_url=url)) as store:
        store.ensure_dagster_database()
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


@pytest.fixture
def owner(elsewhere: Server) -> Iterator[str]:
    """A role, and the name of databases, that are gone after the test."""
    name = f"owner_{uuid4().hex[:8]}"
    elsewhere.make_role(name)
    yield name
    for suffix in ("", "_dagster"):
        elsewhere.do("DROP DATABASE IF EXISTS {} WITH (FORCE)", f"{name}{suffix}")
    elsewhere.do("DROP ROLE {}", name)


@only("place", [PLAIN, POOLED], indirect=True)
def test_who_is_no_member_of_the_reading_role_learns_what_to_run(
    place: Place, elsewhere: Server, owner: str
) -> None:
    with opened_store(Settings(database_url=place.url)) as store:
        for ask in (lambda: query(store, "SELECT 1"), lambda: reading(store, 5).__enter__()):
            with pytest.raises(StoreError, match="may not read as enrichment_reader") as raised:
                ask()
        _, _, statement = str(raised.value).partition("run: ")
        assert "\n" not in str(raised.value)
        role = str(store.engine.url.username)
        try:
            elsewhere.do(statement)
            load_events(store, raw_events(1, NOON), [], "test")
            found = query(store, "SELECT current_user, occurred_at::text FROM raw_event")
            assert found.rows == [("enrichment_reader", "2026-03-01 12:00:00+00")]
        finally:
            elsewhere.do("REVOKE enrichment_reader FROM {}", role)


def test_who_may_make_roles_asks_as_the_reading_role(elsewhere: Server, owner: str) -> None:
    elsewhere.do("ALTER ROLE {} CREATEROLE CREATEDB", owner)
    # From 16 on only who has made a role may give it to somebody.
    elsewhere.do("GRANT enrichment_reader TO {} WITH ADMIN OPTION", owner)
    with opened_store(Settings(database_url=elsewhere.url(owner, owner))) as store:
        found = query(store, "SELECT session_user, current_user, count(*) FROM raw_event")
    assert found.rows == [(owner, "enrichment_reader", 0)]


@only("encoding", ["SQL_ASCII", "LATIN1"])
@only("suffix", ["", "_dagster"])
def test_a_database_that_cannot_hold_every_event_is_refused(
    elsewhere: Server, owner: str, encoding: str, suffix: str
) -> None:
    elsewhere.make_databases(owner, owner)
    name = f"{owner}{suffix}"
    elsewhere.do("DROP DATABASE {}", name)
    statement = f"CREATE DATABASE {{}} OWNER {{}} ENCODING '{encoding}' TEMPLATE template0"
    elsewhere.do(statement, name, owner)
    error = refusal(elsewhere.url(owner, owner))
    assert f'database "{name}" has the encoding {encoding}' in error
    _, _, statement = error.partition("run: ")
    elsewhere.do("DROP DATABASE {}", name)
    elsewhere.do(statement)
    with opened_store(Settings(database_url=elsewhere.url(owner, owner))) as store:
        store.ensure_dagster_database()


def test_where_new_databases_have_another_encoding_those_of_a_store_are_made_with_utf8(
    elsewhere: Server, owner: str
) -> None:
    elsewhere.do("ALTER ROLE {} CREATEDB", owner)

    def make_template(encoding: str) -> None:
        elsewhere.do("ALTER DATABASE template1 IS_TEMPLATE false")
        elsewhere.do("DROP DATABASE template1")
        elsewhere.do(
            f"CREATE DATABASE template1 TEMPLATE template0 ENCODING '{encoding}' IS_TEMPLATE true"
        )

    make_template("SQL_ASCII")
    try:
        open_store(Settings(database_url=elsewhere.url(owner, owner))).close()
    finally:
        make_template("UTF8")


@only("place", [PLAIN], indirect=True)
def test_a_schema_that_is_missing_and_may_not_be_made_is_named(
    place: Place, elsewhere: Server
) -> None:
    database = place.url.rpartition("/")[2]
    elsewhere.do("ALTER DATABASE {} OWNER TO {}", f"{database}_dagster", "postgres")
    url = f"{place.url}?options=-csearch_path%3Dapp"
    error = refusal(url)
    _, _, statement = error.partition("run there: ")
    assert f'schema "app" of the search_path does not exist in "{database}_dagster"' in error
    elsewhere.do(statement, database=f"{database}_dagster")
    with opened_store(Settings(database_url=url)) as store, store.transaction() as connection:
        found = connection.execute(text("SELECT DISTINCT schemaname FROM pg_tables"))
        assert set(found.scalars()) >= {"app"}
        assert connection.execute(text("SELECT to_regclass('public.raw_batch')")).scalar() is None


@only("path", ["app, public", ""])
def test_a_search_path_that_names_no_schema_is_refused(
    elsewhere: Server, owner: str, path: str
) -> None:
    elsewhere.make_databases(owner, owner)
    elsewhere.do(f"ALTER ROLE {{}} SET search_path TO '{path}'", owner)
    error = refusal(elsewhere.url(owner, owner))
    assert f'search_path, "{path}", names no schema' in error
    _, _, statement = error.partition("run: ")
    elsewhere.do(statement)
    with opened_store(Settings(database_url=elsewhere.url(owner, owner))) as store:
        store.ensure_dagster_database()


def test_a_schema_that_the_pooler_does_not_hear_of_is_no_other_schema(
    elsewhere: Server, owner: str
) -> None:
    elsewhere.make_databases(owner, owner)
    options = "-csearch_path=app"
    with pgbouncer(elsewhere, [owner]) as port:
        assert "options" in refusal(elsewhere.url(owner, owner, port, options=options))
    with pgbouncer(elsewhere, [owner], ignore_startup_parameters="options") as port:
        error = refusal(elsewhere.url(owner, owner, port, options=options))
        assert f'run: ALTER ROLE "{owner}" SET search_path' in error


def test_databases_are_made_through_a_pooler_under_a_limit(
    elsewhere: Server, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.do("ALTER ROLE {} CREATEDB", owner)
    elsewhere.do("ALTER ROLE {} SET statement_timeout TO '100ms'", owner)
    # It believes in what it has read longer than a connection is waited for.
    monkeypatch.setitem(databases.CONNECT, "connect_timeout", 2)
    with (
        pgbouncer(elsewhere, [owner], server_login_retry=3) as port,
        # While somebody is in the template, to make a database of it takes longer than the limit.
        psycopg.connect(elsewhere.url("template1")) as somebody,
    ):
        threading.Timer(1, somebody.close).start()
        open_store(Settings(database_url=elsewhere.url(owner, owner, port))).close()


@only("place", [LIMITED], indirect=True)
def test_a_limit_of_the_role_is_none_of_our_transactions_but_who_waits_has_one(
    place: Place, store_there: Store
) -> None:
    with store_there.transaction() as connection:
        connection.execute(text("SELECT pg_sleep(2.5)"))  # past each of its limits
    with pytest.raises(DBAPIError) as raised, store_there.bounded(1) as connection:
        connection.execute(text("SELECT pg_sleep(60)"))
    assert took_too_long(raised.value)


@pytest.fixture
def store_there(place: Place) -> Iterator[Store]:
    """An open store in the place."""
    with opened_store(Settings(database_url=place.url)) as store:
        yield store


@only("place", [PLAIN, POOLED, LIMITED], indirect=True)
def test_what_a_pull_has_claimed_is_its_own_until_it_ends(place: Place, store_there: Store) -> None:
    with opened_store(Settings(database_url=place.url)) as other:
        with claimed(store_there, "folder") as ours:
            # Another transaction in between gets the same connection of a pooler.
            with store_there.transaction() as connection:
                connection.execute(text("SELECT pg_sleep(0.3)"))
            with claimed(other, "folder") as theirs:
                assert (ours, theirs) == (True, False)
            with claimed(other, "another") as theirs:
                assert theirs
        with claimed(other, "folder") as theirs:
            assert theirs


@only("place", [PLAIN, POOLED, SCHEMA], indirect=True)
@pytest.mark.usefixtures("place")
def test_dagster_writes_its_times_in_utc(
    store_there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", TIME_ZONE)  # and put back afterwards
    home = prepare_home(tmp_path)
    prepare_instance(home, alone=False)
    before = datetime.now(UTC) - timedelta(minutes=1)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("any", ["one"])
        engine = instance._event_storage._engine  # type: ignore[attr-defined]
        with engine.connect() as connection:
            made = connection.execute(text("SELECT create_timestamp FROM dynamic_partitions"))
            assert before < made.scalar_one().replace(tzinfo=UTC) < before + timedelta(minutes=2)


def test_an_older_server_than_any_that_was_tried_is_refused(
    elsewhere: Server, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.make_databases(owner, owner)
    monkeypatch.setattr("enrichment_pipeline.store.database.databases._OLDEST", 99)
    assert "PostgreSQL 99 or newer is needed" in refusal(elsewhere.url(owner, owner))


@only("place", [POOLED], indirect=True)
@pytest.mark.usefixtures("place")
def test_one_line_says_what_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none?options=-csearch_path")
    result = call("status")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
