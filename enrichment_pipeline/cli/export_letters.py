"""`enrichment-pipeline dead-letters export`: the letters whole, for other tools."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import msgspec
import typer
from rich.progress import Progress

from enrichment_pipeline.cli.console import err, fail
from enrichment_pipeline.cli.letter_options import filtered_with_states, letters
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, count_letters, read_letters

_STDOUT = "-"
_UNFINISHED = ".part"

Letter = Mapping[str, object]


class Format(StrEnum):
    """The format in which letters are written."""

    JSONL = "jsonl"
    CSV = "csv"


@filtered_with_states
def export(
    chosen: LetterFilter,
    target: Annotated[
        str, typer.Option("--out", metavar="FILE|-", help="Where to; - is standard output.")
    ] = _STDOUT,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Unset: csv for a file of that name, else jsonl."),
    ] = None,
) -> None:
    """Write dead letters whole, the oldest first: all columns, traceback and payload.

    Without --state or an id: those that are open, replaying or exhausted. In JSONL a payload that
    is JSON is written as JSON, any other as text; in CSV every payload is text.

    Examples: [bold]enrichment-pipeline dead-letters export | jq .payload[/],
    [bold]enrichment-pipeline dead-letters export --state discarded --out discarded.csv[/]
    """
    form = form or (Format.CSV if target.endswith(".csv") else Format.JSONL)
    write = _write_csv if form is Format.CSV else _write_jsonl
    with existing_store(load_settings()) as store, store.transaction() as connection:
        found = read_letters(connection, chosen)
        if target == _STDOUT:
            write(sys.stdout.buffer, found)
            return
        total = count_letters(connection, chosen).letters
        bar = Progress(console=err, transient=True, disable=not err.is_terminal)
        with bar as progress, _new_file(Path(target)) as file:
            written = write(file, progress.track(found, total=total, description="Letters"))
    err.print(f"{letters(written)} in {target}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole; a path that is not a regular file, such as a
    pipe, is written to directly."""
    is_file = path.is_file() or not path.exists()
    written = path.with_name(path.name + _UNFINISHED) if is_file else path
    try:
        with written.open("wb") as file:
            yield file
        written.replace(path)
    except OSError as error:
        fail(f"--out {path}: {error.strerror or error}")
    finally:
        if is_file:
            with suppress(OSError):
                written.unlink(missing_ok=True)


def _write_jsonl(file: BinaryIO, found: Iterable[Letter]) -> int:
    count = 0
    for count, letter in enumerate(found, 1):  # noqa: B007  the last one is how many
        payload = cast("bytes | None", letter["payload"])
        file.write(msgspec.json.encode({**letter, "payload": _embedded(payload)}) + b"\n")
    return count


def _embedded(payload: bytes | None) -> object:
    """A JSON payload as it is, on one line; any other payload as text."""
    if payload is None:
        return None
    try:
        msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return _text(payload)
    return msgspec.Raw(msgspec.json.format(payload, indent=-1))


def _write_csv(file: BinaryIO, found: Iterable[Letter]) -> int:
    count = 0
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    for count, letter in enumerate(found, 1):
        writer = csv.writer(text)
        if count == 1:
            writer.writerow(letter)
        writer.writerow(_cell(value) for value in letter.values())
    # Otherwise the wrapper would close the file when it is collected.
    text.detach()
    return count


def _cell(value: object) -> object:
    if isinstance(value, bytes):
        return _text(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _text(payload: bytes) -> str:
    return payload.decode(errors="backslashreplace")
