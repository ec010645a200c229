"""Opening the store: the embedded server or `DATABASE_URL`, its engine, its two databases.

This module makes sure of all that must hold before the first query: the server runs, the databases
exist, the schema is current. The contents of tables belong to other modules.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.databases import CONNECT, ensure_database, holds_a_store
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres, EmbeddedPostgresError
from enrichment_pipeline.store.database.embedded_server import ServerFiles
from enrichment_pipeline.store.database.errors import (
    StoreError,
    StoreUnavailableError,
    first_line,
)
from enrichment_pipeline.store.database.transactions import READ_COMMITTED, REPEATABLE_READ, begin
from enrichment_pipeline.wording import command

EMBEDDED_DATABASE = "enrichment"


@dataclass(frozen=True)
class Store:
    """An open store. It keeps the embedded server alive for as long as it is open."""

    settings: Settings
    """The settings it was opened with; another process can open the same store with them."""
    engine: Engine
    dagster_url: str
    """Where Dagster keeps its own tables: another database on the same server, because Dagster and
    this project both have a table `alembic_version`."""
    embedded: EmbeddedPostgres | None = None

    @property
    def window(self) -> timedelta:
        """Length of a window."""
        return self.settings.window

    @contextmanager
    def transaction(
        self, isolation: str = READ_COMMITTED, *, durable: bool = True
    ) -> Iterator[Connection]:
        """A connection in a transaction that commits at the end of the block; see `begin`.

        Raises:
            StoreUnavailableError: the connection was lost.
        """
        try:
            with begin(self.engine, isolation, durable=durable) as connection:
                yield connection
        except DBAPIError as error:
            if error.connection_invalidated:
                raise StoreUnavailableError(f"PostgreSQL went away: {first_line(error)}") from error
            raise

    @contextmanager
    def bounded(self, seconds: int) -> Iterator[Connection]:
        """The same for a caller with a waiting person: a statement that takes longer is
        cancelled."""
        with self.transaction() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{seconds:d}s'"))
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The same for statements that must see one state: without it, two sums of the same events
        differ while events come in."""
        with self.transaction(REPEATABLE_READ) as connection:
            yield connection

    def ensure_dagster_database(self) -> None:
        """Make Dagster's database where it is not there; whoever takes events in needs none.

        Raises:
            StoreError: it cannot be had; one line that says what to do.
        """
        ensure_database(make_url(self.dagster_url))

    def has_dagster_database(self) -> bool:
        """Whether Dagster has ever been at work here."""
        return holds_a_store(make_url(self.dagster_url))

    def close(self) -> None:
        """Close all connections, and release the embedded server if this process uses it."""
        self.engine.dispose()
        if self.embedded:
            self.embedded.stop_using()


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name: start the embedded server if they name no database,
    and create the databases and their tables. The schema of an older version is brought up to date
    on the embedded server, elsewhere only if the settings say so.

    Raises:
        StoreError: it cannot be opened; one line that says why and what to do.
    """
    # Alembic takes half a second to import, which workers of an open store need not wait for.
    from enrichment_pipeline.store.database.schema import migrate

    store = connect_store(settings)
    is_ours = store.embedded is not None
    try:
        migrate(store.engine, store.window, is_wanted=is_ours or settings.auto_migrate)
    except BaseException:
        store.close()
        raise
    return store


def connect_store(settings: Settings) -> Store:
    """Connect to a store that another process has opened and brought up to date.

    Raises:
        StoreError: as `open_store`.
    """
    embedded: EmbeddedPostgres | None = None
    if settings.database_url is None:
        embedded = EmbeddedPostgres(settings.home)
        url = _embedded_url(embedded)
    else:
        url = make_url(settings.database_url.get_secret_value())
    try:
        return _connected(settings, url.set(drivername="postgresql+psycopg"), embedded)
    except BaseException:
        if embedded:
            embedded.stop_using()
        raise


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """`open_store`, closed at the end of the block."""
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def existing_store(settings: Settings) -> Iterator[Store]:
    """`opened_store` for commands that take no events in: a missing store is not created.

    Raises:
        StoreError: there is none; one line that says what to do. Otherwise as `open_store`.
    """
    must_exist(settings)
    with opened_store(settings) as store:
        yield store


def must_exist(settings: Settings) -> None:
    """Refuse settings that name no existing store; nothing is created or started.

    Raises:
        StoreError: there is none, or its server does not answer.
    """
    if settings.database_url is None:
        # PostgreSQL writes this file last when it creates its folder.
        is_there = (ServerFiles.of(settings.home).data / "PG_VERSION").exists()
        where, name = str(settings.home.resolve()), "ENRICHMENT_HOME"
    else:
        url = make_url(settings.database_url.get_secret_value())
        is_there = holds_a_store(url)
        where = f"the database {url.database}, which is empty or does not exist"
        name = "DATABASE_URL"
    if not is_there:
        raise StoreError(
            f"there is no store in {where}; name the right one in {name}, or make one by taking "
            f"events in: {command('up')}"
        )


def _start(embedded: EmbeddedPostgres) -> None:
    try:
        embedded.start()
    except EmbeddedPostgresError as error:
        raise StoreUnavailableError(str(error)) from error


def _embedded_url(embedded: EmbeddedPostgres) -> URL:
    _start(embedded)
    address = embedded.address
    return URL.create(
        "postgresql",
        username=address.user,
        database=EMBEDDED_DATABASE,
        # A socket's folder cannot be the host part of a URL.
        query={"host": address.host, "port": str(address.port)},
    )


def _connected(settings: Settings, url: URL, embedded: EmbeddedPostgres | None) -> Store:
    dagster_url = url.set(database=f"{url.database}_dagster", drivername="postgresql+psycopg2")
    ensure_database(url)
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # `begin` begins transactions, and notices lost connections
        use_native_hstore=False,  # no column has this type, and looking for it costs a query
        hide_parameters=True,  # they are people's events, and errors end up in logs
        # PgBouncer gives the next transaction another connection, without prepared statements.
        connect_args={
            **CONNECT,
            "prepare_threshold": None,
            # Shown in pg_stat_activity.
            "fallback_application_name": f"enrichment-pipeline {os.getpid()}",
        },
    )
    if embedded:
        # If the server dies while this process lives, the next new connection starts it again.
        event.listen(engine, "do_connect", lambda *_: _start(embedded))
    return Store(
        settings=settings,
        engine=engine,
        dagster_url=dagster_url.render_as_string(hide_password=False),
        embedded=embedded,
    )
