"""`mcp` as clients start it: a process of its own, over its standard streams and over HTTP."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.llm.mcp_asking import fill, text_of

PROGRAM = Path(sys.executable).with_name("enrichment-pipeline")

# Alone on a machine it is two; others may work on this one.
START_SECONDS = 60


@pytest.mark.slow
def test_a_client_that_starts_it_reads_a_timeline(store: Store, rules: Rules) -> None:
    fill(store, rules)
    configured = json.loads(call("mcp", "--show-config").stdout)["mcpServers"]
    server = configured["enrichment-pipeline"]
    assert server["env"]["DATABASE_URL"] == os.environ["DATABASE_URL"]
    parameters = StdioServerParameters(
        command=str(PROGRAM), args=server["args"], env=server["env"], cwd="/"
    )

    async def read() -> str:
        async with Client(parameters) as client:
            assert client.server_info is not None
            assert client.server_info.name == "enrichment-pipeline"
            return text_of(await client.call_tool("get_timeline", {"session_id": "two"}))

    began = time.monotonic()
    assert "view /" in asyncio.run(read())
    assert time.monotonic() - began < START_SECONDS


@pytest.mark.slow
def test_nothing_but_the_protocol_is_on_standard_output(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with opened_store(Settings(home=home)):
        pass
    asked = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        },
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "status"}},
    ]
    process = subprocess.Popen(
        [PROGRAM, "mcp"],
        env={**os.environ, "ENRICHMENT_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        for message in asked:
            process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        # It ends with its input, and lets the embedded server go.
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(START_SECONDS) == 0
        assert process.stderr.read() == ""
    assert [answer["id"] for answer in answers] == [1, 2]
    assert "newest enriched event none" in answers[1]["result"]["content"][0]["text"]


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    process = subprocess.Popen(
        [PROGRAM, "mcp", "--http", "--port", str(port), *options],
        env={**os.environ, "ENRICHMENT_READ_TOKEN": "reader"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield url, process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_over_http_who_has_the_read_token_gets_in(store: Store, rules: Rules) -> None:
    fill(store, rules)

    async def read(url: str) -> str:
        headers = {"Authorization": "Bearer reader"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=START_SECONDS) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return text_of(await client.call_tool("get_timeline", {"session_id": "two"}))

    with serving() as (url, process):
        assert "view /" in asyncio.run(read(url))
        headers = {"Authorization": "Bearer somebody"}
        assert httpx2.post(url, headers=headers, json={}).status_code == 401
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=START_SECONDS)
    assert said[0] == ""
    assert f"MCP: {url}" in said[1]
    assert "--show-config" in said[1]
    # It may be a log that it is written to.
    assert "reader" not in said[1]


def test_the_configuration_of_clients_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENRICHMENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ENRICHMENT_READ_TOKEN", "reader")
    by_itself = json.loads(call("mcp", "--show-config").stdout)
    assert by_itself == {
        "mcpServers": {
            "enrichment-pipeline": {
                "command": "enrichment-pipeline",
                "args": ["mcp"],
                "env": {"ENRICHMENT_HOME": str(tmp_path / "home")},
            }
        }
    }
    over_http = json.loads(
        call("mcp", "--http", "--port", "9000", "--show-config", ENRICHMENT_HOST="::").stdout
    )
    assert over_http["mcpServers"]["enrichment-pipeline"] == {
        "type": "http",
        "url": "http://127.0.0.1:9000/mcp",
        "headers": {"Authorization": "Bearer reader"},
    }


def test_what_a_person_can_put_right_is_reported_in_one_line(store: Store, tmp_path: Path) -> None:
    nowhere = {"ENRICHMENT_HOME": str(tmp_path / "nowhere"), "DATABASE_URL": ""}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, variables, line in (
            (("mcp", "--http", "--port", port), {}, f"port {port} is in use"),
            (("mcp", "--allow-host", "mcp.example.com"), {}, "give --http too"),
            (("mcp",), {"DATABASE_URL": "postgresql:///x?host=/nowhere"}, "no connection"),
            (("mcp",), nowhere, "there is no store in"),
        ):
            found = call(*arguments, **variables)
            assert found.returncode == 1
            assert found.stdout == ""
            assert line in found.stderr
            assert found.stderr.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()
