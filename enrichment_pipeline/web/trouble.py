"""The pages about what went wrong: errors that users ran into, and open dead letters."""

from collections.abc import Mapping
from typing import NamedTuple, get_args

from enrichment_pipeline.analytics.answers import shown_message, shown_name
from enrichment_pipeline.enrichment.attempts import FailureReason
from enrichment_pipeline.events.raw_event import RejectionReason
from enrichment_pipeline.llm.errors import ERRORS_OF, ErrorsBy, errors_in_all, find_errors
from enrichment_pipeline.llm.periods import nothing_between, shown_moment, time_of
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.letters import (
    EXHAUSTED,
    LetterFilter,
    count_letters,
    count_letters_by,
    find_letters,
)
from enrichment_pipeline.store.reading.as_reader import reading, reading_payloads
from enrichment_pipeline.web.given import Given, link
from enrichment_pipeline.web.shown import SECONDS, Shown, named
from enrichment_pipeline.wording import command, counted

OF_ERRORS = ("by", "contains", "start", "end", "project")
OF_LETTERS = ("reason", "project")

_BY: tuple[ErrorsBy, ...] = get_args(ErrorsBy)
_MOST_ERRORS = 100
_LETTERS = 50

_TAKEN_BY_A_REPLAY = {RejectionReason.BEFORE_FIRST_PARTITION, RejectionReason.REFUSED_BY_STORE}
_OF_BATCHES = {FailureReason.FAILED, FailureReason.CRASHED_BATCH}


def errors(store: Store, given: Given) -> Shown:
    """The errors that users ran into."""
    by = given.choice("by", _BY) or "message"
    project = given.text("project")
    with reading_payloads(store, SECONDS) as connection:
        first, last = time_of(connection, given.text("start"), given.text("end"), ERRORS_OF)
        found = find_errors(
            connection, first, last, by=by, project=project, contains=given.text("contains")
        )
    groups = found.groups[:_MOST_ERRORS]
    facts = {
        "given": given,
        "by": by,
        "bys": _BY,
        "summary": errors_in_all(found) if groups else nothing_between(first, last),
        "period": f"{shown_moment(first)} to {shown_moment(last)} UTC",
        "errors": [
            {
                **one._asdict(),
                "first_seen": shown_moment(one.first_seen),
                "last_seen": shown_moment(one.last_seen),
                "sessions_hit": counted(one.sessions, "session"),
                "people_hit": counted(one.people, "person", "people"),
                "examples": named(one.session_ids, project),
            }
            for one in groups
        ],
        "left_out": len(found.groups) - len(groups),
    }
    return Shown("errors.html", facts)


class _Reason(NamedTuple):
    """The open letters of one reason, and what helps."""

    reason: str
    link: str
    letters: int
    events: int
    advice: str
    command: str


def dead_letters(store: Store, given: Given) -> Shown:
    """What could not be enriched and is still open."""
    chosen = LetterFilter(reason=given.text("reason"), project=given.text("project"))
    with reading(store, SECONDS) as connection:
        total = count_letters(connection, chosen)
        reasons = count_letters_by(connection, chosen, "reason_code")
        newest = find_letters(connection, chosen, _LETTERS)
    facts = {
        "given": given,
        "summary": f"{counted(total.letters, 'open dead letter')} of "
        f"{counted(total.events, 'event')}",
        "letters": total.letters,
        "reasons": [
            _Reason(
                reason,
                link("/dead-letters", reason=reason, project=chosen.project),
                count.letters,
                count.events,
                *what_helps(reason),
            )
            for reason, count in reasons.items()
        ],
        "newest": [
            {
                "id": one["id"],
                "failed": f"{one['last_failed_at']:%Y-%m-%d %H:%M:%S}",
                "reason": one["reason_code"],
                "state": one["state"],
                "project": one["project"],
                "event": _event(one),
                "message": shown_message(str(one["message"])),
                "command": _of_one(str(one["state"]), str(one["id"])),
            }
            for one in newest
        ],
    }
    return Shown("dead_letters.html", facts)


def what_helps(reason: str) -> tuple[str, str]:
    """What helps with the letters of a reason: a sentence, and the command."""
    if reason in _OF_BATCHES:
        return "Put right what made the batch fail, then:", command("backfill --failed")
    if reason in set(FailureReason) | _TAKEN_BY_A_REPLAY:
        return "Put right what failed, then:", command(f"dead-letters replay --reason {reason}")
    if reason in set(RejectionReason):
        return (
            "Nothing helps with what arrived: let the sender mend it, then close these:",
            command(f'dead-letters discard --reason {reason} --because "…"'),
        )
    return "See what it says:", command(f"dead-letters list --reason {reason}")


def _event(letter: Mapping[str, object]) -> str:
    if letter["kind"] == "batch":
        return f"batch of {letter['event_count']:,}"
    return shown_name(str(letter["event"])) if letter["event"] else "without a name"


def _of_one(state: str, number: str) -> str:
    # An exhausted letter is replayed only where its id names it.
    return command(f"dead-letters {'replay' if state == EXHAUSTED else 'show'} {number}")
