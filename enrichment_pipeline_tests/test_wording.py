"""Numbers with their nouns, and commands that can be typed."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import enrichment_pipeline
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


PACKAGE = Path(enrichment_pipeline.__file__).parent
SOURCES = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "deploy").glob("*.py")]
NO_PLURALS = {"is", "was", "has", "this", "its", "does", "less", "as", "s"}


def plurals(tree: ast.AST) -> Iterator[str]:
    """Texts that put a number before a plural, whatever the number: `{n:,} events`. A constant is
    known to be more than one."""
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for number, behind in pairwise(parts):
            if not (isinstance(number, ast.FormattedValue) and isinstance(behind, ast.Constant)):
                continue
            written = ast.unparse(number.value)
            is_number = number.format_spec is not None and ast.unparse(number.format_spec) == "f','"
            if (is_number or written.startswith("len(")) and not written.isupper():
                yield from _plural(written, str(behind.value))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in re.finditer(r"(\{[^{}]*:,\}|%d)( [^{}]*)", node.value):
                yield from _plural(*found.groups())


def _plural(number: str, behind: str) -> Iterator[str]:
    word = re.match(r" (?:more |other )?([a-z]+)\b", behind)
    if word is None or word[1] in NO_PLURALS:
        return
    if word[1] in {"are", "were", "have"} or word[1].endswith("s"):
        yield f"{number}{behind}"


@pytest.mark.slow
def test_no_message_puts_a_number_before_a_plural_by_itself() -> None:
    """`counted` does, which knows of one."""
    found = {
        f"{file.relative_to(PACKAGE.parent)}: {text}"
        for file in SOURCES
        for text in plurals(ast.parse(file.read_text(encoding="utf-8")))
        # Of limits, which are large.
        if file.name not in {"raw_event.py", "encodings.py"}
    }
    assert not found


@pytest.mark.parametrize("text", ["f'{n:,} events'", "f'{len(a)} were'", "'%d more windows, x'"])
def test_a_number_before_a_plural_is_found(text: str) -> None:
    assert len(list(plurals(ast.parse(text)))) == 1


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
    result = subprocess.run(["/bin/sh", "-c", command("status")], check=False)
    assert result.returncode == 0
    assert str(mine.relative_to(tmp_path)) in command("status"), "below the working folder"


def test_processes_of_dagster_name_the_program_beside_their_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["-m", "dagster"])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(INSTALLED.parents[2])
    assert command("status") == f"{INSTALLED.relative_to(INSTALLED.parents[2])} status"
