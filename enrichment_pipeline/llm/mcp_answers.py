"""The answers of the MCP server: tables within a budget of tokens, as text and as data, and names
by strangers, made harmless.

The queries belong to `mcp_tools`.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Generic, NamedTuple, TypeVar

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from enrichment_pipeline.events.safe_text import cut
from enrichment_pipeline.llm.tokens import estimate_tokens

FEWEST_TOKENS_OF_TABLE = 500
"""A smaller budget may not fit even one row."""

# For column names, the note on omitted rows, and brackets.
_AROUND = 120
_SHORT_ENOUGH = 12

Cell = str | int | float | list[str] | None


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
    """Rows as text with a bar between the cells, and as data; at most `limit`, and no more than fit
    into the budget in either form.

    Rows past `limit` only show that there are more; `offset` is how many rows the caller has
    skipped, if the tool allows it. A note says how to get the omitted rows.
    """
    columns = list(kind._fields if isinstance(kind, type) else kind)
    budget = max_tokens - _AROUND - estimate_tokens(summary or "")
    shown = _fitting(rows[:limit], budget)
    more = _more(offset, len(shown)) if len(shown) < len(rows) else None
    lines = [summary] if summary else []
    if shown:
        lines += ["|".join(columns), *map(_line, shown)]
    if more:
        lines.append(f"… {more}")
    data = {"columns": columns, "rows": shown, "summary": summary, "more": more}
    return CallToolResult(
        content=[TextContent(type="text", text="\n".join(lines))], structured_content=data
    )


def _more(offset: int | None, shown: int) -> str:
    if offset is None:
        return f"more than these {shown}: narrow the search, or raise limit and max_tokens"
    return f"more than these {shown}: narrow the search, or read on with offset={offset + shown}"


def _fitting(rows: Iterable[Sequence[Cell]], budget: int) -> list[list[Cell]]:
    shown: list[list[Cell]] = []
    for row in rows:
        cells = list(row)
        if not shown:
            # Otherwise paging would never get past it.
            _shorten(cells, budget)
        budget -= _cost(cells)
        if budget < 0:
            break
        shown.append(cells)
    return shown


def _shorten(cells: list[Cell], budget: int) -> None:
    while _cost(cells) > budget:
        texts = {place: cell for place, cell in enumerate(cells) if isinstance(cell, str)}
        longest = max(texts, key=lambda place: len(texts[place]))
        if len(texts[longest]) <= _SHORT_ENOUGH:
            break
        cells[longest] = cut(texts[longest], len(texts[longest]) * 3 // 4)


def _cost(cells: Sequence[Cell]) -> int:
    # With the spaces that the client may put between the cells.
    data = json.dumps(cells, ensure_ascii=False)
    return max(estimate_tokens(_line(cells)), estimate_tokens(data)) + 1


def _line(cells: Sequence[Cell]) -> str:
    return "|".join(map(_cell, cells))


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    written = ",".join(value) if isinstance(value, list) else str(value)
    # No sentence contains these; one of an older version may.
    return written.replace("|", "/").replace("\n", " ")
