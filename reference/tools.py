"""The page of the MCP server's tools, as a model gets them."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, cast

from mcp.types import Tool

from enrichment_pipeline.llm.mcp_server import INSTRUCTIONS, make_server
from enrichment_pipeline.store.database.engine import Store
from reference.markdown import code, page, plain, said, table

INTRODUCTION = """\
The tools of `enrichment-pipeline mcp`, in the words that a model gets; [MCP](../how-to/mcp.md) says how to connect one.
All only read. Tools with *text and data* give their answer twice: as lines with a bar between the cells, and as
`columns`, `rows`, `summary` and `more`."""


def tools_page() -> str:
    """The page, as Markdown."""
    words = "## Instructions\n\nWhat the server sends to every model:\n\n"
    quoted = "\n".join(f"> {line}" for line in plain(INSTRUCTIONS).splitlines())
    tools = sorted(every_tool(), key=lambda tool: tool.name)
    return page("Tools of MCP", INTRODUCTION, *map(_section, tools), words + quoted)


def every_tool() -> list[Tool]:
    """The tools of the server; describing them reads no store."""
    return list(asyncio.run(make_server(cast("Store", None)).list_tools()))


def _section(tool: Tool) -> str:
    words = plain(said(tool.description, f"the tool {tool.name}", "its docstring"))
    form = "text" if tool.output_schema is None else "text and data"
    rows = list(_rows(tool))
    arguments = table(("argument", "type", "default", "meaning"), rows) if rows else "No arguments."
    return f"## {tool.name}\n\n{words}\n\nAnswer: {form}.\n\n{arguments}"


def _rows(tool: Tool) -> Iterator[tuple[str, str, str, str]]:
    schema = tool.input_schema
    for name, argument in schema["properties"].items():
        what = f"the argument {name} of {tool.name}"
        meaning = said(argument.get("description"), what, "its Field")
        if name in schema.get("required", ()):
            default = "needed"
        else:
            default = code(str(argument["default"])) if "default" in argument else ""
        yield code(name), _type(argument), default, plain(meaning)


def _type(argument: Mapping[str, Any]) -> str:
    if words := argument.get("enum"):
        return ", ".join(map(code, words))
    kind = str(argument["type"])
    if kind == "array":
        return f"list of {argument['items']['type']}"
    limits = [str(argument[end]) for end in ("minimum", "maximum") if end in argument]
    return f"{kind}, {' to '.join(limits)}" if len(limits) == 2 else kind
