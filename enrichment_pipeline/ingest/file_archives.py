"""The files in a zip or tar archive, one after the other, as they are streamed.

The kind of archive is recognized by the bytes. Reading the files in it belongs to `files`.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple, cast

from enrichment_pipeline.file_systems import one_line
from enrichment_pipeline.ingest.file_records import DamageError, OtherContentError
from enrichment_pipeline.ingest.file_source import is_passed_over

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_OFFICE = "[Content_Types].xml"
_ENCRYPTED = 1


class Member(NamedTuple):
    """A file in an archive, open until the next one is asked for."""

    name: str
    file: IO[bytes]


def is_tar(head: bytes) -> bool:
    """Whether a text that begins so is a tar archive: its first block holds its own checksum."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def zip_members(file: IO[bytes]) -> Iterator[Member]:
    """The files of a seekable zip archive that may hold events.

    Raises DamageError where it is broken, OtherContentError where people would not call it an
    archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if _OFFICE in archive.namelist():
                raise OtherContentError("looks like an Excel or Office file: save it as CSV")
            for info in archive.infolist():
                if info.is_dir() or is_passed_over(info.filename):
                    continue
                if info.flag_bits & _ENCRYPTED:
                    raise OtherContentError("the zip archive is encrypted: unpack it first")
                with archive.open(info) as member:
                    yield Member(info.filename, member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DamageError(f"the zip data is damaged: {one_line(error)}") from error


def tar_members(chunks: Iterator[bytes]) -> Iterator[Member]:
    """The files of a tar archive that may hold events. Raises DamageError where it is broken."""
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Chunks(chunks)), mode="r|") as archive:
            for info in archive:
                file = None if is_passed_over(info.name) else archive.extractfile(info)
                if file is not None:
                    yield Member(info.name, file)
    except (tarfile.TarError, EOFError) as error:
        raise DamageError(f"the tar data is damaged: {one_line(error)}") from error


class _Chunks:
    """Chunks as the file that tarfile reads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._ahead = b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes, and none only at the end."""
        data = self._ahead or next(self._chunks, b"")
        self._ahead = data[size:]
        return data[:size]
