"""The child process of `sandbox`: runs a function over items, within limits."""

import faulthandler
import os
import pickle
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import psutil

_ABOUT_DATA = (UnicodeError, RecursionError, MemoryError, OverflowError, msgspec.MsgspecError)
"""Errors of the data for which they were raised. Any other error may have a general cause, such as
a faulty release or a missing file."""

_PARENT_IS_GONE_SECONDS = 60


def main(source: BinaryIO, sink: BinaryIO, progress: int) -> None:
    """Serve requests until the parent closes its end."""
    path, item_seconds, memory = pickle.load(source)  # noqa: S301  from our own parent
    # The parent's path: a function may be importable from there alone.
    sys.path[:] = path
    _offer_to_be_killed()
    sink.write(b"!")
    sink.flush()
    begun = 0
    function: Callable[..., object] | None = None
    while True:
        try:
            new_function, items = pickle.load(source)  # noqa: S301
        except EOFError:
            return
        if new_function is not None:
            function = pickle.loads(new_function)  # noqa: S301
            _limit_memory(memory)
        # If the parent is gone, no other process would end a child that hangs.
        faulthandler.dump_traceback_later(_PARENT_IS_GONE_SECONDS + 2 * item_seconds, exit=True)
        answer = []
        for item in items:
            begun += 1
            os.pwrite(progress, begun.to_bytes(8, "little"), 0)
            answer.append(_run(function, item))
        faulthandler.cancel_dump_traceback_later()
        pickle.dump(answer, sink, pickle.HIGHEST_PROTOCOL)
        sink.flush()


def _run(function: Any, item: tuple[Any, ...]) -> tuple[bool, object]:
    """Whether the item failed, and its result or the arguments of a `Fault`."""
    try:
        return False, function(*item)
    except Exception as error:  # noqa: BLE001  any error that an item raises is its fault
        kind = "out of memory" if isinstance(error, MemoryError) else "raised"
        name = type(error).__name__
        said = str(error).strip().splitlines() or [name]
        trace = "".join(traceback.format_exception(error))
        of_code = None if isinstance(error, _ABOUT_DATA) else name
        return True, (kind, f"{name}: {said[0]}", trace, of_code)


def _offer_to_be_killed() -> None:
    """If memory runs out, Linux should kill this process and not its parent."""
    score = Path("/proc/self/oom_score_adj")
    if score.exists():
        score.write_text("1000")


def _limit_memory(more: int) -> None:
    """Make Python raise MemoryError beyond so many bytes more than now."""
    info = psutil.Process().memory_info()
    limit = getattr(info, "data", info.vms) + more
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    # Printed output must not get into the responses.
    os.dup2(2, 1)
    main(sys.stdin.buffer, answers, int(sys.argv[1]))
