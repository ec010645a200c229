"""A server of somebody else's, such as a broker or a store of objects, as a process of a test."""

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from enrichment_pipeline_tests.conftest import free_port


class Server(ABC):
    """A server on this machine, on a port of its own; leaving the block ends it."""

    def __init__(self, folder: Path) -> None:
        """Choose a port; what it writes goes to the folder, which is there."""
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it, for the first time or again on the same port; it answers when this returns."""

    def stop(self) -> None:
        """Kill it with all that it has started, if it runs."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _run(self, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """Start its process, for `start`; what it says goes to a file of the folder."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def await_port(port: int, seconds: float = 60) -> None:
    """Return once somebody listens on the port of this machine."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
