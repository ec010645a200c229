"""Processes that parse and load, or speak HTTP, because Python's threads share one core.

Their work belongs to `chunks`, `api.accept` and `api.http_process`; this module starts them, opens
their store, and ends them with the process that they work for.
"""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.process import BaseProcess
from threading import Thread, current_thread, main_thread
from types import FrameType

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, connect_store

MOST_PROCESSES = 4

# More objects than were freed before the youngest are looked at; then how often until older ones.
_OBJECTS_BETWEEN_COLLECTIONS = (50_000, 20, 100)

_settings: list[Settings] = []


def process_count() -> int:
    """How many processes are worthwhile on this machine."""
    return min(os.cpu_count() or 1, MOST_PROCESSES)


def process_pool(settings: Settings, processes: int) -> ProcessPoolExecutor:
    """A pool of processes, in which `process_store` opens the store that the settings name."""
    # Spawned, not forked: a copy of this process would share its connections.
    return ProcessPoolExecutor(processes, get_context("spawn"), begin_process, (settings,))


def started_process(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start a process that calls `target`, a function of a module; SIGINT and SIGTERM are blocked
    in it."""
    process = get_context("spawn").Process(target=target, args=arguments)
    # Python starts it with the first process, and then unblocks the signals.
    resource_tracker.ensure_running()
    with sigint_blocked(signal.SIGTERM):
        process.start()
    return process


@contextmanager
def sigint_blocked(*others: signal.Signals) -> Iterator[None]:
    """Block SIGINT, and `others`, in the block: Ctrl-C reaches every process of the terminal.
    Processes that are started meanwhile inherit the block, so that they finish and count the work
    that is under way.

    SIGTERM may be one of the `others` where a pool has one process: a pool of several ends the rest
    by it when one dies.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *others})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def sigint_deferred() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block, so that its work is counted; pressed twice, it acts at
    once."""
    if current_thread() is not main_thread():
        yield
        return
    came: list[int] = []

    def defer(number: int, frame: FrameType | None) -> None:
        if came:
            signal.default_int_handler(number, frame)
        came.append(number)

    before = signal.signal(signal.SIGINT, defer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def begin_process(settings: Settings) -> None:
    """What a process that was started does first: it will end with the process that started it, and
    `process_store` knows its settings."""
    Thread(target=_end_with_the_parent, daemon=True).start()
    _settings.append(settings)


def _end_with_the_parent() -> None:
    # A process waits for its next task for ever, and would keep the embedded server running.
    if parent := parent_process():
        parent.join()
        os._exit(1)


def calm_garbage_collector() -> None:
    """Let the garbage collector look at little, and rarely: what there is now, modules and the
    like, lives as long as the process, and what requests and events leave is freed without it.

    By its defaults it took a tenth of the time of parsing events. With ten thousand connections
    open it stopped the process that speaks HTTP for a quarter of a second at once.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_OBJECTS_BETWEEN_COLLECTIONS)


@cache
def process_store() -> Store:
    """The store of this process, connected on first use."""
    # Not when the process starts: nobody would see an error there.
    store = connect_store(_settings[0])
    calm_garbage_collector()
    return store
