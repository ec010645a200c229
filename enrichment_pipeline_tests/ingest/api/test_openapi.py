"""Schemathesis: whatever the description allows, and whatever it does not, is never a 500."""

import socket
import threading
from collections.abc import Iterator

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from enrichment_pipeline.ingest.api.app import create_app
from enrichment_pipeline.ingest.api.status import description
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline_tests.ingest.api.conftest import READ_TOKEN, SECRET, TOKEN

_CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
_ROUTES = [(path, method) for path, item in description()["paths"].items() for method in item]


@pytest.fixture
def address(store: Store, api_settings: Settings) -> Iterator[str]:
    """The URL of the application, on a real server."""
    config = uvicorn.Config(create_app(store, api_settings), port=0, log_level="error")
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup

    async def start(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = start  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    assert started.wait(20)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(("path", "method"), _ROUTES)
def test_no_request_is_answered_with_a_500(address: str, path: str, method: str) -> None:
    schema = schemathesis.openapi.from_dict(description())
    secret = {"/i/v1/analytics/events": TOKEN, "/webhook/{project}": SECRET}.get(path, READ_TOKEN)

    @given(case=schema[path][method].as_strategy())
    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    def send(case: schemathesis.Case) -> None:
        case.headers.update({"Authorization": f"Bearer {secret}"})
        if isinstance(case.body, dict):
            case.body.setdefault("api_key", TOKEN)
        case.validate_response(case.call(base_url=address), checks=_CHECKS)

    send()
