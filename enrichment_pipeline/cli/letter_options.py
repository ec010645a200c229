"""Which dead letters a command is about: the filters that the commands of the ledger share.

What a command does with the letters belongs to `dead_letters` and `replay_letters`.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, NamedTuple

import typer
from sqlalchemy import Connection

from enrichment_pipeline.cli.console import fail, print_table
from enrichment_pipeline.cli.moments import From, To, parse_moment, parse_period
from enrichment_pipeline.enrichment import attempts
from enrichment_pipeline.events import raw_event
from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.dead_letters.letters import (
    OPEN_STATES,
    STATES,
    LetterCount,
    LetterFilter,
    count_letters_by,
    existing_letters,
    state_name,
)
from enrichment_pipeline.wording import counted

REASONS = frozenset({*raw_event.RejectionReason, *attempts.FailureReason})

_KINDS = ("event", "batch")
_DIGITS = re.compile("[0-9]{1,19}")
_MOST_ID = 2**63 - 1

Command = Callable[..., None]


def _filter(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Letters by their ids.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="With this reason code.")] = None,
    window: Annotated[
        str | None, typer.Option(help="Of this window (UTC), such as 2026-03-01-12:00.")
    ] = None,
    first: From = None,
    end: To = None,
    rules_version: Annotated[
        str | None, typer.Option(help="That failed under these rules.")
    ] = None,
    event: Annotated[str | None, typer.Option(help="Of events with this name.")] = None,
    kind: Annotated[str | None, typer.Option(help="event, or batch (whole ones).")] = None,
    project: Annotated[str | None, typer.Option(help="Of events of this project.")] = None,
) -> LetterFilter:
    """The letters that these options choose."""
    if reason is not None and reason not in REASONS:
        fail(f"--reason {reason!r} is no reason code; those are: {', '.join(sorted(REASONS))}")
    _check_choice("--kind", kind, _KINDS)
    since, until = _times(window, first, end)
    return LetterFilter(
        ids=tuple(letter_id(written) for written in ids or ()),
        reason=reason,
        since=since,
        until=until,
        rules_version=rules_version,
        event=event,
        kind=kind,
        project=project,
    )


def _filter_with_states(
    state: Annotated[
        list[str] | None,
        typer.Option(help=f"In this state; may be given several times: {', '.join(STATES)}."),
    ] = None,
    **options: object,
) -> LetterFilter:
    # `parked`, as the column has it and as it was called before, is understood too.
    states = tuple(state_name(written) for written in state or ())
    for written in states:
        _check_choice("--state", written, STATES)
    chosen = _filter(**options)  # type: ignore[arg-type]
    # A person who names a letter wants to see it in any state.
    default = STATES if chosen.ids else OPEN_STATES
    return chosen._replace(states=states or default)


def filtered(command: Command) -> Command:
    """A command that takes the filters as options, and gets the filter as `chosen`."""
    return _with_options(command, _filter, [_filter])


def filtered_with_states(command: Command) -> Command:
    """Like `filtered`, with `--state` too."""
    return _with_options(command, _filter_with_states, [_filter, _filter_with_states])


def _with_options(
    command: Command, choose: Callable[..., LetterFilter], options: list[Callable[..., object]]
) -> Command:
    parameters = [
        parameter
        for function in options
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    names = {parameter.name for parameter in parameters}
    own = [one for one in inspect.signature(command).parameters.values() if one.name != "chosen"]

    def run(**given: object) -> None:
        filters = {name: given.pop(name) for name in names}
        command(chosen=choose(**filters), **given)

    # Typer reads the options from the signature.
    signature = inspect.Signature([*parameters, *own])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    return run


def _times(
    window: str | None, first: str | None, end: str | None
) -> tuple[datetime | None, datetime | None]:
    if window is not None and (first or end):
        fail("--window goes without --from and --to")
    length = load_settings().window
    if window is not None:
        start = window_start(parse_moment("--window", window), length)
        return start, start + length
    since, until = parse_period(first, end)
    return window_start(since, length) if since else None, until


def letter_id(written: str) -> int:
    """The id of a letter; ends the command where the text cannot be one."""
    number = int(written) if _DIGITS.fullmatch(written) else 0
    if not 0 < number <= _MOST_ID:
        fail(f"{written!r} is not the id of a dead letter")
    return number


def _check_choice(option: str, written: str | None, choices: tuple[str, ...]) -> None:
    if written is not None and written not in choices:
        fail(f"{option} {written!r} is none of {', '.join(choices)}")


def refuse_everything(chosen: LetterFilter, verb: str, *, every: bool) -> None:
    """End the command where no filter narrows the letters and all were not asked for."""
    if chosen.is_everything and not every:
        fail(f"which letters? Name ids or filters, or add --all to {verb} every one that is open")


class Meant(NamedTuple):
    """The letters that a command is about to change."""

    total: LetterCount
    by_reason: Mapping[str, LetterCount]

    @property
    def figures(self) -> dict[str, object]:
        """The counts, for JSON."""
        return {
            **self.total._asdict(),
            "by_reason": {reason: one._asdict() for reason, one in self.by_reason.items()},
        }

    def print(self) -> None:
        """Print the counts, by reason."""
        rows = [(reason, *count) for reason, count in self.by_reason.items()]
        if len(rows) > 1:
            rows.append(("all", *self.total))
        print_table(("reason", "letters", "events"), rows)


def meant_letters(connection: Connection, chosen: LetterFilter) -> Meant:
    """Count the chosen letters; ends the command where an id names none."""
    if chosen.ids:
        unknown = sorted(set(chosen.ids) - existing_letters(connection, chosen.ids))
        if unknown:
            fail(f"there is no dead letter {unknown[0]}")
    by_reason = count_letters_by(connection, chosen, "reason_code")
    return Meant(sum_of(by_reason), by_reason)


def sum_of(counts: Mapping[str, LetterCount]) -> LetterCount:
    """The sum of these counts."""
    return LetterCount(
        sum(one.letters for one in counts.values()), sum(one.events for one in counts.values())
    )


letters = partial(counted, noun="letter")
events = partial(counted, noun="event")
