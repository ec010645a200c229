"""The tools that answer with numbers: the questions of `counting`, as MCP has them.

Running a tool belongs to `mcp_running`.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from mcp.types import CallToolResult

from enrichment_pipeline.llm.counting import Counting
from enrichment_pipeline.llm.mcp_answers import Numbers, as_result
from enrichment_pipeline.llm.tables import Table
from enrichment_pipeline.store.database.engine import Store


def counting_tools(store: Store) -> list[Callable[..., CallToolResult]]:
    """A tool for each question."""
    return [_as_tool(question) for question in Counting(store).questions()]


def _as_tool(question: Callable[..., Table]) -> Callable[..., CallToolResult]:
    @wraps(question)
    def tool(**arguments: Any) -> CallToolResult:
        return as_result(question(**arguments))

    # The SDK reads from these what a tool takes and returns.
    signature = inspect.signature(question).replace(return_annotation=Numbers)
    tool.__signature__ = signature  # type: ignore[attr-defined]
    tool.__annotations__ = question.__annotations__ | {"return": Numbers}
    return tool
