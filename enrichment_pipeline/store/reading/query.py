"""Running any SELECT as a role that cannot write. The pipeline's own queries do not belong here."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg import sql

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreError, first_line
from enrichment_pipeline.store.database.roles import (
    READER,
    SQL_LOGIN,
    ensure_sql_login,
    reads_as_reader,
)
from enrichment_pipeline.store.database.transactions import SET_FORMS

# With SET ROLE alone, a function of PostgreSQL or of an extension that runs SQL from text could
# reset the role (by set_config) and then read as the owner. There is no other way: the statement's
# own rights are checked before it begins.
_RUNS_SQL = re.compile(
    r'\b(?:ts_stat|ts_rewrite|\w+_to_xml\w*|dblink\w*|crosstab\w*|connectby)\b|\bU&"', re.IGNORECASE
)

# Where there is no role to read as, the statement has the rights of the owner.
_SECRET = re.compile(r"\b(?:store_secret|pg_statistic\w*|pg_stats\w*)\b", re.IGNORECASE)


class QueryResult(NamedTuple):
    """The result of a query: the names of its columns, and its rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def query(store: Store, statement: str) -> QueryResult:
    """Run one SELECT in a read-only transaction, as the reading role.

    Raises:
        StoreError: PostgreSQL refused it, or SET ROLE to the reading role is not allowed; one line
            that says why.
    """
    with store.transaction() as connection:
        has_reader = reads_as_reader(connection)
        has_login = bool(store.embedded) and has_reader
        if has_login:
            ensure_sql_login(connection)
    url = store.engine.url.set(drivername="postgresql")
    # A login with only a reader's rights has no others to return to; SET ROLE could be undone
    # inside a function.
    if has_login:
        url = url.set(username=SQL_LOGIN)
    elif found := _RUNS_SQL.search(statement):
        raise StoreError(
            f"sql does not run {found[0]}: it could run SQL with more rights than those of {READER}"
        )
    elif not has_reader and (found := _SECRET.search(statement)):
        raise StoreError(f"sql does not read {found[0]}: it has secrets of the store")
    conninfo = url.render_as_string(hide_password=False)
    try:
        with psycopg.connect(conninfo, prepare_threshold=None, connect_timeout=10) as connection:
            connection.read_only = True
            connection.execute(SET_FORMS)
            if has_reader:
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(READER)))
            # A transaction cannot be made writable again after its first query.
            connection.execute("SELECT 1")
            # A cursor can be declared only for one query. DO could reset the role, and COPY TO
            # PROGRAM does not count as writing in a read-only transaction.
            with connection.cursor(name="query") as cursor:
                cursor.execute(statement.encode())
                names = [column.name for column in cursor.description or ()]
                return QueryResult(names, cursor.fetchall())
    except psycopg.errors.SyntaxError as error:
        raise StoreError(f"sql takes one SELECT: {first_line(error)}") from error
    except psycopg.Error as error:
        raise StoreError(f"PostgreSQL refused the query: {first_line(error)}") from error
