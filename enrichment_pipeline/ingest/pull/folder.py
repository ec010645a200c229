"""The folder or bucket where PostHog's batch exports land: which of its files to read, each once.

Reading files belongs to `ingest.files`, remembering them to `store.ingest.pulled`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from enrichment_pipeline.file_systems import file_system_of, reason
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.file_source import is_passed_over
from enrichment_pipeline.ingest.files import SourceError
from enrichment_pipeline.ingest.importer import import_source
from enrichment_pipeline.ingest.pull.errors import PullError, PullRefusedError
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.pulled import (
    PulledFile,
    claimed,
    pulled_versions,
    remember_file,
)

SOURCE = "folder"

# PostHog writes `.jsonl.gz`, and `.parquet.zst` where the compression is within the format.
_FORMATS = frozenset({"jsonl", "ndjson", "json", "parquet"})
_COMPRESSIONS = frozenset({"gz", "gzip", "zst", "zstd", "br", "lz4", "sz", "snappy"})

# The names of file systems for a checksum: the first one found says whether a file changed.
_CHECKSUMS = ("ETag", "etag", "md5Hash", "checksum", "content_md5")
_CHANGED = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")

Progress = Callable[[str, int, int | None], None]
"""Called with what is being pulled, how much of it is done, and the total, where that is known:
bytes of a file, events of a window."""


class FoundFile(NamedTuple):
    """A file of the folder."""

    url: str
    version: str
    size: int | None


@dataclass
class FolderReport:
    """What became of the files of the folder."""

    summary: ImportSummary = field(default_factory=ImportSummary)
    files: int = 0
    """Files read to their end in this pull."""
    known: int = 0
    """Files read before, and not changed since."""
    passed_over: int = 0
    """Files skipped for their names: hidden, unfinished, manifests, other formats."""
    busy: list[str] = field(default_factory=list)
    """Files that another pull is reading."""
    broken: list[str] = field(default_factory=list)
    """One line for each file that could not be read, or not to its end."""


def pull_folder(
    store: Store,
    folder: str,
    project: str,
    report: FolderReport,
    on_progress: Progress | None = None,
) -> None:
    """Import every file of the folder that is new or has changed, adding to `report`.

    A broken file does not stop the others, and the next pull tries it again.

    Raises:
        PullRefusedError: there is no such folder, or no package that reads it.
        PullError: the folder does not respond.
    """
    found = list(_files(folder, report))
    with store.transaction() as connection:
        known = pulled_versions(connection, [file.url for file in found])
    for file in found:
        if known.get(file.url) == file.version:
            report.known += 1
            continue
        with claimed(store, file.url) as ours:
            if ours:
                _pull_file(store, file, project, report, on_progress)
            else:
                report.busy.append(file.url)


def _pull_file(
    store: Store,
    file: FoundFile,
    project: str,
    report: FolderReport,
    on_progress: Progress | None,
) -> None:
    def advance(done: int) -> None:
        if on_progress:
            on_progress(file.url.rpartition("/")[2], done, file.size)

    summary = ImportSummary()
    try:
        import_source(store, file.url, project, summary, advance, SOURCE)
    except SourceError as error:
        report.broken.append(f"{error}; mend or remove it, the next pull tries it again")
        return
    finally:
        report.summary.add(summary)
    report.files += 1
    with store.transaction() as connection:
        remember_file(
            connection,
            PulledFile(
                file.url,
                file.version,
                summary.accepted,
                summary.duplicates,
                summary.quarantined.total(),
            ),
        )


def _files(folder: str, report: FolderReport) -> Iterator[FoundFile]:
    """The files to read, in the order of their names, which is that of PostHog's intervals."""
    file_system, root = _file_system(folder)
    for path, info in sorted(_listing(file_system, root, folder).items()):
        if not _is_export(path.removeprefix(root)):
            report.passed_over += 1
            continue
        is_local = isinstance(file_system, LocalFileSystem)
        url = path if is_local else str(file_system.unstrip_protocol(path))
        yield FoundFile(url, _version(info), cast("int | None", info.get("size")))


def _file_system(folder: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        return file_system_of(folder)
    except (ImportError, ValueError) as error:
        # No such protocol, or the package for it is missing.
        raise _refused(folder, error) from error
    except Exception as error:
        raise _unlisted(folder, error) from error


def _listing(
    file_system: fsspec.AbstractFileSystem, root: str, folder: str
) -> dict[str, dict[str, object]]:
    try:
        # Some file systems cache listings, and would not see what has landed since.
        file_system.invalidate_cache()
        # Listed first: `find` takes a folder that is missing or unreachable for empty.
        file_system.ls(root, detail=False)
        return cast("dict[str, dict[str, object]]", file_system.find(root, detail=True))
    except FileNotFoundError as error:
        raise PullRefusedError(
            f"ENRICHMENT_PULL_FOLDER={folder}: there is no such folder, or nothing has landed yet"
        ) from error
    except PermissionError as error:
        raise _refused(folder, error) from error
    except Exception as error:
        raise _unlisted(folder, error) from error


def _refused(folder: str, error: Exception) -> PullRefusedError:
    return PullRefusedError(f"ENRICHMENT_PULL_FOLDER={folder}: {reason(error, folder)}")


def _unlisted(folder: str, error: Exception) -> PullError:
    # Each file system raises what its client library raises, which have no common base.
    return PullError(f"ENRICHMENT_PULL_FOLDER={folder} cannot be listed: {reason(error, folder)}")


def _is_export(path: str) -> bool:
    """Whether a file looks by its name, relative to the folder, like an export that is finished."""
    if is_passed_over(path):
        return False
    suffixes = path.rpartition("/")[2].lower().split(".")[1:]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in _FORMATS


def _version(info: dict[str, object]) -> str:
    """A text that changes when the file does."""
    change = next((info[name] for name in (*_CHECKSUMS, *_CHANGED) if info.get(name)), "")
    return f"{info.get('size')}:{change}"
