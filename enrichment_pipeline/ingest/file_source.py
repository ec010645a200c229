"""From a path, a URL or standard input to decompressed bytes, in chunks and in bounded memory.

This module opens sources, lists the files of folders, measures, counts what was read, and
decompresses gzip and zstd. Understanding the bytes belongs to `files`.
"""

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from glob import has_magic
from typing import IO, cast

import fsspec
import zstandard

from enrichment_pipeline.file_systems import file_system_of, has_folders, is_url, one_line, reason
from enrichment_pipeline.ingest.file_records import DamageError, SourceError

CHUNK_BYTES = 256 * 1024
"""Size of the chunks that readers see; larger ones are no faster to scan."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

# Four bytes of zstd can stand for 128 KB, so the size of the input bounds the size of the output:
# here 16 MB for a hostile file, some 5 KB for events.
_ZSTD_FEED_BYTES = 512

_BUCKET_BYTES = 8 * 1024 * 1024
"""What one request asks a bucket for. s3fs would ask for 50 MB, and keep twice as much in memory;
with 4 MB reading takes twice as long."""


STDIN = "-"
"""The source that is standard input."""

# HTTP does not distinguish folders from pages.
_FOLDERLESS = ("http://", "https://")

_HIDDEN = (".", "_")
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")
# PostHog puts one beside exports that it cuts into several files.
_MANIFEST = "manifest.json"


def is_passed_over(path: str) -> bool:
    """Whether a file of a folder or an archive is skipped for its name: it, or a folder that it is
    in, is hidden; it is unfinished, or a manifest."""
    *folders, name = path.strip("/").split("/")
    hidden = any(part.startswith(_HIDDEN) for part in (*folders, name) if part != ".")
    return hidden or name.lower().endswith((*_UNFINISHED, _MANIFEST))


def expand_source(source: str) -> list[str]:
    """The files of a folder, at any depth, in order, or those of a pattern, such as
    `s3://bucket/2026-03-*/*.parquet`; for any other source, the source itself.

    Raises SourceError where the folder cannot be read, or no files are found.
    """
    if source == STDIN or source.startswith(_FOLDERLESS):
        return [source]
    try:
        file_system, root = file_system_of(source)
        # A name may hold the characters of a pattern.
        if has_magic(root) and not file_system.exists(root):
            kind, found = "pattern matches", _matching(file_system, root)
        elif file_system.isdir(root):
            kind, found = "folder holds", _below(file_system, root)
        else:
            return [source]
    except Exception as error:
        # As in open_source: each file system has errors of its own.
        raise _unreadable(source, error) from error
    if not found:
        raise SourceError(f"cannot read {source}: the {kind} no files")
    if not is_url(source):
        # As they were named: relative to here.
        return [os.path.relpath(path) if not os.path.isabs(source) else path for path in found]
    return [str(file_system.unstrip_protocol(path)) for path in found]


def _matching(file_system: fsspec.AbstractFileSystem, pattern: str) -> list[str]:
    found: set[str] = set()
    for path in file_system.glob(pattern):
        found.update(_below(file_system, path) if file_system.isdir(path) else [path])
    return sorted(path for path in found if not is_passed_over(path.rpartition("/")[2]))


def _below(file_system: fsspec.AbstractFileSystem, folder: str) -> list[str]:
    found = sorted(file_system.find(folder))
    return [path for path in found if not is_passed_over(path.removeprefix(folder))]


def open_source(source: str) -> IO[bytes]:
    """Open a local path, a URL that fsspec knows, or standard input (`-`), for reading bytes.

    Raises SourceError with one line where that fails.
    """
    try:
        if source == STDIN:
            return open(sys.stdin.fileno(), "rb", closefd=False)
        if is_url(source):
            file_system, path = file_system_of(source)
            options = {} if has_folders(source) else {"block_size": _BUCKET_BYTES}
            return cast("IO[bytes]", file_system.open(path, "rb", **options))
        return open(source, "rb")
    except Exception as error:
        # fsspec's file systems raise what their client libraries raise, which have no common base.
        raise _unreadable(source, error) from error


def source_size(source: str) -> int | None:
    """Size of a source in bytes, as stored (compressed); None where its server does not say.

    Raises SourceError where the source is missing or cannot be reached.
    """
    try:
        if source == STDIN:
            return None
        if not is_url(source):
            return os.stat(source).st_size
        file_system, path = file_system_of(source)
        size = file_system.size(path)
    except Exception as error:
        # As in open_source: each file system has errors of its own.
        raise _unreadable(source, error) from error
    return None if size is None else int(size)


def _unreadable(source: str, error: Exception) -> SourceError:
    return SourceError(f"cannot read {source}: {reason(error, source)}")


class SourceReader:
    """Reads a file once from its beginning, counts the bytes, and can peek ahead."""

    def __init__(
        self, raw: IO[bytes], on_progress: Callable[[int], None] | None, *, seekable: bool = True
    ) -> None:
        self.raw = raw
        self.seekable = seekable and raw.seekable()
        self._on_progress = on_progress
        self._ahead = b""
        self._consumed = 0

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end of the file, without moving on."""
        while len(self._ahead) < size and (more := self._read_raw(size - len(self._ahead))):
            self._ahead += more
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """At most `size` bytes, and none only at the end; reports progress."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            data = self._read_raw(size)
        if data:
            self._consumed += len(data)
            self.report(self._consumed)
        return data

    def report(self, consumed: int) -> None:
        """Report how many bytes of the source, as stored, have been read."""
        if self._on_progress is not None:
            self._on_progress(consumed)

    def _read_raw(self, size: int) -> bytes:
        try:
            return self.raw.read(size)
        except Exception as error:
            # A network file system can fail half-way with any error of its client library.
            raise DamageError(f"reading failed: {reason(error, '')}") from error


def read_chunks(reader: SourceReader) -> Iterator[bytes]:
    """Decompressed contents in chunks, none of them empty.

    gzip and zstd are recognized by their first bytes; all members or frames are read (PostHog's
    exports begin a gzip member for every piece they write). Where the data is cut off or damaged,
    everything before that place is yielded, then DamageError is raised.
    """
    magic = reader.peek(len(_ZSTD_MAGIC))
    if magic.startswith(_GZIP_MAGIC):
        return _evened(_gunzipped(reader))
    if magic == _ZSTD_MAGIC:
        return _evened(_unzstded(reader))
    return _evened(iter(lambda: reader.read(CHUNK_BYTES), b""))


def _gunzipped(reader: SourceReader) -> Iterator[bytes]:
    file = gzip.GzipFile(fileobj=cast("IO[bytes]", reader), mode="rb")
    try:
        while piece := file.read1(CHUNK_BYTES):
            yield piece
    except EOFError as error:
        raise DamageError("the gzip data is cut off") from error
    except (OSError, zlib.error) as error:
        raise DamageError(f"the gzip data is damaged: {one_line(error)}") from error


def _unzstded(reader: SourceReader) -> Iterator[bytes]:
    # zstandard's stream_reader takes the end of a file that was cut off for an ordinary end;
    # a decompressobj knows whether its frame was complete.
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    try:
        while data := reader.read(CHUNK_BYTES):
            for start in range(0, len(data), _ZSTD_FEED_BYTES):
                feed = data[start : start + _ZSTD_FEED_BYTES]
                while feed:
                    if frame.eof:
                        frame = decompressor.decompressobj()
                    yield frame.decompress(feed)
                    feed = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError as error:
        raise DamageError(f"the zstd data is damaged: {one_line(error)}") from error
    if not frame.eof:
        raise DamageError("the zstd data is cut off")


def _evened(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join small pieces, since each costs its readers work, and cut large ones to save memory."""
    held: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= CHUNK_BYTES:
                yield from _cut(b"".join(held))
                held, size = [], 0
    except DamageError:
        yield from _cut(b"".join(held))
        raise
    yield from _cut(b"".join(held))


def _cut(text: bytes) -> Iterator[bytes]:
    limit = 2 * CHUNK_BYTES
    return (text[start : start + limit] for start in range(0, len(text), limit))
