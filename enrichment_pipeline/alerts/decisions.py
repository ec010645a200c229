"""Whom to notify of what: the difference between what is wrong and the open alerts. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from enrichment_pipeline.alerts.conditions import DAY, Condition, Kind
from enrichment_pipeline.store.monitoring.alerts import ToldAlert

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


class Telling(NamedTuple):
    """A message to send."""

    stage: Stage
    condition: Condition
    """The condition as it is now; for one that is over, as the last message described it."""


def decide(
    conditions: Iterable[Condition], told: Mapping[str, ToldAlert], now: datetime
) -> list[Telling]:
    """Which messages to send now; `told` holds the open alerts, by key."""
    found = {condition.key: condition for condition in conditions}
    stages = ((key, _stage(condition, told.get(key), now)) for key, condition in found.items())
    return [
        *(Telling(stage, found[key]) for key, stage in stages if stage),
        *(Telling(Stage.CLOSED, as_told(told[key])) for key in sorted(told.keys() - found)),
    ]


def _stage(condition: Condition, told: ToldAlert | None, now: datetime) -> Stage | None:
    if told is None:
        return Stage.OPENED
    passed = now - told.told_at
    if condition.count >= GROWTH * told.told_count and passed >= GROWTH_PAUSE:
        return Stage.GREW
    return Stage.LASTS if passed >= lasting(told) else None


def lasting(told: ToldAlert) -> timedelta:
    """How long after its last message an alert that lasts is repeated."""
    return DAY if told.told_at - told.since >= DAY else LASTING


def as_told(alert: ToldAlert) -> Condition:
    """The condition as the last message described it."""
    return Condition(alert.key, Kind(alert.kind), alert.told_count, alert.since, alert.facts)
