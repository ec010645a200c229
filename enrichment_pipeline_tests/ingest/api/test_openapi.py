"""Schemathesis: whatever the description allows, and whatever it does not, is never a 500."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from enrichment_pipeline.ingest.api.status import description
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.ingest.api.conftest import READ_TOKEN, SECRET, TOKEN
from enrichment_pipeline_tests.served import served_by_a_thread

_CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
# A machine that is busy with four workers takes its time; slowness is no failure here.
_SECONDS = 60
_ROUTES = [(path, method) for path, item in description()["paths"].items() for method in item]


@pytest.fixture
def address(store: Store, api_settings: Settings) -> Iterator[str]:
    """The URL of the application, on a real server."""
    with served_by_a_thread(store, api_settings) as url:
        yield url


@pytest.mark.parametrize(("path", "method"), _ROUTES)
@pytest.mark.slow
def test_no_request_is_answered_with_a_500(address: str, path: str, method: str) -> None:
    schema = schemathesis.openapi.from_dict(description())
    secret = {"/i/v1/analytics/events": TOKEN, "/webhook/{project}": SECRET}.get(path, READ_TOKEN)

    @given(case=schema[path][method].as_strategy())
    @settings(max_examples=10, suppress_health_check=list(HealthCheck))
    def send(case: schemathesis.Case) -> None:
        case.headers.update({"Authorization": f"Bearer {secret}"})
        if isinstance(case.body, dict):
            case.body.setdefault("api_key", TOKEN)
        answer = case.call(base_url=address, timeout=_SECONDS)
        case.validate_response(answer, checks=_CHECKS)

    send()
