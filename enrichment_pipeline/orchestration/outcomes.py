"""What became of the runs and checks of every job and asset, ours or not, written into the store
for the alerts. It is read from Dagster, because a run that is killed can write nothing itself.

A failed run stands for what it did not do: for partitions of an asset until any run materializes
them; for a job that a schedule launches, or that makes no asset, until a later run of it succeeds.
What has an alert of its own is left out: dead batches, rules that cannot be read.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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

_OVERLAP = timedelta(hours=1)
"""How long after its end a failed run is still searched for: clocks differ, commits take time."""

_FIRST_TIME = timedelta(days=1)
_MOST_RUNS = 50
"""The most that one call reads; the next call reads the others."""
_MOST_EVALUATIONS = 100

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

    runs: Collection[str]
    """The ids of failed runs."""
    since: datetime
    checks: Mapping[str, Collection[int]]
    """The ids of the newest evaluations of each check."""


def note_outcomes(
    instance: dg.DagsterInstance,
    checks: Iterable[dg.AssetCheckKey],
    store: Store,
    kept: str | None,
) -> str:
    """Record what has failed since the last call, and what has succeeded since it failed.

    `kept` is what the last call returned; without it, or where it cannot be read, the last day is
    read.
    """
    now = datetime.now(UTC)
    seen = _seen(kept, now)
    records = _failed_runs(instance, seen.since)
    new = [record for record in records if record.dagster_run.run_id not in seen.runs]
    runs = new[:_MOST_RUNS]
    found = [failure for record in runs for failure in _failures_of(instance, record)]
    evaluated = {_name(key): _evaluated(instance, key) for key in checks}
    red, passed = _judged(evaluated, seen)
    with store.transaction() as connection:
        note_failures(connection, [*found, *red])
        _heal_runs(connection, instance)
        _heal_checks(connection, store, passed)
    ids = {record.dagster_run.run_id for record in records}
    ids -= {record.dagster_run.run_id for record in new[_MOST_RUNS:]}
    since = seen.since if len(new) > _MOST_RUNS else now - _OVERLAP
    after = {name: sorted(found) for name, found in evaluated.items()}
    return json.dumps({"runs": sorted(ids), "since": since.isoformat(), "checks": after})


def _seen(kept: str | None, now: datetime) -> _Seen:
    try:
        found = json.loads(kept or "{}")
        return _Seen(
            frozenset(map(str, found["runs"])),
            datetime.fromisoformat(found["since"]),
            {str(check): frozenset(ids) for check, ids in found["checks"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return _Seen((), now - _FIRST_TIME, {})


def _failed_runs(instance: dg.DagsterInstance, since: datetime) -> Sequence[dg.RunRecord]:
    """The runs that failed since that moment, the oldest first."""
    return instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since),
        order_by="update_timestamp",
        ascending=True,
    )


def _failures_of(instance: dg.DagsterInstance, record: dg.RunRecord) -> Iterator[Failure]:
    """What a failed run has not done."""
    run = record.dagster_run
    if run.tags.get(WILL_RETRY) == "true":
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
    at = record.update_timestamp
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
    of_job = [failure for failure in failed if failure.event_id is None]
    if of_job:
        succeeded = dg.RunsFilter(
            job_name=subject,
            statuses=[dg.DagsterRunStatus.SUCCESS],
            updated_after=max(failure.failed_at for failure in of_job),
        )
        if instance.get_runs(succeeded, limit=1):
            yield ""
    # A person who deletes a run in the UI wants no more alerts about it.
    ids = {failure.run_id for failure in failed if failure.run_id}
    known = {run.run_id for run in instance.get_runs(dg.RunsFilter(run_ids=list(ids)))}
    yield from (failure.part for failure in failed if failure.run_id not in known)


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
    evaluated: Mapping[str, Mapping[int, _Evaluated]], seen: _Seen
) -> tuple[list[Failure], list[str]]:
    """What checks found wrong since the last call, and the checks that passed most recently."""
    red: list[Failure] = []
    passed: list[str] = []
    for name, found in evaluated.items():
        known = seen.checks.get(name, ())
        new = [one for number, one in found.items() if number not in known and one.at > seen.since]
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
