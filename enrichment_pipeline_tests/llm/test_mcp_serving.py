"""Serving MCP over HTTP: a real server on a port of its own, and who gets in."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.mcp_serving import PATH, http_app
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.llm.mcp_asking import fill, text_of

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
TYPES = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@contextmanager
def served(store: Store, host: str = "127.0.0.1", names: Sequence[str] = ()) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        app = http_app(store, lambda header: header == "Bearer reader", host, port, names)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            # Listened to from the beginning, but who asks before it has started waits.
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}{PATH}"
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


@asynccontextmanager
async def over_http(url: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": "Bearer reader"}, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def status_of(url: str, **headers: str) -> int:
    named = {name.title(): value for name, value in headers.items()}
    return int(httpx2.post(url, headers={**TYPES, **named}, json=LIST).status_code)


@pytest.mark.slow
def test_many_ask_at_once(store: Store, rules: Rules) -> None:
    fill(store, rules)

    async def many(url: str) -> list[str]:
        async with over_http(url) as client, over_http(url) as other:
            calls = [
                who.call_tool("get_timeline", {"session_id": "one"})
                for who in (client, other)
                for _ in range(15)
            ]
            return [text_of(result) for result in await asyncio.gather(*calls)]

    with served(store) as url:
        answers = asyncio.run(many(url))
    assert len(set(answers)) == 1
    assert "order placed" in answers[0]


@pytest.mark.slow
def test_nobody_gets_in_without_the_token(store: Store) -> None:
    with served(store) as url:
        assert status_of(url) == 401
        for header in ("Bearer wrong", "reader", "Basic reader"):
            assert status_of(url, authorization=header) == 401
        refused = httpx2.post(url)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert refused.text == "the read token is needed, as Authorization: Bearer …"


@pytest.mark.slow
def test_a_page_that_had_its_name_resolve_to_this_machine_gets_nothing(store: Store) -> None:
    with served(store) as url:
        port = url.split(":")[-1].removesuffix(PATH)

        def status(**headers: str) -> int:
            return status_of(url, authorization="Bearer reader", **headers)

        assert status(host="evil.example") == 421
        assert status(host=f"evil.example:{port}") == 421
        assert status(origin="http://evil.example") == 403
        assert status(origin=f"http://localhost:{port}") not in (401, 403, 421)
        assert status(host=f"localhost:{port}") not in (401, 403, 421)


@pytest.mark.slow
def test_who_listens_everywhere_is_called_by_any_of_its_names(store: Store) -> None:
    with served(store, "::") as url:
        port = url.split(":")[-1].removesuffix(PATH)
        headers = {"authorization": "Bearer reader"}
        for name in (socket.gethostname(), "127.0.0.1", "[::1]", "localhost"):
            assert status_of(url, host=f"{name}:{port}", **headers) not in (401, 403, 421)
        assert status_of(url, host=f"evil.example:{port}", **headers) == 421


@pytest.mark.slow
def test_a_proxy_in_front_has_a_name_of_its_own(store: Store) -> None:
    with served(store, names=["mcp.example.com"]) as url:
        for host in ("mcp.example.com", "mcp.example.com:8443"):
            headers = {"host": host, "origin": f"https://{host}", "authorization": "Bearer reader"}
            assert status_of(url, **headers) not in (401, 403, 421)
        assert status_of(url, host="other.example.com", authorization="Bearer reader") == 421
