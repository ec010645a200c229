"""The child process of `apart`: derives one input after the other, within limits."""

import os
import pickle
import sys
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

_KEY = UUID(int=0)


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer until the parent closes its end."""
    path, seconds, memory = pickle.load(source)  # noqa: S301  from our own parent
    # As the parent's: the rules may be of a class that is found nowhere else.
    sys.path[:] = path
    from enrichment_pipeline.enrichment.deriving import derive_here

    _offer_to_be_killed()
    rules = pickle.load(source)  # noqa: S301
    _answer(sink, None)
    while True:
        try:
            one = pickle.load(source)  # noqa: S301
        except EOFError:
            return
        # Should the parent be gone, nobody else would end a child that hangs.
        _answer(sink, derive_here({_KEY: one}, rules, 2 * seconds, memory))


def _offer_to_be_killed() -> None:
    """Where memory runs out, Linux is to kill this process, not the one that would tell."""
    score = Path("/proc/self/oom_score_adj")
    if score.exists():
        score.write_text("1000")


def _answer(sink: BinaryIO, value: object) -> None:
    pickle.dump(value, sink)
    sink.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever is printed must not get among the answers.
    os.dup2(2, 1)
    main(sys.stdin.buffer, answers)
