"""The arguments of the MCP server's tools: their types, and the meaning of times.

The calling model sees everything here.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import AfterValidator, Field
from sqlalchemy import Connection

from enrichment_pipeline.events.times import EPOCH, parse_timestamp
from enrichment_pipeline.llm.mcp_answers import FEWEST_TOKENS_OF_TABLE
from enrichment_pipeline.llm.person_forms import FEWEST_TOKENS_OF_PERSON
from enrichment_pipeline.llm.rendering import FEWEST_TOKENS
from enrichment_pipeline.store.windows.freshness import newest_moment

MOST_ROWS = 200
MOST_TOKENS = 8_000

_MOST_OFFSET = 1_000_000
_MOST_CHARACTERS = 400
_FAR_AHEAD = datetime(2200, 1, 1, tzinfo=UTC)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("there is a NUL in it")
    return text


Word = Annotated[str, Field(max_length=_MOST_CHARACTERS), AfterValidator(_without_nul)]
Start = Annotated[Word | None, Field(description="From then on. ISO 8601: 2026-11-27T10:00:00Z.")]
End = Annotated[Word | None, Field(description="Before then.")]
Project = Annotated[Word | None, Field(description="Of this project alone.")]
Person = Annotated[
    Word | None, Field(description="person_… as shown elsewhere, or a distinct_id that you know.")
]
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="Rows at most.")]
Offset = Annotated[int, Field(ge=0, le=_MOST_OFFSET, description="Rows to pass over.")]
_Tokens = Field(le=MOST_TOKENS, description="Tokens at most, estimated.")
Tokens = Annotated[int, Field(ge=FEWEST_TOKENS), _Tokens]
PersonTokens = Annotated[int, Field(ge=FEWEST_TOKENS_OF_PERSON), _Tokens]
TableTokens = Annotated[int, Field(ge=FEWEST_TOKENS_OF_TABLE), _Tokens]


def bounds(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """The moments that `start` and `end` name.

    Raises:
        ToolError: one is not a time, or they are in the wrong order.
    """
    first, last = moment_of("start", start), moment_of("end", end)
    if first is not None and last is not None and first >= last:
        raise ToolError("start must be before end")
    return first, last


def time_of(
    connection: Connection, start: str | None, end: str | None, length: timedelta
) -> tuple[datetime, datetime]:
    """The period; without a start it begins so long before the end or the newest event."""
    first, last = bounds(start, end)
    if last is None:
        newest = newest_moment(connection) or datetime.now(UTC)
        last = newest + timedelta(seconds=1)
    if first is None:
        first = last - length
    elif first >= last:
        last = first + length
    return first, last


def moment_of(name: str, given: str | None) -> datetime | None:
    """The moment that the argument `name` gives.

    Raises:
        ToolError: it is not a time.
    """
    if given is None:
        return None
    moment = parse_timestamp(given)
    if moment is None:
        raise ToolError(f"{name}={given!r} is no ISO 8601 time, such as 2026-11-27T10:00:00Z")
    return min(max(moment, EPOCH), _FAR_AHEAD)
