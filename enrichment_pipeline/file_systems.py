"""Folders and buckets: from a path or a URL to fsspec's file system, and why one fails in one line.

Which files are read belongs to `ingest`, what is written to `llm.exporting`.
"""

import errno
import logging
import os
import re

import fsspec

# What goes wrong is raised, and said by whoever reads or writes; Python would print it too where
# nobody takes it.
logging.getLogger("fsspec").addHandler(logging.NullHandler())

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
    # A slash at the end would be a part of the keys of what is put there.
    return file_system, path if has_folders(place) else path.rstrip("/")


def has_folders(place: str) -> bool:
    """Whether files can be written only into folders that are there; stores of objects have none,
    and their clients may make a bucket where they are asked for a folder."""
    return _extra(place) is None


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
    if said not in _SAYS_NOTHING and not _is_place(said, error, place):
        return said
    if error.__cause__ is not None:
        # Over HTTP, fsspec reports every error as a file that is not found.
        if status := getattr(error.__cause__, "status", None):
            message = getattr(error.__cause__, "message", "")
            return f"the server answers {status} {message}".rstrip()
        return _why(error.__cause__, place)
    return _MISSING if isinstance(error, FileNotFoundError) else type(error).__name__


def _is_place(said: str, error: BaseException, place: str) -> bool:
    """Whether a message is no more than the place, as a store of objects may name it."""
    if " " in said:
        return False
    return isinstance(error, FileNotFoundError) or _last(said) == _last(place)


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def one_line(error: BaseException) -> str:
    """The message of an exception with its line breaks folded."""
    return " ".join(str(error).split())


def _remedy(error: ImportError, place: str) -> str:
    if extra := _extra(place):
        return f"pip install 'enrichment-pipeline[{extra}]'"
    # fsspec's own words say which, such as: SFTPFileSystem requires "paramiko" to be installed
    return one_line(error)


def _extra(place: str) -> str | None:
    """The extra for the store of objects that a URL names, if it names one."""
    # Of a chain such as `filecache::s3://bucket`, the last one.
    schemes = _SCHEME.findall(place)
    return _EXTRAS.get(schemes[-1].lower()) if schemes else None
