"""The commands of the benchmarks say what they take."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "module",
    [
        "benchmarks",
        "benchmarks.compare",
        "benchmarks.counting",
        "benchmarks.generate",
        "benchmarks.page",
        "benchmarks.show",
        "benchmarks.understanding",
    ],
)
def test_each_command_has_help(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout or "usage:" in done.stdout


def test_a_part_that_there_is_none_of_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nosuch"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("no part nosuch; the parts are classify, ")
