"""Reading for somebody else, as the role that may read and nothing else, within a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.roles import READER, reader_exists


@contextmanager
def reading(store: Store, seconds: int) -> Iterator[Connection]:
    """A connection that cannot write: PostgreSQL refuses it by the role (where there is one) and by
    the transaction. A statement that takes longer than so many seconds is given up."""
    with store.bounded(seconds) as connection:
        if reader_exists(connection):
            connection.execute(text(f"SET LOCAL ROLE {READER}"))
        connection.execute(text("SET TRANSACTION READ ONLY"))
        yield connection
