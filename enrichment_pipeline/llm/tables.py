"""Tables within a budget of tokens, as text, Markdown and data: for MCP and HTTP alike."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from enrichment_pipeline.events.safe_text import cut
from enrichment_pipeline.llm.forms import Form
from enrichment_pipeline.llm.tokens import estimate_tokens

FEWEST_TOKENS_OF_TABLE = 500
"""A smaller budget may not fit even one row."""

# For column names, the note on omitted rows, and brackets.
_AROUND = 120
_BESIDE_COLUMNS = 60
_SHORT_ENOUGH = 12

Cell = str | int | float | list[str] | None


class Table(NamedTuple):
    """Rows that fit, and how to get the others."""

    columns: list[str]
    rows: list[list[Cell]]
    summary: str | None
    """What the rows do not say themselves."""
    more: str | None
    """How to get what was left out; None: nothing was."""

    def text(self) -> str:
        """One line for each row, with a bar between the cells."""
        lines = [self.summary] if self.summary else []
        if self.rows:
            lines += ["|".join(self.columns), *map(_line, self.rows)]
        return "\n".join([*lines, *([f"… {self.more}"] if self.more else [])])

    def write(self, form: Form) -> str:
        """In the form of an HTTP answer."""
        if form == "json":
            return json.dumps(self._asdict(), ensure_ascii=False)
        if form == "text" or not self.rows:
            return self.text()
        lines = [self.summary or "", ""]
        lines += [f"| {' | '.join(self.columns)} |", f"|{'---|' * len(self.columns)}"]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in self.rows]
        return "\n".join([*lines, *(["", f"… {self.more}"] if self.more else [])])


def fitted(
    columns: list[str],
    rows: Sequence[Sequence[Cell]],
    *,
    limit: int,
    max_tokens: int,
    offset: int | None = None,
    summary: str | None = None,
) -> Table:
    """At most `limit` rows, and no more than fit into the budget in either form.

    Rows past `limit` only show that there are more; `offset` is how many rows the caller has
    skipped, if that can be asked for. A note says how to get the omitted rows.
    """
    around = max(_AROUND, _BESIDE_COLUMNS + estimate_tokens(json.dumps(columns)))
    shown = _fitting(rows[:limit], max_tokens - around - estimate_tokens(summary or ""))
    more = _more(offset, len(shown)) if len(shown) < len(rows) else None
    return Table(columns, shown, summary, more)


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
