"""`import`, as a person runs it: which files it takes, how it ends, and what Ctrl-C says."""

import functools
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest import load
from enrichment_pipeline.store.lifecycle.retention import FirstKept, drop_days_before
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event

_SECONDS = 120
_DOCUMENTATION = Path(__file__).parents[2] / "docs"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

# The command, with small commits, ignoring Ctrl-C as what a script starts in the background does.
_COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from enrichment_pipeline.cli import main
from enrichment_pipeline.ingest import importer
importer.CHUNK_EVENTS = 10
sys.argv = ["enrichment-pipeline", "import", *sys.argv[1:]]
main.run()
"""


def events(count: int) -> list[bytes]:
    return [make_event(at=NOON + timedelta(seconds=number)) for number in range(count)]


def count(store: Store, table: str) -> int:
    with store.transaction() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def process(*arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _COMMAND, *arguments]
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


@pytest.mark.parametrize(
    ("data", "line", "letters"),
    [
        (b"", "there is no event in it", 0),
        (b"[]", "there is no event in it", 0),
        (b'{"next": null, "results": []}', "there is no event in it", 0),
        (b"Dear diary,\nno.\n", "looks like a text file", 0),
        (b'{"event": "cut o\n{"event": 1, "distinct_id": "u"}', "none of its 2 records", 2),
    ],
)
def test_a_file_in_which_nothing_is_accepted_ends_with_1_and_one_line_the_second_time_too(
    store: Store, tmp_path: Path, data: bytes, line: str, letters: int
) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    for _ in range(2):
        result = call("import", str(file))
        assert result.returncode == 1
        assert len(result.stderr.strip().splitlines()) == 1
        assert str(file) in result.stderr
        assert line in result.stderr
    assert count(store, "dead_letter") == letters


@pytest.mark.usefixtures("store")
def test_a_page_is_imported_and_that_there_are_more_is_said(tmp_path: Path) -> None:
    page = tmp_path / "page.json"
    results = [json.loads(event) for event in events(3)]
    page.write_text(json.dumps({"next": "https://eu.posthog.com/x", "results": results}))
    result = call("import", str(page))
    assert result.returncode == 0
    assert "accepted 3 " in result.stdout
    [line] = result.stderr.strip().splitlines()
    assert line.startswith(f"warning: {page}: one page of more")
    result = call("import", str(page), str(page), "--json")
    assert json.loads(result.stdout)["warnings"] == [line.removeprefix("warning: ")] * 2
    page.write_text(json.dumps({"next": None, "results": results}))
    result = call("import", str(page), "--json")
    assert (json.loads(result.stdout)["warnings"], result.stderr.strip()) == ([], "")


def test_what_is_known_already_is_no_failure(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([*events(2), b"broken"]))
    assert call("import", str(file)).returncode == 0
    assert call("import", str(file)).returncode == 0
    assert count(store, "raw_event") == 2


def test_an_import_of_days_that_retention_drops_meanwhile_ends_well_and_counts_them(
    store: Store, rules: Rules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = load._new_batches
    loads = 0

    def dropped_meanwhile(*arguments: Any) -> Any:
        nonlocal loads
        loads += 1
        if loads == 2:
            enrich_due(store, rules)
            tomorrow = NOON.date() + timedelta(days=1)
            report = drop_days_before(store, FirstKept(tomorrow, tomorrow, tomorrow))
            assert report.dropped == [NOON.date()]
        return original(*arguments)

    monkeypatch.setattr(load, "_new_batches", dropped_meanwhile)
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(events(10)))
    result = call("import", str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert "accepted 20 " in result.stdout
    assert loads > 2, "the second commit was made once more"
    assert count(store, "raw_event") == 10


def test_where_nobody_looks_progress_leaves_no_empty_lines(store: Store, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_bytes(make_event(uuid=None, event=name))
    result = call("import", str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")


def test_the_other_files_are_imported_where_one_holds_no_events(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(b"no events")
    (tmp_path / "b.jsonl").write_bytes(b"\n".join(events(2)))
    result = call("import", str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl"), "--json")
    assert result.returncode == 1
    summary = json.loads(result.stdout)
    assert summary["accepted"] == 2
    assert len(summary["errors"]) == 1
    assert summary["interrupted"] is False
    assert count(store, "dead_letter") == 0


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_is_imported_with_all_files_in_it_but_hidden_ones(
    store: Store, tmp_path: Path, scheme: str
) -> None:
    folder = tmp_path / "export"
    (folder / "day=1").mkdir(parents=True)
    (folder / "day=1" / "a").write_bytes(b"\n".join(events(2)))
    (folder / "b.json.gz").write_bytes(gzip.compress(b"[" + b",".join(events(3)) + b"]"))
    for hidden in (".DS_Store", "_SUCCESS", "c.jsonl.part", "day=1/x_manifest.json"):
        (folder / hidden).write_bytes(b"\0")
    result = call("import", f"{scheme}{folder}", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["accepted"] == 5
    assert count(store, "raw_event") == 5


def test_a_folder_of_documentation_is_a_line_for_each_file_and_no_dead_letter(store: Store) -> None:
    """What quotes events holds none."""
    files = [file for file in _DOCUMENTATION.rglob("*") if file.is_file()]
    result = call("import", str(_DOCUMENTATION))
    assert result.returncode == 1
    complaints = result.stderr.strip().splitlines()
    assert len(complaints) == len(files) > 10
    assert all(line.partition(": looks like ")[2] for line in complaints)
    assert count(store, "dead_letter") == count(store, "raw_event") == 0


@pytest.mark.usefixtures("store")
def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    result = call("import", str(tmp_path))
    assert result.returncode == 1
    assert "the folder holds no files" in result.stderr


@pytest.mark.slow
def test_standard_input_is_imported(store: Store) -> None:
    with process("-", "--json") as importing:
        printed, complaints = importing.communicate(b"\n".join(events(25)).decode(), _SECONDS)
    assert importing.returncode == 0, complaints
    assert json.loads(printed)["accepted"] == 25
    assert count(store, "raw_event") == 25


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that serves the test's folder."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_what_a_web_server_has_is_imported(store: Store, tmp_path: Path, website: str) -> None:
    (tmp_path / "events.jsonl.gz").write_bytes(gzip.compress(b"\n".join(events(5))))
    result = call("import", f"{website}/events.jsonl.gz?token=x")
    assert result.returncode == 0, result.stderr
    assert count(store, "raw_event") == 5
    for url in (f"{website}/missing", f"{website}/"):
        result = call("import", url)
        assert result.returncode == 1
        assert len(result.stderr.strip().splitlines()) == 1
        assert url in result.stderr


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.slow
def test_ctrl_c_says_what_is_in_and_that_the_same_command_goes_on(
    store: Store, tmp_path: Path, *, as_json: bool
) -> None:
    lines = events(200)
    pipe = tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    with process(str(pipe), *(["--json"] if as_json else [])) as importing, pipe.open("wb") as file:
        # More than are read ahead, so that some are in while the rest is waited for.
        file.write(b"\n".join(lines) * 30 + b"\n")
        file.flush()
        while not count(store, "raw_event"):
            assert importing.poll() is None
        os.killpg(importing.pid, signal.SIGINT)
        printed, complaints = importing.communicate(timeout=_SECONDS)
    durable = count(store, "raw_event")
    assert importing.returncode == 130
    assert "Traceback" not in complaints
    assert "The same command goes on" in complaints
    if as_json:
        assert json.loads(printed)["accepted"] == durable
        assert json.loads(printed)["interrupted"] is True
    else:
        assert f"accepted {durable:,} · " in printed
    pipe.unlink()
    pipe.write_bytes(b"\n".join(lines))
    assert call("import", str(pipe)).returncode == 0
    assert count(store, "raw_event") == 200
