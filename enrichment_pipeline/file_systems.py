"""Folders and buckets: from a path or a URL to fsspec's file system, and why one fails in one line.

Which files are read belongs to `ingest`, what is written to `llm.exporting`.
"""

import errno
import os
import re

import fsspec

_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "abfs",
    "abfss": "abfs",
    "az": "abfs",
}
"""The extra of our package that reads and writes URLs of a scheme."""

_SCHEME = re.compile(r"([a-z0-9+.-]+)://", re.I)
_MISSING = os.strerror(errno.ENOENT)
# What clients of stores say where they say no more.
_SAYS_NOTHING = frozenset({"", "Not Found"})


def is_url(place: str) -> bool:
    """Whether fsspec opens it, and not the operating system."""
    return "://" in place or "::" in place


def file_system_of(place: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path or a URL, and the path within it.

    Raises ImportError, ValueError or whatever the client of a store raises; `reason` words it.
    """
    file_system, path = fsspec.core.url_to_fs(place)
    return file_system, path


def reason(error: BaseException, place: str) -> str:
    """Why a place cannot be used, in one line: the error's message, or its cause's where it says no
    more than the place itself."""
    if isinstance(error, ImportError):
        return f"a package is missing: {_remedy(error, place)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _why(error, place)


def _why(error: BaseException, place: str) -> str:
    said = one_line(error)
    if said not in _SAYS_NOTHING and not place.endswith(said):
        return said
    if error.__cause__ is not None:
        # Over HTTP, fsspec reports every error as a file that is not found.
        if status := getattr(error.__cause__, "status", None):
            message = getattr(error.__cause__, "message", "")
            return f"the server answers {status} {message}".rstrip()
        return _why(error.__cause__, place)
    return _MISSING if isinstance(error, FileNotFoundError) else type(error).__name__


def one_line(error: BaseException) -> str:
    """The message of an exception with its line breaks folded."""
    return " ".join(str(error).split())


def _remedy(error: ImportError, place: str) -> str:
    schemes = [scheme.lower() for scheme in _SCHEME.findall(place)]
    for scheme in reversed(schemes):
        if extra := _EXTRAS.get(scheme):
            return f"pip install 'enrichment-pipeline[{extra}]'"
    # fsspec's own words say which, such as: SFTPFileSystem requires "paramiko" to be installed
    return one_line(error)
