"""The page of the commands: each with its help, arguments, options and examples."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from typer.core import TyperCommand
from typer.main import get_command

from enrichment_pipeline.cli import main
from enrichment_pipeline.wording import PROGRAM, command
from reference.markdown import code, page, plain, said, table

INTRODUCTION = """\
`--from` is included and `--to` is not, in every command. `--json` prints one JSON document on standard output, and
nothing else there; errors stay lines on standard error (`dead-letters export` streams one object a line). A command
that fails says why in one line and ends with a status that is not 0. `enrichment-pipeline COMMAND --help` shows what
stands here. Installed by `make`, the program is `.venv/bin/enrichment-pipeline`."""

_BOLD = re.compile(r"\[bold\](.*?)\[/(?:bold)?\]", re.DOTALL)
_HELP = "--help"


def commands_page() -> str:
    """The page, as Markdown."""
    found = every_command()
    overview = table(
        ("command", "what it does"),
        ((f"[{code(name)}](#{_anchor(name)})", plain(_summary(name))) for name in found),
    )
    return page("Commands", INTRODUCTION, overview, *(_section(*one) for one in found.items()))


def every_command() -> Mapping[str, TyperCommand]:
    """The commands that are shown, by their names; those of a group by both names."""
    found: dict[str, TyperCommand] = {}
    for name in get_command(main.app).commands:  # type: ignore[attr-defined]
        loaded = main._loaded(name)
        inner = getattr(loaded, "commands", None)
        shown = {f"{name} {each}": one for each, one in (inner or {}).items() if not one.hidden}
        found |= shown if inner else {name: loaded}
    return found


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _summary(name: str) -> str:
    group, _, inner = name.partition(" ")
    if not inner:
        return main._SUBCOMMANDS[group].summary
    return _paragraphs(name, main._loaded(group).commands[inner])[0]


def _paragraphs(name: str, one: TyperCommand) -> list[str]:
    """The help in paragraphs, with the program by its name."""
    raw = said(one.help, f"the command {name}", "its docstring") and str(one.help)
    typed = f"{raw}\n\n{one.epilog or ''}".replace(command(""), f"{PROGRAM} ")
    return [" ".join(each.split()) for each in typed.split("\n\n") if each.strip()]


def _section(name: str, one: TyperCommand) -> str:
    paragraphs = _paragraphs(name, one)
    examples = [example for each in paragraphs for example in _examples(each)]
    words = [plain(_BOLD.sub(r"`\1`", each)) for each in paragraphs if not _examples(each)]
    context = one.context_class(one, info_name=f"{PROGRAM} {name}")
    usage = " ".join([PROGRAM, name, *one.collect_usage_pieces(context)])
    parts = [f"## {name}", *words, f"```\n{usage}\n```", _parameters(name, one, context)]
    if examples:
        parts.append("For example:\n\n```sh\n" + "\n".join(examples) + "\n```")
    return "\n\n".join(part for part in parts if part)


def _examples(paragraph: str) -> list[str]:
    return _BOLD.findall(paragraph) if paragraph.startswith("Example") else []


def _parameters(name: str, one: TyperCommand, context: Any) -> str:
    rows = list(_rows(name, one, context))
    return table(("argument or option", "meaning"), rows) if rows else ""


def _rows(name: str, one: TyperCommand, context: Any) -> Iterator[tuple[str, str]]:
    for parameter in one.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or _HELP in parameter.opts:
            continue
        what = f"{parameter.opts[-1]} of {name}"
        said(getattr(parameter, "help", None), what, "its typer.Option or Argument")
        names = record[0].replace(" range>", ">").replace("<list[str]>", "<str>")
        yield code(" ".join(names.split())), plain(" ".join(record[1].split()))
