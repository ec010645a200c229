"""`python -m benchmarks.understanding`: the answers by rule, and by models where they are named."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.understanding.asking import KEY_VARIABLE, Api, Asker, AskingError, Model
from benchmarks.understanding.kept import KeptAnswers, KeptError
from benchmarks.understanding.packaged import (
    PACKAGED,
    PackagedError,
    default_cache,
    joined,
    served,
)
from benchmarks.understanding.scripts import Script, all_scripts
from benchmarks.understanding.trial import (
    Scores,
    beside,
    by_model,
    by_rule,
    in_order,
    without_reading,
)
from enrichment_pipeline.classification import load_rules

_PATIENCE = 1_200.0
"""Seconds that a packaged model may take for an answer: it runs on what the machine has left."""


def main(
    url: Annotated[
        str | None, typer.Option(help="Where the API is: https://api.openai.com/v1, …")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    api: Annotated[Api, typer.Option(help="The API that the URL speaks.")] = "openai",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for an answer.")] = 60,
    packaged: Annotated[
        list[str] | None,
        typer.Option(help=f"Serve and ask a model that packages ship: {', '.join(PACKAGED)}, all."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where joined models are kept; unset: in the user's cache folder."),
    ] = None,
    sessions: Annotated[
        int | None, typer.Option(min=1, help="Ask of so many scripts only, mixed.")
    ] = None,
    is_whole: Annotated[
        bool,
        typer.Option("--whole", help="Timelines in all forms, uncut, in place of equal sizes."),
    ] = False,
    answers: Annotated[
        Path | None,
        typer.Option(help="Keep answers in this file, and do not ask for those that are in it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, wrong answers too.")] = False,
) -> None:
    """Scripted sessions with known answers: what is read in a timeline, and in other forms cut to
    the same tokens. Without a model the answers come by rule. A key is read from MODEL_API_KEY.

    Example: python -m benchmarks.understanding --url http://localhost:11434/v1 --model qwen3:8b

    Example: python -m benchmarks.understanding --packaged smollm2-135m --sessions 5
    """
    if (url is None) != (model is None):
        sys.exit("--url and --model go together: where the API is, and which model answers")
    scripts = in_order(all_scripts())[:sessions]
    scored = {"by rule": by_rule(scripts, load_rules()), "no reader": without_reading(scripts)}
    try:
        kept = KeptAnswers(answers) if answers else None
        for name in _names(packaged or []):
            with served(joined(name, PACKAGED[name], cache or default_cache())) as served_at:
                asked = Model(served_at, name, "openai", timeout=_PATIENCE)
                scored[name] = _asked(asked, scripts, kept, is_whole=is_whole)
        if url is not None and model is not None:
            key = os.environ.get(KEY_VARIABLE)
            asked = Model(url, model, api, key, timeout)
            scored[model] = _asked(asked, scripts, kept, is_whole=is_whole)
    except (AskingError, KeptError, PackagedError, OSError) as error:
        sys.exit(str(error))
    if as_json:
        print(json.dumps(_as_json(scripts, scored), indent=2, ensure_ascii=False))
    else:
        for who, scores in scored.items():
            _print(who, scores)


def _names(packaged: Sequence[str]) -> Iterator[str]:
    for name in packaged:
        if name not in {*PACKAGED, "all"}:
            sys.exit(f"--packaged {name}: there is no such model; there are {', '.join(PACKAGED)}")
        yield from PACKAGED if name == "all" else [name]


def _asked(
    model: Model, scripts: Sequence[Script], kept: KeptAnswers | None, *, is_whole: bool
) -> Scores:
    with (
        closing(Asker(model, kept=kept)) as asker,
        Progress(
            console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True
        ) as progress,
    ):
        task = progress.add_task(f"Asking {model.name}", total=len(scripts))
        scores = by_model(
            scripts,
            load_rules(),
            asker.answers,
            lambda: progress.advance(task),
            is_whole=is_whole,
        )
    if not asker.has_temperature:
        print(f"{model.name} does not take temperature 0: asked at its own", file=sys.stderr)
    return scores


def _as_json(scripts: Sequence[Script], scored: Mapping[str, Scores]) -> Mapping[str, object]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "scripts": len(scripts),
        "models": {name: PACKAGED[name].full_name for name in scored if name in PACKAGED},
        "scores": {
            who: {form: score.as_json(beside(scores, form)) for form, score in scores.items()}
            for who, scores in scored.items()
        },
    }


def _print(who: str, scores: Scores) -> None:
    _print_by_form(who, scores)
    kinds = sorted({kind for score in scores.values() for kind in score.asked})
    by_kind = Table("question", *scores, title="Right, by question")
    for kind in kinds:
        cells = (f"{score.right[kind]} of {score.asked[kind]}" for score in scores.values())
        by_kind.add_row(kind, *cells)
    Console().print(by_kind)


def _print_by_form(who: str, scores: Scores) -> None:
    columns = ("what was read", "right", "of", "share, 95 %", "beside the timeline")
    table = Table(
        *columns, "without answer", "wrongly not known", "tokens", title=f"Answers: {who}"
    )
    for form, score in scores.items():
        low, high = score.interval()
        timeline = beside(scores, form)
        against = score.against(timeline) if timeline else None
        table.add_row(
            form,
            f"{score.right.total()}",
            f"{score.asked.total()}",
            f"{score.right.total() / score.asked.total():.0%} ({low:.0%} to {high:.0%})",
            f"+{against.better} -{against.worse}, p {against.p:.2g}" if against else "",
            f"{score.unreadable}",
            f"{score.not_known}",
            f"{score.tokens:,}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
