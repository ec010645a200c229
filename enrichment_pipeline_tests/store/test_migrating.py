"""Stores of older schemas that are migrated while others commit, and migrations that are killed."""

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.schema import migrate, newest_version, upgrade
from enrichment_pipeline.store.database.transactions import begin
from enrichment_pipeline_tests.databases import database_url, execute
from enrichment_pipeline_tests.faults.migrating import PAUSE_SECONDS, migrated
from enrichment_pipeline_tests.faults.old_store import SESSIONS_FROM, fill, fill_sessions

EVENTS = 10_000
FEW = 100
"""Rows that may be read or changed while nobody else can commit."""

pytestmark = pytest.mark.slow

# In the transaction that asks: the rows that it has read or changed, and the tables of events that
# nobody else can write to until it ends.
_ROWS = "SELECT sum(seq_tup_read + n_tup_ins + n_tup_upd) FROM pg_stat_xact_user_tables"
_HELD = """
SELECT array_agg(DISTINCT relation::regclass::text) FROM pg_locks
WHERE pid = pg_backend_pid() AND mode ~ '^(Share|ShareRowExclusive|Exclusive|AccessExclusive)Lock$'
    AND relation::regclass::text ~ '^(raw|event|enrich|dead|session_timeline)[a-z0-9_]*$'
"""

# What there is, but for what a store with events keeps (0013), and the parts of an index.
_SCHEMA = """
SELECT * FROM (
SELECT 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
    attnotnull::text
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0
    AND NOT attisdropped AND NOT relispartition
UNION ALL
SELECT 'index', indrelid::regclass::text, pg_class.relname, pg_get_indexdef(indexrelid),
    indisvalid::text
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), ''
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'sequence', sequencename::text, '', '', '' FROM pg_sequences
) AS found (kind, owner, name, what, more)
WHERE owner !~ '^(work_in_hand|enrichment_latency)' AND name <> 'crashes'
"""


class UnderLocks:
    """Looks at each transaction of this thread, when it begins and before it commits."""

    def __init__(self) -> None:
        self.most: tuple[int, list[str]] = (0, [])
        """Of all the transactions, the most rows, and the tables that were locked."""
        self.alone: list[str] = []
        """What was done to indexes outside of a transaction."""
        self._before: dict[Connection, int] = {}

    def begin(self, connection: Connection) -> None:
        if self._is_of_it(connection):
            # What transactions before it have read may still be counted, too.
            self._before[connection] = self._rows(connection)

    def commit(self, connection: Connection) -> None:
        if self._is_of_it(connection):
            rows = self._rows(connection) - self._before[connection]
            held = connection.exec_driver_sql(_HELD).scalar_one()
            if held:
                self.most = max(self.most, (rows, held))

    def execute(self, connection: Connection, _: object, statement: str, *__: object) -> None:
        is_alone = "isolation_level" in connection.get_execution_options()
        if is_alone and " INDEX " in statement and self._is_of_it(connection):
            self.alone.append(statement)

    @staticmethod
    def _rows(connection: Connection) -> int:
        return int(connection.exec_driver_sql(_ROWS).scalar_one() or 0)

    @staticmethod
    def _is_of_it(connection: Connection) -> bool:
        is_ours = threading.current_thread() is threading.main_thread()
        return is_ours and connection.engine.url.database == "migrated_store"


@pytest.fixture
def under_locks() -> Iterator[UnderLocks]:
    looking = UnderLocks()
    looks = {
        "begin": looking.begin,
        "commit": looking.commit,
        "before_cursor_execute": looking.execute,
    }
    for name, look in looks.items():
        event.listen(Engine, name, look)
    yield looking
    for name, look in looks.items():
        event.remove(Engine, name, look)


def test_commits_go_on_while_a_store_is_migrated(
    server: EmbeddedPostgres, under_locks: UnderLocks
) -> None:
    done = list(migrated(server, EVENTS, ["0001", "0006"], seconds=0.5))
    assert under_locks.most[1], "a table was locked"
    assert under_locks.most[0] <= FEW, under_locks.most
    assert under_locks.alone
    assert all(" INDEX CONCURRENTLY " in one for one in under_locks.alone), under_locks.alone
    assert all(one.pause.seconds <= PAUSE_SECONDS for one in done), done
    assert all(one.commits for one in done)


class OldStore:
    """A store of an older schema, in a database that is gone afterwards."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )

    def fill(self, version: str) -> None:
        """Make the schema, and events and sessions in it."""
        with begin(self.engine) as connection:
            fill(connection, EVENTS // 10)
            if version >= SESSIONS_FROM:
                upgrade(connection, SESSIONS_FROM)
                fill_sessions(connection, EVENTS // 10)
            upgrade(connection, version)

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Rows of a query."""
        with begin(self.engine) as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def migrating(self) -> subprocess.Popen[bytes]:
        """A process of the command."""
        code = "from enrichment_pipeline.cli.main import run; run()"
        command = [sys.executable, "-c", code, "migrate"]
        return subprocess.Popen(command, env={**os.environ, "DATABASE_URL": self.url})


@pytest.fixture
def old_store(server: EmbeddedPostgres) -> Iterator[OldStore]:
    name = f"old_{uuid.uuid4().hex[:12]}"
    execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    made = OldStore(database_url(server, name))
    yield made
    made.engine.dispose()
    execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def by_a_snapshot(connection: psycopg.Connection) -> None:
    """What makes an index concurrently waits for a transaction that saw the table without it."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    connection.execute("SELECT 1")


def by_a_reader(connection: psycopg.Connection) -> None:
    """What adds a column waits for whoever reads the table."""
    connection.execute("SELECT FROM enriched_event LIMIT 1")


def half_an_index(name: str) -> str:
    return f"SELECT FROM pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid"


ONE_TABLE_OF_TWO = (
    "SELECT FROM pg_attribute WHERE attrelid = 'raw_event'::regclass AND attname = 'detail'"
)


@pytest.mark.parametrize(
    ("version", "held_up", "reached"),
    [
        ("0001", by_a_snapshot, half_an_index("raw_batch_due")),
        ("0005", by_a_reader, ONE_TABLE_OF_TWO),
        ("0005", by_a_snapshot, half_an_index("enriched_event_20260301_person")),
        ("0014", by_a_snapshot, half_an_index("session_timeline_number")),
    ],
)
def test_a_migration_that_is_killed_is_done_again(
    old_store: OldStore,
    store: Store,
    version: str,
    held_up: Callable[[psycopg.Connection], None],
    reached: str,
) -> None:
    old_store.fill(version)
    with psycopg.connect(old_store.url) as somebody:
        held_up(somebody)
        process = old_store.migrating()
        while not old_store.ask(reached):
            assert process.poll() is None, "it did not wait"
        process.kill()
        process.wait()
        # A server notices within five seconds that nobody waits for its statement any more.
        old_store.ask(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        assert old_store.ask(reached)
    again = old_store.migrating()
    assert again.wait(60) == 0
    assert old_store.ask("SELECT version_num FROM alembic_version") == [(newest_version(),)]
    assert not old_store.ask("SELECT FROM pg_index WHERE NOT indisvalid")
    with store.transaction() as connection:
        expected = {tuple(row) for row in connection.execute(text(_SCHEMA))}
    assert set(old_store.ask(_SCHEMA)) ^ expected == set()


def test_sessions_that_have_no_number_get_one_in_the_order_of_time(old_store: OldStore) -> None:
    old_store.fill("0014")
    migrate(old_store.engine, timedelta(hours=1))
    [(sessions, first, last, in_order)] = old_store.ask(
        """
        SELECT count(*), min(number), max(number), bool_and(number > coalesce(before, 0)) FROM (
            SELECT number, lag(number) OVER (ORDER BY started_at, project, session_id) AS before
            FROM session_timeline
        ) numbered
        """
    )
    assert (first, last, in_order) == (1, sessions, True)
    assert old_store.ask("SELECT nextval('session_number')") == [(int(str(sessions)) + 1,)]
