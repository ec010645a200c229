"""What a broker is to the tests."""

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
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

    @abstractmethod
    def stop(self) -> None:
        """Kill it, if it runs."""

    @abstractmethod
    def put_foreign(self, body: bytes) -> None:
        """Put a message that is not ours into the queue of doorbells, by the broker's own client;
        the queue has been declared."""

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
