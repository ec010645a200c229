"""Printing: one console for results, one for errors, and the forms in which both are shown."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console()
err = Console(stderr=True)


def print_error(message: str) -> None:
    """Print one line on standard error."""
    # A Text, here and in tables: in a plain string Rich would take "[/a]" for markup.
    err.print(Text.assemble(("error:", "bold red"), " ", message), soft_wrap=True)


def print_warning(message: str) -> None:
    """Print one line on standard error about something that stops nothing."""
    err.print(Text.assemble(("warning:", "bold yellow"), " ", message), soft_wrap=True)


def fail(message: str) -> NoReturn:
    """End the command with one line on standard error."""
    print_error(message)
    raise typer.Exit(1)


def write(text: str) -> None:
    """Print text as it is: Rich would take parts of it for markup, or wrap its lines."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def say(line: str) -> None:
    """Print one line as it is, however narrow the terminal."""
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def waiting(what: str) -> AbstractContextManager[object]:
    """Show what the block waits for: on a terminal as a spinner, elsewhere as a line."""
    if out.is_terminal:
        return out.status(what)
    say(what)
    return nullcontext()


def print_json(value: object) -> None:
    """Print JSON, with times as ISO 8601, and other types that JSON lacks as text."""
    out.print_json(json.dumps(value, default=_plain, ensure_ascii=False))


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    title: str | None = None,
    whole: Sequence[str] = (),
) -> None:
    """Print rows; columns of numbers are set flush right. The columns in `whole` are never cut,
    however narrow the terminal."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", no_wrap=name in whole)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    out.print(table)


def records(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[Mapping[str, object]]:
    """Rows as objects."""
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, bool | dict | list | tuple):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return _plain(value)


def _plain(value: object) -> str:
    """A value that JSON has no form for, as PostgreSQL writes it."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    return rf"\x{value.hex()}" if isinstance(value, bytes) else str(value)
