"""`import` from buckets: objects, folders, patterns, and what goes wrong, one line each."""

import gzip
import json
import os
import re
import signal
from datetime import UTC, datetime, timedelta

import pytest
import zstandard
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.ingest.file_source import expand_source
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.buckets.conftest import Bucket, forget_connections
from enrichment_pipeline_tests.buckets.servers import S3
from enrichment_pipeline_tests.cli.test_commands import Called, call
from enrichment_pipeline_tests.cli.test_import import process
from enrichment_pipeline_tests.conftest import free_port, make_event
from enrichment_pipeline_tests.ingest.stored_files import parquet
from enrichment_pipeline_tests.ingest.test_file_source import peak_memory
from enrichment_pipeline_tests.llm.stored_sessions import take_in

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SECONDS = 120


def events(count: int) -> list[bytes]:
    return [make_event(at=NOON + timedelta(seconds=number)) for number in range(count)]


def lines(count: int) -> bytes:
    return b"\n".join(events(count)) + b"\n"


def table(count: int) -> bytes:
    rows = [json.loads(event) for event in events(count)]
    columns = {
        name: [str(row[name]) for row in rows]
        for name in ("uuid", "event", "distinct_id", "timestamp")
    }
    columns["properties"] = [json.dumps(row["properties"]) for row in rows]
    return parquet(columns, compression="zstd")


def accepted(result: Called) -> tuple[int, int]:
    """How many events were new, and how many known."""
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    return summary["accepted"], summary["duplicates"]


def the_line(*arguments: str, **variables: str) -> str:
    """The one line of a command that fails."""
    result = call(*arguments, **variables)
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    return line


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_an_object_a_folder_and_a_pattern_are_imported_in_every_form(bucket: Bucket) -> None:
    bucket.put(
        {
            "exports/2026-03-01/a.jsonl": lines(2),
            "exports/2026-03-01/b.jsonl.gz": gzip.compress(lines(3)),
            "exports/2026-03-02/c.jsonl.zst": zstandard.compress(lines(5)),
            "exports/2026-03-02/d.parquet": table(7),
            "exports/2026-03-02/_SUCCESS": b"",
            "exports/2026-03-02/e.jsonl.tmp": lines(1),
            "exports-of-others/f.jsonl": lines(1),
        }
    )
    url = f"{bucket.url}/exports"
    for source, counts in (
        (f"{url}/2026-03-02/d.parquet", (7, 0)),
        (f"{url}/*/*.jsonl*", (10, 0)),
        (f"{url}/2026-03-0[1-9]", (0, 17)),
        (url, (0, 17)),
        (bucket.url, (1, 17)),
    ):
        assert accepted(call("import", source, "--json")) == counts, source


@pytest.mark.slow
def test_many_objects_of_a_folder_are_all_found(s3: Bucket) -> None:
    # More than a listing gives at once.
    names = [f"many/{number:05}.jsonl" for number in range(1_001)]
    s3.put(dict.fromkeys(names, b"{}"))
    assert len(expand_source(f"{s3.url}/many")) == len(names)


@pytest.mark.slow
def test_memory_stays_flat_however_large_the_object(bucket: Bucket) -> None:
    line = make_event(properties={"x": "x" * 2_000}) + b"\n"
    bucket.put({"large.jsonl": line * 40_000})
    assert bucket.files.size(f"{bucket.name}/large.jsonl") > 80_000_000
    assert peak_memory(f"{bucket.url}/large.jsonl") < 40_000_000


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_an_object_whose_name_looks_like_a_pattern_is_that_object(s3: Bucket) -> None:
    s3.put({"a[1].jsonl": lines(2), "a1.jsonl": lines(3)})
    assert accepted(call("import", f"{s3.url}/a[1].jsonl", "--json")) == (2, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_what_is_not_there_is_one_line(bucket: Bucket) -> None:
    bucket.put({"there.jsonl": lines(1)})
    for source in ("missing.jsonl", "missing/", "missing-*.jsonl"):
        line = the_line("import", f"{bucket.url}/{source}")
        assert line.startswith(f"error: cannot read {bucket.url}/{source}: ")
        assert "No such file" in line or "matches no files" in line
    missing = f"{bucket.url}-missing"
    for source in (missing, f"{missing}/a.jsonl"):
        assert the_line("import", source).startswith(f"error: cannot read {source}: ")


@pytest.mark.slow
def test_an_object_that_vanishes_costs_its_own_line_and_no_other_object(
    store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put({"a.jsonl": lines(2), "b.jsonl": lines(3), "c.jsonl": lines(5)})

    def listed_then_gone(source: str) -> list[str]:
        found = expand_source(source)
        bucket.files.rm_file(f"{bucket.name}/b.jsonl")
        return found

    monkeypatch.setattr("enrichment_pipeline.cli.import_files.expand_source", listed_then_gone)
    result = call("import", bucket.url, "--json")
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    assert f"{bucket.url}/b.jsonl: " in line
    assert re.search("does not exist|No such file|no longer exists", line), line
    assert json.loads(result.stdout)["accepted"] == 7


_REFUSED = [
    ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "signature"),
    ({"AWS_ACCESS_KEY_ID": "unknown"}, "does not exist"),
    ({"AWS_ACCESS_KEY_ID": S3.reader_key, "AWS_SECRET_ACCESS_KEY": S3.reader_secret}, "Denied"),
    ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("variables", "why"), _REFUSED)
def test_credentials_that_are_refused_are_one_line_in_every_command(
    store: Store,
    rules: Rules,
    s3: Bucket,
    variables: dict[str, str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s3.put({"exports/a.jsonl": lines(1)})
    take_in(store, rules, events(1))
    # Nor those of the machine that runs the tests.
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    folder = f"{s3.url}/exports"
    for command in (["import", folder], ["pull"], ["export", "events", folder]):
        forget_connections("s3")
        line = the_line(*command, ENRICHMENT_PULL_FOLDER=folder, **variables)
        assert why in line


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_store_that_does_not_answer_is_one_line(s3: Bucket) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    forget_connections("s3")
    line = the_line("import", f"{s3.url}/a.jsonl", AWS_ENDPOINT_URL=nobody)
    assert "Could not connect to the endpoint URL" in line


@pytest.mark.slow
def test_after_ctrl_c_the_same_command_goes_on(store: Store, s3: Bucket) -> None:
    few = events(400)
    # More than is read ahead, and than is committed before the signal.
    s3.put({"a.jsonl": b"\n".join(few), "b.jsonl": (b"\n".join(few) + b"\n") * 500})

    def durable() -> int:
        with store.transaction() as connection:
            return int(connection.execute(text("SELECT count(*) FROM raw_event")).scalar_one())

    with process(s3.url, "--json") as importing:
        while not durable():
            assert importing.poll() is None
        os.killpg(importing.pid, signal.SIGINT)
        printed, complaints = importing.communicate(timeout=_SECONDS)
    assert importing.returncode == 130, complaints
    assert "Traceback" not in complaints
    assert json.loads(printed)["interrupted"] is True
    assert accepted(call("import", f"{s3.url}/a.jsonl", "--json"))[1] > 0
    assert durable() == len(few)
