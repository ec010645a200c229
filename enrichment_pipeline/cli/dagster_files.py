"""`enrichment-pipeline dagster-files`: so that Dagster's own commands find the pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, say
from enrichment_pipeline.orchestration.project_files import project_files


def dagster_files(
    folder: Annotated[Path, typer.Argument(help="Where they go.")] = Path(),
) -> None:
    """Write the files that Dagster's own commands need: dagster.yaml, workspace.yaml, dg.toml and
    definitions.py.

    In that folder, dagster dev, dg dev, dg check defs, dg list defs and dg launch need no further
    arguments, and their runs are where those of up are. A file that is there with another text is
    left alone.

    Example: [bold]enrichment-pipeline dagster-files && dagster dev[/]
    """
    texts = {folder / name: text for name, text in project_files().items()}
    try:
        if others := [file for file, text in texts.items() if _is_another(file, text)]:
            fail(f"{others[0]} is there with another text; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            file.write_text(text)
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}")
    say(f"Written: {', '.join(map(str, texts))}")
    say("Next:    dagster dev")


def _is_another(file: Path, text: str) -> bool:
    return file.exists() and file.read_text() != text
