"""RabbitMQ: Debian's rabbitmq-server, a node of its own with its data in a folder."""

import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from kombu import Connection
from kombu.exceptions import OperationalError

from enrichment_pipeline.workers.queues import EXCHANGE, Queue
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.workers.parts.part import Part

_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_READY_SECONDS = 60


class RabbitMQPart(Part):
    """A RabbitMQ of one node."""

    name = "RabbitMQ"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._distribution_port = free_port()
        # Nodes of one machine share a directory of names.
        self._node = f"test{uuid.uuid4().hex[:8]}@localhost"

    @classmethod
    def cannot(cls) -> str | None:
        return None if _PROGRAM.exists() else "Debian's rabbitmq-server is not installed"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def start(self) -> None:
        (self.folder / "plugins").write_text("[].")
        self._run([str(_PROGRAM)], self._variables())
        self._await_ready()

    def put_foreign(self, body: bytes) -> None:
        with Connection(self.url) as connection, connection.Producer() as producer:
            producer.publish(
                body,
                exchange=EXCHANGE,
                routing_key=str(Queue.ENRICH),
                content_type="application/octet-stream",
                content_encoding="binary",
            )

    def _variables(self) -> Mapping[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": f"{folder}/erl_crash.dump",
        }

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                with Connection(self.url, connect_timeout=2) as connection:
                    connection.ensure_connection(max_retries=1, timeout=2)
            except (OperationalError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return
