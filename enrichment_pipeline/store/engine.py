"""Opening the store: the embedded server or `DATABASE_URL`, its engine, its two databases.

Everything that must hold before the first query belongs here: the server runs, the databases exist,
the schema is current. What is in the tables belongs to the other modules of this room.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.embedded import EmbeddedPostgres, EmbeddedPostgresError
from enrichment_pipeline.store.errors import (
    StoreError,
    StoreUnavailableError,
    driver_error,
    first_line,
)

EMBEDDED_DATABASE = "enrichment"

_CONNECT_SECONDS = 10

# A server that fails over, or a firewall that forgets a connection, says nothing: without these,
# who waits for an answer waits for hours.
_CONNECT = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

# The same for the server, which holds our locks: it notices that we are gone, even while it waits
# for a lock or for our next statement.
_SESSION = {
    "timezone": "UTC",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "5s",
    "idle_in_transaction_session_timeout": "10min",
}

# Parameters of libpq that may stand in a URL's query and should not stand in a message.
_SECRETS = ("password", "sslpassword")


@dataclass(frozen=True)
class Store:
    """An open store. It keeps the embedded server alive for as long as it is open."""

    settings: Settings
    """What it was opened with; a process of its own opens the same store with them."""
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
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction that commits at the end of the block."""
        with self._connected(self.engine) as connection:
            yield connection

    @contextmanager
    def bounded(self, seconds: int) -> Iterator[Connection]:
        """The same for who is waited for: a statement that takes longer is given up."""
        with self.transaction() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{seconds:d}s'"))
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The same for statements that must all see one state: while events come in, two sums of
        the same events are never equal otherwise."""
        engine = self.engine.execution_options(isolation_level="REPEATABLE READ")
        with self._connected(engine) as connection:
            yield connection

    @staticmethod
    @contextmanager
    def _connected(engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            if error.connection_invalidated:
                raise StoreUnavailableError(f"PostgreSQL went away: {first_line(error)}") from error
            raise

    def close(self) -> None:
        """Give back all connections, and the embedded server if this process uses it."""
        self.engine.dispose()
        if self.embedded:
            self.embedded.stop_using()


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name, starting the embedded server where they name none,
    creating the databases and bringing the schema up to date.

    Raises:
        StoreError: it cannot be had; one line that says why and what to do.
    """
    # Alembic takes half a second to import, which workers of an open store need not wait for.
    from enrichment_pipeline.store.schema import migrate

    store = connect_store(settings)
    try:
        migrate(store.engine, settings.first_partition(datetime.now(UTC).date()), store.window)
    except BaseException as error:
        store.close()
        if isinstance(driver_error(error), psycopg.errors.InsufficientPrivilege):
            url = store.engine.url
            raise StoreError(
                f"{url.username} may not make what the store needs: {first_line(error)}; "
                f'run: ALTER DATABASE "{url.database}" OWNER TO "{url.username}"'
            ) from error
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


def _options() -> str:
    return " ".join(f"-c {name}={value}" for name, value in _SESSION.items())


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
        # The folder of a socket cannot stand where a URL has its host.
        query={"host": address.host, "port": str(address.port)},
    )


def _connected(settings: Settings, url: URL, embedded: EmbeddedPostgres | None) -> Store:
    dagster_url = url.set(database=f"{url.database}_dagster", drivername="postgresql+psycopg2")
    for database in (url.database, dagster_url.database):
        _ensure_database(url, str(database))
    engine = create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,  # they are people's events, and errors end up in logs
        connect_args={**_CONNECT, "options": _options()},
    )
    if embedded:
        # Should the server die under this process, the next new connection starts it again.
        event.listen(engine, "do_connect", lambda *_: _start(embedded))
    return Store(
        settings=settings,
        engine=engine,
        dagster_url=dagster_url.render_as_string(hide_password=False),
        embedded=embedded,
    )


def _ensure_database(url: URL, name: str) -> None:
    try:
        if _exists(url.set(database=name)):
            return
        with _connect(url.set(database="postgres")) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return  # another process was faster
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f'database "{name}" does not exist and {url.username} may not create it; '
            f'run: CREATE DATABASE "{name}" OWNER "{url.username}"'
        ) from error
    except psycopg.Error as error:
        shown = url.set(drivername="postgresql").difference_update_query(_SECRETS)
        where = shown.render_as_string(hide_password=True)
        raise StoreUnavailableError(
            f"DATABASE_URL={where}: no connection: {first_line(error)}"
        ) from error


def _exists(url: URL) -> bool:
    try:
        _connect(url).close()
    except psycopg.OperationalError as error:
        if "does not exist" in str(error) and "database" in str(error):
            return False
        raise
    return True


def _connect(url: URL) -> psycopg.Connection[tuple[object, ...]]:
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(make_conninfo(conninfo, **_CONNECT), autocommit=True)
