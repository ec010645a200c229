"""Deriving for many action inputs; each failure is reported separately. What is derived belongs to
`derive`, the process that does it to `sandbox`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.attempts import FailureReason
from enrichment_pipeline.enrichment.derive import derive, output_version
from enrichment_pipeline.enrichment.sandbox import SANDBOXES, Fault, FaultKind, sandbox
from enrichment_pipeline.events.inputs import EnrichmentInput, EnrichmentOutput
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.enriched import EventFailure
from enrichment_pipeline.store.queue.inputs import read_inputs, remember_outputs

_REASONS = {
    FaultKind.RAISED: FailureReason.RAISED,
    FaultKind.OUT_OF_MEMORY: FailureReason.OUT_OF_MEMORY,
    FaultKind.TIMED_OUT: FailureReason.TIMED_OUT,
    FaultKind.CRASHED: FailureReason.CRASHED,
}

_KEPT_AT_ONCE = 2_000


@dataclass
class Derived:
    """The results for some action inputs; each input is in one of the two."""

    outputs: dict[UUID, EnrichmentOutput] = field(default_factory=dict)
    failures: dict[UUID, EventFailure] = field(default_factory=dict)
    errors: dict[UUID, str] = field(default_factory=dict)
    """Failures that are not about the data: the name of each error's class."""

    def add_result(self, key: UUID, result: EnrichmentOutput | Fault) -> None:
        """Add the result of an input."""
        if not isinstance(result, Fault):
            self.outputs[key] = result
            return
        self.failures[key] = failure_of(result)
        if result.error:
            self.errors[key] = result.error

    def add(self, other: "Derived") -> None:
        """Add the results of other inputs."""
        self.outputs |= other.outputs
        self.failures |= other.failures
        self.errors |= other.errors


def derive_missing(store: Store, keys: Sequence[UUID], rules: Rules) -> Derived:
    """Derive what these rules have not said yet: the outputs of the action inputs of these keys.
    They are kept, some thousands at a time, while the next ones are derived."""
    # The same element stands together, and is read once. Those with elements come first: they take
    # longest, and the sandboxes end at the same time.
    inputs = sorted(read_inputs(store, keys).items(), key=by_element, reverse=True)
    portions = [inputs[at : at + _KEPT_AT_ONCE] for at in range(0, len(inputs), _KEPT_AT_ONCE)]
    derived = Derived()
    with ThreadPoolExecutor(SANDBOXES) as threads:
        for part in threads.map(partial(_derive, store, rules), portions):
            derived.add(part)
    return derived


def _derive(store: Store, rules: Rules, inputs: Sequence[tuple[UUID, EnrichmentInput]]) -> Derived:
    with sandbox() as child:
        results = child.run(partial(derive, rules=rules), [(one,) for _, one in inputs])
    derived = Derived()
    for (key, _), result in zip(inputs, results, strict=True):
        derived.add_result(key, result)
    remember_outputs(store, output_version(rules), derived.outputs)
    return derived


def by_element(found: tuple[UUID, EnrichmentInput]) -> tuple[str, str]:
    """A key to sort inputs by, so that those of one element stand together."""
    return found[1].elements_chain or "", found[1].element_text or ""


def failure_of(fault: Fault) -> EventFailure:
    """A sandbox fault as the failure of an action input or an event."""
    return EventFailure(_REASONS[fault.kind], fault.message, fault.traceback)
