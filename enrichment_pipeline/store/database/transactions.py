"""The parameters that every transaction sets, whatever the server, database or role has set.

They are set in each transaction and not on the connection: a pooler such as PgBouncer refuses the
start-up parameter `options`, and passes a connection with its parameters to the next client.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

READ_COMMITTED = "READ COMMITTED"
"""The isolation of transactions. A role may have another default: after waiting for a lock, a
statement would not see the changes that it waited for."""

REPEATABLE_READ = "REPEATABLE READ"

# The format of values: times are shown as they come, and psycopg reads only one form of some.
_FORMS = {"timezone": "UTC", "datestyle": "ISO", "intervalstyle": "postgres"}

# A limit for short transactions would cancel a claim of 50,000 events, a migration or retention at
# every attempt. Callers that somebody waits for set their own: `Store.bounded`.
_NO_LIMITS = {"statement_timeout": "0", "lock_timeout": "0"}
_NO_LIMITS_FROM_17 = {"transaction_timeout": "0"}
_LIMITED_WHOLE = 17

# The server holds our locks: this lets it notice that the client is gone, even while it waits for a
# lock or for our next statement.
_PRESENT = {"client_connection_check_interval": "5s"}
_PRESENCE = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    **_PRESENT,
    "idle_in_transaction_session_timeout": "10min",
}


def _local(settings: Mapping[str, str]) -> str:
    return "; ".join(f"SET LOCAL {name} TO '{value}'" for name, value in settings.items())


_NOT_DURABLE = _local({"synchronous_commit": "off"})

SET_FORMS = _local(_FORMS)
"""Statements at the beginning of a transaction for a query from outside: the role's limits
apply."""

_SET_ALL = _local({**_FORMS, **_NO_LIMITS, **_PRESENCE})
_SET_ALL_FROM_17 = _local({**_FORMS, **_NO_LIMITS, **_NO_LIMITS_FROM_17, **_PRESENCE})


def settings_of_ours(server: int) -> str:
    """Statements at the beginning of a transaction of our own, by the server's major version."""
    return _SET_ALL_FROM_17 if server >= _LIMITED_WHOLE else _SET_ALL


@contextmanager
def begin(
    engine: Engine, isolation: str = READ_COMMITTED, *, durable: bool = True
) -> Iterator[Connection]:
    """A connection in a transaction of our own that commits at the end of the block.

    Without `durable` the commit does not wait for the disk: what was written is visible at once,
    and durable before all that is committed after it.
    """
    # Closing the connection rolls back what is not committed.
    with _begun(engine, isolation, durable) as connection:
        yield connection
        connection.commit()


def _begun(engine: Engine, isolation: str, durable: bool) -> Connection:
    """A connection in a transaction. One that the server has closed since it was used last is found
    out by the first message, and another is taken."""
    try:
        return _begin(engine, isolation, durable)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    return _begin(engine, isolation, durable)


def _begin(engine: Engine, isolation: str, durable: bool) -> Connection:
    connection = engine.connect()
    try:
        server = (connection.dialect.server_version_info or (0,))[0]
        settings = settings_of_ours(int(server))
        if not durable:
            settings += f"; {_NOT_DURABLE}"
        # In one message: each takes as long as the writing of an event.
        connection.exec_driver_sql(f"BEGIN ISOLATION LEVEL {isolation}; {settings}")
    except BaseException:
        connection.close()
        raise
    return connection


def driver_of(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    """The driver's connection, which has more (COPY, cursors of the server), and with which a
    statement costs half as much."""
    return cast("psycopg.Connection", connection.connection.driver_connection)


def no_limits(server: int) -> tuple[str, ...]:
    """The limits on time that a server of this major version has for a session; 0 is none."""
    newer = _NO_LIMITS_FROM_17 if server >= _LIMITED_WHOLE else {}
    return (*_NO_LIMITS, *newer, "idle_in_transaction_session_timeout")


@contextmanager
def without_limits(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[None]:
    """For statements that cannot run in a transaction; a pooler's connection is left as it was."""
    limits = no_limits(connection.info.server_version // 10_000)
    values = {**dict.fromkeys(limits, "0"), **_PRESENT}
    connection.execute("; ".join(f"SET {name} TO '{value}'" for name, value in values.items()))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("; ".join(f"RESET {name}" for name in values))


def wait_long(connection: Connection) -> None:
    """Allow this transaction to be idle for hours, while other work is done."""
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout TO '0'")
