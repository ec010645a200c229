"""Deriving in a child process: what an input does to its process is told, and costs only itself."""

import os
from uuid import UUID

import psutil
import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.apart import Apart
from enrichment_pipeline.enrichment.attempts import Reason
from enrichment_pipeline.enrichment.deriving import derive_here
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline_tests.poison import (
    EATS_MEMORY,
    HANGS,
    IS_BAD,
    KILLS,
    RAISES,
    poisoned,
)


def inputs(*names: str) -> dict[UUID, EnrichmentInput]:
    return {
        UUID(int=number): EnrichmentInput(name, None, "/", None, None)
        for number, name in enumerate(names)
    }


def test_what_is_derived_apart_is_what_is_derived_here(rules: Rules) -> None:
    some = inputs("$pageview", "order placed", "$$", "grüße")
    with Apart() as apart:
        assert apart.derive(some, rules) == derive_here(some, rules)


@pytest.mark.parametrize(
    ("harm", "reason", "says"),
    [
        (RAISES, Reason.RAISED, "ZeroDivisionError: a bug in the rules"),
        (IS_BAD, Reason.RAISED, "UnicodeDecodeError"),
        (KILLS, Reason.CRASHED, "the process that derived it was killed by signal 9"),
        (EATS_MEMORY, Reason.OUT_OF_MEMORY, "MemoryError"),
        (HANGS, Reason.TIMED_OUT, "took longer than 0.3 s"),
    ],
)
def test_the_input_at_fault_is_told_and_the_others_go_through(
    harm: str, reason: Reason, says: str, rules: Rules
) -> None:
    some = inputs("$pageview", "bad", "order placed", "bad too", "$pageleave")
    # To run out of memory takes a busy machine longer than others.
    seconds = 0.3 if harm == HANGS else 10
    with Apart(input_seconds=seconds, memory=2**26) as apart:
        derived = apart.derive(some, poisoned(rules, bad=harm))
    assert set(derived.outputs) == {UUID(int=number) for number in (0, 2, 3, 4)}
    failure = derived.failures[UUID(int=1)]
    assert failure.reason == reason
    assert says in failure.message


def test_an_interrupt_from_the_terminal_is_for_the_parent_alone(rules: Rules) -> None:
    # Of tests before, a process that multiprocessing keeps.
    others = set(psutil.Process().children())
    with Apart() as apart:
        apart.derive(inputs("$pageview"), rules)
        [child] = set(psutil.Process().children()) - others
        assert os.getpgid(child.pid) != os.getpgid(0)


def test_only_an_error_of_code_may_be_everybodys(rules: Rules) -> None:
    bad = poisoned(rules, code=RAISES, data=IS_BAD)
    derived = derive_here(inputs("code", "data"), bad)
    assert derived.errors == {UUID(int=0): "ZeroDivisionError"}
    assert "a bug in the rules" in (derived.failures[UUID(int=0)].traceback or "")


def test_other_rules_are_taken_up_by_another_child(rules: Rules) -> None:
    some = inputs("bad")
    with Apart() as apart:
        assert apart.derive(some, poisoned(rules, bad=IS_BAD)).failures
        assert apart.derive(some, rules).outputs
