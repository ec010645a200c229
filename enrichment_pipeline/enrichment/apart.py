"""Deriving in a child process, for inputs that may hang, eat memory or kill: the one at fault is
told, and the others go through.

An input is sent, its output awaited, then the next is sent. When the child dies or is silent for
too long, the input that it had is the one: that is what bisecting would find, in one step.
"""

import pickle
import selectors
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import IO, cast
from uuid import UUID

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.attempts import Reason
from enrichment_pipeline.enrichment.deriving import Derived
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.store.enriched import Failure

INPUT_SECONDS = 10.0
"""For one input, which takes 60 µs."""

START_SECONDS = 60.0
"""For the child to start, on a busy machine."""

_MEMORY = 512 * 1024**2


class ApartError(Exception):
    """The child process cannot be had."""


class Apart(AbstractContextManager["Apart"]):
    """A child process that derives; started when it is needed, and again when it died."""

    def __init__(self, input_seconds: float = INPUT_SECONDS, memory: int = _MEMORY) -> None:
        self._input_seconds = input_seconds
        self._memory = memory
        self._child: subprocess.Popen[bytes] | None = None
        self._rules: Rules | None = None

    def derive(self, inputs: Mapping[UUID, EnrichmentInput], rules: Rules) -> Derived:
        """As `derive_here`; but what an input does to the process is its failure."""
        derived = Derived()
        for key, one in inputs.items():
            answer = self._derive_one(one, rules)
            derived.outputs.update((key, output) for output in answer.outputs.values())
            derived.failures.update((key, failure) for failure in answer.failures.values())
            derived.errors.update((key, name) for name in answer.errors.values())
        return derived

    def _derive_one(self, one: EnrichmentInput, rules: Rules) -> Derived:
        """What came of one input, whatever its key there."""
        fresh = self._child is None or self._rules is not rules
        child = self._started(rules)
        try:
            _send(child, one)
            return cast("Derived", _receive(child, self._input_seconds))
        except TimeoutError:
            self.stop()
            message = f"took longer than {self._input_seconds:g} s"
            failure = Failure(Reason.TIMED_OUT, message, None)
        except (EOFError, OSError, pickle.UnpicklingError):
            how = _told(self.stop())
            if not fresh:
                # It may have died of what it did before: a new one gets the same input alone.
                return self._derive_one(one, rules)
            failure = Failure(Reason.CRASHED, f"the process that derived it {how}", None)
        return Derived(failures={UUID(int=0): failure})

    def _started(self, rules: Rules) -> subprocess.Popen[bytes]:
        if self._child is not None and self._rules is rules:
            return self._child
        self.stop()
        child = subprocess.Popen(
            [sys.executable, "-m", "enrichment_pipeline.enrichment.apart_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the parent, which ends this one.
            process_group=0,
        )
        self._child, self._rules = child, rules
        try:
            _send(child, (sys.path, self._input_seconds, self._memory))
            _send(child, rules)
            _receive(child, START_SECONDS)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            how = _told(self.stop())
            raise ApartError(f"the process that derives apart {how} as it started") from error
        return child

    def stop(self) -> int:
        """End the child; returns how it ended."""
        if self._child is None:
            return 0
        child, self._child = self._child, None
        for stream in (child.stdin, child.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:
                    # What was not sent to a dead child cannot be flushed.
                    continue
        try:
            # One that has died by itself says how; one that hangs has to be killed.
            return child.wait(0.2)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child."""
        self.stop()


def _told(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with {code}"


def _send(child: subprocess.Popen[bytes], value: object) -> None:
    stream = cast("IO[bytes]", child.stdin)
    pickle.dump(value, stream)
    stream.flush()


def _receive(child: subprocess.Popen[bytes], seconds: float) -> object:
    stream = cast("IO[bytes]", child.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        if not selector.select(seconds):
            raise TimeoutError
    return pickle.load(stream)  # noqa: S301  from our own child
