"""What is told: of what is wrong and what has been told, the difference. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from enrichment_pipeline.alerts.conditions import DAY, Condition, Kind
from enrichment_pipeline.store.monitoring.alerts import ToldAlert

GROWTH = 2
"""It has grown when it is so many times what was told last."""

GROWTH_PAUSE = timedelta(minutes=5)
"""What grows fast is not told with every look."""

LASTING = timedelta(hours=4)
"""What lasts is told again after so long, and once it lasts a day, once a day."""


class Stage(StrEnum):
    """Why something is told."""

    OPENED = "opened"
    GREW = "grew"
    LASTS = "lasts"
    CLOSED = "closed"


class Telling(NamedTuple):
    """Something to tell."""

    stage: Stage
    condition: Condition
    """As it is now; as it was told last where it is over."""


def decide(
    conditions: Iterable[Condition], told: Mapping[str, ToldAlert], now: datetime
) -> list[Telling]:
    """What to tell now; `told` is what has been told and is open, by key."""
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
    """How long after it was told last it is told again because it lasts."""
    return DAY if told.told_at - told.since >= DAY else LASTING


def as_told(alert: ToldAlert) -> Condition:
    """The condition, as it was when it was told last."""
    return Condition(alert.key, Kind(alert.kind), alert.told_count, alert.since, alert.facts)
