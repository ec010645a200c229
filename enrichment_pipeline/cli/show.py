"""`enrichment-pipeline show`: one event, whole."""

import json
from typing import Annotated
from uuid import UUID

import typer

from enrichment_pipeline.cli.console import fail, out, print_json, print_table
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.engine import opened_store
from enrichment_pipeline.store.events import StoredEvent, find_events, find_letter


def show(
    event: Annotated[str, typer.Argument(help="The uuid of an event, or the id of a dead letter.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one event: exactly as it arrived, and what was made of it.

    Example: [bold]enrichment-pipeline show 01a2074a-16f5-75be-ae39-7a682b08770e[/]
    """
    number = int(event) if event.isascii() and event.isdigit() else None
    uuid = _uuid(event) if number is None else None
    with opened_store(load_settings()) as store, store.transaction() as connection:
        if uuid is not None:
            found = find_events(connection, uuid)
        else:
            letter = find_letter(connection, int(number or 0))
            found = [letter] if letter else []
    if not found:
        fail(f"there is no {'event' if uuid else 'dead letter'} {event}")
    if as_json:
        print_json([{"facts": one.facts, "payload": _read(one)} for one in found])
        return
    for one in found:
        print_table(
            ("column", "value"), [pair for pair in one.facts.items() if pair[1] is not None]
        )
        payload = _read(one)
        if isinstance(payload, str):
            out.print(payload, markup=False, highlight=False, soft_wrap=True)
        elif payload is not None:
            print_json(payload)


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        fail(f"{value!r} is neither the uuid of an event nor the id of a dead letter")


def _read(found: StoredEvent) -> object:
    """The payload as JSON; where it is none, as text."""
    if found.payload is None:
        return None
    try:
        return json.loads(found.payload)
    except (ValueError, RecursionError):
        return found.payload.decode(errors="backslashreplace")
