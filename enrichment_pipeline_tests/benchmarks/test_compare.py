"""Comparing the bench of two versions, with a bench that takes no time."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import Ratio, compare

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
GIT = shutil.which("git") or "git"

BENCH = """
import json, os, subprocess, sys, time
from pathlib import Path
import enrichment_pipeline

part, out = sys.argv[1], Path(sys.argv[-1])
if part not in {parts}:
    sys.exit(f"no part {{part}}; the parts are {parts}")
if part == "long":
    Path(os.environ["STARTED"]).write_text("")
    time.sleep(600)
program = Path(sys.executable).with_name("enrichment-pipeline")
code = "import enrichment_pipeline as found; print(found.SPEED)"
python = program.read_text().partition("\\n")[0][2:]
speed = subprocess.run([python, "-c", code], cwd="/", env={{}}, capture_output=True, check=True)
assert int(speed.stdout) == enrichment_pipeline.SPEED
rate = {{"part": part, "name": "import", "rate": 100 * enrichment_pipeline.SPEED}}
fact = {{"part": part, "name": "spent", "value": f"{{60 // enrichment_pipeline.SPEED}} µs"}}
found = {{"settings": {{"arguments": sys.argv}}, "rates": [rate], "facts": [fact]}}
out.write_text(json.dumps(found))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project whose commit `base` is half as fast as its working tree, and lacks a part."""
    project = tmp_path / "project"
    for package in ("benchmarks", "enrichment_pipeline"):
        (project / package).mkdir(parents=True)
    (project / "benchmarks" / "__init__.py").touch()
    write(project, speed=2, parts=("load", "long"))
    for command in (
        ("init", "--quiet", "--initial-branch", "base"),
        ("add", "."),
        ("-c", "user.name=test", "-c", "user.email=test@test", "commit", "--quiet", "-m", "base"),
    ):
        subprocess.run([GIT, *command], cwd=project, check=True)
    write(project, speed=4, parts=("load", "long", "new"))
    return project


def write(project: Path, speed: int, parts: Sequence[str]) -> None:
    (project / "enrichment_pipeline" / "__init__.py").write_text(f"SPEED = {speed}\n")
    (project / "benchmarks" / "__main__.py").write_text(BENCH.format(parts=parts))


def command(repository: Path, *arguments: str) -> list[str]:
    here = ["-m", "benchmarks.compare", "--repository", str(repository)]
    return [sys.executable, *here, *arguments]


def run(repository: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    called = command(repository, *arguments)
    return subprocess.run(called, cwd=PROJECT, capture_output=True, text=True, check=False)


def test_the_working_tree_is_compared_with_the_commit_round_by_round(repository: Path) -> None:
    done = run(repository, "base", "load", "--events", "10", "--rounds", "2", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    twice, half = ({"ratio": one, "lowest": one, "highest": one} for one in (2, 0.5))
    assert [(one["name"], one["base"], one["here"], one["ratios"]) for one in found["figures"]] == [
        ("import", "200.0 events/s", "400.0 events/s", [twice]),
        ("spent", "30 µs", "15 µs", [half]),
    ]
    turns = [line for line in done.stderr.splitlines() if line]
    assert [("base" in turn, "here" in turn) for turn in turns] == 2 * [
        (True, False),
        (False, True),
    ]
    assert found["here"]["arguments"][1:6] == ["load", "--events", "10", "--rounds", "1"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nosuch", "load"), "no commit 'nosuch' in"),
        (("base", "new"), ": no part new; the parts are"),
    ],
)
def test_what_the_base_does_not_have_is_one_line(
    repository: Path, arguments: Sequence[str], line: str
) -> None:
    done = run(repository, *arguments)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert line in last
    assert "Traceback" not in done.stderr


def await_start(pipe: Path, process: "subprocess.Popen[bytes]") -> None:
    """Return once somebody has opened the pipe; a process that ended before never will."""
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    while not select.select([reading], [], [], 0.1)[0]:
        assert process.poll() is None, "it ended before it began"
    os.close(reading)


@pytest.mark.parametrize("asked_by", [signal.SIGINT, signal.SIGTERM])
def test_whoever_is_asked_to_stop_leaves_nothing_behind(
    repository: Path, tmp_path: Path, asked_by: signal.Signals
) -> None:
    started, folders = tmp_path / "started", tmp_path / "folders"
    os.mkfifo(started)
    folders.mkdir()
    variables = {**os.environ, "STARTED": str(started), "TMPDIR": str(folders)}
    called = command(repository, "base", "long")
    with subprocess.Popen(called, cwd=PROJECT, env=variables, stderr=subprocess.DEVNULL) as process:
        await_start(started, process)
        assert list(folders.iterdir())
        process.send_signal(asked_by)
    assert process.returncode != 0
    assert not list(folders.iterdir())


def of(rates: dict[str, float], facts: dict[str, str]) -> dict[str, Any]:
    return {
        "rates": [{"part": "api", "name": name, "rate": rate} for name, rate in rates.items()],
        "facts": [{"part": "api", "name": name, "value": value} for name, value in facts.items()],
    }


def test_a_ratio_is_the_median_of_the_rounds_with_its_spread() -> None:
    base = [of({"import": rate}, {}) for rate in (100, 200, 100)]
    here = [of({"import": rate}, {}) for rate in (110, 180, 150)]
    [figure] = compare(base, here)
    assert figure.ratios == [Ratio(1.1, 0.9, 1.5)]
    assert (figure.base, figure.here) == ("100.0 events/s", "150.0 events/s")


def test_facts_of_one_unit_are_compared_number_by_number_and_others_stand_side_by_side() -> None:
    base = of({}, {"at 8,000 events/s": "p50 20 ms, p99 100 ms", "wal": "1.5 KB", "lost": "0"})
    here = of({}, {"at 9,000 events/s": "p50 10 ms, p99 150 ms", "wal": "900 B", "lost": "0"})
    figures = {figure.name: figure for figure in compare([base], [here])}
    assert figures["at 9,000 events/s"].ratios == [Ratio(0.5, 0.5, 0.5), Ratio(1.5, 1.5, 1.5)]
    assert figures["wal"].ratios == []
    assert (figures["wal"].base, figures["wal"].here) == ("1.5 KB", "900 B")
    assert figures["lost"].ratios == [None]


def test_what_one_version_does_not_measure_is_empty() -> None:
    [old, new] = compare([of({"old": 1}, {})], [of({"new": 2}, {})])
    assert (old.base, old.here) == ("1.0 events/s", "")
    assert (new.base, new.here) == ("", "2.0 events/s")
