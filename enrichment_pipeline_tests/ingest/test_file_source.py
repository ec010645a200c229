"""Opening sources, progress through them, and the memory that reading takes."""

import io
import random
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import fsspec
import pytest
import zstandard

from enrichment_pipeline.ingest.files import (
    BrokenFileError,
    SourceError,
    read_records,
    source_size,
)
from enrichment_pipeline_tests.ingest.stored_files import (
    COMPRESSIONS,
    EVENTS,
    parquet,
)


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"^cannot read nowhere\.jsonl: No such file"):
        list(read_records("nowhere.jsonl"))
    with pytest.raises(SourceError, match=r"^cannot read nowhere\.jsonl: No such file"):
        source_size("nowhere.jsonl")
    with pytest.raises(SourceError, match=r"^cannot read memory://nowhere: "):
        list(read_records("memory://nowhere"))


def test_a_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"Is a directory$"):
        list(read_records(str(tmp_path)))


def test_a_file_system_whose_package_is_missing_is_one_line() -> None:
    fsspec.register_implementation(
        "unpackaged", "no_such_package.FileSystem", errtxt="Install no_such_package to access it"
    )
    expected = "^cannot read unpackaged://x: a package is missing: Install no_such_package"
    with pytest.raises(SourceError, match=expected):
        list(read_records("unpackaged://x"))
    with pytest.raises(SourceError, match=expected):
        source_size("unpackaged://x")


def test_an_unknown_protocol_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"^cannot read nonsense://x: Protocol not known"):
        list(read_records("nonsense://x"))


class _Forbids(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(403)

    def do_HEAD(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_why_nothing_comes_over_http_is_said() -> None:
    with HTTPServer(("127.0.0.1", 0), _Forbids) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/events.jsonl"
        with pytest.raises(SourceError, match=f"^cannot read {url}: the server answers 403 Forb"):
            source_size(url)
        server.shutdown()
    with pytest.raises(SourceError, match=f"^cannot read {url}: Cannot connect to host 127"):
        list(read_records(url))


def test_brotli_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl.br"
    file.write_bytes(b"\x0b\x02\x80abc\x03")
    with pytest.raises(SourceError, match="brotli is not supported, run `brotli -d` first"):
        list(read_records(str(file)))


def test_a_read_that_fails_half_way_says_where() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= len(b"\n".join(EVENTS)):
                raise ConnectionResetError("connection reset\nby peer")
            return super().read(size)

    class FailingFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
        protocol = "failing"

        def _open(self, path: str, mode: str = "rb", **options: object) -> io.BytesIO:
            return Failing(b"\n".join(EVENTS))

    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    with pytest.raises(BrokenFileError, match="after line 2: reading failed: connection reset by"):
        list(read_records("failing://x"))


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
@pytest.mark.parametrize("kind", ["lines", "array", "parquet"])
def test_progress_grows_and_ends_at_the_size_of_the_source(
    tmp_path: Path, compression: str, kind: str
) -> None:
    lines = [b'{"event": "%d", "x": "%x"}' % (n, n**200) for n in range(3000)]
    data = {
        "lines": b"\n".join(lines),
        "array": b"[" + b",".join(lines) + b"]",
        "parquet": parquet({"event": [line.decode() for line in lines]}),
    }[kind]
    file = tmp_path / "events"
    file.write_bytes(COMPRESSIONS[compression](data))
    for source in (str(file), f"file://{file}"):
        steps: list[int] = []
        assert sum(1 for _ in read_records(source, steps.append)) == 3000
        assert steps == sorted(steps)
        assert len(steps) > 1
        assert steps[-1] == source_size(source) == file.stat().st_size


def peak_memory(source: str) -> int:
    """Bytes that Python held at most while the source was read."""
    tracemalloc.start()
    try:
        for _ in read_records(source):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
@pytest.mark.parametrize("kind", ["lines", "array"])
@pytest.mark.slow
def test_memory_stays_flat_however_large_the_file(
    tmp_path: Path, kind: str, compression: str
) -> None:
    before, between, after = {"lines": (b"", b"\n", b""), "array": (b"[", b",", b"]")}[kind]
    event = b'{"event": "a", "properties": {"x": "%s"}}'
    events = [event % random.Random(n).randbytes(1200).hex().encode() for n in range(5_000)]
    file = tmp_path / "events"
    file.write_bytes(COMPRESSIONS[compression](before + between.join(events) + after))
    assert peak_memory(str(file)) < 5_000_000  # of 12 MB


@pytest.mark.slow
def test_a_bomb_is_unpacked_piece_by_piece(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(zstandard.compress(b"x" * 300_000_000))
    assert peak_memory(str(file)) < 80_000_000
