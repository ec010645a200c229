"""What several processes that speak HTTP share: the memory that their requests may take, and what
they count.

It is memory of all of them, in which each writes its own part alone: no process waits for another,
and what a killed one has written stays. Starting the processes belongs to `server`; a process that
speaks HTTP alone needs nothing of this.
"""

from collections.abc import Callable, Iterator
from ctypes import Array, c_int64, c_ubyte
from multiprocessing.sharedctypes import RawArray
from threading import Lock
from typing import Any, NamedTuple, Self

import msgspec
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from enrichment_pipeline.ingest.api.micro_batch import Budget, OverloadedError

_LENGTH_BYTES = 4
# All counts of a process take some 8 KB.
_COPY_BYTES = 64 * 1024
_PART_BYTES = 1 + 2 * _COPY_BYTES

_Key = tuple[str, tuple[tuple[str, str], ...]]
"""A sample's name and its labels."""


class Share(NamedTuple):
    """The shared memory, and which part of it belongs to one process. Pass it on as an argument of
    the process only."""

    taken: "Array[c_int64]"
    counts: "Array[c_ubyte]"
    number: int
    """Number of the process, from 0; one that replaces another has the same."""

    @classmethod
    def among(cls, processes: int) -> Self:
        """Memory for so many processes, as the first of them has it."""
        return cls(RawArray(c_int64, processes), RawArray(c_ubyte, processes * _PART_BYTES), 0)

    @property
    def watches(self) -> bool:
        """Whether this process does what only one of them should."""
        return self.number == 0

    def of(self, number: int) -> Self:
        """The same memory, as the process of that number has it."""
        return self._replace(number=number)

    def release(self) -> None:
        """Give back the memory of the requests of a process that has died."""
        self.taken[self.number] = 0


class SharedBudget(Budget):
    """The bytes that the requests of all processes may take together."""

    def __init__(self, most: int, share: Share) -> None:
        super().__init__(most)
        self._parts, self._number = share.taken, share.number

    @property
    def taken(self) -> int:
        """The bytes that requests take."""
        return sum(self._parts)

    def take(self, size: int) -> None:
        """As in `Budget`."""
        # In this order: of two processes that want the last bytes at the same time, both may be
        # refused, but never do both get them.
        self._parts[self._number] += size
        if self.taken > self.most:
            self._parts[self._number] -= size
            raise OverloadedError

    def give_back(self, size: int) -> None:
        """As in `Budget`."""
        self._parts[self._number] -= size


class _Counted(msgspec.Struct):
    """What one process has counted: by metric, by sample."""

    counters: dict[str, list[tuple[_Key, float]]] = {}
    gauges: dict[str, list[tuple[_Key, float]]] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Counted).decode


class SharedCounts(Collector):
    """The metrics of this process with those of the others added to them.

    Added are counters and histograms, and the gauges that `adds` names. All other gauges are what
    this process has measured. A process goes on with the counters of the one that it replaces.
    """

    def __init__(
        self, registry: CollectorRegistry, share: Share, adds: Callable[[Sample], bool]
    ) -> None:
        self._registry = registry
        self._adds = adds
        self._number = share.number
        self._parts = memoryview(share.counts).cast("B")
        self._before = self._read(share.number).counters
        self._lock = Lock()

    def publish(self) -> list[Metric]:
        """Show the others what this process has counted so far; returns that."""
        with self._lock:
            families = list(self._registry.collect())
            counted = _Counted()
            for family in families:
                if family.type in {"counter", "histogram"}:
                    found = {_key(one): one.value for one in family.samples if _is_added(one)}
                    _add(found, self._before.get(family.name, ()))
                    counted.counters[family.name] = list(found.items())
                else:
                    counted.gauges[family.name] = [
                        (_key(one), one.value) for one in family.samples if self._adds(one)
                    ]
            self._write(_encode(counted))
        return families

    def collect(self) -> Iterator[Metric]:
        """The metrics of all processes. Others may have counted more in the last second."""
        # What is shown was published first: the next process that is asked shows no less.
        families = self.publish()
        processes = len(self._parts) // _PART_BYTES
        others = [self._read(one) for one in range(processes) if one != self._number]
        for family in families:
            samples = {_key(one): one for one in family.samples}
            more: dict[_Key, float] = {}
            _add(more, self._before.get(family.name, ()))
            for other in others:
                _add(more, other.counters.get(family.name, ()))
                _add(more, other.gauges.get(family.name, ()))
            for key, value in more.items():
                own = samples[key].value if key in samples else 0
                samples[key] = Sample(key[0], dict(key[1]), own + value)
            family.samples = list(samples.values())
            yield family

    def _write(self, content: bytes) -> None:
        # Two copies, and before them which of the two is whole. A reader has done with the one long
        # before it is written again.
        start = self._number * _PART_BYTES
        copy = 1 - self._parts[start]
        at = start + 1 + copy * _COPY_BYTES
        framed = len(content).to_bytes(_LENGTH_BYTES) + content
        self._parts[at : at + len(framed)] = framed
        self._parts[start] = copy

    def _read(self, number: int) -> _Counted:
        start = number * _PART_BYTES
        at = start + 1 + self._parts[start] * _COPY_BYTES
        length = int.from_bytes(self._parts[at : at + _LENGTH_BYTES])
        at += _LENGTH_BYTES
        return _decode(bytes(self._parts[at : at + length])) if length else _Counted()


def _key(sample: Sample) -> _Key:
    return sample.name, tuple(sorted(sample.labels.items()))


def _is_added(sample: Sample) -> bool:
    # When counting began is no sum.
    return not sample.name.endswith("_created")


def _add(sums: dict[_Key, float], more: Any) -> None:
    for key, value in more:
        sums[key] = sums.get(key, 0) + value
