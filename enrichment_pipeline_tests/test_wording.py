"""Numbers with their nouns, and commands that can be typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enrichment_pipeline.wording import command, counted

INSTALLED = Path(sys.executable).with_name("enrichment-pipeline")


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (0, "event", "0 events"),
        (1, "event", "1 event"),
        (2_000, "dead letter", "2,000 dead letters"),
        (1, "batch", "1 batch"),
        (3, "batch", "3 batches"),
        (2, "entry", "2 entries"),
        (2, "day", "2 days"),
    ],
)
def test_one_is_singular_and_all_else_plural(count: int, noun: str, words: str) -> None:
    assert counted(count, noun) == words


def made_program(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "enrichment-pipeline"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_a_command_that_the_shell_finds_is_named_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = made_program(tmp_path / "bin")
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert command("status") == "enrichment-pipeline status"


@pytest.mark.parametrize("typed", [".venv/bin/enrichment-pipeline", "./enrichment-pipeline"])
def test_a_command_that_the_shell_does_not_find_is_named_as_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    made_program((tmp_path / typed).parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setenv("PATH", "/nowhere")
    words = command("status --all").split()
    assert (tmp_path / words[0]).is_file()
    assert "/" in words[0]


def test_another_program_of_the_same_name_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = made_program(tmp_path / "a folder"), made_program(tmp_path / "other")
    monkeypatch.setattr(sys, "argv", [str(mine)])
    monkeypatch.setenv("PATH", str(other.parent))
    told = subprocess.run(["/bin/sh", "-c", command("status")], check=False)
    assert told.returncode == 0
    assert str(mine.relative_to(tmp_path)) in command("status"), "below the working folder"


def test_processes_of_dagster_name_the_program_beside_their_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["-m", "dagster"])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(INSTALLED.parents[2])
    assert command("status") == f"{INSTALLED.relative_to(INSTALLED.parents[2])} status"
