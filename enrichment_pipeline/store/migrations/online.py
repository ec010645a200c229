"""Changes of tables that others are at work with, for the migrations: each step is a transaction of
its own, so that no lock is held while another is waited for, and none while rows are read or
written.

In a store that has a schema, a migration consists of such steps, and of what it executes itself
after them. It may be killed between any two: so each step can be done again. An empty database gets
its schema in one transaction, and there a step is one statement of it.
"""

from alembic import context, op
from sqlalchemy import Connection, Engine, text

from enrichment_pipeline.store.database.locks import GIVE_UP_SECONDS, lock_seconds, patiently
from enrichment_pipeline.store.database.partitions import lock_partitions
from enrichment_pipeline.store.database.transactions import begin, driver_of, without_limits

_VACUUM_SECONDS = 10

BATCH = 1_000
"""Rows that a transaction of `in_batches` changes: whoever wants to change one of them waits."""


def execute(statements: str, *tables: str) -> None:
    """Run statements that change these tables, and can be run again."""
    engine = _engine()
    if engine is None:
        op.execute(statements)
    else:
        _execute(engine, statements, tables)


def add_columns(table: str, **columns: str) -> None:
    """Add columns, each with its type; one with a default that is no constant would write rows."""
    engine = _engine()
    if engine is not None and not (columns := _missing(engine, table, columns)):
        return  # even a statement that finds its columns there would wait for the lock
    added = ", ".join(f"ADD COLUMN {name} {of}" for name, of in columns.items())
    execute(f"ALTER TABLE {table} {added}", table)


def create_index(name: str, on: str, *, unique: bool = False) -> None:
    """Make an index while rows are written; `on` is the table, and what comes after its name."""
    engine, kind = _engine(), "UNIQUE INDEX" if unique else "INDEX"
    table, _, what = on.partition(" ")
    if engine is None:
        op.execute(f"CREATE {kind} {name} ON {on}")
    elif _partitions(engine, table) is None:
        _concurrently(engine, kind, name, on)
    else:
        _in_partitions(engine, kind, name, table, what)


def in_batches(update: str) -> None:
    """Run a statement again and again until it has changed less than a `BATCH` of rows, which is
    its LIMIT; it skips rows that others have locked."""
    while _changed(update) >= BATCH:
        pass
    _changed(update)  # what was skipped


def _changed(update: str) -> int:
    engine = _engine()
    if engine is None:
        return op.get_bind().execute(text(update)).rowcount
    with begin(engine) as connection:
        return connection.execute(text(update)).rowcount


def _engine() -> Engine | None:
    """None where all is one transaction."""
    engine: Engine | None = context.config.attributes.get("engine")
    return engine


@patiently
def _execute(engine: Engine, statements: str, tables: tuple[str, ...]) -> None:
    for table in tables:
        _end_vacuums(engine, table)
    with begin(engine) as connection:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout TO '{lock_seconds()}s'")
        # Who makes a partition has a lock of the table, and asks for another one.
        lock_partitions(connection)
        connection.execute(text(statements))


def _end_vacuums(engine: Engine, table: str) -> None:
    """An autovacuum may last for hours; it ends when somebody has waited for it for a second. So
    this waits, for a lock that stops no commit."""
    with begin(engine) as connection:
        found = connection.execute(
            text(
                "SELECT DISTINCT relation::regclass::text FROM pg_locks "
                "WHERE mode = 'ShareUpdateExclusiveLock' AND relation IN ("
                "SELECT to_regclass(:table) UNION ALL "
                "SELECT relid FROM pg_partition_tree(to_regclass(:table)))"
            ),
            {"table": table},
        )
        vacuumed = list(found.scalars())
    for name in vacuumed:
        with begin(engine) as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout TO '{_VACUUM_SECONDS}s'")
            connection.exec_driver_sql(f"LOCK TABLE ONLY {name} IN SHARE UPDATE EXCLUSIVE MODE")


def _missing(engine: Engine, table: str, columns: dict[str, str]) -> dict[str, str]:
    with begin(engine) as connection:
        found = connection.execute(
            text(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table) "
                "AND attnum > 0 AND NOT attisdropped"
            ),
            {"table": table},
        )
        there = set(found.scalars())
    return {name: of for name, of in columns.items() if name not in there}


def _partitions(engine: Engine, table: str) -> list[str] | None:
    """The partitions of a table in order; None if it is not partitioned."""
    with begin(engine) as connection:
        kind = connection.execute(
            text("SELECT relkind FROM pg_class WHERE oid = to_regclass(:table)"), {"table": table}
        ).scalar_one()
        if kind != "p":
            return None
        found = connection.execute(
            text(
                "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid "
                "WHERE inhparent = to_regclass(:table) ORDER BY relname"
            ),
            {"table": table},
        )
        return list(found.scalars())


@patiently
def _concurrently(engine: Engine, kind: str, name: str, on: str) -> None:
    with begin(engine) as connection:
        is_whole = _is_valid(connection, name)
    if is_whole:
        return
    if is_whole is not None:  # whoever made it was killed
        _outside_of_transactions(engine, f"DROP INDEX CONCURRENTLY {name}")
    _outside_of_transactions(engine, f"CREATE {kind} CONCURRENTLY {name} ON {on}")


def _in_partitions(engine: Engine, kind: str, name: str, table: str, what: str) -> None:
    """The index of a partitioned table cannot be made concurrently: that of each partition can be,
    and then is made a part of it."""
    # From here on, a new partition has it. It is not valid until all have.
    execute(f"CREATE {kind} IF NOT EXISTS {name} ON ONLY {table} {what}", table)
    for partition in _partitions(engine, table) or ():
        if not _has_part(engine, name, partition):
            part = f"{partition}_{name.removeprefix(f'{table}_')}"
            _concurrently(engine, kind, part, f"{partition} {what}")
            execute(f"ALTER INDEX {name} ATTACH PARTITION {part}")


def _is_valid(connection: Connection, index: str) -> bool | None:
    """Whether an index is valid; None where there is none."""
    found: bool | None = connection.execute(
        text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)"),
        {"index": index},
    ).scalar()
    return found


def _has_part(engine: Engine, index: str, partition: str) -> bool:
    """Whether a partition has its part of the index; it may have been dropped, too."""
    with begin(engine) as connection:
        found: bool = connection.execute(
            text(
                "SELECT to_regclass(:partition) IS NULL OR EXISTS (SELECT FROM pg_inherits "
                "JOIN pg_index ON indexrelid = inhrelid WHERE inhparent = to_regclass(:index) "
                "AND indrelid = to_regclass(:partition))"
            ),
            {"index": index, "partition": partition},
        ).scalar_one()
        return found


def _outside_of_transactions(engine: Engine, statement: str) -> None:
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        with without_limits(driver_of(connection)):
            # For each of those that it waits for, who are not held up by it.
            connection.exec_driver_sql(f"SET lock_timeout TO '{GIVE_UP_SECONDS}s'")
            connection.exec_driver_sql(statement)
