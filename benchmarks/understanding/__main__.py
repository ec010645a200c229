"""`python -m benchmarks.understanding`: the answers by rule, and by a model where one is named."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.understanding.asking import KEY_VARIABLE, Api, Asker, AskingError, Model
from benchmarks.understanding.scripts import all_scripts
from benchmarks.understanding.trial import Score, by_model, by_rule
from enrichment_pipeline.classification import load_rules


def main(
    url: Annotated[
        str | None, typer.Option(help="Where the API is: https://api.openai.com/v1, …")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    api: Annotated[Api, typer.Option(help="The API that the URL speaks.")] = "openai",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for an answer.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, wrong answers too.")] = False,
) -> None:
    """Forty scripted sessions with known answers: what can be read in a timeline, and in raw events
    cut to the same tokens. Without a model the answers come by rule. A key is read from
    MODEL_API_KEY.

    Example: python -m benchmarks.understanding --url http://localhost:11434/v1 --model qwen3:8b
    """
    if (url is None) != (model is None):
        sys.exit("--url and --model go together: where the API is, and which model answers")
    scored = {"by rule": by_rule(all_scripts(), load_rules())}
    if url is not None and model is not None:
        key = os.environ.get(KEY_VARIABLE)
        scored[model] = _asked(Model(url, model, api, key, timeout))
    if as_json:
        shown = {
            who: {form: score.as_json() for form, score in scores.items()}
            for who, scores in scored.items()
        }
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        for who, scores in scored.items():
            _print(who, scores)


def _asked(model: Model) -> dict[str, Score]:
    asker = Asker(model)
    scripts = all_scripts()
    try:
        with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
            task = progress.add_task(f"Asking {model.name}", total=len(scripts))
            scores = by_model(scripts, load_rules(), asker.answers, lambda: progress.advance(task))
    except AskingError as error:
        sys.exit(str(error))
    finally:
        asker.close()
    if not asker.has_temperature:
        print(f"{model.name} does not take temperature 0: asked at its own", file=sys.stderr)
    return scores


def _print(who: str, scores: Mapping[str, Score]) -> None:
    table = Table(
        "what was read", "right", "of", "without answer", "tokens", title=f"Answers {who}"
    )
    for form, score in scores.items():
        right, asked = score.right.total(), score.asked.total()
        table.add_row(form, f"{right}", f"{asked}", f"{score.unreadable}", f"{score.tokens:,}")
    Console().print(table)
    kinds = sorted({kind for score in scores.values() for kind in score.asked})
    by_kind = Table("question", *scores, title="Right, by question")
    for kind in kinds:
        cells = (f"{score.right[kind]} of {score.asked[kind]}" for score in scores.values())
        by_kind.add_row(kind, *cells)
    Console().print(by_kind)


if __name__ == "__main__":
    typer.run(main)
