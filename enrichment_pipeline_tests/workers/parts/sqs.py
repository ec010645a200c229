"""AWS SQS: moto's server, since AWS publishes the service and no server that runs here."""

import base64
import sys
from typing import Any

import boto3

from enrichment_pipeline.workers.queues import Queue
from enrichment_pipeline_tests.processes import await_port
from enrichment_pipeline_tests.workers.parts.part import Part

REGION = "eu-central-1"


class SQSPart(Part):
    """An AWS account with nothing in it; its messages are in memory."""

    name = "SQS"
    stands_in = "moto's server"
    keeps_messages = False

    @property
    def url(self) -> str:
        return f"sqs://test:test@127.0.0.1:{self.port}?region={REGION}"

    def start(self) -> None:
        self._run([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)])
        await_port(self.port)

    def client(self) -> Any:
        """AWS' own client of it."""
        session = boto3.Session("test", "test", region_name=REGION)
        return session.client("sqs", endpoint_url=f"http://127.0.0.1:{self.port}")

    def put_foreign(self, body: bytes) -> None:
        # SQS takes text alone.
        text = body.decode() if body.isascii() and body else base64.b64encode(body).decode()
        client = self.client()
        url = client.get_queue_url(QueueName=str(Queue.ENRICH))["QueueUrl"]
        client.send_message(QueueUrl=url, MessageBody=text or "=")
