"""The embedded PostgreSQL, for a process that uses it.

A user of the server starts it if need be, finds it, and releases it: that belongs here. What the
server needs to run is in `embedded_server` and `embedded_supervisor`; databases, roles and tables
are made elsewhere.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from psycopg import pq
from psycopg.conninfo import make_conninfo

from enrichment_pipeline.store.database.embedded_server import (
    PORT,
    SUPERUSER,
    EmbeddedPostgresError,
    ServerFiles,
    cannot_use,
    try_lock,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "ServerAddress"]

# Not imported: Python warns if a module is imported before it is run.
_SUPERVISOR = "enrichment_pipeline.store.database.embedded_supervisor"
_START_SECONDS = 300  # a crash recovery reads up to max_wal_size first
_POLL_SECONDS = 0.05
_LOG_BYTES = 10_000_000


@dataclass(frozen=True)
class ServerAddress:
    """What libpq needs beside the name of a database; there is no password."""

    host: str
    """The folder of the server's socket."""
    port: int
    user: str


class EmbeddedPostgres:
    """One process's use of the embedded server of `home`, which any number of processes share.

    The server runs as long as a process that has called `start` lives or until the last one calls
    `stop_using`. A forked child counts as a user until it ends too; a program that is executed
    does not, and calls `start` for itself.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        """Name the server of `home`, the folder of the project's state; nothing is started.

        `settings` are server settings as in postgresql.conf. They take effect if this process
        starts the server, and are ignored if it runs already.
        """
        self._files = ServerFiles.of(home)
        self._settings = dict(settings or {})
        self._use: IO[bytes] | None = None

    @property
    def address(self) -> ServerAddress:
        """The address of the server after `start` has returned, as its superuser."""
        return ServerAddress(host=str(self._files.socket_folder), port=PORT, user=SUPERUSER)

    def start(self) -> None:
        """Return when the server answers, started or restarted if need be; cheap if it runs.

        Raises `EmbeddedPostgresError`.
        """
        try:
            self._take_part()
            self._await_answer()
        except OSError as error:
            self.stop_using()
            raise EmbeddedPostgresError(cannot_use(self._files, error)) from error
        except EmbeddedPostgresError:
            self.stop_using()
            raise

    def stop_using(self) -> None:
        """Release the server; it stops a moment later if no other process uses it."""
        if self._use is not None:
            self._use.close()
            self._use = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_using()

    def _take_part(self) -> None:
        self._files.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._use is None:
            use = self._files.users_lock.open("ab")
            # Waits while a supervisor without users stops its server.
            fcntl.flock(use, fcntl.LOCK_SH)
            self._use = use

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        ours, theirs = os.pipe()
        with open(ours, encoding="utf-8") as failure, open(theirs, "wb") as report:
            while time.monotonic() < deadline:
                if self._is_served() and self._answers():
                    return
                if lock := try_lock(self._files.supervisor_lock):
                    with lock:
                        if report.closed:  # the supervisor was started here and has ended
                            line = failure.read() or self._see_log("ended")
                            raise EmbeddedPostgresError(line)
                        self._start_supervisor(lock, report)
                        report.close()
                time.sleep(_POLL_SECONDS)
        raise EmbeddedPostgresError(self._see_log(f"gave no answer in {_START_SECONDS} s"))

    def _is_served(self) -> bool:
        """Whether a living supervisor runs the server; a server without one is about to end."""
        with self._files.serving_lock.open("ab") as serving:
            try:
                # Shared, so that two concurrent users do not take each other for a supervisor.
                fcntl.flock(serving, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _answers(self) -> bool:
        address = self.address
        conninfo = make_conninfo(
            host=address.host,
            port=address.port,
            user=address.user,
            dbname="postgres",
            connect_timeout=5,  # a server that hangs accepts a connection and says nothing
        )
        return pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK

    def _see_log(self, what: str) -> str:
        return f"The embedded PostgreSQL {what}; the reason should be in {self._files.log}."

    def _start_supervisor(self, lock: IO[bytes], report: IO[bytes]) -> None:
        """Start a supervisor that inherits `lock` and writes the line of a failure to `report`."""
        # -P: a file in the working directory must not be taken for a module.
        command = [sys.executable, "-P", "-m", _SUPERVISOR, str(self._files.root.parent)]
        settings = [f"{name}={value}" for name, value in self._settings.items()]
        with self._open_log() as log:
            subprocess.run(
                [*command, *settings],
                stdin=subprocess.DEVNULL,
                stdout=report,
                stderr=log,
                pass_fds=[lock.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal is for the server's users
                check=False,  # the error is in `report` or in the log
            )

    def _open_log(self) -> IO[bytes]:
        log = self._files.log
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".1"))
        return log.open("ab")
