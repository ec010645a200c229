"""What every package words alike: a number with its noun, a command that can be typed, and the base
of errors that a person can put right.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

PROGRAM = "enrichment-pipeline"


class UserError(Exception):
    """What a person can put right; the message is one line that says what, where and how."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 event`, `2,000 events`, `2 batches`, `0 entries`. What follows
    no rule, such as `1 window is finished`, is given in both forms."""
    return f"{count:,} {noun if count == 1 else plural or _plural(noun)}"


def _plural(noun: str) -> str:
    if noun.endswith(("ch", "sh", "s", "x")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def command(arguments: str) -> str:
    """A command of this program, such as `status --all`, as it can be typed where this process
    runs: by its name where the shell finds it, else by the path that it was called by."""
    return f"{_program()} {arguments}"


def _program() -> str:
    called = Path(sys.argv[0])
    if called.name != PROGRAM or not called.is_file():
        # Dagster's processes, and whoever imports us.
        called = Path(sys.executable).with_name(PROGRAM)
    found = shutil.which(PROGRAM)
    if not called.is_file() or (found and Path(found).resolve() == called.resolve()):
        return PROGRAM
    here = Path.cwd()
    if called.is_absolute() and called.is_relative_to(here):
        called = called.relative_to(here)
    typed = str(called)
    # Without a slash the shell would search for it.
    return shlex.quote(typed if os.sep in typed else os.path.join(os.curdir, typed))
