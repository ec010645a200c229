"""`export` to buckets: whole files under their names, also where an export is interrupted."""

import subprocess
import sys
from datetime import timedelta

import duckdb
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm import exporting
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.buckets.conftest import Bucket
from enrichment_pipeline_tests.buckets.test_importing import NOON, events, the_line
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in

# An export of one event a file that is killed by one of its own steps, after some of them.
_KILLED = """
import os, signal, sys
from enrichment_pipeline.cli import main
from enrichment_pipeline.llm import exporting
from enrichment_pipeline.store.reading import exporting as reading

exporting.ROWS_OF_A_FILE = reading._ROWS_AT_ONCE = 1
step, left = sys.argv[1], int(sys.argv[2])
original = getattr(exporting._Target, step)

def killing(*arguments):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)

setattr(exporting._Target, step, killing)
sys.argv = ["enrichment-pipeline", "export", "events", sys.argv[3], "--format", "jsonl"]
main.run()
"""
_PART = "events/day=2026-03-01/part-000{}.jsonl.gz"


@pytest.fixture
def three(store: Store, rules: Rules) -> Store:
    """A store with three enriched events of one day."""
    take_in(store, rules, events(3))
    return store


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ROWS_OF_A_FILE", 1)
    monkeypatch.setattr("enrichment_pipeline.store.reading.exporting._ROWS_AT_ONCE", 1)


def names_in(bucket: Bucket, key: str) -> set[str]:
    """The names of the events in a Parquet file."""
    with bucket.files.open(f"{bucket.name}/{key}", "rb") as file:
        kept = duckdb.read_parquet(file)
        return {row[0] for row in kept.select("event").fetchall()}


@pytest.mark.slow
def test_days_are_written_and_written_again(three: Store, rules: Rules, bucket: Bucket) -> None:
    take_in(three, rules, [make_event("next_day", NOON + timedelta(days=1))])
    target = f"{bucket.url}/out"
    for written in (target, f"{target}/"):
        result = call("export", "events", written)
        assert result.returncode == 0, result.stderr
        days = [f"out/events/day=2026-03-0{day}/part-0000.parquet" for day in (1, 2)]
        assert bucket.listed() == days
    assert names_in(bucket, days[1]) == {"next_day"}
    with three.transaction() as connection:
        connection.execute(text("DELETE FROM enriched_event WHERE event <> 'next_day'"))
    line = the_line("export", "events", target, "--format", "csv")
    assert "another format, such as part-0000.parquet" in line


@pytest.mark.slow
@pytest.mark.usefixtures("three", "small_files")
def test_an_export_that_breaks_off_leaves_nothing_of_its_own(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = exporting._Target.put

    def break_off(self: exporting._Target, local: object, path: str) -> None:
        if path.endswith("-0002"):
            raise KeyboardInterrupt
        put(self, local, path)  # type: ignore[arg-type]

    with monkeypatch.context() as breaking:
        breaking.setattr(exporting._Target, "put", break_off)
        assert call("export", "events", bucket.url, "--format", "jsonl").returncode != 0
    assert bucket.listed() == []
    assert call("export", "events", bucket.url, "--format", "jsonl").returncode == 0
    assert bucket.listed() == [_PART.format(number) for number in range(3)]


@pytest.mark.slow
@pytest.mark.usefixtures("three", "small_files")
@pytest.mark.parametrize(("step", "after", "finished"), [("put", 2, 0), ("move", 1, 1)])
def test_an_export_that_is_killed_leaves_no_half_file_under_a_name_that_readers_take(
    s3: Bucket, step: str, after: int, finished: int
) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, step, str(after), s3.url], check=False)
    assert done.returncode == -9
    visible = [key for key in s3.listed() if "/." not in key]
    assert visible == [_PART.format(number) for number in range(finished)]
    assert call("export", "events", s3.url, "--format", "jsonl").returncode == 0
    visible = [key for key in s3.listed() if "/." not in key]
    assert visible == [_PART.format(number) for number in range(3)]


@pytest.mark.slow
@pytest.mark.usefixtures("three")
def test_a_bucket_that_is_not_there_is_one_line(bucket: Bucket) -> None:
    missing = f"{bucket.url}-missing/out"
    assert the_line("export", "events", missing).startswith(f"error: {missing}: cannot be written:")
