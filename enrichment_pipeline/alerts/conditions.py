"""What is wrong: derives from the facts of the store the conditions that people should know of.

Pure. Whether to notify people is decided in `decisions`; the wording is in `messages`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.ingest.pulled import PullDifference
from enrichment_pipeline.store.monitoring.alerts import Alert, LetterGroup, QueueWait
from enrichment_pipeline.store.monitoring.failures import CHECK, RULES, RUN, SENSOR, FailureGroup

MOST_ALONE = 3
"""So many windows with the same reason have an alert each; further ones share one, so that a
million letters in a thousand windows do not cause a thousand messages."""

MOST_LISTED = 100
"""So many of the windows that share an alert are named in its facts."""

DAY = timedelta(days=1)

_LONGEST_TICK = timedelta(minutes=10)
"""More than the longest interval of a schedule: schedules tick less often than sensors."""


class Kind(StrEnum):
    """What an alert is about."""

    DEAD_LETTERS = "dead_letters"
    FAILED_WINDOW = "failed_window"
    REPLAYS_EXHAUSTED = "replay_parked"
    SILENT_INGEST = "silent_ingest"
    STALLED_QUEUE = "stalled_queue"
    SENSOR_STOPPED = "sensor_stopped"
    FAILED_RUN = "failed_run"
    FAILED_CHECK = "failed_check"
    BROKEN_RULES = "broken_rules"
    STORE_DOWN = "store_down"
    PULL_DIFFERENCE = "pull_difference"


@dataclass(frozen=True)
class Condition:
    """Something that is wrong."""

    key: str
    """What the condition is about: unchanged for as long as the condition lasts."""
    kind: Kind
    count: int
    """How bad it is, so that growth can be seen: letters, events, failed windows. 1 where there is
    nothing to count."""
    since: datetime
    facts: Mapping[str, Any]
    """The facts of the message; JSON values."""


Notified = Mapping[str, Alert]
"""The open alerts that people were notified of, by key."""


@dataclass(frozen=True)
class Limits:
    """How long each thing may last before it is wrong; None: it is not watched."""

    silence: timedelta | None
    queue: timedelta | None
    sensor: timedelta | None


@dataclass(frozen=True)
class Situation:
    """The facts from which conditions are derived."""

    now: datetime
    letters: Sequence[LetterGroup]
    waiting: QueueWait
    live_event: datetime | None
    """When the newest live event arrived (not imported by hand)."""
    sensor_tick: datetime | None
    watched_since: datetime
    """Since when the facts are watched. What stood still before then (everything was stopped for
    the night) gets the usual time to recover."""
    pull_differences: Sequence[PullDifference] = ()
    """Windows for which PostHog's count of events differs from the number that could be pulled."""
    failures: Sequence[FailureGroup] = ()
    """Runs, checks, sensors and rules files whose last attempt failed."""
    other_ticks: Mapping[str, datetime] = field(default_factory=dict)
    """The last successful tick of every other sensor, by name."""
    sensors_since: datetime | None = None
    """Since when the main sensor ticks: the other sensors get the usual time to recover too."""


def limits(settings: Settings) -> Limits:
    """The limits that the settings name; 0 minutes switches one off."""
    return Limits(
        silence=_minutes(settings.alert_silence_minutes),
        queue=_minutes(settings.alert_queue_minutes),
        sensor=_minutes(settings.alert_sensor_minutes),
    )


def _minutes(count: int) -> timedelta | None:
    return timedelta(minutes=count) if count else None


def conditions(situation: Situation, limits: Limits, notified: Notified) -> list[Condition]:
    """Everything that is wrong now.

    A condition with an open alert ends at a lower value than a new one begins, so that an alert
    does not open and close with every evaluation.
    """
    of_events = [group for group in situation.letters if group.kind == "event"]
    of_batches = [group for group in situation.letters if group.kind == "batch"]
    exhausted = [group for group in situation.letters if group.exhausted]
    found = [
        *(
            condition
            for reason, groups in _by_reason(of_events)
            for condition in _dead_letters(reason, groups, notified)
        ),
        *_failed_windows(of_batches, notified),
        *(_replays_exhausted(reason, groups) for reason, groups in _by_reason(exhausted)),
        _silent_ingest(situation, limits.silence, notified),
        _stalled_queue(situation, limits.queue, notified),
        _sensor_stopped(situation, limits.sensor, notified),
        _pull_difference(situation.pull_differences),
        *_other_sensors_stopped(situation, limits.sensor, notified),
        *(
            _failure(_FAILURES[group.kind], group)
            for group in situation.failures
            if group.kind in _FAILURES
        ),
    ]
    return [condition for condition in found if condition]


def _by_reason(groups: Iterable[LetterGroup]) -> Iterable[tuple[str, list[LetterGroup]]]:
    found: defaultdict[str, list[LetterGroup]] = defaultdict(list)
    for group in groups:
        found[group.reason].append(group)
    return sorted(found.items())


def _dead_letters(
    reason: str, groups: Sequence[LetterGroup], notified: Notified
) -> Iterable[Condition]:
    for key, members in _alone_or_together(f"{Kind.DEAD_LETTERS}/{reason}", groups, notified):
        letters = sum(group.letters for group in members)
        facts = {"reason": reason, "letters": letters, **_windows(members)}
        yield Condition(key, Kind.DEAD_LETTERS, letters, _since(members), facts)


def _failed_windows(groups: Sequence[LetterGroup], notified: Notified) -> Iterable[Condition]:
    for key, members in _alone_or_together(f"{Kind.FAILED_WINDOW}", groups, notified):
        windows = _windows(members)
        facts = {
            "batches": sum(group.letters for group in members),
            "events": sum(group.events for group in members),
            "reasons": sorted({group.reason for group in members}),
            **windows,
        }
        count = int(windows["windows"])
        yield Condition(key, Kind.FAILED_WINDOW, count, _since(members), facts)


def _replays_exhausted(reason: str, groups: Sequence[LetterGroup]) -> Condition:
    letters = sum(group.exhausted for group in groups)
    since = min(group.exhausted_since or group.since for group in groups)
    facts = {"reason": reason, "letters": letters, **_windows(groups)}
    return Condition(
        f"{Kind.REPLAYS_EXHAUSTED}/{reason}", Kind.REPLAYS_EXHAUSTED, letters, since, facts
    )


def _alone_or_together(
    name: str, groups: Sequence[LetterGroup], notified: Notified
) -> Iterable[tuple[str, list[LetterGroup]]]:
    """Which windows have an alert of their own and which share one, with the keys of these alerts.

    A window that fails alone has its own alert, up to a number. All others share one, which lasts
    until none of them is left.
    """
    windows: defaultdict[str, list[LetterGroup]] = defaultdict(list)
    for group in groups:
        windows[minute(group.window_start)].append(group)
    together = f"{name}/several"
    shared = notified.get(together)
    alone = {window for window in windows if f"{name}/{window}" in notified}
    others = windows.keys() - alone
    new = others - set(shared.facts["window_starts"]) if shared else others
    knows_all = shared is None or shared.facts["windows"] <= MOST_LISTED
    if len(new) == 1 and knows_all and len(alone) < MOST_ALONE:
        alone |= new
    for window in sorted(alone):
        yield f"{name}/{window}", windows[window]
    if rest := sorted(windows.keys() - alone):
        yield together, [group for window in rest for group in windows[window]]


def _windows(groups: Sequence[LetterGroup]) -> dict[str, Any]:
    windows = sorted({group.window_start for group in groups})
    return {
        "windows": len(windows),
        "first_window": minute(windows[0]),
        "last_window": minute(windows[-1]),
        "window_starts": [minute(window) for window in windows[:MOST_LISTED]],
    }


def _since(groups: Iterable[LetterGroup]) -> datetime:
    return min(group.since for group in groups)


def _silent_ingest(
    situation: Situation, limit: timedelta | None, notified: Notified
) -> Condition | None:
    key, last = str(Kind.SILENT_INGEST), situation.live_event
    if limit is None or last is None or not _is_overdue(situation, key, last, limit, notified):
        return None
    if key not in notified and situation.now - last > DAY + limit:
        return None  # there were no events lately either: their absence is not new
    return Condition(key, Kind.SILENT_INGEST, 1, last, {"last_event": last.isoformat()})


def _stalled_queue(
    situation: Situation, limit: timedelta | None, notified: Notified
) -> Condition | None:
    key, waiting = str(Kind.STALLED_QUEUE), situation.waiting
    if limit is None or waiting.oldest is None:
        return None
    # A queue that moves slowly would be above the limit at one evaluation and below it at the next.
    bearable = limit / 2 if key in notified else limit
    if not _is_overdue(situation, key, waiting.oldest, bearable, notified):
        return None
    facts = {
        "batches": waiting.batches,
        "events": waiting.events,
        "oldest": waiting.oldest.isoformat(),
    }
    return Condition(key, Kind.STALLED_QUEUE, max(1, waiting.events), waiting.oldest, facts)


def _sensor_stopped(
    situation: Situation, limit: timedelta | None, notified: Notified
) -> Condition | None:
    key, tick = str(Kind.SENSOR_STOPPED), situation.sensor_tick
    if limit is None or tick is None or not _is_overdue(situation, key, tick, limit, notified):
        return None
    return _stopped(situation, key, "due_windows", tick)


def _other_sensors_stopped(
    situation: Situation, limit: timedelta | None, notified: Notified
) -> Iterable[Condition]:
    """Sensors that fail or stand still while others tick; a stop of all sensors has one alert."""
    if limit is None:
        return
    limit = max(limit, _LONGEST_TICK)
    began = max(filter(None, (situation.watched_since, situation.sensors_since)))
    for name, tick in sorted(situation.other_ticks.items()):
        key = f"{Kind.SENSOR_STOPPED}/{name}"
        since = tick if key in notified else max(tick, began)
        if situation.now - since > limit:
            yield _stopped(situation, key, name, tick)


def _stopped(situation: Situation, key: str, name: str, tick: datetime) -> Condition:
    errors = {group.subject: group.message for group in situation.failures if group.kind == SENSOR}
    facts = {"sensor": name, "last_tick": tick.isoformat(), "error": errors.get(name)}
    return Condition(key, Kind.SENSOR_STOPPED, 1, tick, facts)


def _pull_difference(found: Sequence[PullDifference]) -> Condition | None:
    if not found:
        return None
    key = str(Kind.PULL_DIFFERENCE)
    facts = {
        "windows": len(found),
        "first_window": minute(found[0].window_start),
        "last_window": minute(found[-1].window_start),
        "differences": [
            {"window": minute(one.window_start), "pulled": one.read, "posthog": one.counted}
            for one in found[:MOST_LISTED]
        ],
    }
    events = sum(abs(one.counted - one.read) for one in found)
    return Condition(key, Kind.PULL_DIFFERENCE, events, min(one.since for one in found), facts)


# A sensor that fails raises an alert once it has failed for as long as one may stand still.
_FAILURES = {RUN: Kind.FAILED_RUN, CHECK: Kind.FAILED_CHECK, RULES: Kind.BROKEN_RULES}


def _failure(kind: Kind, group: FailureGroup) -> Condition:
    facts = {
        "subject": group.subject,
        "parts": group.parts,
        "first_part": group.first_part,
        "last_part": group.last_part,
        "run": group.run_id,
        "error": group.message,
    }
    return Condition(f"{kind}/{group.subject}", kind, group.parts, group.since, facts)


def _is_overdue(
    situation: Situation, key: str, last: datetime, limit: timedelta, notified: Notified
) -> bool:
    since = last if key in notified else max(last, situation.watched_since)
    return situation.now - since > limit


def minute(moment: datetime) -> str:
    """A time as it is written in facts and commands."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M}"
