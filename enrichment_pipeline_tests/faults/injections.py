"""The faults: what is done to the stage while events come in, and which alerts it has to cause."""

import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from enrichment_pipeline_tests.faults.stage import Load, Stage
from enrichment_pipeline_tests.poison import EATS_MEMORY, HANGS, KILLS, RAISES

_FAKETIME = Path(f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketime.so.1")
_DISK_MB = 900


@dataclass(frozen=True)
class Fault:
    """A fault: its name, what does it once, how often, and what becomes of it."""

    name: str
    inject: Callable[[Stage, Load, float], None]
    """Gets how many seconds a fault that lasts is to last."""
    times: int = 1
    dead: int = 0
    """Events that end as dead letters, each time."""
    alerts: frozenset[str] = frozenset()
    """Kinds of alerts that have to arrive."""
    home: Callable[[Path], AbstractContextManager[Path]] | None = None
    """What makes the folder in which the stage keeps its state; else it is an ordinary one."""
    cannot: Callable[[], str | None] = lambda: None
    """Why it cannot be injected here, if so."""


def _kill_worker(stage: Stage, load: Load, seconds: float) -> None:
    stage.worker.process.kill()


def _kill_api(stage: Stage, load: Load, seconds: float) -> None:
    for process in stage.children(stage.api):
        process.kill()


def _kill_writer(stage: Stage, load: Load, seconds: float) -> None:
    stage.children(stage.api)[-1].kill()


def _kill_postgres(stage: Stage, load: Load, seconds: float) -> None:
    postmaster = stage.postmaster()
    children = postmaster.children(recursive=True)
    postmaster.kill()
    psutil.wait_procs([postmaster, *children], timeout=30)
    stage.server.start()


def _kill_backend(stage: Stage, load: Load, seconds: float) -> None:
    for process in stage.postmaster().children():
        if "INSERT" in " ".join(process.cmdline()) or "enrichment" in " ".join(process.cmdline()):
            process.kill()
            return
    raise AssertionError("no backend was at work")


def _cut(stage: Stage, load: Load, seconds: float) -> None:
    stage.proxy.cut()


def _freeze(stage: Stage, load: Load, seconds: float) -> None:
    stage.proxy.freeze()
    time.sleep(seconds)
    stage.proxy.thaw()


def _slow(stage: Stage, load: Load, seconds: float) -> None:
    stage.proxy.slow(0.02)
    time.sleep(seconds)
    stage.proxy.slow(0)


def _lock(stage: Stage, load: Load, seconds: float) -> None:
    with stage.connect() as connection:
        connection.execute("LOCK TABLE enriched_event, raw_event IN ACCESS EXCLUSIVE MODE")
        time.sleep(seconds)


def _stop_postgres(stage: Stage, load: Load, seconds: float) -> None:
    """The server does not answer, as one that swaps or whose machine is gone."""
    processes = [stage.postmaster(), *stage.postmaster().children(recursive=True)]
    for process in processes:
        process.suspend()
    time.sleep(seconds)
    for process in processes:
        process.resume()


def _poison(name: str) -> Callable[[Stage, Load, float], None]:
    def inject(stage: Stage, load: Load, seconds: float) -> None:
        load.send(*(["page opened"] * 5), name)

    return inject


def _bad_rules(stage: Stage, load: Load, seconds: float) -> None:
    """A release whose rules are refused at the start; then it is rolled back."""
    file = stage.home / "rules.yaml"
    file.write_text("events: {page opened: {event_type: nonsense}}\n", encoding="utf-8")
    good = stage.worker.environment
    stage.worker.environment = {**good, "ENRICHMENT_RULES_FILE": str(file)}
    ends = stage.worker.ends
    stage.worker.process.kill()
    # One for the kill, and the others because each is refused.
    stage.wait_until(lambda: stage.worker.ends >= ends + 3, "the rules are refused", 60)
    stage.worker.environment = good


def _fill_disk(stage: Stage, load: Load, seconds: float) -> None:
    ballast = stage.home / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(1_000_000))
            file.flush()
    try:
        time.sleep(seconds)
    finally:
        ballast.unlink()
    stage.server.start()


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system that is soon full."""
    folder.mkdir(parents=True)
    size = f"size={_DISK_MB}m,mode=0755"
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "--lazy", folder], check=True)


def _may_not_mount() -> str | None:
    return None if os.geteuid() == 0 else "only root may mount a small disk"


def _has_no_faketime() -> str | None:
    return None if _FAKETIME.exists() else "the package faketime is needed"


def _shifted(hours: str) -> dict[str, str]:
    # The clock of waiting is that of the machine; only the one that shows the time is shifted.
    return {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME": hours,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _jump(hours: str) -> Callable[[Stage, Load, float], None]:
    def inject(stage: Stage, load: Load, seconds: float) -> None:
        """The clock of API and worker jumps, and jumps back."""
        parts = (stage.api, stage.worker)
        before = [part.environment for part in parts]
        for part in parts:
            part.environment = {**part.environment, **_shifted(hours)}
            os.killpg(part.process.pid, signal.SIGTERM)
        time.sleep(seconds)
        for part, environment in zip(parts, before, strict=True):
            part.environment = environment
            os.killpg(part.process.pid, signal.SIGTERM)

    return inject


_LETTERS = frozenset({"dead_letters"})

FAULTS = (
    Fault("kill -9 of the worker", _kill_worker, times=3),
    Fault("kill -9 of the API", _kill_api, times=3),
    Fault("kill -9 of a process that commits", _kill_writer, times=3),
    Fault("kill -9 of PostgreSQL", _kill_postgres, times=2),
    Fault("kill -9 of a backend", _kill_backend, times=3),
    Fault("connections cut", _cut, times=5),
    Fault("connections frozen", _freeze),
    Fault("connections slowed", _slow),
    Fault("PostgreSQL hangs", _stop_postgres),
    Fault("tables locked", _lock),
    Fault("a full disk", _fill_disk, home=_small_disk, cannot=_may_not_mount),
    Fault("rules that are refused, rolled back", _bad_rules),
    Fault("an event that raises", _poison(RAISES), times=2, dead=1, alerts=_LETTERS),
    Fault("an event that kills", _poison(KILLS), dead=1, alerts=_LETTERS),
    Fault("an event that hangs", _poison(HANGS), dead=1, alerts=_LETTERS),
    Fault("an event that eats memory", _poison(EATS_MEMORY), dead=1, alerts=_LETTERS),
    Fault("a clock that jumps ahead", _jump("+3h"), cannot=_has_no_faketime),
    Fault("a clock that jumps back", _jump("-3h"), cannot=_has_no_faketime),
)
