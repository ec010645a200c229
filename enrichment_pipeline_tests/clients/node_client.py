"""posthog-node in a process of its own, which is given commands line by line."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from enrichment_pipeline_tests.clients.serving import TOKEN, Api

_SCRIPT = Path(__file__).with_name("capture.mjs")
_SECONDS = 90


class NodeClient:
    """The running script."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, method: str, *arguments: Any) -> None:
        """Let the client do something."""
        assert self._process.stdin is not None
        line = json.dumps({"method": method, "arguments": arguments})
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def capture(self, event: str, distinct_id: str, **fields: Any) -> None:
        """Let it capture an event."""
        self.call("capture", {"event": event, "distinctId": distinct_id, **fields})

    def shut_down(self) -> str:
        """Let it send what is left and end; what it complains of."""
        _, complaints = self._process.communicate(timeout=_SECONDS)
        assert self._process.returncode == 0, (self._process.returncode, complaints)
        return complaints


@contextmanager
def node_client(
    api: Api, mode: str = "v0", token: str = TOKEN, **options: Any
) -> Iterator[NodeClient]:
    """A client for the API; whoever does not shut it down stops it halfway."""
    node = shutil.which("node")
    assert node is not None
    process = subprocess.Popen(
        [node, _SCRIPT, api.url, token, json.dumps(options)],
        env={**os.environ, "POSTHOG_CAPTURE_MODE": mode},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield NodeClient(process)
    finally:
        process.kill()
        process.communicate()
