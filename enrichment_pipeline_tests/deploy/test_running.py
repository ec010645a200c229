"""What compose.yaml starts works together: its commands and its health checks, as processes.

The containers' addresses are replaced by ports of this machine; PostgreSQL is the embedded one, the
broker RabbitMQ, or what stands in for SQS where RabbitMQ is not installed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql

from enrichment_pipeline.orchestration.instance import LOCATIONS
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.databases import database_url, execute
from enrichment_pipeline_tests.deploy.files import COMPOSE, PROJECT, ours, read
from enrichment_pipeline_tests.workers.parts.part import Part
from enrichment_pipeline_tests.workers.parts.rabbitmq import RabbitMQPart
from enrichment_pipeline_tests.workers.parts.sqs import SQSPart

SECONDS = 120
GRACE_SECONDS = 60
EVENTS = 50

_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
_WORKSPACE = "/etc/workspace.yaml"
_LOCATIONS = '{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus \
locationOrLoadError { __typename } } } } \
instance { daemonHealth { daemonStatus(daemonType: "SENSOR") { healthy } } } }'


class Composed:
    """The services of compose.yaml as processes."""

    def __init__(self, folder: Path, database: str, broker: Part) -> None:
        self._folder = folder
        self._services = ours()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in self._services}
        home = folder / "dagster"
        home.mkdir()
        shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
        workspace = read(COMPOSE / "workspace.yaml")
        for entry in workspace["load_from"]:
            server = entry["grpc_server"]
            server.update(host="127.0.0.1", port=self.ports[server["host"]])
        (folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
        self._values = {
            **broker.environment,
            "DATABASE_URL": database,
            "BROKER_URL": broker.url,
            "DAGSTER_HOME": str(home),
            "ENRICHMENT_HOME": str(folder / "home"),
            "ENRICHMENT_API_PORT": str(self.ports["api"]),
            "ENRICHMENT_PROJECT_TOKENS": "phc_abc=shop",
            "ENRICHMENT_READ_TOKEN": "read",
        }

    def start(self, *names: str) -> None:
        """Start services."""
        for name in names:
            self._processes[name] = self._started(name, self._services[name]["command"])

    def complete(self, name: str) -> None:
        """Let a service run to its end."""
        assert self._started(name, self._services[name]["command"]).wait(SECONDS) == 0

    def await_health(self, *names: str) -> None:
        """Return once the health checks of these services succeed."""
        for name in names:
            kind, *check = self._services[name]["healthcheck"]["test"]
            assert kind == "CMD"
            self.await_that(lambda n=name, c=check: self._started(n, c).wait() == 0)

    def says(self, name: str, words: str) -> bool:
        """Whether a service has said these words."""
        return words in (self._folder / f"{name}.log").read_text(errors="replace")

    def await_that(self, holds: Callable[[], bool]) -> None:
        """Return once it holds; fails with what was said where it never does, or one ends."""
        deadline = time.monotonic() + SECONDS
        while not holds():
            ended = [name for name, it in self._processes.items() if it.poll() is not None]
            assert not ended, f"{ended} ended: {self._said(ended)}"
            assert time.monotonic() < deadline, self._said(self._processes)
            time.sleep(0.2)

    def stop(self) -> dict[str, int]:
        """Ask all to stop, as Docker does; how each ended."""
        for process in self._processes.values():
            process.terminate()
        return {name: it.wait(GRACE_SECONDS) for name, it in self._processes.items()}

    def kill(self) -> None:
        """End what is left of them."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _started(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        program, *arguments = (self._here(name, part) for part in command)
        environment = self._services[name]["environment"]
        given = {key: str(value) for key, value in environment.items() if value is not None}
        assert not set(given) - set(self._values) - {"ENRICHMENT_HOST"}
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [program, *arguments],
                env={**os.environ, **self._values, "PATH": _PATH},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _here(self, name: str, part: str) -> str:
        """A part of a command, as it is on this machine."""
        for port in ("3000", "4000", "8000"):
            for before in ("--port=", "127.0.0.1:"):
                part = part.replace(f"{before}{port}", f"{before}{self.ports[name]}")
        part = part.replace(_WORKSPACE, str(self._folder / "workspace.yaml"))
        return part.replace("0.0.0.0", "127.0.0.1")  # noqa: S104  it is replaced

    def _said(self, names: Sequence[str] | dict[str, object]) -> str:
        return "\n".join((self._folder / f"{name}.log").read_text()[-3000:] for name in names)


@pytest.fixture
def empty_database(server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database that does not exist yet."""
    name = f"composed_{uuid.uuid4().hex[:12]}"
    yield database_url(server, name)
    for suffix in ("", "_dagster"):
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        execute(server, drop.format(sql.Identifier(f"{name}{suffix}")))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Part]:
    """A broker that is here on any machine that runs the tests."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with (SQSPart if RabbitMQPart.cannot() else RabbitMQPart)(folder) as part:
        yield part


@pytest.fixture
def composed(tmp_path: Path, empty_database: str, broker: Part) -> Iterator[Composed]:
    """Nothing of it is started yet."""
    made = Composed(tmp_path, empty_database, broker)
    yield made
    made.kill()


@pytest.mark.slow
def test_what_compose_starts_takes_events_in_enriches_them_and_shows_dagster(
    composed: Composed, empty_database: str
) -> None:
    composed.complete("migrate")
    composed.start("code-pipeline", "code-dead-letters")
    composed.start("api", "worker", "dead-letter-worker", "webserver")
    composed.await_health("code-pipeline", "code-dead-letters")
    composed.start("daemon")
    composed.await_health("api", "webserver")

    send(composed.ports["api"])

    with psycopg.connect(empty_database, autocommit=True) as connection:
        composed.await_that(lambda: enriched(connection) == EVENTS)
    # Not by Dagster, which would do it too, later.
    composed.await_that(lambda: composed.says("worker", f"{EVENTS} events in"))
    composed.await_that(lambda: published(composed.ports["api"]) > 0)
    composed.await_that(lambda: dagster_is_well(composed.ports["webserver"]))
    ends = composed.stop()
    assert {name: code for name, code in ends.items() if code not in {0, -signal.SIGTERM}} == {}


def send(port: int) -> None:
    """Send events to the API."""
    batch = [
        {"uuid": str(uuid.uuid4()), "event": "$pageview", "distinct_id": "user-1"}
        for _ in range(EVENTS)
    ]
    body = json.dumps({"api_key": "phc_abc", "batch": batch}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/batch/", body, timeout=30) as answer:
        assert answer.status == 200


def enriched(connection: psycopg.Connection[tuple[int, ...]]) -> int:
    """How many events are."""
    return connection.execute("SELECT count(*) FROM enriched_event").fetchall()[0][0]


def published(port: int) -> float:
    """How many batches the API has published notifications of."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": "Bearer read"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    sample = 'enrichment_notifications_total{outcome="published"} '
    return sum(float(line.removeprefix(sample)) for line in lines if line.startswith(sample))


def dagster_is_well(port: int) -> bool:
    """Whether the webserver has loaded both code locations, and the daemon ticks."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": _LOCATIONS}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        data = json.load(answer)["data"]
    loaded = {
        entry["name"]
        for entry in data["workspaceOrError"]["locationEntries"]
        if (entry["locationOrLoadError"] or {}).get("__typename") == "RepositoryLocation"
    }
    return loaded == set(LOCATIONS) and bool(
        data["instance"]["daemonHealth"]["daemonStatus"]["healthy"]
    )
