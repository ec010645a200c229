"""Serving the API: in this process, or in several that share one port.

Of several, this process speaks no HTTP. It starts the others, starts again the one that dies, and
stops all. What one of them does belongs to `http_process`.

uvicorn has such a supervisor too. It starts a process that cannot start again and again, does not
end with its parent, and lets all processes accept from one socket.
"""

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from time import monotonic

from enrichment_pipeline.alerts.channels import channels
from enrichment_pipeline.ingest.api.http_process import (
    MakeParts,
    Task,
    begin_to_log,
    run,
    speak_http,
)
from enrichment_pipeline.ingest.api.port import Port
from enrichment_pipeline.ingest.api.shared import Share
from enrichment_pipeline.ingest.api.tokens import ProjectTokens
from enrichment_pipeline.ingest.processes import MOST_PROCESSES, process_count, started_process
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.wording import counted

_CORES_OF_EACH = 4
_LONGEST_WAIT_SECONDS = 30.0
_WELL_SECONDS = 60.0
"""After so long a run, a process that dies is started again at once."""

logger = logging.getLogger(__name__)


def http_processes(settings: Settings) -> int:
    """How many processes speak HTTP."""
    # One that is busy keeps its writers and PostgreSQL busy on some three cores more; four of them
    # send PostgreSQL more than one server writes.
    by_cores = min((os.cpu_count() or 1) // _CORES_OF_EACH, MOST_PROCESSES)
    return settings.api_processes or max(1, by_cores)


def writers_of_each(processes: int) -> int:
    """How many writers each process that speaks HTTP has: of several, together one for every other
    core."""
    if processes == 1:
        return process_count()
    return max(1, min((os.cpu_count() or 1) // (2 * processes), MOST_PROCESSES))


def serve(store: Store, make_parts: MakeParts) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are committed and responded to first.

    Raises:
        SettingsError: the tokens, or the channels of the alerts, are wrong.
        SystemExit: the API cannot start; why was logged.
    """
    begin_to_log()
    processes = http_processes(store.settings)
    if processes == 1:
        speak_http(store, make_parts, writers_of_each(1))
        return
    # What is wrong with the settings is said once, before there are processes.
    ProjectTokens(store.settings)
    channels(store.settings)
    make_parts(store)
    try:
        served = asyncio.run(_Processes(store.settings, make_parts, processes).run())
    except OSError as error:
        logger.error("%s", error)  # noqa: TRY400  one line that a person can act on
        served = False
    if not served:
        sys.exit(1)


class _Processes:
    """The processes that speak HTTP, by their numbers."""

    def __init__(self, settings: Settings, make_parts: MakeParts, count: int) -> None:
        self._settings = settings
        self._make_parts = make_parts
        self._count = count
        self._share = Share.among(count)
        self._port = Port(settings.host, settings.api_port, count)
        self._running: dict[int, BaseProcess] = {}
        self._ready: set[int] = set()
        self._stopping = asyncio.Event()
        self._has_failed = False

    @property
    def _was_ready(self) -> bool:
        return len(self._ready) == self._count

    async def run(self) -> bool:
        """Keep them running until we are asked to stop; returns false where one of them could not
        start to begin with."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        try:
            await asyncio.gather(*map(self._keep, range(self._count)))
        finally:
            self._stop(signal.SIGTERM)
        return not self._has_failed

    async def _keep(self, number: int) -> None:
        wait = 0.0
        while not self._stopping.is_set():
            began = monotonic()
            try:
                ended = await self._run_once(number)
            except OSError as error:
                ended = f"process {number + 1}, which speaks HTTP, cannot be started: {error}"
            if self._stopping.is_set():
                return
            if not self._was_ready:
                logger.error("%s before all were ready; the API stops", ended)
                self._has_failed = True
                self._stop(signal.SIGTERM)
                return
            if monotonic() - began > _WELL_SECONDS:
                wait = 0.0
            when = f"in {wait:g} s" if wait else "now"
            logger.warning("%s; another is started %s, the others go on", ended, when)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)
            wait = min(max(1.0, 2 * wait), _LONGEST_WAIT_SECONDS)

    async def _run_once(self, number: int) -> str:
        """Run a process until it ends; returns how it did."""
        process, is_ready = self._started(number)
        self._running[number] = process
        with is_ready:
            await _readable(is_ready.fileno())
            with suppress(EOFError):
                self._count_ready(number, is_ready.recv())
        await _readable(process.sentinel)
        process.join()
        del self._running[number]
        self._share.of(number).release()
        code = process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        return f"process {number + 1} ({process.pid}), which speaks HTTP, {how}"

    def _started(self, number: int) -> tuple[BaseProcess, Connection]:
        reader, writer = Pipe(duplex=False)
        with writer, self._port.taken(number) as listening:
            task = Task(
                self._settings,
                self._make_parts,
                writers_of_each(self._count),
                self._share.of(number),
                listening,
                writer,
            )
            return started_process(run, task), reader

    def _count_ready(self, number: int, is_ready: bool) -> None:
        before = self._was_ready
        if is_ready:
            self._ready.add(number)
        if self._was_ready and not before:
            where = f"http://{self._settings.host}:{self._settings.api_port}"
            logger.info("Uvicorn running on %s, in %s", where, counted(self._count, "process"))

    def _stop(self, number: int) -> None:
        # A second Ctrl-C lets uvicorn wait for no request. It reaches all processes of a terminal,
        # so the first must not be passed on as another one.
        is_second = self._stopping.is_set() and number == signal.SIGINT
        self._stopping.set()
        self._port.close()
        for process in self._running.values():
            if process.is_alive() and process.pid:
                os.kill(process.pid, signal.SIGINT if is_second else signal.SIGTERM)


async def _readable(file: int) -> None:
    """Return once there is something to read, or the other end is closed."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(file, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(file)
