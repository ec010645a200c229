"""Poison: rules that do harm for some event names, as a bug in code or an event at fault would."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, cast

from enrichment_pipeline.classification import EventClassification, Rules
from enrichment_pipeline.enrichment.derive import Refusal, parse_again
from enrichment_pipeline.events.allowed import Private
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.events.raw_event import Arrival, RawEvent

RAISES = "raises"
"""An error of code: it may not be the event's fault."""
IS_BAD = "is_bad"
"""An error about the data."""
HANGS = "hangs"
EATS_MEMORY = "eats_memory"
KILLS = "kills"


class PoisonedRules:
    """Rules with an event name for each harm; they travel to other processes as rules do."""

    def __init__(self, rules: Rules, poison: Mapping[str, str]) -> None:
        self.version = f"poisoned {rules.version}"
        self._rules = rules
        self._poison = dict(poison)

    def classify(self, event_name: object, sub_type: object) -> EventClassification:
        """Do the harm that the name stands for."""
        _do(self._poison.get(str(event_name), ""))
        return self._rules.classify(event_name, sub_type)


def poisoned(rules: Rules, **poison: str) -> Rules:
    """These rules, with harm for some event names: `poison="raises"`."""
    return cast("Rules", PoisonedRules(rules, poison))


class _FailsToLoad:
    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("no number",))

    def __call__(self, inputs: EnrichmentInput) -> None:
        raise NotImplementedError


def fails_to_load() -> Callable[[EnrichmentInput], None]:
    """A function that no other process can load."""
    return _FailsToLoad()


def kills_with_some(
    payload: bytes,
    project: str,
    arrival: Arrival,
    allowed: Set[Private],
    page_queries: Sequence[str],
    oldest: datetime,
) -> RawEvent | Refusal:
    """As `parse_again`, but for a payload with this word in it."""
    if KILLS.encode() in payload:
        _do(KILLS)
    return parse_again(payload, project, arrival, allowed, page_queries, oldest)


def _do(harm: str) -> None:
    if harm == RAISES:
        raise ZeroDivisionError("a bug in the rules")
    if harm == IS_BAD:
        b"\xff".decode()
    if harm == HANGS:
        time.sleep(3_600)
    if harm == EATS_MEMORY:
        eaten: list[Any] = []
        while True:
            eaten.append(bytearray(10_000_000))
    if harm == KILLS:
        os.kill(os.getpid(), signal.SIGKILL)
