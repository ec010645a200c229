"""Processes that parse and load, one for each core, because the threads of Python share one.

What they do belongs to `chunks` and to `api.accept`; here is how one is made, opens the store, and
ends with the process that it works for.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context, parent_process
from threading import Thread, current_thread, main_thread
from types import FrameType

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, connect_store

MOST_PROCESSES = 4

_settings: list[Settings] = []


def process_count() -> int:
    """How many are worth while on this machine."""
    return min(os.cpu_count() or 1, MOST_PROCESSES)


def process_pool(settings: Settings, processes: int) -> ProcessPoolExecutor:
    """A pool of processes, in which `process_store` is the store that the settings name."""
    # Not forked: a copy of this process would share its connections.
    return ProcessPoolExecutor(processes, get_context("spawn"), _start, (settings,))


@contextmanager
def sigint_blocked(*others: signal.Signals) -> Iterator[None]:
    """Ctrl-C reaches every process of the terminal, and others may send a signal to all. Processes
    that are started meanwhile inherit that they do not heed it, so that what they have in hand is
    finished and counted.

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
    """Ctrl-C is heeded at the end of the block, so that what is done there is counted; pressed
    twice, it is at once."""
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


def _start(settings: Settings) -> None:
    Thread(target=_end_with_the_parent, daemon=True).start()
    _settings.append(settings)


def _end_with_the_parent() -> None:
    # A process waits for its next work for ever, and would keep the embedded server running.
    if parent := parent_process():
        parent.join()
        os._exit(1)


@cache
def process_store() -> Store:
    """The store of this process, connected when it is first asked for."""
    # Not when the process starts: an error there would reach nobody.
    return connect_store(_settings[0])
