"""Deriving for many action inputs; each failure is reported separately. What is derived belongs to
`derive`, the process that does it to `sandbox`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.attempts import Reason
from enrichment_pipeline.enrichment.derive import derive
from enrichment_pipeline.enrichment.sandbox import Fault, FaultKind, sandbox
from enrichment_pipeline.events.inputs import EnrichmentInput, EnrichmentOutput
from enrichment_pipeline.store.queue.enriched import Failure

_REASONS = {
    FaultKind.RAISED: Reason.RAISED,
    FaultKind.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    FaultKind.TIMED_OUT: Reason.TIMED_OUT,
    FaultKind.CRASHED: Reason.CRASHED,
}


@dataclass
class Derived:
    """The results for some action inputs; each input is in one of the two."""

    outputs: dict[UUID, EnrichmentOutput] = field(default_factory=dict)
    failures: dict[UUID, Failure] = field(default_factory=dict)
    errors: dict[UUID, str] = field(default_factory=dict)
    """Failures that are not about the data: the name of each error's class."""


def derive_all(inputs: Mapping[UUID, EnrichmentInput], rules: Rules) -> Derived:
    """The action output of each action input under these rules."""
    derived = Derived()
    results = sandbox().run(partial(derive, rules=rules), [(one,) for one in inputs.values()])
    for key, result in zip(inputs, results, strict=True):
        if isinstance(result, Fault):
            derived.failures[key] = failure_of(result)
            if result.error:
                derived.errors[key] = result.error
        else:
            derived.outputs[key] = result
    return derived


def failure_of(fault: Fault) -> Failure:
    """A sandbox fault as the failure of an action input or an event."""
    return Failure(_REASONS[fault.kind], fault.message, fault.traceback)
