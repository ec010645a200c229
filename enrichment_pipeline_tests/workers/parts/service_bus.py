"""Azure Service Bus: a stand-in, since Microsoft's emulator is a container image."""

import sys
from pathlib import Path

from azure.servicebus import ServiceBusMessage

from enrichment_pipeline.workers.brokers.service_bus import ServiceBus
from enrichment_pipeline.workers.queues import Queue
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.processes import await_port
from enrichment_pipeline_tests.workers.parts.part import Part

_STAND_IN = "enrichment_pipeline_tests.workers.stand_ins.service_bus"


class ServiceBusPart(Part):
    """A namespace on the stand-in, whose messages are in a file."""

    name = "Azure Service Bus"
    stands_in = "a stand-in made of python-qpid-proton"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._admin_port = free_port()

    @property
    def url(self) -> str:
        # A key may have slashes in it.
        return f"azureservicebus://test:some/key=@127.0.0.1:{self.port}?emulator={self._admin_port}"

    def start(self) -> None:
        ports = (str(self.port), str(self._admin_port))
        self._run([sys.executable, "-m", _STAND_IN, *ports, str(self.folder / "service_bus")])
        await_port(self._admin_port)
        await_port(self.port)

    def put_foreign(self, body: bytes) -> None:
        with (
            ServiceBus(self.url).client() as client,
            client.get_queue_sender(str(Queue.ENRICH)) as sender,
        ):
            sender.send_messages(ServiceBusMessage(body))
