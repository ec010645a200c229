"""The processes of one machine: started together, watched, and stopped together.

Which processes there are is decided in `up`; here is how one is started so that it never outlives
us, and how all are stopped.
"""

import errno
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType


class ServiceError(Exception):
    """A service cannot run; the message is one line that says which and where to look."""


@dataclass
class Services:
    """The processes of one `up`. Leaving the block stops them, whatever ended it."""

    log_folder: Path
    environment: Mapping[str, str]
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set once we are asked to stop, by Ctrl-C or SIGTERM."""
    stop_seconds: float = 60
    """How long a process may take to stop before it is killed; the API gives requests 30 and what
    is queued 10."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> "Services":
        self.log_folder.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process; what it prints goes to its log file."""
        with self.log_of(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*_ending_with_us(), *command],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us; we stop them, in order.
                start_new_session=True,
            )

    def log_of(self, name: str) -> Path:
        """The log file of a service."""
        return self.log_folder / f"{name}.log"

    def check(self) -> None:
        """Raise ServiceError where a process has ended that should not have."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise ServiceError(
                    f"{name} ended with {process.returncode}: see {self.log_of(name)}"
                )

    def stop(self) -> None:
        """Stop all, the last started first; a process that does not stop in time is killed, with
        its children."""
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in reversed(self.processes.values()):
            try:
                process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()


def _ending_with_us() -> list[str]:
    """What makes Linux end a process when we are killed and cannot stop it ourselves."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def port_is_free(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            with closing(socket.socket(family, kind)) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            # localhost may have an address of IPv6 where this machine has none.
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                return False
    return True


def url_host(host: str) -> str:
    """How a URL names a host: an IPv6 address has its colons in brackets."""
    return f"[{host}]" if ":" in host else host
