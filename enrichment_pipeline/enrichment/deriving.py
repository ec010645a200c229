"""Deriving for many inputs, each failure told for itself: in this process, or in a child.

What is derived belongs to `derive`. In this process it is fast, and whatever ends the process ends
the claim with it; the child (`apart`) is for inputs that are suspected of that.
"""

import faulthandler
import resource
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import psutil

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import attempts
from enrichment_pipeline.enrichment.derive import derive
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.store.enriched import Failure
from enrichment_pipeline.store.errors import first_line
from enrichment_pipeline.store.inputs import EnrichmentOutput

LIMIT_SECONDS = 60
"""For all inputs of a claim; 50,000 new ones take some 3 s."""

LIMIT_BYTES = 1024**3
"""Of memory, on top of what the process has when it begins."""

_STDERR = 2


@dataclass
class Derived:
    """What came of some inputs; each is in one of the two."""

    outputs: dict[UUID, EnrichmentOutput] = field(default_factory=dict)
    failures: dict[UUID, Failure] = field(default_factory=dict)
    errors: dict[UUID, str] = field(default_factory=dict)
    """Of the failures that are not about the data: the name of the error's class."""


Derive = Callable[[Mapping[UUID, EnrichmentInput], Rules], Derived]


def derive_here(
    inputs: Mapping[UUID, EnrichmentInput],
    rules: Rules,
    seconds: float = LIMIT_SECONDS,
    memory: int = LIMIT_BYTES,
) -> Derived:
    """Derive in this process. An input that hangs ends the process, which counts as its death."""
    derived = Derived()
    if not inputs:
        return derived
    with _limited(seconds, memory):
        for key, one in inputs.items():
            try:
                derived.outputs[key] = derive(one, rules)
            except Exception as error:  # noqa: BLE001  whatever an input can raise is its failure
                derived.failures[key] = failure_of(error)
                if not attempts.is_about_data(error):
                    derived.errors[key] = type(error).__name__
    return derived


def failure_of(error: BaseException) -> Failure:
    """An exception as the failure of an input or an event."""
    no_memory = isinstance(error, MemoryError)
    reason = attempts.Reason.OUT_OF_MEMORY if no_memory else attempts.Reason.RAISED
    trace = "".join(traceback.format_exception(error))
    return Failure(reason, f"{type(error).__name__}: {first_line(error)}", trace)


@contextmanager
def _limited(seconds: float, memory: int) -> Iterator[None]:
    """End the process, with a traceback on stderr, should the block take longer; let it have no
    more than so many more bytes: past that, Python raises MemoryError.

    Not by a signal or a thread of Python's: a regular expression that hangs lets neither run.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=_STDERR)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = psutil.Process().memory_info().vms + memory
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    if soft == resource.RLIM_INFINITY or soft > most:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        faulthandler.cancel_dump_traceback_later()
