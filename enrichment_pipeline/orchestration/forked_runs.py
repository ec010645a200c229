"""Runs that start in a fraction of a second: each is forked from a process that has imported what
runs need. Dagster's code server starts a new interpreter for each run, whose imports take seconds.
"""

import multiprocessing
import sys
import threading
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess, SpawnProcess

import psutil

# With what only a run imports.
_PRELOADED = [
    "enrichment_pipeline.orchestration.definitions",
    "dagster._core.execution.api",
    "dagster._grpc.impl",
    "dagster_postgres",
    "matplotlib.figure",
    "psycopg2",
]

_READY_SECONDS = 15.0

_SPAWNED = "multiprocessing.spawn"
_FORKING = "multiprocessing.forkserver"


def fork_runs(*, ready: bool) -> None:
    """In a code server, fork its runs; elsewhere do nothing. The first run waits for the imports,
    unless the server is to be `ready` for it soon after its own start."""
    if sys.argv[1:3] != ["api", "grpc"]:
        return
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOADED)
    # The server asks for processes that are spawned, and has no option for others.
    SpawnProcess._Popen = staticmethod(ForkServerProcess._Popen)  # type: ignore[assignment]
    if ready:
        # Not at once: all that starts beside it needs the processors.
        timer = threading.Timer(_READY_SECONDS, forkserver.ensure_running)
        timer.daemon = True
        timer.start()


def is_run(process: psutil.Process) -> bool:
    """Whether this process below a code server is a run: forked, or spawned by a server that forks
    none. One that started a moment ago, and has its parent's command line or none yet, may be."""
    command, parent = process.cmdline(), process.parent()
    above = parent.cmdline() if parent is not None else []
    is_new = command in ([], above)
    return is_new or _FORKING in " ".join(above) or _SPAWNED in " ".join(command)
