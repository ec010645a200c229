"""Tools over all events together: the catalogue, errors, charts, and the state of the pipeline
itself (its books, its dead letters).

Sessions and single events belong to `mcp_tools`; running a tool to `mcp_running`.
"""

from collections import Counter
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field
from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import shown_message, shown_name
from enrichment_pipeline.llm.chart import chart_over_time
from enrichment_pipeline.llm.errors import ERRORS_OF, ErrorsBy, errors_in_all, find_errors
from enrichment_pipeline.llm.mcp_answers import (
    Catalogue,
    CatalogueLine,
    ErrorLine,
    Errors,
    LetterLine,
    Letters,
    WindowLine,
    Windows,
    table,
)
from enrichment_pipeline.llm.mcp_arguments import (
    MOST_TOKENS,
    End,
    Limit,
    Project,
    Start,
    TableTokens,
    Word,
)
from enrichment_pipeline.llm.mcp_running import SECONDS
from enrichment_pipeline.llm.periods import nothing_between, shown_moment, time_of
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.letters import (
    LetterFilter,
    count_letters,
    count_letters_by,
    find_letters,
)
from enrichment_pipeline.store.queue.changes import sessions_watermark
from enrichment_pipeline.store.reading.as_reader import reading, reading_payloads
from enrichment_pipeline.store.reading.catalogue import catalogue
from enrichment_pipeline.store.reading.event_search import count_over_time
from enrichment_pipeline.store.windows.books import books
from enrichment_pipeline.store.windows.freshness import newest_moment, newest_windows
from enrichment_pipeline.wording import counted

_CHARTED = timedelta(days=1)
_CHART_PARTS = 60
_MOST_WINDOWS = 100
_MOST_REASONS = 8

_CHARTS: dict[str, tuple[Literal["event_type", "action_type", "signal"], str]] = {
    "events_by_event_type": ("event_type", "events by event type"),
    "events_by_action_type": ("action_type", "events by action type"),
    "sessions_by_signal": ("signal", "sessions by signal"),
}


class Overviews:
    """The tools over all events of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def event_catalogue(
        self,
        contains: Annotated[Word | None, Field(description="Text of the event's name.")] = None,
        project: Project = None,
        limit: Limit = 50,
        max_tokens: TableTokens = MOST_TOKENS,
    ) -> Catalogue:
        """Which events there are: name, classification, how many, first and last seen, a sample;
        the most frequent first."""
        with self._reading() as connection:
            found = catalogue(connection, project=project, contains=contains, limit=limit + 1)
        rows = [
            CatalogueLine(
                shown_name(one.event),
                one.event_type,
                one.action_type,
                one.events,
                shown_moment(one.first_seen),
                shown_moment(one.last_seen),
                one.sample,
            )
            for one in found
        ]
        return table(
            CatalogueLine,
            rows,
            limit=limit,
            max_tokens=max_tokens,
            summary=None if rows else "no such event",
        )

    def errors(
        self,
        by: Annotated[ErrorsBy, Field(description="What makes one line.")] = "message",
        contains: Annotated[Word | None, Field(description="Text of type or message.")] = None,
        start: Start = None,
        end: End = None,
        project: Project = None,
        limit: Limit = 20,
        max_tokens: TableTokens = MOST_TOKENS,
    ) -> Errors:
        """Errors that users ran into, the most frequent first: message, place in the code, whom and
        where they hit, when. Without start, those of the seven days before end, or before the
        newest event."""
        with reading_payloads(self._store, SECONDS) as connection:
            first, last = time_of(connection, start, end, ERRORS_OF)
            found = find_errors(connection, first, last, by=by, project=project, contains=contains)
        rows = [
            ErrorLine(
                one.value,
                one.errors,
                one.sessions,
                one.people,
                f'"{one.message}"' if one.message else "",
                one.place,
                list(one.pages),
                list(one.browsers),
                list(one.releases),
                shown_moment(one.first_seen),
                shown_moment(one.last_seen),
                list(one.session_ids),
            )
            for one in found.groups
        ]
        return table(
            ErrorLine,
            rows,
            limit=limit,
            max_tokens=max_tokens,
            summary=errors_in_all(found) if rows else nothing_between(first, last),
        )

    def dead_letters(self, limit: Limit = 20, max_tokens: TableTokens = MOST_TOKENS) -> Letters:
        """What could not be enriched and is still open: how many by reason, and the newest with
        what went wrong. The pipeline's trouble, not the users'."""
        chosen = LetterFilter()
        with self._reading() as connection:
            total = count_letters(connection, chosen)
            reasons = count_letters_by(connection, chosen, "reason_code")
            newest = find_letters(connection, chosen, limit + 1)
        first = list(reasons.items())[:_MOST_REASONS]
        parts = [f"{reason} {count.events}" for reason, count in first]
        if len(reasons) > len(first):
            parts.append(counted(len(reasons) - len(first), "other reason"))
        rows = [
            LetterLine(
                f"{one['last_failed_at']:%Y-%m-%d %H:%M:%S}",
                str(one["reason_code"]),
                str(one["project"]) if one["project"] else None,
                shown_name(str(one["event"])) if one["event"] else None,
                int(str(one["event_count"])),
                shown_message(str(one["message"])),
            )
            for one in newest
        ]
        summary = (
            f"{counted(total.letters, 'open dead letter')} of {counted(total.events, 'event')}"
        )
        return table(
            LetterLine,
            rows,
            limit=limit,
            max_tokens=max_tokens,
            summary=f"{summary}: {', '.join(parts)}" if parts else summary,
        )

    def status(
        self,
        limit: Annotated[int, Field(ge=1, le=_MOST_WINDOWS, description="Windows.")] = 24,
    ) -> Windows:
        """How fresh and complete the data is: the newest event, up to when sessions are built, and
        of the newest windows how many events were accepted, enriched, dead, pending."""
        with self._reading() as connection:
            event, built = newest_moment(connection), sessions_watermark(connection)
            windows = newest_windows(connection, limit)
            kept = books(connection, windows) if windows else []
        rows = [
            WindowLine(
                f"{one.window_start:%Y-%m-%d %H:%M}",
                one.accepted,
                one.enriched,
                one.dead,
                one.pending,
            )
            for one in reversed(kept)
        ]
        return table(
            WindowLine,
            rows,
            limit=limit,
            max_tokens=MOST_TOKENS,
            summary=f"newest enriched event {shown_moment(event) if event else 'none'}; list of "
            f"sessions built up to {shown_moment(built)}; now "
            f"{shown_moment(datetime.now(UTC))} UTC",
        )

    def chart(
        self,
        what: Annotated[
            Literal["events_by_event_type", "events_by_action_type", "sessions_by_signal"],
            Field(description="What is counted, and what the colours are."),
        ] = "events_by_event_type",
        start: Start = None,
        end: End = None,
        project: Project = None,
    ) -> list[Image | str]:
        """A picture (PNG) of how many there were over time, and their sums. Without start, of the
        day before end, or before the newest event."""
        by, title = _CHARTS[what]
        with self._reading() as connection:
            first, last = time_of(connection, start, end, _CHARTED)
            counts = count_over_time(connection, by, first, last, _CHART_PARTS, project)
        if not counts:
            raise ToolError(nothing_between(first, last))
        sums = Counter[str]()
        for _, value, many in counts:
            sums[value] += many
        totals = ", ".join(f"{value} {many}" for value, many in sums.most_common())
        picture = chart_over_time(title, counts, first, last, _CHART_PARTS)
        between = f"from {shown_moment(first)} to {shown_moment(last)} UTC"
        return [Image(data=picture, format="png"), f"{title} {between}: {totals}"]

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._store, SECONDS)
