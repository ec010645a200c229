"""`enrichment-pipeline cite`: whether the citations of a text about users are right."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, print_json, say, write
from enrichment_pipeline.llm.citations import RIGHT, Citation, check_citations
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.wording import counted

app = typer.Typer(
    help="Citations of sessions and lines, as answers of models have them.\n\n"
    "Example: [bold]enrichment-pipeline cite check answer.txt[/]",
    no_args_is_help=True,
)


@app.callback()
def cite() -> None:
    """Citations of sessions and lines, as answers of models have them."""


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="The text; - is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the citations of a text: whether each session, line and person exists, and whether the
    cited lines say what the sentence quotes. Ends with 1 if one is wrong.

    s12 is a session, s12:34 its lines at second 34, s12:34-40 those of a time, p3 a person.

    Examples: [bold]enrichment-pipeline cite check answer.txt[/],
    [bold]echo 'They clicked "Pay now" (s12:207).' | enrichment-pipeline cite check -[/]
    """
    text = _read(file)
    with existing_store(load_settings()) as store, store.transaction() as connection:
        found = check_citations(connection, text)
    wrong = sum(one.verdict not in RIGHT for one in found)
    if as_json:
        print_json([one._asdict() for one in found])
    else:
        for one in found:
            _print(one)
    if wrong:
        fail(f"{counted(wrong, 'citation')} of {len(found)} wrong")
    if not as_json:
        say(f"{counted(len(found), 'citation')}, none wrong." if found else "No citation.")


def _read(file: str) -> str:
    try:
        encoded = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    return encoded.decode(errors="replace")


def _print(one: Citation) -> None:
    missing = f": {', '.join(one.missing)}" if one.verdict == "does not say so" else ""
    write(f"{one.cited}  {one.verdict}{missing}")
    for line in one.lines:
        write(f"    {line}")
