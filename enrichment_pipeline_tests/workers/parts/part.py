"""What a broker is to the tests."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from enrichment_pipeline_tests.processes import Server


class Part(Server):
    """A broker on this machine, on a port of its own; leaving the block ends it."""

    name: ClassVar[str]
    """As `Broker.name`."""

    stands_in: ClassVar[str | None] = None
    """What stands in for the real thing, for people; None where it is the real one."""

    keeps_messages: ClassVar[bool] = True
    """Whether messages are there again after `stop` and `start`."""

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
    def put_foreign(self, body: bytes) -> None:
        """Put a message that is not ours into the queue of notifications, by the broker's own
        client; the queue has been declared."""
