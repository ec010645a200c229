"""Dagster for these tests: a real instance, and the definitions over the windows of the store."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.settings import Settings

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def definitions(settings: Settings) -> dg.Definitions:
    """All definitions; their resource opens the store of the test."""
    return build_definitions(settings, START)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A real Dagster instance that is forgotten after the test."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
