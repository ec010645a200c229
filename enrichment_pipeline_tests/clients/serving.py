"""The ingest API as users run it: the command, in a process of its own, on a port of its own."""

import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enrichment_pipeline_tests.conftest import free_port

PROGRAM = Path(sys.executable).with_name("enrichment-pipeline")
TOKEN = "phc_clients"
PROJECT = "shop"

_READ_TOKEN = "read"

_RUNNING = "Uvicorn running on"
_WRONG = re.compile(r"\b(Traceback|ERROR|CRITICAL)\b")
_STOP_SECONDS = 40


@dataclass
class Api:
    """An API that runs."""

    url: str
    """What SDKs are given as their host."""


@dataclass
class ApiProcess(Api):
    """An API that runs as a process of its own."""

    process: subprocess.Popen[str]
    said: list[str]
    """The lines that it has printed so far."""

    def answers(self, status: int) -> int:
        """How many requests to take events it has answered with this status."""
        request = urllib.request.Request(
            f"{self.url}/metrics", headers={"Authorization": f"Bearer {_READ_TOKEN}"}
        )
        with urllib.request.urlopen(request) as response:
            metrics = response.read().decode()
        found = re.search(rf'^enrichment_requests_total{{status="{status}"}} (.+)$', metrics, re.M)
        return int(float(found[1])) if found else 0


@contextmanager
def served_api() -> Iterator[ApiProcess]:
    """Serve the store that DATABASE_URL names; afterwards, nothing may have gone wrong in it."""
    port = free_port()
    process = subprocess.Popen(
        [PROGRAM, "api"],
        env={
            **os.environ,
            "ENRICHMENT_API_PORT": str(port),
            "ENRICHMENT_PROJECT_TOKENS": f"{TOKEN}={PROJECT}",
            "ENRICHMENT_READ_TOKEN": _READ_TOKEN,
            # Whatever the machine has; tests look for the memory and the writers of this one.
            "ENRICHMENT_API_PROCESSES": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    api = ApiProcess(f"http://127.0.0.1:{port}", process, [])
    ready = threading.Event()
    listener = threading.Thread(target=_listen, args=(api, ready))
    listener.start()
    try:
        ready.wait()
        assert any(_RUNNING in line for line in api.said), "".join(api.said)
        yield api
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)
        listener.join()
    assert not [line for line in api.said if _WRONG.search(line)], "".join(api.said)


def _listen(api: ApiProcess, ready: threading.Event) -> None:
    assert api.process.stdout is not None
    with api.process.stdout as output:
        for line in output:
            api.said.append(line)
            if _RUNNING in line:
                ready.set()
    ready.set()  # it has ended, ready or not
