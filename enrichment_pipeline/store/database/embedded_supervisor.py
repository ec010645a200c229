"""The process that runs the embedded PostgreSQL while any process uses it.

It serves every process that holds a shared lock on `users.lock`, and stops the server when the
kernel grants it the exclusive lock, however the last user ended. The server's life belongs here,
its parts to `embedded_server`. Processes that want the server go through `embedded`, which starts
this process.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from enrichment_pipeline.store.database.embedded_server import (
    KILL_SECONDS,
    EmbeddedPostgresError,
    ServerFiles,
    cannot_use,
    end_left_overs,
    explain_failure,
    make_data,
    make_socket_folder,
    server_command,
    try_lock,
    user_wrapper,
)

_POLL_SECONDS = 0.2
_STOP_SECONDS = 60


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Stop the server if it runs: with a checkpoint, or without one if that hangs."""
    for request, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, KILL_SECONDS)):
        server.send_signal(request)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=seconds)
            return
    server.kill()
    server.wait()


def _keep(files: ServerFiles, settings: list[str]) -> None:
    """Make the server and run it until it ends, nobody uses it, or SIGTERM comes.

    Raises `EmbeddedPostgresError` when the server cannot start or ends unasked.
    """
    wrapper = user_wrapper()
    make_socket_folder(files.socket_folder)
    end_left_overs(files)
    make_data(files, wrapper)
    log_start = files.log.stat().st_size
    with files.serving_lock.open("ab") as serving:
        fcntl.flock(serving, fcntl.LOCK_EX)
        stopped = _run(files, server_command(files, wrapper, settings))
    with contextlib.suppress(OSError):  # a server that had to be killed left its socket there
        files.socket_folder.rmdir()
    if stopped:
        return
    with files.log.open("rb") as log:
        log.seek(max(log_start, files.log.stat().st_size - 20_000))
        raise explain_failure(files, log.read().decode(errors="replace"))


def _run(files: ServerFiles, command: list[str]) -> bool:
    """Run the server to its end; True if it was stopped, False if it ended by itself."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    unused = None  # once taken, it is held to the end: a new user waits until the server is gone
    try:
        while server.poll() is None and not asked:
            if unused := try_lock(files.users_lock):
                break
            time.sleep(_POLL_SECONDS)
    finally:
        _stop(server)
    return bool(asked) or unused is not None


def _report_to_starter(line: str) -> NoReturn:
    # The pipe has no reader once the server has answered.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), line.encode())
    sys.exit(1)


def main(home: str, *settings: str) -> None:
    """Keep the server of `home`; each of `settings` is `name=value`, as for `postgres -c`.

    Called with `supervisor.lock` locked and open, the log as stderr, and a pipe as stdout that
    takes one line when the server cannot run.
    """
    if os.fork():
        # The starter waits for this process and need not reap a supervisor that outlives it.
        os._exit(0)
    files = ServerFiles.of(Path(home))
    try:
        os.chdir(files.root)  # the folder it was started in stays free to be removed
        _keep(files, list(settings))
    except EmbeddedPostgresError as error:
        _report_to_starter(str(error))
    except OSError as error:
        _report_to_starter(cannot_use(files, error))


if __name__ == "__main__":
    main(*sys.argv[1:])
