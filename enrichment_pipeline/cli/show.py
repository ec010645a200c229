"""`enrichment-pipeline show`: one event or one dead letter, whole."""

from typing import Annotated, cast
from uuid import UUID

import msgspec
import typer

from enrichment_pipeline.cli.console import fail, out, print_json, print_table
from enrichment_pipeline.cli.letter_options import letter_id
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.store.dead_letters.letters import find_letter
from enrichment_pipeline.store.ingest.events import (
    StoredEvent,
    find_events,
    sample_of_batch,
)

_SAMPLE = 3


def show(
    event: Annotated[str, typer.Argument(help="The uuid of an event, or the id of a dead letter.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one event: exactly as it arrived, and as it was enriched.

    Example: [bold]enrichment-pipeline show 01a2074a-16f5-75be-ae39-7a682b08770e[/]
    """
    if event.isascii() and event.isdigit():
        letter, sample = read_letter(event)
        if as_json:
            print_json([_whole(letter) | _sample_of(sample)])
        else:
            print_letter(letter, sample)
        return
    uuid = _uuid(event)
    with existing_store(load_settings()) as store, store.transaction() as connection:
        found = find_events(connection, uuid)
    if not found:
        fail(f"there is no event {event}")
    if as_json:
        print_json([_whole(one) for one in found])
        return
    for one in found:
        _print(one)


def read_letter(written: str) -> tuple[StoredEvent, list[StoredEvent]]:
    """The dead letter with this id and, for a batch, some of its events; ends the command where
    there is none."""
    number = letter_id(written)
    with existing_store(load_settings()) as store, store.transaction() as connection:
        letter = find_letter(connection, number)
        if letter is None:
            fail(f"there is no dead letter {written}")
        return letter, sample_of_batch(connection, letter, store.window, _SAMPLE)


def print_letter(letter: StoredEvent, sample: list[StoredEvent]) -> None:
    """Print a dead letter for people."""
    _print(letter)
    for number, one in enumerate(sample, 1):
        out.print(f"Event {number} of the first {len(sample)} of the batch:", highlight=False)
        _print_payload(one)


def letter_as_json(letter: StoredEvent, sample: list[StoredEvent]) -> dict[str, object]:
    """A dead letter as one object: its columns, its payload, and some events of a batch."""
    return {**letter.facts, "payload": readable(letter.payload)} | _sample_of(sample)


def _whole(one: StoredEvent) -> dict[str, object]:
    return {"facts": one.facts, "payload": readable(one.payload)}


def _sample_of(sample: list[StoredEvent]) -> dict[str, object]:
    return {"sample": [readable(one.payload) for one in sample]} if sample else {}


def _print(one: StoredEvent) -> None:
    traceback = one.facts.get("traceback")
    rows = [
        (name, value)
        for name, value in one.facts.items()
        if value is not None and name != "traceback"
    ]
    print_table(("column", "value"), rows)
    if traceback:
        out.print(str(traceback), markup=False, highlight=False, soft_wrap=True)
    _print_payload(one)


def _print_payload(one: StoredEvent) -> None:
    payload = readable(one.payload)
    if isinstance(payload, str):
        out.print(payload, markup=False, highlight=False, soft_wrap=True)
    elif payload is not None:
        print_json(payload)


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        fail(f"{value!r} is neither the uuid of an event nor the id of a dead letter")


def readable(payload: bytes | None) -> object:
    """A payload as JSON; a payload that is no JSON as text."""
    if payload is None:
        return None
    try:
        # Stricter than Python's own parser, which reads NaN, and halves of characters that no
        # terminal can print.
        return cast("object", msgspec.json.decode(payload))
    except (ValueError, RecursionError):
        return payload.decode(errors="backslashreplace")
