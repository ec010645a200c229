"""Replaying dead letters: the letters marked for replay are tried again, a few at a time.

Each group is one transaction, so a replay that is killed resumes where it stopped; each is
idempotent, so nothing is enriched twice. `store.dead_letters.letters` marks letters; `attempts`
decides how often they are replayed and what a failure costs.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import monotonic, sleep
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import attempts
from enrichment_pipeline.enrichment.derive import Refusal, output_version, parse_again
from enrichment_pipeline.enrichment.deriving import derive_missing, failure_of
from enrichment_pipeline.enrichment.sandbox import Fault, sandbox
from enrichment_pipeline.enrichment.writing import Writing, write_alone
from enrichment_pipeline.events.allowed import Private
from enrichment_pipeline.events.raw_event import Arrival, RawEvent, RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import blames_data, first_line, retry_conflicts
from enrichment_pipeline.store.dead_letters.letters import count_marked
from enrichment_pipeline.store.dead_letters.replays import (
    Letter,
    claim_letters,
    fail_replays,
    input_keys,
    lock_batches,
    reclassify,
    reopen_batch,
    resolve,
    take_out_of_books,
    write_letters,
)
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.queue.claims import Death
from enrichment_pipeline.store.queue.enriched import EventFailure
from enrichment_pipeline.store.queue.inputs import missing_outputs
from enrichment_pipeline.store.windows.limits import oldest_possible_start

LETTERS_AT_ONCE = 500

_ENRICHED = "enriched by a replay"
_LET_IN = "let in by a replay"

# For other sources, the time of the failure does not say when the event happened.
_LIVE = "api"


@dataclass
class ReplayReport:
    """The result of a replay, in letters and in their events."""

    resolved: int = 0
    failed: int = 0
    exhausted: int = 0
    """How many of the failed letters are exhausted now."""
    events: int = 0
    """Events of the resolved letters."""

    def add(self, resolved: Sequence[Letter], failed: int = 0, exhausted: int = 0) -> None:
        """Count the results of some letters."""
        self.resolved += len(resolved)
        self.failed += failed
        self.exhausted += exhausted
        self.events += sum(letter.event_count for letter in resolved)

    def add_report(self, other: "ReplayReport") -> None:
        """Add another report."""
        self.resolved += other.resolved
        self.failed += other.failed
        self.exhausted += other.exhausted
        self.events += other.events


class _Outcome(NamedTuple):
    """The results of the letters of one group."""

    resolved: list[Letter]
    failed: list[tuple[Letter, EventFailure]]


Progress = Callable[[ReplayReport], None]


def replay_marked(
    store: Store,
    rules: Rules,
    worker: str,
    events_per_second: float,
    on_progress: Progress = lambda report: None,
) -> ReplayReport:
    """Replay every letter that is marked, until none is.

    Throttled to so many events a second, so that fresh events find the store as free as before.

    Raises:
        Exception: the store failed; the claimed letters are still marked.
    """
    report = ReplayReport()
    # At a low rate a full group would be followed by a pause of minutes.
    most = max(1, min(LETTERS_AT_ONCE, int(events_per_second)))
    replay = _Replay(Writing(store, rules, worker), report, most)
    while True:
        began = monotonic()
        handled = replay.events() or replay.batch()
        if not handled:
            return report
        on_progress(report)
        if not replay.is_over():
            sleep(max(0.0, handled / events_per_second - (monotonic() - began)))


class _Replay:
    """One replay: its parameters and its report."""

    def __init__(self, writing: Writing, report: ReplayReport, most: int) -> None:
        self._writing = writing
        self._store = writing.store
        self._report = report
        self._most = most

    def is_over(self) -> bool:
        """Whether no letter is marked any more."""
        with self._store.transaction() as connection:
            return count_marked(connection).letters == 0

    def events(self) -> int:
        """Replay some letters of single events; returns how many."""
        # Counted after the commit: a conflict rolls back, and the whole group is done again.
        handled, done = self._replay_events()
        self._report.add_report(done)
        return handled

    @retry_conflicts
    def _replay_events(self) -> tuple[int, ReplayReport]:
        done = ReplayReport()
        with self._store.transaction() as connection:
            letters = claim_letters(connection, "event", self._most)
            if not letters:
                return 0, done
            refused = [letter for letter in letters if letter.uuid is None]
            later = [letter for letter in letters if letter.uuid is not None]
            if refused:
                self._close(connection, self._let_in(connection, refused), _LET_IN, done)
            if later:
                self._close(connection, self._enrich(connection, later), _ENRICHED, done)
        return len(letters), done

    @retry_conflicts
    def batch(self) -> int:
        """Replay a letter of a whole batch; returns how many events that were."""
        letters: list[Letter] = []
        try:
            with self._store.transaction() as connection:
                letters = claim_letters(connection, "batch", 1)
                if not letters:
                    return 0
                batch = reopen_batch(connection, letters[0])
                if batch:
                    write_alone(connection, self._writing, batch)
                resolve(connection, [letters[0].id], _ENRICHED if batch else "was dead no more")
        except Exception as error:  # any error of data or code is the letter's failure
            if not letters or not attempts.spends_attempt(error):
                raise
            trace = "".join(traceback.format_exception(error))
            failure = EventFailure(attempts.FailureReason.FAILED, first_line(error), trace)
            with self._store.transaction() as connection:
                exhausted = self._fail(connection, letters[0], failure)
            self._report.add([], failed=1, exhausted=exhausted)
        else:
            self._report.add(letters)
        return letters[0].event_count

    def _close(
        self, connection: Connection, outcome: _Outcome, note: str, done: ReplayReport
    ) -> None:
        resolve(connection, [letter.id for letter in outcome.resolved], note)
        exhausted = sum(self._fail(connection, *failed) for failed in outcome.failed)
        done.add(outcome.resolved, len(outcome.failed), exhausted)

    def _fail(self, connection: Connection, letter: Letter, failure: EventFailure) -> int:
        """Record the failure; returns how many letters it exhausted."""
        death = Death(*failure, self._writing.rules.version, self._writing.worker)
        return fail_replays(connection, [letter.id], death, attempts.MAX_REPLAYS)

    def _let_in(self, connection: Connection, letters: Sequence[Letter]) -> _Outcome:
        """Take in again events that were refused at ingestion."""
        failed: list[tuple[Letter, EventFailure]] = []
        events: dict[int, RawEvent] = {}
        for letter, parsed in zip(letters, _parsed(self._store, letters), strict=True):
            if isinstance(parsed, EventFailure):
                failed.append((letter, parsed))
            else:
                events[letter.id] = parsed
        # In a commit of its own, before the letters': if the process is killed in between, the
        # letters are replayed again, and their events are duplicates.
        refused = load_events(
            self._store, list(events.values()), [], "replay", historical=True
        ).refused
        resolved: list[Letter] = []
        for letter in letters:
            event = events.get(letter.id)
            if event is None:
                continue
            if refused and (event.project, event.uuid.int) in refused:
                message = "PostgreSQL refused it again"
                failed.append(
                    (letter, EventFailure(RejectionReason.REFUSED_BY_STORE, message, None))
                )
            else:
                resolved.append(letter)
        take_out_of_books(connection, [letter.id for letter in resolved])
        return _Outcome(resolved, failed)

    def _enrich(self, connection: Connection, letters: Sequence[Letter]) -> _Outcome:
        """Derive and write again events that failed in enrichment."""
        ids = [letter.id for letter in letters]
        states = lock_batches(connection, ids)
        keys = input_keys(connection, ids)
        failures = self._derive(connection, set(keys.values()))
        failed: list[tuple[Letter, EventFailure]] = []
        able: list[Letter] = []
        for letter in letters:
            key = keys.get(letter.id)
            if key is None:
                gone = EventFailure(attempts.FailureReason.RAISED, "its raw event is gone", None)
                failed.append((letter, gone))
            elif key in failures:
                failed.append((letter, failures[key]))
            else:
                able.append(letter)
        # A batch that is to be enriched again enriches its events too.
        waiting = [letter for letter in able if states[letter.batch_id] == "pending"]
        able = [letter for letter in able if states[letter.batch_id] != "pending"]
        written, refused = self._write(connection, able)
        reclassify(connection, [letter.id for letter in waiting + written])
        return _Outcome(waiting + written, failed + refused)

    def _derive(self, connection: Connection, keys: set[UUID]) -> dict[UUID, EventFailure]:
        version = output_version(self._writing.rules)
        missing = missing_outputs(connection, version, keys)
        return derive_missing(self._store, missing, self._writing.rules).failures

    def _write(
        self, connection: Connection, letters: Sequence[Letter]
    ) -> tuple[list[Letter], list[tuple[Letter, EventFailure]]]:
        """Write all letters; if PostgreSQL refuses, halve them until the refused one is alone."""
        if not letters:
            return [], []
        rules = self._writing.rules
        try:
            with connection.begin_nested():
                ids = [letter.id for letter in letters]
                write_letters(connection, ids, output_version(rules), rules.version)
        except DBAPIError as error:
            if not blames_data(error):
                raise
            if len(letters) == 1:
                failure = EventFailure(attempts.FailureReason.REFUSED, first_line(error), None)
                return [], [(letters[0], failure)]
        else:
            return list(letters), []
        middle = len(letters) // 2
        first, second = (
            self._write(connection, letters[:middle]),
            self._write(connection, letters[middle:]),
        )
        return first[0] + second[0], first[1] + second[1]


def _parsed(store: Store, letters: Sequence[Letter]) -> list[RawEvent | EventFailure]:
    """The events of letters refused at ingestion, parsed by today's rules of ingestion."""
    oldest = oldest_possible_start(datetime.now(UTC), store.window)
    payloads = [_to_parse(store, letter) for letter in letters]
    with sandbox() as child:
        results = child.run(partial(parse_again, oldest=oldest), payloads)
    return [_event_or_failure(result) for result in results]


def _to_parse(
    store: Store, letter: Letter
) -> tuple[bytes, str, Arrival, frozenset[Private], Sequence[str]]:
    arrival = Arrival(
        letter.first_failed_at,
        letter.sent_at,
        default_name=letter.event,
        is_recorded=letter.source != _LIVE,
    )
    project, settings = letter.project or "", store.settings
    allowed, queries = settings.allowed_of(project), settings.page_queries_of(project)
    return letter.payload or b"", project, arrival, allowed, queries


def _event_or_failure(result: RawEvent | Refusal | Fault) -> RawEvent | EventFailure:
    if isinstance(result, Fault):
        return failure_of(result)
    return (
        EventFailure(result.reason, result.message, None) if isinstance(result, Refusal) else result
    )
