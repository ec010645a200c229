"""PostgreSQL's partitions: one for each UTC day that has events, of each partitioned table.

Creating, listing and dropping them belongs here; when to drop them belongs to `retention`.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, text

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.tables import PARTITIONED

# Held by processes that create or drop partitions, so that two imports do not create the same.
_PARTITION_LOCK = 7_263_409_113

_FORMAT = "%Y%m%d"


def partition_name(table: str, day: date) -> str:
    """Name of the partition of `table` for `day`: raw_event_20261123."""
    return f"{table}_{day.strftime(_FORMAT)}"


def partition_days(connection: Connection, table: str) -> list[date]:
    """The days that have a partition, in order."""
    rows = connection.execute(
        text(
            """
            SELECT child.relname
            FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
            WHERE inhparent = to_regclass(:table)
            ORDER BY child.relname
            """
        ),
        {"table": table},
    ).scalars()
    return [
        datetime.strptime(name.removeprefix(f"{table}_"), _FORMAT).replace(tzinfo=UTC).date()
        for name in rows
    ]


# The days whose partitions this process has seen, by engine. Loads need few days, mostly the same.
_seen: WeakKeyDictionary[Engine, set[date]] = WeakKeyDictionary()


def ensure_days(store: Store, days: Collection[date]) -> None:
    """`ensure_partitions` in a transaction of its own, unless this process has seen the partitions
    before; one may have been dropped since.
    """
    seen = _seen.setdefault(store.engine, set())
    if seen.issuperset(days):
        return
    with store.transaction() as connection:
        ensure_partitions(connection, days)
    seen.update(days)


def ensure_partitions(connection: Connection, days: Iterable[date]) -> None:
    """Create the missing partitions of these days, in every partitioned table.

    Run it in a transaction of its own, before the one that writes: a new partition is attached
    under a lock that a long load should not hold.
    """
    days = set(days)
    if _missing(connection, days):
        hold_partitions(connection, days)


def lock_partitions(connection: Connection) -> None:
    """Let nobody else create or drop partitions until the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PARTITION_LOCK})


def hold_partitions(connection: Connection, days: Iterable[date]) -> None:
    """Create the missing partitions of these days; none can be dropped until the transaction ends.

    None can be created by others meanwhile either, so it is for a transaction that failed without
    it because a partition was dropped.
    """
    lock_partitions(connection)
    for table, day in _missing(connection, days):
        _make(connection, table, day)


def lock_for_dropping(connection: Connection) -> None:
    """Lock every partitioned table exclusively until the end of the transaction; when this returns,
    all earlier writers have committed.

    It first takes the lock of those who create partitions, then locks the tables in the order in
    which enrichment does: any other order could deadlock.
    """
    lock_partitions(connection)
    tables = ", ".join(reversed(PARTITIONED))
    connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))


def drop_partition(connection: Connection, table: str, day: date) -> None:
    """Drop the partition of one day, with its rows."""
    lock_partitions(connection)
    connection.execute(text(f"DROP TABLE IF EXISTS {partition_name(table, day)}"))


def _missing(connection: Connection, days: Iterable[date]) -> list[tuple[str, date]]:
    wanted = [(table, day) for day in sorted(days) for table in PARTITIONED]
    # to_regclass would be shorter, but it reads a cache that a transaction does not renew while it
    # waits for the lock: a partition that another process created would seem missing.
    found = connection.execute(
        text(
            """
            SELECT relname FROM pg_class
            WHERE relname = ANY(:names) AND relnamespace = current_schema()::regnamespace
            """
        ),
        {"names": [partition_name(table, day) for table, day in wanted]},
    )
    existing = set(found.scalars())
    return [pair for pair in wanted if partition_name(*pair) not in existing]


def _make(connection: Connection, table: str, day: date) -> None:
    name = partition_name(table, day)
    # Created separately and then attached: CREATE TABLE … PARTITION OF would lock the whole table
    # exclusively, and wait for all its readers and writers.
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES)"))
    connection.execute(
        text(
            f"ALTER TABLE {table} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{day.isoformat()} 00:00+00') "
            f"TO ('{(day + timedelta(days=1)).isoformat()} 00:00+00')"
        )
    )
