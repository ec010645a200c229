"""`pull` from buckets: what PostHog's batch exports put there, each object once."""

import gzip
import json

import pytest

from enrichment_pipeline_tests.buckets.conftest import Bucket
from enrichment_pipeline_tests.buckets.test_importing import lines, table, the_line
from enrichment_pipeline_tests.cli.test_commands import call


def pulled(folder: str) -> tuple[int, int, int]:
    """How many files were read, and how many events were new and known."""
    result = call("pull", "--json", ENRICHMENT_PULL_FOLDER=folder)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    return summary["files"], summary["accepted"], summary["duplicates"]


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_batch_exports_are_read_once_and_again_where_they_change(bucket: Bucket) -> None:
    folder = f"{bucket.url}/posthog/events/"
    line = the_line("pull", ENRICHMENT_PULL_FOLDER=folder)
    assert "there is no such folder, or nothing has landed yet" in line

    hour = "posthog/events/2026/03/01/2026-03-01T12:00:00Z-2026-03-01T13:00:00Z"
    bucket.put(
        {
            f"{hour}.jsonl.gz": gzip.compress(lines(3)),
            f"{hour}-1.parquet.zst": table(5),
            f"{hour}_manifest.json": b'{"files": []}',
            "posthog/persons/2026/03/01/a.jsonl": lines(1),
        }
    )
    assert pulled(folder) == (2, 8, 0)
    assert pulled(folder) == (0, 0, 0)
    bucket.put({f"{hour}.jsonl.gz": gzip.compress(lines(4))})
    assert pulled(folder) == (1, 4, 0)
    bucket.put({"posthog/events/2026/03/02/b.jsonl": lines(2)})
    assert pulled(folder.rstrip("/")) == (1, 2, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_bucket_that_is_not_there_is_refused(bucket: Bucket) -> None:
    missing = f"{bucket.url}-missing/events"
    line = the_line("pull", ENRICHMENT_PULL_FOLDER=missing)
    assert f"ENRICHMENT_PULL_FOLDER={missing}: there is no such folder" in line
