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
from enrichment_pipeline.enrichment.sandbox import Fault, FaultKind, sandbox
from enrichment_pipeline.events.inputs import EnrichmentOutput
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.enriched import EventFailure
from enrichment_pipeline.store.queue.inputs import read_inputs, remember_outputs

_REASONS = {
    FaultKind.RAISED: FailureReason.RAISED,
    FaultKind.OUT_OF_MEMORY: FailureReason.OUT_OF_MEMORY,
    FaultKind.TIMED_OUT: FailureReason.TIMED_OUT,
    FaultKind.CRASHED: FailureReason.CRASHED,
}

_KEPT_AT_ONCE = 3_000


@dataclass
class Derived:
    """The results for some action inputs; each input is in one of the two."""

    outputs: dict[UUID, EnrichmentOutput] = field(default_factory=dict)
    failures: dict[UUID, EventFailure] = field(default_factory=dict)
    errors: dict[UUID, str] = field(default_factory=dict)
    """Failures that are not about the data: the name of each error's class."""

    def add(
        self, keys: Sequence[UUID], results: Sequence[EnrichmentOutput | Fault]
    ) -> dict[UUID, EnrichmentOutput]:
        """Add results of these inputs; returns those that are outputs."""
        outputs: dict[UUID, EnrichmentOutput] = {}
        for key, result in zip(keys, results, strict=True):
            if not isinstance(result, Fault):
                outputs[key] = result
                continue
            self.failures[key] = failure_of(result)
            if result.error:
                self.errors[key] = result.error
        self.outputs |= outputs
        return outputs


def derive_missing(store: Store, keys: Sequence[UUID], rules: Rules) -> Derived:
    """Derive what these rules have not said yet: the outputs of the action inputs of these keys.
    They are kept, some thousands at a time, while the next ones are derived."""
    derived = Derived()
    inputs = list(read_inputs(store, keys).items())
    version, function = output_version(rules), partial(derive, rules=rules)
    with ThreadPoolExecutor(1) as keeping:
        kept = []
        for start in range(0, len(inputs), _KEPT_AT_ONCE):
            portion = inputs[start : start + _KEPT_AT_ONCE]
            results = sandbox().run(function, [(one,) for _, one in portion])
            outputs = derived.add([key for key, _ in portion], results)
            kept.append(keeping.submit(remember_outputs, store, version, outputs))
    for future in kept:
        future.result()
    return derived


def failure_of(fault: Fault) -> EventFailure:
    """A sandbox fault as the failure of an action input or an event."""
    return EventFailure(_REASONS[fault.kind], fault.message, fault.traceback)
