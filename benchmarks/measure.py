"""Measuring: rounds in turn, medians, rates and ratios, and the JSON of a run.

What is measured belongs to the module of its subject, printing it to `show`.
"""

import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from enrichment_pipeline.store.database.embedded_server import ServerFiles, try_lock

console = Console()

RESULTS = Path(__file__).parent / "results"
"""Where the JSON of the runs goes."""

_STOP_SECONDS = 60


@dataclass
class Rate:
    """Events a second of one form, and of what it is compared with."""

    name: str
    events: int
    rounds: list[float]
    """Events a second of each round."""
    against: str | None = None
    """Name of the rate it is compared with."""
    target: float | None = None
    """The ratio that is asked for."""
    part: str = ""
    """The part of the run that measured it."""

    @property
    def rate(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


@dataclass
class Report:
    """Everything that one run measured."""

    settings: Mapping[str, object]
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """How many processes ran or waited for a core in the minute before."""
    commit: str | None = field(default_factory=lambda: _commit())
    """What is measured, as it is when the run begins."""
    rates: list[Rate] = field(default_factory=list)
    facts: list[tuple[str, str, str]] = field(default_factory=list)
    """What is no rate: name, value, target."""
    _part: str = ""
    _part_of_facts: list[str] = field(default_factory=list)

    def begin(self, part: str) -> None:
        """Say which part of the run measures what comes next."""
        self._part = part
        console.print(f"[bold]{part}[/]")

    def add(self, rate: Rate) -> None:
        """Add a rate and print it."""
        rate.part = self._part
        self.rates.append(rate)
        console.print(f"  {rate.name}: {rate.rate:,.0f} events/s", highlight=False)

    def fact(self, name: str, value: str, target: str = "") -> None:
        """Add something that is no rate, and print it."""
        self.facts.append((name, value, target))
        self._part_of_facts.append(self._part)
        console.print(f"  {name}: {value}", highlight=False)

    def ratio(self, rate: Rate) -> float | None:
        """How a rate compares, round by round, with what it is compared with; the median.

        Rounds are run in turn, so that a slow minute of the machine slows both.
        """
        other = next((found for found in self.rates if found.name == rate.against), None)
        if other is None:
            return None
        if len(other.rounds) == len(rate.rounds):
            pairs = zip(rate.rounds, other.rounds, strict=True)
            return statistics.median(mine / theirs for mine, theirs in pairs)
        return rate.rate / other.rate

    def write(self, file: Path) -> None:
        """Write everything as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.content(), indent=2, default=str) + "\n")

    def content(self) -> dict[str, Any]:
        """Everything, as it is written."""
        rates = [
            {**asdict(rate), "rate": rate.rate, "ratio": self.ratio(rate)} for rate in self.rates
        ]
        machine = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": self.commit,
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30),
            "load": round(self.load, 1),
            "python": platform.python_version(),
        }
        return {
            "settings": {**machine, **self.settings},
            "rates": rates,
            "facts": [
                {"name": name, "value": value, "target": target, "part": part}
                for (name, value, target), part in zip(self.facts, self._part_of_facts, strict=True)
            ],
        }


def _processor() -> str | None:
    """The name of the processor, where Linux knows it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None)


def _commit() -> str | None:
    """What was measured; None outside of a repository."""
    git = shutil.which("git")
    if git is None:
        return None
    found = subprocess.run(
        [git, "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or None


def wait_until_stopped(home: Path) -> None:
    """Wait until the embedded server of `home`, which nobody uses any more, has stopped."""
    deadline = time.monotonic() + _STOP_SECONDS
    while (lock := try_lock(ServerFiles.of(home).supervisor_lock)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the server in {home} still runs")
        time.sleep(0.1)
    lock.close()


def timed(work: Callable[[], object], events: int) -> float:
    """Events a second of one call."""
    started = time.perf_counter()
    work()
    return events / (time.perf_counter() - started)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
