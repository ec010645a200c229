"""Google Pub/Sub: a stand-in, since Google publishes the service and no server that runs here."""

import sys
from collections.abc import Mapping

import grpc
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from enrichment_pipeline.workers.brokers.pubsub import PubSub
from enrichment_pipeline.workers.queues import Queue
from enrichment_pipeline_tests.processes import await_port
from enrichment_pipeline_tests.workers.parts.part import Part

_STAND_IN = "enrichment_pipeline_tests.workers.stand_ins.pubsub"


class PubSubPart(Part):
    """A project on the stand-in, whose messages are in a file."""

    name = "Google Pub/Sub"
    stands_in = "a stand-in made of the published gRPC service"

    @property
    def url(self) -> str:
        # kombu shares connections by URL, and the address of an emulator is not in it.
        return f"gcpubsub://projects/test-{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{self.port}"}

    def start(self) -> None:
        self._run([sys.executable, "-m", _STAND_IN, str(self.port), str(self.folder / "pubsub")])
        await_port(self.port)

    def put_foreign(self, body: bytes) -> None:
        message = {"data": body, "attributes": {"routing_key": str(Queue.ENRICH)}}
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            publisher.publish(topic=PubSub(self.url).topic(Queue.ENRICH), messages=[message])
