"""What tests need of the machine, and what becomes of a test where it is not there."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

_NPM_INSTALL = ("install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")


def cannot_run(reason: str) -> NoReturn:
    """Skip the test; where everything must run, let it fail."""
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


def installed_by_npm(folder: Path) -> Path:
    """Where the packages of the folder's package.json are: beside it, installed once for all
    workers and runs."""
    npm = shutil.which("npm")
    if npm is None:
        cannot_run(f"npm is needed to install what {folder / 'package.json'} names")
    wanted = folder / "package.json"
    installed = folder / "node_modules"
    stamp = installed / ".installed_for"
    with wanted.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
            done = subprocess.run(
                [npm, *_NPM_INSTALL], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                cannot_run(f"npm could not install what {wanted} names: {done.stderr}")
            shutil.copyfile(wanted, stamp)
    return installed
