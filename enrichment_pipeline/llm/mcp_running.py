"""Running a tool for a model: a few at once, with a time limit, and with errors in one line.

The queries of the tools belong to `mcp_tools`.
"""

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any

import anyio
from anyio import CapacityLimiter
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from mcp.types import ToolAnnotations
from pydantic import ConfigDict, ValidationError, create_model
from pydantic_core import ErrorDetails
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.llm.sessions import SessionNotFoundError
from enrichment_pipeline.llm.unanswered import NARROWER, unanswered
from enrichment_pipeline.wording import UserError

SECONDS = 10
"""The time limit of a statement in the store."""

SECONDS_IN_ALL = 20
"""The time limit of a model's call."""

# Few at once: incoming events have priority in the store.
_AT_ONCE = 4

_MOST_WRONG = 3
_MOST_OF_A_NAME = 60

_READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

_OTHERS = "list_sessions shows ids; project= chooses between equal ones"


class Runner:
    """Makes tools from functions, with a common limit on calls at once."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_AT_ONCE)

    def tool(self, function: Callable[..., Any], *, has_data: bool) -> Tool:
        """A tool from a function, described by its docstring; with `has_data` it returns data
        too."""
        tool = _ToolInOneLine.from_function(
            self._running(function),
            description=" ".join((function.__doc__ or "").split()),
            annotations=_READS,
            structured_output=has_data,
        )
        _know_no_other_arguments(tool)
        return tool

    def _running(self, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        name = function.__name__

        @wraps(function)
        async def call(**arguments: Any) -> Any:
            # Models write "" when they mean no value.
            given = {key: None if value == "" else value for key, value in arguments.items()}
            try:
                with anyio.fail_after(SECONDS_IN_ALL):
                    return await anyio.to_thread.run_sync(
                        partial(_answer, function, given),
                        limiter=self._limiter,
                        abandon_on_cancel=True,
                    )
            except TimeoutError as error:
                raise ToolError(
                    f"{name} took longer than {SECONDS_IN_ALL} s; try again, or {NARROWER}"
                ) from error

        return call


def _answer(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call it; an error that a model can correct, or that will pass, is reported to the model."""
    try:
        return function(**arguments)
    except (UserError, DBAPIError) as error:
        found = unanswered(error, function.__name__, SECONDS)
        if found is None:
            raise
        hint = f"{found.why}; {_OTHERS}" if isinstance(error, SessionNotFoundError) else found.why
        raise ToolError(hint) from error


class _ToolInOneLine(Tool):
    """A tool that says in one line which arguments are wrong, and which there are."""

    async def run(
        self, arguments: dict[str, Any], context: Any, convert_result: bool = False
    ) -> Any:
        """Call the tool.

        Raises:
            ToolError: an argument is missing, unknown or wrong; or as the tool itself.
        """
        try:
            self.fn_metadata.validate_arguments(arguments)
        except ValidationError as error:
            wrong = "; ".join(_wrong(one) for one in error.errors()[:_MOST_WRONG])
            known = ", ".join(self.parameters["properties"])
            raise ToolError(f"{self.name}: {wrong}; its arguments are {known}") from error
        return await super().run(arguments, context, convert_result)


def _wrong(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])
    said = {"missing": " is missing", "extra_forbidden": " is no argument"}
    return where[:_MOST_OF_A_NAME] + said.get(error["type"], f": {error['msg']}")


class _NothingElse(ArgModelBase):
    model_config = ConfigDict(extra="forbid")


def _know_no_other_arguments(tool: Tool) -> None:
    """Make unknown arguments an error: without a misspelt filter, a tool would find everything."""
    known = tool.fn_metadata
    name = f"{tool.name}Arguments"
    known.arg_model = create_model(name, __base__=(_NothingElse, known.arg_model))
    tool.parameters = _in_few_tokens(known.arg_model.model_json_schema(by_alias=True))


def _in_few_tokens(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the arguments without parts that do not help a model: every conversation
    carries it. Omitted values are still allowed (null), or still refused (texts that are too
    long)."""
    del schema["title"]
    for argument in schema["properties"].values():
        kinds = [kind for kind in argument.pop("anyOf", []) if kind != {"type": "null"}]
        if len(kinds) == 1:
            argument |= kinds[0]
        if argument.get("default", ...) is None:
            del argument["default"]
        argument.pop("maxLength", None)
        del argument["title"]
    return schema
