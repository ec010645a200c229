"""What was run with buckets, and what was not, is what the docs say."""

from pathlib import Path

import pytest

from enrichment_pipeline.file_systems import _EXTRAS
from enrichment_pipeline_tests.buckets.servers import SERVERS

_DOCS = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.mark.parametrize("page", ["pull.md", "export.md"])
def test_the_docs_name_each_server_that_was_run_and_each_service_that_was_not(page: str) -> None:
    said = " ".join((_DOCS / page).read_text().split())
    for server in SERVERS.values():
        assert f"`{server.scheme}://` against {server.name}" in said
    never = said.partition("**Never** against ")[2].partition(".")[0]
    for server in SERVERS.values():
        assert server.not_run in never


def test_every_extra_has_a_server() -> None:
    assert set(_EXTRAS.values()) == set(SERVERS)
