"""Whom to notify of what: the difference between what is wrong and the open alerts. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from enrichment_pipeline.alerts.conditions import DAY, Condition, Kind
from enrichment_pipeline.store.monitoring.alerts import Alert

GROWTH = 2
"""An alert has grown when it is so many times what the last message said."""

GROWTH_PAUSE = timedelta(minutes=5)
"""The shortest time between two messages about growth."""

LASTING = timedelta(hours=4)
"""An alert that lasts is repeated after so long; once it has lasted a day, it is repeated daily."""


class Stage(StrEnum):
    """Why a message is sent."""

    OPENED = "opened"
    GREW = "grew"
    LASTS = "lasts"
    CLOSED = "closed"


class Notice(NamedTuple):
    """A message to send."""

    stage: Stage
    condition: Condition
    """The condition as it is now; for one that is over, as the last message described it."""


def decide(
    conditions: Iterable[Condition], notified: Mapping[str, Alert], now: datetime
) -> list[Notice]:
    """Which messages to send now; `notified` holds the open alerts, by key."""
    found = {condition.key: condition for condition in conditions}
    stages = ((key, _stage(condition, notified.get(key), now)) for key, condition in found.items())
    return [
        *(Notice(stage, found[key]) for key, stage in stages if stage),
        *(
            Notice(Stage.CLOSED, last_notified(notified[key]))
            for key in sorted(notified.keys() - found)
        ),
    ]


def _stage(condition: Condition, alert: Alert | None, now: datetime) -> Stage | None:
    if alert is None:
        return Stage.OPENED
    passed = now - alert.notified_at
    if condition.count >= GROWTH * alert.notified_count and passed >= GROWTH_PAUSE:
        return Stage.GREW
    return Stage.LASTS if passed >= lasting(alert) else None


def lasting(alert: Alert) -> timedelta:
    """How long after its last message an alert that lasts is repeated."""
    return DAY if alert.notified_at - alert.since >= DAY else LASTING


def last_notified(alert: Alert) -> Condition:
    """The condition as the last message described it."""
    return Condition(alert.key, Kind(alert.kind), alert.notified_count, alert.since, alert.facts)
