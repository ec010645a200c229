"""The answers of the MCP server: which columns their tables have.

The queries belong to `mcp_tools`, keeping to a budget of tokens to `tables`.
"""

from collections.abc import Sequence
from typing import Annotated, Generic, NamedTuple, TypeVar

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from enrichment_pipeline.llm.tables import Cell, Table, fitted


class SessionLine(NamedTuple):
    """A session of the list."""

    session_id: str
    started: str
    seconds: int
    person: str
    events: int
    device: str | None
    outline: str
    signals: list[str]


class EventLine(NamedTuple):
    """An event that was found."""

    at: str
    person: str
    event_type: str
    action_type: str
    what: str
    session_id: str | None


class CatalogueLine(NamedTuple):
    """The events of one name and classification."""

    event: str
    event_type: str
    action_type: str
    events: int
    first_seen: str
    last_seen: str
    sample: str


class ErrorLine(NamedTuple):
    """Errors that are alike."""

    value: str
    errors: int
    sessions: int
    people: int
    message: str
    place: str | None
    pages: list[str]
    browsers: list[str]
    releases: list[str]
    first_seen: str
    last_seen: str
    session_ids: list[str]


class LetterLine(NamedTuple):
    """A dead letter."""

    failed: str
    reason: str
    project: str | None
    event: str | None
    events: int
    message: str


class WindowLine(NamedTuple):
    """The books of one window."""

    window: str
    accepted: int
    enriched: int
    dead: int
    pending: int


Line = TypeVar(
    "Line",
    SessionLine,
    EventLine,
    CatalogueLine,
    ErrorLine,
    LetterLine,
    WindowLine,
    list[Cell],
)


class Rows(BaseModel, Generic[Line]):
    """Rows, each as the columns say."""

    columns: list[str]
    rows: list[Line]
    summary: str | None = Field(description="What the rows do not say themselves.")
    more: str | None = Field(description="How to get what was left out; null: nothing was.")


Sessions = Annotated[CallToolResult, Rows[SessionLine]]
Events = Annotated[CallToolResult, Rows[EventLine]]
Catalogue = Annotated[CallToolResult, Rows[CatalogueLine]]
Errors = Annotated[CallToolResult, Rows[ErrorLine]]
Letters = Annotated[CallToolResult, Rows[LetterLine]]
Windows = Annotated[CallToolResult, Rows[WindowLine]]
Numbers = Annotated[CallToolResult, Rows[list[Cell]]]


def table(
    kind: type[NamedTuple] | Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    limit: int,
    max_tokens: int,
    offset: int | None = None,
    summary: str | None = None,
) -> CallToolResult:
    """Rows as text and as data, as `tables.fitted` makes them."""
    columns = list(kind._fields if isinstance(kind, type) else kind)
    found = fitted(
        columns, rows, limit=limit, max_tokens=max_tokens, offset=offset, summary=summary
    )
    return as_result(found)


def as_result(found: Table) -> CallToolResult:
    """A table as text, and as data."""
    return CallToolResult(
        content=[TextContent(type="text", text=found.text())], structured_content=found._asdict()
    )
