"""Writing enriched events and timelines to files: Parquet, JSONL or CSV, a folder for each day.

It is here because it is another output of data made for models: private columns are left out unless
the user asks for them. Reading the rows belongs to `store.reading.exporting`.
"""

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import uuid4

from enrichment_pipeline.events.masked import masked_id, masked_path, masked_text, masked_word
from enrichment_pipeline.events.pages import MAX_PATH_LENGTH
from enrichment_pipeline.events.raw_event import MAX_EVENT_NAME_LENGTH
from enrichment_pipeline.file_systems import file_system_of, has_folders, reason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.reading.exporting import (
    What,
    columns_of,
    days_to_export,
    rows_of_day,
)

Format = Literal["parquet", "jsonl", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)

ROWS_OF_A_FILE = 500_000

_SUFFIXES = {"parquet": "parquet", "jsonl": "jsonl.gz", "csv": "csv.gz"}
_NUMBERS = frozenset({"events", "pages"})


class ExportError(StoreError):
    """The files cannot be written; one line that says why."""


@dataclass
class ExportReport:
    """What was written."""

    rows: int = 0
    bytes: int = 0
    files: list[str] = field(default_factory=list)
    days: list[date] = field(default_factory=list)


@dataclass(frozen=True)
class Export:
    """What to write, and the target."""

    what: What
    target: str
    """A folder, or a URL that fsspec supports."""
    format: Format = "parquet"
    first: date | None = None
    last: date | None = None
    project: str | None = None
    with_private: bool = False


def count_rows(store: Store, export: Export) -> dict[date, int]:
    """The days that an export will write, and how many rows each has in all projects."""
    with store.transaction() as connection:
        return days_to_export(connection, export.what, export.first, export.last)


def run_export(
    store: Store,
    export: Export,
    days: Sequence[date],
    on_progress: Callable[[int], None] = lambda _: None,
) -> ExportReport:
    """Write these days. A day's files replace those of an earlier export once all of them are
    written; until then the earlier files stay complete.

    Raises:
        ExportError: the target cannot be written to, or has files of a day in another format; in
            that case nothing is written.
    """
    report = ExportReport()
    target = _Target(export.target)
    folders = {day: f"{target.root}/{export.what}/day={day}" for day in days}
    for folder in folders.values():
        _refuse_other_formats(export, target, folder)
    for day, folder in folders.items():
        try:
            _write_day(store, export, target, folder, day, report, on_progress)
        except OSError as error:
            # Of the files on this machine, before they are sent.
            raise ExportError(f"{export.target}: cannot be written: {error}") from error
        report.days.append(day)
    return report


class _Target:
    """The folder or bucket that is written to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._has_folders = has_folders(url)
        with self._reported():
            self._files, self.root = file_system_of(url)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Each file system raises what its client library raises, which have no common base.
            why = f"cannot be written: {reason(error, self._url)}"
            raise ExportError(f"{self._url}: {why}") from error

    def parts_in(self, folder: str) -> list[str]:
        """The paths of the finished files of a folder, which need not be there."""
        with self._reported():
            # Some file systems cache their listings.
            self._files.invalidate_cache()
            if not self._files.isdir(folder):
                return []
            return [one for one in self._files.ls(folder, detail=False) if "/part-" in one]

    def put(self, local: Path, path: str) -> None:
        """Write a file, with the folders that it is in."""
        with self._reported():
            if self._has_folders:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(local), path)

    def move(self, path: str, to: str) -> None:
        """Rename a file; one that has the name is replaced at once, and is never missing."""
        with self._reported():
            self._files.mv(path, to)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with self._reported():
            self._files.rm_file(path)

    def remove_what_is_there(self, paths: Iterable[str]) -> None:
        """Remove files, some of which may not be there, or all out of reach: then they stay."""
        for path in paths:
            with suppress(ExportError):
                self.remove(path)


def _refuse_other_formats(export: Export, target: _Target, folder: str) -> None:
    """Refuse: a reader of the folder would find each event twice, and other files must not be
    deleted without the user's request."""
    for part in target.parts_in(folder):
        if not part.endswith(f".{_SUFFIXES[export.format]}"):
            raise ExportError(
                f"{folder} has files of another format, such as {part.rpartition('/')[2]}: choose "
                "another folder, or remove them first"
            )


def _write_day(
    store: Store,
    export: Export,
    target: _Target,
    folder: str,
    day: date,
    report: ExportReport,
    on_progress: Callable[[int], None],
) -> None:
    # Readers of data skip names with a dot in front.
    token = uuid4().hex[:8]
    suffix = _SUFFIXES[export.format]
    written: dict[str, str] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="export-") as local:
            parts = _parts(store, export, day, Path(local), report, on_progress)
            for number, file in enumerate(parts):
                hidden = f"{folder}/.{token}-{number:04}"
                written[hidden] = f"{folder}/part-{number:04}.{suffix}"
                report.bytes += file.stat().st_size
                target.put(file, hidden)
                file.unlink()
        before = target.parts_in(folder)
        for hidden, final in written.items():
            target.move(hidden, final)
            report.files.append(final)
    except BaseException:
        target.remove_what_is_there(written)
        raise
    kept = {final.rsplit("/", 1)[-1] for final in written.values()}
    for one in before:
        if one.rsplit("/", 1)[-1] not in kept:
            target.remove(one)


def _parts(
    store: Store,
    export: Export,
    day: date,
    folder: Path,
    report: ExportReport,
    on_progress: Callable[[int], None],
) -> Iterator[Path]:
    """The files of a day, one after the other, each written completely."""
    columns = columns_of(export.what, with_private=export.with_private)
    masked = _masking(columns)
    writer: _Writer | None = None
    with store.transaction() as connection:
        for rows in rows_of_day(
            connection, export.what, day, export.project, with_private=export.with_private
        ):
            writer = writer or _WRITERS[export.format](folder / uuid4().hex, columns)
            writer.write(rows if export.with_private else [masked(row) for row in rows])
            report.rows += len(rows)
            on_progress(len(rows))
            if writer.rows >= ROWS_OF_A_FILE:
                yield writer.close()
                writer = None
    if writer:
        yield writer.close()


# Text of strangers in other columns: `description` and timelines are masked already.
_MASKS: Mapping[str, Callable[[str], str]] = {
    "event": lambda value: masked_text(value, MAX_EVENT_NAME_LENGTH),
    "path_template": lambda value: masked_path(value, MAX_PATH_LENGTH),
    "element_tag": lambda value: masked_word(value, MAX_EVENT_NAME_LENGTH),
    "session_id": masked_id,
}
_MOST_REMEMBERED = 65_536


def _masking(columns: Sequence[str]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """The function that masks a row of these columns."""
    masks = {
        place: lru_cache(_MOST_REMEMBERED)(_MASKS[name])
        for place, name in enumerate(columns)
        if name in _MASKS
    }

    def masked(row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for place, mask in masks.items():
            if values[place] is not None:
                values[place] = mask(values[place])
        return values

    return masked


class _Writer:
    """A writer of one file."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = columns
        self.rows = 0

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows."""
        self.rows += len(rows)
        self._write(rows)

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        raise NotImplementedError

    def close(self) -> Path:
        """Close the file; returns its path."""
        raise NotImplementedError


class _Parquet(_Writer):
    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        super().__init__(path, columns)
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._arrow = pa
        self._schema = pa.schema([(name, _arrow_type(pa, name)) for name in columns])
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        values = list(zip(*rows, strict=True))
        arrays = [
            self._arrow.array(column, kind.type)
            for column, kind in zip(values, self._schema, strict=True)
        ]
        self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> Path:
        self._file.close()
        return self.path


def _arrow_type(arrow: Any, name: str) -> Any:
    if name.endswith("_at"):
        return arrow.timestamp("us", "UTC")
    return arrow.int32() if name in _NUMBERS else arrow.string()


class _Lines(_Writer):
    """JSONL, compressed."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        super().__init__(path, columns)
        self._file = _text_file(path)

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            shown = dict(zip(self.columns, row, strict=True))
            if shown.get("properties"):
                shown["properties"] = json.loads(shown["properties"])
            self._file.write(json.dumps(shown, default=_plain, ensure_ascii=False) + "\n")

    def close(self) -> Path:
        self._file.close()
        return self.path


class _Csv(_Writer):
    """CSV with a header, compressed."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        super().__init__(path, columns)
        self._file = _text_file(path)
        self._rows = csv.writer(self._file)
        self._rows.writerow(columns)

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        self._rows.writerows(
            [_plain(value) if isinstance(value, datetime) else value for value in row]
            for row in rows
        )

    def close(self) -> Path:
        self._file.close()
        return self.path


_WRITERS: dict[Format, type[_Writer]] = {"parquet": _Parquet, "jsonl": _Lines, "csv": _Csv}


def _text_file(path: Path) -> io.TextIOWrapper:
    compressed = gzip.GzipFile(path, "wb", compresslevel=5)
    # Line ends are kept as they are, also within a cell of CSV.
    return io.TextIOWrapper(compressed, encoding="utf-8", newline="")


def _plain(value: datetime) -> str:
    return value.isoformat()
