"""Which process is at work on what, so that a process that dies is noticed.

The work itself is one transaction, which a death rolls back: nothing would tell that it was ever
begun. So it is written down before, in a transaction of its own, and that of the work holds a lock
for it: from before the row is there until it ends. A row without a lock, of a process that is gone,
is a death. What a death costs is decided in `enrichment.attempts`.
"""

import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache
from types import TracebackType
from typing import NamedTuple

import psutil
from sqlalchemy import BigInteger, Connection, bindparam, insert, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.errors import is_store_failure
from enrichment_pipeline.store.tables import work_in_hand

_SILENCE_OF_OTHERS = timedelta(minutes=1)
"""After which a process of another machine, which cannot be asked, is taken for dead: since its row
was first seen without a lock. One that lives, and whose work failed, removes its row meanwhile."""

_CLOCK_SECONDS = 2
"""By which the start of a process may seem to move: it is told from that of the machine, which
follows the clock."""

# Any number will do, so long as nothing else in the database locks by it.
_CLASS = 7_263

_LOCK_OF = f"({_CLASS}, (id % 2147483647)::int)"
_BEGIN = text(
    f"""
    SELECT id, pg_advisory_xact_lock{_LOCK_OF}
    FROM nextval(pg_get_serial_sequence('work_in_hand', 'id')) AS id
    """
)
_REMOVE = text("DELETE FROM work_in_hand WHERE id = ANY(:ids)").bindparams(
    bindparam("ids", type_=ARRAY(BigInteger))
)
# The lock of each row comes first: nobody who is at work ever waits for whoever looks.
_NOT_LOCKED = text(
    f"""
    SELECT id, worker, host, pid, process_started, batch_ids, letter_ids,
        store_started <> pg_postmaster_start_time() AS cut_off,
        CASE WHEN seen_unlocked THEN clock_timestamp() - begun_at END AS silence
    FROM work_in_hand WHERE pg_try_advisory_xact_lock{_LOCK_OF} FOR UPDATE SKIP LOCKED
    """
)
_SEEN_UNLOCKED = text(
    """
    UPDATE work_in_hand SET seen_unlocked = true, begun_at = clock_timestamp()
    WHERE id = ANY(:ids) AND NOT seen_unlocked
    """
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))

# Rows of work that ended with the store: they could not be removed then, and this process lives.
_left_behind: set[int] = set()


class Work(NamedTuple):
    """What a process had in hand when it died."""

    worker: str
    batch_ids: list[int]
    letter_ids: list[int]


class _Process(NamedTuple):
    host: str
    pid: int
    started: float


class Hand(AbstractContextManager["Hand"]):
    """What this process takes in hand, for one transaction of work.

    Around that transaction: `take` at its begin, `put_down` at its end. An exception in between is
    no death, and leaves nothing behind.
    """

    def __init__(self, store: Store, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._id: int | None = None

    def take(
        self, connection: Connection, batches: Sequence[int] = (), letters: Sequence[int] = ()
    ) -> None:
        """Write down that the transaction of `connection` is at work on these."""
        here = _this_process(os.getpid())
        self._id = connection.execute(_BEGIN).scalar_one()
        with self._store.transaction() as other:
            _remove_left_behind(other)
            other.execute(
                insert(work_in_hand),
                {
                    "id": self._id,
                    "worker": self._worker,
                    "host": here.host,
                    "pid": here.pid,
                    "process_started": here.started,
                    "batch_ids": list(batches),
                    "letter_ids": list(letters),
                },
            )

    def put_down(self, connection: Connection) -> None:
        """The work is done when the transaction of `connection` is."""
        connection.execute(_REMOVE, {"ids": [self._id]})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """After the transaction: remove what a failed one has left."""
        if kind is None or self._id is None:
            return
        _left_behind.add(self._id)
        remove_left_behind(self._store)


def remove_left_behind(store: Store) -> None:
    """Remove the rows of work of this process that failed. Where the store is away, they are
    removed when it is back, or with the next work of this process, which is alive until then."""
    try:
        with store.transaction() as connection:
            _remove_left_behind(connection)
    except Exception as failure:
        if not is_store_failure(failure):
            raise


def _remove_left_behind(connection: Connection) -> None:
    if _left_behind:
        gone = list(_left_behind)
        connection.execute(_REMOVE, {"ids": gone})
        _left_behind.difference_update(gone)


def take_work_of_the_dead(connection: Connection) -> list[Work]:
    """The work of processes that died with it, while the store was well; each is told once."""
    _remove_left_behind(connection)
    dead: list[Work] = []
    silent: list[int] = []
    over: list[int] = []
    for row in connection.execute(_NOT_LOCKED):
        if row.cut_off:
            over.append(row.id)
        elif _is_dead(_Process(row.host, row.pid, row.process_started), row.silence):
            over.append(row.id)
            dead.append(Work(row.worker, row.batch_ids, row.letter_ids))
        else:
            silent.append(row.id)
    if silent:
        connection.execute(_SEEN_UNLOCKED, {"ids": silent})
    if over:
        connection.execute(_REMOVE, {"ids": over})
    return dead


def _is_dead(process: _Process, silence: timedelta | None) -> bool:
    if process.host != socket.gethostname():
        return silence is not None and silence > _SILENCE_OF_OTHERS
    try:
        started = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        return True
    return abs(started - process.started) > _CLOCK_SECONDS


@cache
def _this_process(pid: int) -> _Process:
    # By pid, because a process that is forked has another one.
    return _Process(socket.gethostname(), pid, psutil.Process(pid).create_time())
