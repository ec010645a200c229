"""Reading as the role that may only read, with a time limit.

Opening a store in this way changes nothing in it. Running any SQL belongs to `query`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, connect_store, must_exist
from enrichment_pipeline.store.database.errors import StoreError, driver_error
from enrichment_pipeline.store.database.roles import READER, reads_as_reader
from enrichment_pipeline.store.database.secrets import PSEUDONYM_KEY, lent_secret
from enrichment_pipeline.store.database.tables import (
    dead_letter,
    enriched_change,
    enriched_event,
    person,
    raw_batch,
    session_timeline,
    store_setting,
)
from enrichment_pipeline.wording import command

_READ = (
    *(dead_letter, enriched_change, enriched_event, person, raw_batch),
    *(session_timeline, store_setting),
)
_CHECK_SECONDS = 10
_QUERY_CANCELED = "57014"


@contextmanager
def reading(store: Store, seconds: int) -> Iterator[Connection]:
    """A connection that cannot write: PostgreSQL refuses it by the role (if there is one) and by
    the transaction. A statement that takes longer than so many seconds is cancelled.

    Raises:
        StoreError: the connected role may not become the reading role, or may not read the key of
            the pseudonyms, which the reading role cannot read.
    """
    with store.bounded(seconds) as connection:
        # It cannot be made writable again after its first query, which is the next statement.
        connection.execute(text("SET TRANSACTION READ ONLY"))
        as_reader = reads_as_reader(connection)
        with lent_secret(connection, PSEUDONYM_KEY):
            if as_reader:
                connection.execute(text(f"SET LOCAL ROLE {READER}"))
            yield connection


@contextmanager
def reading_payloads(store: Store, seconds: int) -> Iterator[Connection]:
    """The same for our own queries over raw events, which the reading role may not read: they are
    as they arrived. Whoever shows something of them masks it.

    Raises:
        StoreError: the connected role may not read them.
    """
    with store.bounded(seconds) as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        if not connection.scalar(text("SELECT has_table_privilege('raw_event', 'SELECT')")):
            raise StoreError("the role of DATABASE_URL may not read raw_event, which holds that")
        yield connection


def took_too_long(error: BaseException) -> bool:
    """Whether a statement was cancelled for taking too long."""
    found = driver_error(error)
    return found is not None and found.sqlstate == _QUERY_CANCELED


@contextmanager
def opened_for_reading(settings: Settings) -> Iterator[Store]:
    """An existing, up-to-date store, closed at the end of the block. Nothing is created or
    migrated; only a stopped embedded server is started.

    Raises:
        StoreError: there is no such store; one line that says what to do.
    """
    must_exist(settings)
    store = connect_store(settings)
    try:
        _must_be_current(store)
        yield store
    finally:
        store.close()


def _must_be_current(store: Store) -> None:
    wanted = {(table.name, column.name) for table in _READ for column in table.columns}
    with reading(store, _CHECK_SECONDS) as connection:
        rows = connection.execute(
            text(
                """
                SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = current_schema()
                """
            )
        )
        missing = wanted - {(row.table_name, row.column_name) for row in rows}
    if missing:
        table, column = min(missing)
        raise StoreError(
            f"the store has no {table}.{column} that may be read: an older version made it; "
            f"`{command('migrate')}` brings it up to date"
        )
