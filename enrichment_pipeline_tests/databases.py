"""Databases for tests: each test has one that is as if it had just been migrated.

A database is copied from a template and used again by the next test of the same process: emptying
it takes a tenth of the time of a copy. One whose schema a test has changed, or that has become
large, is dropped.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import psycopg
from psycopg import sql

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import opened_store
from enrichment_pipeline.store.database.partitions import drop_partition, ensure_partitions
from enrichment_pipeline.store.database.tables import PARTITIONED

A_DAY = date(2000, 1, 1)

_GROWN_BYTES = 50_000_000

# What a migrated store has in its tables.
_SEEDED = ("alembic_version", "store_setting", "store_secret")


def database_url(server: EmbeddedPostgres, name: str) -> str:
    """The URL of a database on the server."""
    address = server.address
    return f"postgresql://{address.user}@/{name}?host={address.host}&port={address.port}"


def execute(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    """Run a statement that cannot be in a transaction."""
    with psycopg.connect(database_url(server, "postgres"), autocommit=True) as connection:
        connection.execute(statement)


def copy_database(server: EmbeddedPostgres, template: str, name: str) -> None:
    """Make a database as a copy of another."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    execute(server, statement.format(sql.Identifier(name), sql.Identifier(template)))


class Databases:
    """The databases of one process that runs tests, on a server that all of them share."""

    def __init__(self, server: EmbeddedPostgres, of: str) -> None:
        self._server = server
        self.template = f"template_{of}"
        self._admin = psycopg.connect(database_url(server, "postgres"), autocommit=True)
        with opened_store(Settings(database_url=database_url(server, self.template))) as store:
            with store.transaction() as connection:
                # Tables know that they have had a partition.
                ensure_partitions(connection, [A_DAY])
            with store.transaction() as connection:
                for table in PARTITIONED:
                    drop_partition(connection, table, A_DAY)
        with psycopg.connect(database_url(server, self.template)) as connection:
            self._schema = connection.execute(_SCHEMA).fetchone()
            self._size = _size(connection)
            self._tables = [name for (name,) in connection.execute(_TABLES)]
            self._partitions = [name for (name,) in connection.execute(_PARTITIONS)]
            self._seeds = {
                table: connection.execute(_all_of(table)).fetchall() for table in _SEEDED
            }
        self._free: list[str] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """The name of a migrated, empty database, which no test had before."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        if self._free:
            # A name of its own: what a test remembers of a database is of no other one.
            free = self._free.pop()
            self._wait_until_nobody_is_in(free)
            self._do(sql.SQL("ALTER DATABASE {} RENAME TO {}"), free, name)
        else:
            copy_database(self._server, self.template, name)
        yield name
        self._do(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), f"{name}_dagster")
        if self._emptied(name):
            self._free.append(name)
        else:
            self._do(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), name)

    def close(self) -> None:
        """Drop what is free."""
        for name in self._free:
            self._do(sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)
        self._admin.close()

    def _do(self, statement: sql.SQL, *names: str) -> None:
        self._admin.execute(statement.format(*map(sql.Identifier, names)))

    def _wait_until_nobody_is_in(self, name: str) -> None:
        """End what was left open. A connection that was closed ends a moment later, for which
        PostgreSQL itself would wait a tenth of a second."""
        until = time.monotonic() + 0.2
        while self._admin.execute(_PRESENT, [name]).fetchone() and time.monotonic() < until:
            pass
        self._admin.execute(_END, [name])

    def _emptied(self, name: str) -> bool:
        """Empty the database; returns False where it is not as it was, or is not there."""
        self._wait_until_nobody_is_in(name)
        try:
            with psycopg.connect(database_url(self._server, name), autocommit=True) as connection:
                connection.execute("SET jit = off")  # it would take longer than what it speeds up
                if connection.execute(_SCHEMA).fetchone() != self._schema:
                    return False
                if _size(connection) > self._size + _GROWN_BYTES:
                    return False
                with connection.transaction():
                    self._empty(connection)
        except psycopg.OperationalError:
            return False
        return True

    def _empty(self, connection: psycopg.Connection) -> None:
        # Without triggers, which would write to the change feed.
        connection.execute("SET LOCAL session_replication_role = replica")
        made = [name for (name,) in connection.execute(_PARTITIONS)]
        for partition in sorted({*made}.difference(self._partitions)):
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(partition)))
        delete = sql.SQL("DELETE FROM {}")
        connection.execute(
            sql.SQL(";").join(delete.format(sql.Identifier(table)) for table in self._tables)
        )
        for table, rows in self._seeds.items():
            for row in rows:
                places = sql.SQL(", ").join([sql.Placeholder()] * len(row))
                insert = sql.SQL("INSERT INTO {} VALUES ({})")
                connection.execute(insert.format(sql.Identifier(table), places), row)
        connection.execute(_RESTART_SEQUENCES)


def _size(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def _all_of(table: str) -> sql.Composed:
    return sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))


_PRESENT = "SELECT FROM pg_stat_activity WHERE datname = %s LIMIT 1"
_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"

_TABLES = """
    SELECT relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition
"""

_PARTITIONS = """
    SELECT relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relispartition
"""

_RESTART_SEQUENCES = """
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE last_value IS NOT NULL
"""

# When what is not a partition was last changed: copying a database changes nothing, and making a
# partition changes its own entries only, once there has been one.
_SCHEMA = """
    WITH ours AS MATERIALIZED (
        SELECT oid, xmin FROM pg_class
        WHERE NOT relispartition
            AND (relnamespace >= 16384 OR relnamespace = 'public'::regnamespace)
    ),
    changed AS (
        SELECT xmin FROM ours
        UNION ALL
        SELECT one.xmin FROM pg_attribute one JOIN ours ON attrelid = ours.oid
        UNION ALL
        SELECT one.xmin FROM pg_constraint one JOIN ours ON conrelid = ours.oid
        UNION ALL
        SELECT one.xmin FROM pg_trigger one JOIN ours ON tgrelid = ours.oid
        UNION ALL
        SELECT xmin FROM pg_proc WHERE oid >= 16384
        UNION ALL
        SELECT xmin FROM pg_namespace WHERE nspname !~ '^pg_temp|^pg_toast_temp'
        UNION ALL
        SELECT xmin FROM pg_default_acl
    )
    SELECT count(*), sum(xmin::text::bigint),
        (SELECT concat_ws(' ', datacl, datallowconn, datconnlimit) FROM pg_database
         WHERE datname = current_database()),
        (SELECT string_agg(concat_ws(' ', setrole, setconfig), ';') FROM pg_db_role_setting
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
    FROM changed
"""
