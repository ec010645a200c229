"""What a broker is to the tests."""

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self


class Part(ABC):
    """A broker on this machine, on a port of its own; leaving the block ends it."""

    name: ClassVar[str]
    """As `Broker.name`."""

    stands_in: ClassVar[str | None] = None
    """What stands in for the real thing, for people; None where it is the real one."""

    keeps_messages: ClassVar[bool] = True
    """Whether messages are there again after `stop` and `start`."""

    def __init__(self, folder: Path) -> None:
        """Choose a port; what it writes goes to the folder, which is there."""
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def cannot(cls) -> str | None:
        """Why it cannot run on this machine; None if it can."""
        return None

    @property
    @abstractmethod
    def url(self) -> str:
        """For BROKER_URL."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that processes need besides BROKER_URL."""
        return {}

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
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @abstractmethod
    def put_foreign(self, body: bytes) -> None:
        """Put a message that is not ours into the queue of notifications, by the broker's own
        client; the queue has been declared."""

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
