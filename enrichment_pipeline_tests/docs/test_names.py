"""What the docs name is there: commands with their options, settings, metrics, columns, targets of
make, files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from enrichment_pipeline.enrichment.attempts import FailureReason
from enrichment_pipeline.settings import Settings, variable_name
from enrichment_pipeline.store.database.tables import metadata
from enrichment_pipeline_tests.docs.test_links import PAGES, PROJECT
from reference.commands import every_command
from reference.metrics import every_metric

COMMANDS = every_command()
GROUPS = {name.partition(" ")[0] for name in COMMANDS}
COMMAND = re.compile(r"enrichment-pipeline((?: +(?:[\w./:=*%{}…-]+|\"[^\"\n]*\"|'[^'\n]*'|\\\n))*)")
VARIABLE = re.compile(r"\bENRICHMENT_[A-Z_]*[A-Z](?![A-Z_*])")
OF_TESTS = {"ENRICHMENT_SCREENSHOTS", "ENRICHMENT_TEST_BACKFILL"}
METRIC = re.compile(r"`(enrichment_[a-z_]+)(?:\{[a-z]+\})?`")
OTHERS = {  # the package, its tests, roles, a database and a job
    *("enrichment_pipeline", "enrichment_pipeline_tests", "enrichment_reader", "enrichment_sql"),
    *("enrichment_dagster", "enrichment_sweep"),
}
COLUMN = re.compile(r"`([a-z_]+)\.([a-z_]+)`")
TARGET = re.compile(r"\bmake ([a-z-]+)(?=[`\n. ]| [A-Z])")
CODE_FILE = re.compile(r"`((?:[\w-]+/)+[\w.-]+\.(?:py|yaml|yml|toml|sh|tsv|json))`")
OF_NOW = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The pages that tell of what is, not of what was."""
SPAN = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)


def text_of(page: Path) -> str:
    """The text of a page, its wrapped lines of code joined."""
    text = page.read_text(encoding="utf-8")
    return SPAN.sub(lambda found: _joined(found[0]), text)


def _joined(code: str) -> str:
    return code if code.startswith("```") else " ".join(code.split())


def in_code(page: Path) -> str:
    """All code of a page, a piece a line."""
    return "\n".join(SPAN.findall(text_of(page)))


def wrong_commands(text: str) -> Iterator[str]:
    """Commands of a text that there are not, and options that they do not have."""
    for given in COMMAND.findall(text):
        words = re.findall(r"\"[^\"]*\"|'[^']*'|\S+", given)
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), None)
        if name is None:
            if words and words[0] not in GROUPS and re.fullmatch(r"[a-z-]+", words[0]):
                yield f"no command {words[0]}"
            continue
        known = {opt for parameter in COMMANDS[name].params for opt in parameter.opts}
        known |= {opt for parameter in COMMANDS[name].params for opt in parameter.secondary_opts}
        for word in words:
            option = word.partition("=")[0]
            if re.fullmatch(r"--[a-z-]+", option) and option not in known | {"--help"}:
                yield f"{name} has no {option}"


@pytest.mark.parametrize("page", OF_NOW, ids=lambda page: str(page.relative_to(PROJECT)))
def test_the_page_names_what_is_there(page: Path) -> None:
    text, code = text_of(page), in_code(page)
    wrong = list(wrong_commands(code))
    known = {variable_name(field) for field in Settings.model_fields} | OF_TESTS
    wrong += [name for name in VARIABLE.findall(text) if name not in known]
    tables = {name: set(table.columns.keys()) for name, table in metadata.tables.items()}
    wrong += [
        f"{table}.{column}"
        for table, column in COLUMN.findall(text)
        if table in tables and column not in tables[table]
    ]
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    wrong += [f"make {name}" for name in TARGET.findall(code) if name not in targets]
    roots = (PROJECT, PROJECT / "enrichment_pipeline", PROJECT / "benchmarks")
    wrong += [
        file
        for file in CODE_FILE.findall(text)
        if not any((root / file).exists() for root in roots)
    ]
    assert wrong == []


def test_every_metric_that_the_docs_name_is_one() -> None:
    named = {name for page in PAGES for name in METRIC.findall(text_of(page))}
    metrics = {metric.describe()[0].name for metric in every_metric()}
    others = {*metadata.tables, *FailureReason, *OTHERS}
    assert {name.removesuffix("_total") for name in named} - metrics - others == set()


def test_names_that_are_not_there_are_found() -> None:
    text = '`enrichment-pipeline statsu`, `enrichment-pipeline status --verfy "x"`'
    assert list(wrong_commands(text)) == ["no command statsu", "status has no --verfy"]
