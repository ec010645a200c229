"""What became of the runs and checks of every job and asset, ours or not, written into the store
for the alerts. It is read from Dagster, because a run that is killed can write nothing itself.

A failed run stands for what it did not do: for partitions of an asset until any run materializes
them; for a job that a schedule launches, or that makes no asset, until a later run of it succeeds.
What has an alert of its own is left out: dead batches, rules that cannot be read.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy import Connection

from enrichment_pipeline.orchestration.checks import BOOKS_BALANCE, NOTHING_IS_DEAD
from enrichment_pipeline.orchestration.partitions import partition_key, windows_of
from enrichment_pipeline.orchestration.runs import WILL_RETRY
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.monitoring.failures import (
    CHECK,
    RUN,
    Failure,
    clear_failures,
    failures,
    note_failures,
)
from enrichment_pipeline.store.windows.books import books, counted_books

ALERTED_OTHERWISE = "alerted_otherwise"
"""Metadata key of a `dg.Failure` that has an alert of its own kind."""

_OVERLAP = 1_000
"""Entries of Dagster's event log before the last failure that are read again: an entry may be
committed after one that has a higher id."""

_MOST_RUNS = 50
"""The most failed runs that one call reads; the next call reads the others."""
_MOST_EVALUATIONS = 100

_ENDS = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS}

_SCHEDULE = "dagster/schedule_name"

# Errors whose message is one line for people, with nothing of an event's content.
_PLAIN = frozenset(
    {
        *("Failure", "PullError", "PullAwayError", "PullThrottledError", "PullRefusedError"),
        *("SettingsError", "StoreError", "StoreUnavailableError"),
    }
)
# Its message says which kind of error it was, and where that was raised.
_PRIVATE_ERROR = "FailedError"
_RULES_ERROR = "RulesFileError"
_MOST_SAID = 300


class _Seen(NamedTuple):
    """What earlier calls have read."""

    failed_runs: Collection[int]
    """The ids of the entries of Dagster's event log that say that a run has failed."""
    checks: Mapping[str, Collection[int]]
    """The ids of the newest evaluations of each check."""


def note_outcomes(
    instance: dg.DagsterInstance,
    checks: Iterable[dg.AssetCheckKey],
    store: Store,
    kept: str | None,
) -> str:
    """Record what has failed since the last call, and what has succeeded since it failed.

    `kept` is what the last call returned; without it, or where it cannot be read, the newest
    failures are read. Positions in Dagster's event log say what is new, not times: the clocks of
    hosts differ.
    """
    seen = _seen(kept)
    failed = _failed_runs(instance, seen)
    found = [failure for record in failed for failure in _failures_of(instance, record)]
    evaluated = {_name(key): _evaluated(instance, key) for key in checks}
    red, passed = _judged(evaluated, seen)
    with store.transaction() as connection:
        note_failures(connection, [*found, *red])
        _heal_runs(connection, instance)
        _heal_checks(connection, store, passed)
    read = sorted({*(seen.failed_runs if seen else ()), *(record.storage_id for record in failed)})
    return json.dumps(
        {
            "failed_runs": [one for one in read if one > _reread_after(read)],
            "checks": {name: sorted(found) for name, found in evaluated.items()},
        }
    )


def _seen(kept: str | None) -> _Seen | None:
    try:
        found = json.loads(kept or "{}")
        return _Seen(
            frozenset(map(int, found["failed_runs"])),
            {str(check): frozenset(ids) for check, ids in found["checks"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _reread_after(failed_runs: Iterable[int]) -> int:
    return max(failed_runs, default=0) - _OVERLAP


def _failed_runs(instance: dg.DagsterInstance, seen: _Seen | None) -> list[dg.EventLogRecord]:
    """The entries of the event log about runs that failed, without those seen."""
    if seen is None:
        failed = dg.DagsterEventType.RUN_FAILURE
        return list(instance.fetch_run_status_changes(failed, _MOST_RUNS).records)
    new = dg.RunStatusChangeRecordsFilter(
        dg.DagsterEventType.RUN_FAILURE,
        after_storage_id=max(_reread_after(seen.failed_runs), 0),
    )
    limit = _MOST_RUNS + len(seen.failed_runs)
    records = instance.fetch_run_status_changes(new, limit, ascending=True).records
    return [record for record in records if record.storage_id not in seen.failed_runs]


def _failures_of(instance: dg.DagsterInstance, record: dg.EventLogRecord) -> Iterator[Failure]:
    """What a failed run has not done."""
    run = instance.get_run_by_id(record.run_id)
    if run is None or run.tags.get(WILL_RETRY) == "true":
        return
    kinds = {
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        dg.DagsterEventType.RUN_FAILURE,
    }
    events = instance.get_records_for_run(run.run_id, of_type=kinds).records
    step, message = _why(events)
    if message is None:
        return
    at = datetime.fromtimestamp(record.timestamp, UTC)
    planned = {} if _SCHEDULE in run.tags else _planned(events)
    missing: dict[dg.AssetKey, dict[str, int]] = {}
    for asset, parts in planned.items():
        of_step = {part: place for part, (of, place) in parts.items() if step in {None, of}}
        made = _made(instance, asset, of_step)
        missing[asset] = {part: of_step[part] for part in of_step.keys() - made}
    # A killed run may lack many assets: one alert reports them.
    most = max(missing, key=lambda one: len(missing[one]), default=None)
    if most and missing[most]:
        name = most.to_user_string()
        yield from (
            Failure(RUN, name, part, at, at, message, run.run_id, place)
            for part, place in missing[most].items()
        )
    # Where no step failed and everything is materialized, the process ended after all was done.
    elif step or not planned:
        yield Failure(RUN, run.job_name, "", at, at, message, run.run_id)


def _why(events: Sequence[dg.EventLogRecord]) -> tuple[str | None, str | None]:
    """The step that failed, if one did, and its message; None where another alert reports it."""
    said = "its process ended"
    for record in events:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        if event.event_type is dg.DagsterEventType.RUN_FAILURE:
            said = _line(event.message or said)
        elif event.event_type is dg.DagsterEventType.STEP_FAILURE:
            return event.step_key, _message(event.step_failure_data)
    return None, said


def _message(data: Any) -> str | None:
    user = data.user_failure_data
    if user and ALERTED_OTHERWISE in user.metadata:
        return None
    if user and user.description:
        return _line(user.description)
    error = data.error
    while error and error.cause:
        error = error.cause
    if error is None:
        return "it failed"
    name = (error.cls_name or "an error").rpartition(".")[2]
    if name == _RULES_ERROR:
        return None
    if name == _PRIVATE_ERROR:
        return _line(error.message.partition(": ")[2])
    said = error.message.partition(": ")[2] if name in _PLAIN else ""
    return f"{name}: {_line(said)}" if said else name


def _line(said: str) -> str:
    lines = said.strip().splitlines()
    return (lines[0] if lines else "it failed")[:_MOST_SAID].rstrip(". ")


def _planned(
    events: Sequence[dg.EventLogRecord],
) -> dict[dg.AssetKey, dict[str, tuple[str | None, int]]]:
    """The partitions of each asset that the run was to materialize: by which step, and the place of
    that plan in the event log."""
    found: defaultdict[dg.AssetKey, dict[str, tuple[str | None, int]]] = defaultdict(dict)
    for record in events:
        event = record.event_log_entry.dagster_event
        is_planned = event and event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        if event and event.asset_key and is_planned:
            found[event.asset_key][event.partition or ""] = (event.step_key, record.storage_id)
    return found


def _made(instance: dg.DagsterInstance, asset: dg.AssetKey, since: Mapping[str, int]) -> set[str]:
    """Those of these partitions that were materialized after their place in the event log."""
    made: set[str] = set()
    if "" in since:
        latest = instance.fetch_materializations(asset, limit=1).records
        made = {""} if latest and latest[0].storage_id > since[""] else set()
    if parts := since.keys() - {""}:
        ids = instance.get_latest_storage_id_by_partition(
            asset, dg.DagsterEventType.ASSET_MATERIALIZATION, set(parts)
        )
        made |= {part for part in parts if ids.get(part, 0) > since[part]}
    return made


def _heal_runs(connection: Connection, instance: dg.DagsterInstance) -> None:
    by_subject: defaultdict[str, list[Failure]] = defaultdict(list)
    for failure in failures(connection, RUN):
        by_subject[failure.subject].append(failure)
    for subject, failed in by_subject.items():
        clear_failures(connection, RUN, subject, sorted(_healed(instance, subject, failed)))


def _healed(instance: dg.DagsterInstance, subject: str, failed: Sequence[Failure]) -> Iterator[str]:
    of_asset = {failure.part: failure.event_id for failure in failed if failure.event_id}
    if of_asset:
        yield from _made(instance, dg.AssetKey.from_user_string(subject), of_asset)
    for failure in failed:
        if failure.event_id is None and _has_succeeded_since(instance, failure):
            yield failure.part
    # A person who deletes a run in the UI wants no more alerts about it.
    ids = {failure.run_id for failure in failed if failure.run_id}
    known = {run.run_id for run in instance.get_runs(dg.RunsFilter(run_ids=list(ids)))}
    yield from (failure.part for failure in failed if failure.run_id not in known)


def _has_succeeded_since(instance: dg.DagsterInstance, failure: Failure) -> bool:
    """Whether a run of the job has succeeded after the one that failed."""
    of_job = dg.RunsFilter(job_name=failure.subject, statuses=[dg.DagsterRunStatus.SUCCESS])
    ended = [
        record.storage_id
        for run_id in [failure.run_id, *(run.run_id for run in instance.get_runs(of_job, limit=1))]
        for record in instance.get_records_for_run(run_id or "", of_type=_ENDS).records
    ]
    return len(ended) > 1 and ended[0] < ended[-1]


def _name(check: dg.AssetCheckKey) -> str:
    return f"{check.asset_key.to_user_string()}/{check.name}"


class _Evaluated(NamedTuple):
    at: datetime
    run_id: str
    evaluation: dg.AssetCheckEvaluation


def _evaluated(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> dict[int, _Evaluated]:
    """The newest evaluations of a check, under their ids."""
    if check.name == NOTHING_IS_DEAD:
        return {}  # each failed window, and each reason of letters, has an alert of its own
    history = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=_MOST_EVALUATIONS
    )
    return {
        record.id: _Evaluated(
            datetime.fromtimestamp(record.event.timestamp, UTC), record.run_id, record.evaluation
        )
        for record in history
        # The evaluations of a run under way are only planned.
        if record.event and isinstance(record.evaluation, dg.AssetCheckEvaluation)
    }


def _judged(
    evaluated: Mapping[str, Mapping[int, _Evaluated]], seen: _Seen | None
) -> tuple[list[Failure], list[str]]:
    """What checks found wrong since the last call, and the checks that passed most recently."""
    red: list[Failure] = []
    passed: list[str] = []
    for name, found in evaluated.items():
        known = seen.checks.get(name, ()) if seen else ()
        oldest = min(known, default=0)
        new = [one for number, one in found.items() if number not in known and number > oldest]
        for at, run_id, evaluation in sorted(new, key=lambda one: one.at):
            if evaluation.passed:
                passed.append(name)
            elif evaluation.severity is dg.AssetCheckSeverity.ERROR:
                passed = [other for other in passed if other != name]
                said = _line(evaluation.description or "it does not pass")
                red += [
                    Failure(CHECK, name, part, at, at, said, run_id)
                    for part in _parts_of(evaluation)
                ]
    return red, passed


def _parts_of(evaluation: dg.AssetCheckEvaluation) -> Sequence[str]:
    """The windows that are out of balance: a run over other windows says nothing of them."""
    if evaluation.check_name == BOOKS_BALANCE:
        named = evaluation.metadata.get("out_of_balance")
        return str(named.value).split(", ") if named and named.value else [""]
    return [evaluation.partition or ""]


def _heal_checks(connection: Connection, store: Store, passed: Iterable[str]) -> None:
    for name in set(passed):
        parts = [failure.part for failure in failures(connection, CHECK) if failure.subject == name]
        if parts and name.endswith(f"/{BOOKS_BALANCE}"):
            parts = _balanced(connection, store, parts)
        clear_failures(connection, CHECK, name, parts)


def _balanced(connection: Connection, store: Store, parts: Sequence[str]) -> list[str]:
    """Those of these windows of which the books balance now."""
    windows = windows_of(part for part in parts if part)
    kept = {row.window_start: row for row in books(connection, windows)}
    counted = counted_books(connection, windows, store.window)
    wrong = {
        partition_key(row.window_start)
        for row in counted
        if not row.balances or row != kept.get(row.window_start, row)
    }
    return [part for part in parts if part not in wrong]
