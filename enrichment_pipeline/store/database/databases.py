"""The databases on the server: connecting to them, creating missing ones, and refusing those that
cannot hold a store. Creating their contents belongs to `schema`."""

from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL

from enrichment_pipeline.store.database.errors import StoreError, StoreUnavailableError, first_line
from enrichment_pipeline.store.database.transactions import settings_of_ours, without_limits

# After a fail-over, or when a firewall forgets a connection, the server says nothing: without these
# parameters a client would wait for hours.
CONNECT: dict[str, Any] = {
    "connect_timeout": 10,
    "client_encoding": "utf8",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Parameters of libpq for every connection."""

_OLDEST = 14
_NEW_SECONDS = 60

# Parameters of libpq that may be in a URL's query and must not be shown in a message.
_SECRETS = ("password", "sslpassword")

_Connection = psycopg.Connection[tuple[object, ...]]


def ensure_database(url: URL) -> None:
    """Create this database if it is missing, and the schema that its tables will be in.

    Raises:
        StoreError: it cannot be created, or not be used; one line that says what to do.
    """
    try:
        with _reached(url) as connection:
            _refuse_what_cannot_be_used(connection)
            with connection.transaction():
                connection.execute(settings_of_ours(connection.info.server_version // 10_000))
                _ensure_schema(connection, str(url.query.get("options")))
    except psycopg.Error as error:
        raise _no_connection(url, error) from error


def holds_a_store(url: URL) -> bool:
    """Whether this database exists and holds a store; nothing is created.

    Raises:
        StoreUnavailableError: the server does not answer.
    """
    try:
        with _connect(url) as connection:
            found = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
            return found != (None,)
    except psycopg.Error as error:
        try:
            with _connect(url.set(database="postgres")) as maintenance:
                is_there = _has(maintenance, url)
        except psycopg.OperationalError:
            is_there = True
        if is_there:
            raise _no_connection(url, error) from error
        return False


def _has(maintenance: _Connection, url: URL) -> bool:
    query = "SELECT FROM pg_database WHERE datname = %s"
    return maintenance.execute(query, (url.database,)).fetchone() is not None


def _no_connection(url: URL, error: psycopg.Error) -> StoreUnavailableError:
    shown = url.set(drivername="postgresql").difference_update_query(_SECRETS)
    where = shown.render_as_string(hide_password=True)
    return StoreUnavailableError(f"DATABASE_URL={where}: no connection: {first_line(error)}")


def _reached(url: URL) -> _Connection:
    try:
        return _connect(url)
    except psycopg.OperationalError:
        # The reason is only in the server's language, so the server is asked whether it exists.
        if not _is_there_now(url):
            raise
        # PgBouncer has cached for a while that the database does not exist.
        return _connect(url, connect_timeout=_NEW_SECONDS)


def _is_there_now(url: URL) -> bool:
    """Whether the database exists, created here or by another process a moment ago."""
    try:
        maintenance = _connect(url.set(database="postgres"))
    except psycopg.OperationalError:
        return False
    name, user = url.database, maintenance.info.user
    with maintenance as connection, without_limits(connection):
        if _has(connection, url):
            return True
        statement = sql.SQL("CREATE DATABASE {} {}").format(
            sql.Identifier(str(name)), sql.SQL(_encoding(connection))
        )
        try:
            connection.execute(statement)
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return True  # another process was faster
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreError(
                f'database "{name}" does not exist and {user} may not create it; '
                f'run: CREATE DATABASE "{name}" OWNER "{user}"'
            ) from error
    return True


def _encoding(connection: _Connection) -> str:
    """The clause for the encoding, if new databases of this server have another one by default."""
    row = connection.execute(
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template1'"
    ).fetchone()
    return "" if row == ("UTF8",) else _UTF8


# The only locale that works with every encoding.
_UTF8 = "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"


def _refuse_what_cannot_be_used(connection: _Connection) -> None:
    info = connection.info
    if info.server_version < _OLDEST * 10_000:
        version = info.parameter_status("server_version")
        raise StoreError(f"PostgreSQL {_OLDEST} or newer is needed; {info.host} has {version}")
    encoding = info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(
            f'database "{info.dbname}" has the encoding {encoding}, which cannot hold every event; '
            f'drop it, and run: CREATE DATABASE "{info.dbname}" OWNER "{info.user}" {_UTF8}'
        )


def _ensure_schema(connection: _Connection, options: str) -> None:
    """Create the schema that the search_path names, if none of its schemas exists."""
    schema, path, source = connection.execute(
        "SELECT current_schema(), setting, source FROM pg_settings WHERE name = 'search_path'"
    ).fetchall()[0]
    user = connection.info.user
    if "search_path" in options and source != "client":
        raise StoreError(
            "DATABASE_URL: what pools its connections ignores `options`, and with it the "
            f'search_path; leave it out, and run: ALTER ROLE "{user}" SET search_path TO …'
        )
    if schema is not None:
        return
    name = str(path).split(",")[0].strip().strip('"').replace("$user", user)
    try:
        if name:
            create = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name))
            connection.execute(create)
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f'schema "{name}" of the search_path does not exist in "{connection.info.dbname}" and '
            f'{user} may not create it; run there: CREATE SCHEMA "{name}" AUTHORIZATION "{user}"'
        ) from error
    if connection.execute("SELECT current_schema()").fetchone() == (None,):
        names = str(path).replace('"', "") or "public"  # most likely, one string names several
        raise StoreError(
            f"the search_path, {path or 'empty'}, names no schema that can be used; "
            f'run: ALTER ROLE "{user}" SET search_path TO {names}'
        )


def _connect(url: URL, **parameters: int) -> _Connection:
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    given = {**CONNECT, **parameters}
    return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None, **given)
