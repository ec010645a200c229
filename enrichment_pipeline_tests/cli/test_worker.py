"""`worker`, and what other commands say of the broker."""

from pathlib import Path

import pytest

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import free_port, make_event


def test_a_worker_without_a_broker_says_what_to_set() -> None:
    found = call("worker")
    assert found.returncode == 1
    assert "BROKER_URL is not set" in found.stderr


@pytest.mark.parametrize("command", ["worker", "api", "up"])
@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("rabbit", "BROKER_URL=…: must look like amqp://"),
        ("redis://127.0.0.1", "BROKER_URL begins with redis://; known are amqp://"),
        ("kafka://user:pass word@", "BROKER_URL"),
        ("kafka://user:pass word[@host", "BROKER_URL for Kafka must look like"),
        ("amqp://user:pass word/@host", "BROKER_URL for RabbitMQ must look like"),
        ("amqp://user:pass word[@host", "BROKER_URL for RabbitMQ must look like"),
        ("amqp://user:pass word#@host", "BROKER_URL for RabbitMQ must look like"),
    ],
)
@pytest.mark.slow
def test_a_broker_that_nobody_knows_is_refused_in_one_line(
    command: str, url: str, line: str
) -> None:
    found = call(command, BROKER_URL=url)
    assert found.returncode == 1
    assert line in found.stderr
    assert found.stderr.count("\n") == 1
    assert "pass word" not in found.stderr


@pytest.mark.slow
def test_an_import_takes_events_in_although_the_broker_is_away(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(make_event())
    found = call("import", str(file), BROKER_URL=f"amqp://127.0.0.1:{free_port()}")
    assert found.returncode == 0
    assert "accepted 1" in found.stdout
    assert "RabbitMQ does not answer" in found.stderr
    assert "Dagster enriches what is due after 30 s" in found.stderr
