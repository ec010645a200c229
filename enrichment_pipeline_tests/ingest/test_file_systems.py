"""Buckets whose package is not installed; with servers they are tested in `buckets`."""

import sys

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.file_systems import reason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in

_SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "az": "abfs"}


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without any extra."""
    for package in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, package, None)
    # What was imported in an earlier test.
    for scheme in _SCHEMES:
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)


@pytest.mark.usefixtures("no_packages")
@pytest.mark.parametrize("scheme", _SCHEMES)
def test_a_bucket_whose_package_is_missing_is_one_line_with_the_extra(
    store: Store, rules: Rules, scheme: str
) -> None:
    take_in(store, rules, [make_event()])
    url = f"{scheme}://bucket/folder"
    for command in (["import", url], ["pull"], ["export", "events", url]):
        result = call(*command, ENRICHMENT_PULL_FOLDER=url)
        [line] = result.stderr.strip().splitlines()
        extra = f"a package is missing: pip install 'enrichment-pipeline[{_SCHEMES[scheme]}]'"
        assert (result.returncode, line.endswith(extra)) == (1, True), line
        assert url in line


def test_a_chained_url_names_the_store_behind_it() -> None:
    error = ImportError("Install s3fs to access S3")
    assert reason(error, "filecache::s3://bucket/x").endswith("[s3]'")
    assert reason(error, "sftp://host/x") == "a package is missing: Install s3fs to access S3"
