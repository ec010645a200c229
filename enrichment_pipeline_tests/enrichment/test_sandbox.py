"""The sandbox: what an item does to its process is reported, and costs only itself."""

import os
import signal
from functools import partial
from uuid import UUID

import psutil
import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import deriving
from enrichment_pipeline.enrichment.derive import derive, output_version
from enrichment_pipeline.enrichment.deriving import by_element, derive_missing
from enrichment_pipeline.enrichment.sandbox import Fault, FaultKind, Sandbox, SandboxError, sandbox
from enrichment_pipeline.events.controls import name_element
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.inputs import missing_outputs, store_inputs
from enrichment_pipeline_tests.poison import (
    EATS_MEMORY,
    HANGS,
    IS_BAD,
    KILLS,
    RAISES,
    fails_to_load,
    poisoned,
)


def inputs(*names: str) -> list[tuple[EnrichmentInput]]:
    return [(EnrichmentInput(name, None, "/", None, None),) for name in names]


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_what_is_derived_in_the_sandbox_is_what_is_derived_here(rules: Rules) -> None:
    some = inputs("$pageview", "order placed", "$$", "grüße")
    here = [derive(*one, rules) for one in some]
    assert Sandbox().run(partial(derive, rules=rules), some) == here


@pytest.mark.parametrize(
    ("harm", "kind", "says"),
    [
        (RAISES, FaultKind.RAISED, "ZeroDivisionError: a bug in the rules"),
        (IS_BAD, FaultKind.RAISED, "UnicodeDecodeError"),
        (KILLS, FaultKind.CRASHED, "the process that derived it was killed by signal 9"),
        (EATS_MEMORY, FaultKind.OUT_OF_MEMORY, "MemoryError"),
        (HANGS, FaultKind.TIMED_OUT, "took longer than 0.3 s"),
    ],
)
@pytest.mark.slow
def test_the_item_at_fault_is_reported_and_the_others_go_through(
    harm: str, kind: FaultKind, says: str, rules: Rules
) -> None:
    # More than one question, the bad ones first, last and side by side.
    names = ["fine"] * 1_200
    bad = {0, 7, 8, 499, 1_199}
    some = inputs(*("bad" if number in bad else name for number, name in enumerate(names)))
    # To run out of memory takes a busy machine longer than others.
    box = Sandbox(item_seconds=0.3 if harm == HANGS else 10, memory=2**26)
    results = box.run(partial(derive, rules=poisoned(rules, bad=harm)), some)
    box.stop()
    faults = {number: one for number, one in enumerate(results) if isinstance(one, Fault)}
    assert faults.keys() == bad
    assert {fault.kind for fault in faults.values()} == {kind}
    assert says in faults[7].message


@pytest.mark.slow
def test_an_interrupt_from_the_terminal_is_for_the_parent_alone(rules: Rules) -> None:
    # Of tests before, a process that multiprocessing keeps.
    others = children()
    box = Sandbox()
    box.run(partial(derive, rules=rules), inputs("$pageview"))
    [child] = children() - others
    assert os.getpgid(child.pid) != os.getpgid(0)
    box.stop()


def test_the_child_ends_with_its_parent(rules: Rules) -> None:
    others = children()
    box = Sandbox()
    box.run(partial(derive, rules=rules), inputs("$pageview"))
    [child] = children() - others
    assert box._child
    assert box._child.stdin
    # As the system does with what a dead process had open.
    box._child.stdin.close()
    assert child.wait(20) == 0


@pytest.mark.slow
def test_a_child_that_was_killed_while_nobody_asked_costs_nobody_anything(rules: Rules) -> None:
    others = children()
    box = Sandbox()
    ask = partial(derive, rules=rules)
    first = box.run(ask, inputs("$pageview"))
    [child] = children() - others
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    assert box.run(ask, inputs("$pageview")) == first
    box.stop()


def test_code_that_cannot_be_loaded_is_nobodys_fault(rules: Rules) -> None:
    with pytest.raises(SandboxError, match="ended with 1 as it started"):
        Sandbox().run(fails_to_load(), inputs("$pageview", "order placed"))


@pytest.mark.slow
def test_who_is_interrupted_while_it_asks_never_gets_the_answer_later(
    rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Sandbox()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(box, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            box.run(partial(derive, rules=rules), inputs("first"))
    [result] = box.run(partial(derive, rules=rules), inputs("second"))
    assert not isinstance(result, Fault)
    assert "second" in result.description
    box.stop()


@pytest.mark.slow
def test_other_rules_are_taken_up_by_the_same_child(rules: Rules) -> None:
    box = Sandbox()
    some = inputs("bad")
    assert isinstance(box.run(partial(derive, rules=poisoned(rules, bad=IS_BAD)), some)[0], Fault)
    child = box._child
    assert not isinstance(box.run(partial(derive, rules=rules), some)[0], Fault)
    assert box._child is child
    box.stop()


def test_only_an_error_of_code_may_be_everybodys(store: Store, rules: Rules) -> None:
    some = {UUID(int=number): one for number, (one,) in enumerate(inputs("code", "data"))}
    store_inputs(store, some)
    derived = derive_missing(store, list(some), poisoned(rules, code=RAISES, data=IS_BAD))
    assert derived.errors == {UUID(int=0): "ZeroDivisionError"}
    assert "a bug in the rules" in (derived.failures[UUID(int=0)].traceback or "")


def test_what_is_derived_is_kept_by_portions(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deriving, "_KEPT_AT_ONCE", 3)
    some = {UUID(int=n): one for n, (one,) in enumerate(inputs(*(f"name {n}" for n in range(10))))}
    store_inputs(store, some)
    derived = derive_missing(store, list(some), rules)
    with store.transaction() as connection:
        assert missing_outputs(connection, output_version(rules), some.keys()) == []
    assert derived.outputs.keys() == some.keys()


def test_whoever_is_alone_gets_the_sandbox_that_was_used_last() -> None:
    with sandbox() as mine:
        pass
    with sandbox() as again, sandbox() as other:
        assert again is mine
        assert other is not mine


def test_a_forked_process_has_sandboxes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox() as mine:
        pass
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with sandbox() as one, sandbox() as other:
        assert mine not in (one, other)


def test_one_element_is_read_once_for_all_its_pages(store: Store, rules: Rules) -> None:
    chains = [f'button:attr__id="b{n}"text="Save {n}"' for n in range(400)]
    of_pages = [
        EnrichmentInput("$autocapture", "click", f"/p{page}", chain, None)
        for page in range(4)
        for chain in chains
    ]
    keys = {UUID(int=n): one for n, one in enumerate(of_pages)}
    store_inputs(store, keys)
    derived = derive_missing(store, list(keys), rules)
    assert derived.outputs == {key: derive(one, rules) for key, one in keys.items()}
    name_element.cache_clear()
    for _, one in sorted(keys.items(), key=by_element):
        derive(one, rules)
    assert name_element.cache_info().misses == len(chains)
