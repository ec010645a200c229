"""Tools of the MCP server over sessions and single events, described for the model that calls them.

Tools over all events together belong to `mcp_overviews`; running a tool to `mcp_running`, the form
of an answer to `mcp_answers`.
"""

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Annotated, Literal

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field
from sqlalchemy import Connection

from enrichment_pipeline.events.masked import masked_id, masked_line
from enrichment_pipeline.llm.citations import RIGHT, Citation, check_citations
from enrichment_pipeline.llm.mcp_answers import (
    EventLine,
    Events,
    SessionLine,
    Sessions,
    table,
)
from enrichment_pipeline.llm.mcp_arguments import (
    MOST_TOKENS,
    End,
    Limit,
    Offset,
    Person,
    PersonTokens,
    Project,
    Start,
    TableTokens,
    Tokens,
    Word,
)
from enrichment_pipeline.llm.mcp_running import SECONDS
from enrichment_pipeline.llm.periods import bounds, nothing_between, shown_moment, time_of
from enrichment_pipeline.llm.person import person_report
from enrichment_pipeline.llm.person_forms import person_as_text
from enrichment_pipeline.llm.rendering import Form, render
from enrichment_pipeline.llm.sessions import newest_timeline_of, timeline_of
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.as_reader import reading
from enrichment_pipeline.store.reading.event_search import search_events
from enrichment_pipeline.store.sessions.listing import list_sessions

_SEARCHED = timedelta(days=7)
_MOST_TEXT = 20_000
_MOST_LINES = 2


class Tools:
    """The tools over the sessions and events of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_sessions(
        self,
        person: Person = None,
        start: Start = None,
        end: End = None,
        signal: Annotated[
            Literal["rage_click", "dead_click", "error", "form_not_sent", "back_and_forth"] | None,
            Field(description="Only sessions in which this shows."),
        ] = None,
        contains: Annotated[
            Word | None, Field(description="Only sessions whose timeline has this text.")
        ] = None,
        page: Annotated[
            Word | None, Field(description="Only sessions on this page; /docs* begins so.")
        ] = None,
        device: Annotated[Word | None, Field(description="Text of the device: iPhone.")] = None,
        project: Project = None,
        limit: Limit = 20,
        offset: Offset = 0,
        max_tokens: TableTokens = MOST_TOKENS,
    ) -> Sessions:
        """List sessions, the newest first: when, who, how many events, the way through the pages,
        signals of frustration. Read one with get_timeline. A session that is going on may be
        missing here for half a minute."""
        first, last = bounds(start, end)
        with self._reading() as connection:
            found = list_sessions(
                connection,
                project=project,
                person=person,
                start=first,
                end=last,
                signal=signal,
                contains=contains,
                page=page,
                device=device,
                limit=limit + 1,
                offset=offset,
            )
        rows = [
            SessionLine(
                one.handle or masked_id(one.session_id),
                shown_moment(one.started_at),
                round((one.ended_at - one.started_at).total_seconds()),
                one.person_handle or one.person,
                one.events,
                one.device,
                one.outline,
                list(one.signals),
            )
            for one in found
        ]
        nothing = "no such session; wider filters find more, status says when sessions are"
        return table(
            SessionLine,
            rows,
            limit=limit,
            max_tokens=max_tokens,
            offset=offset,
            summary=None if rows else nothing,
        )

    def get_timeline(
        self,
        session_id: Annotated[
            Word | None, Field(description="As list_sessions or search_events show it.")
        ] = None,
        distinct_id: Annotated[
            Word | None, Field(description="Instead: the newest session of whoever has this id.")
        ] = None,
        project: Project = None,
        max_tokens: Tokens = MOST_TOKENS,
        form: Annotated[
            Form, Field(description="text costs the fewest tokens; json is for programs.")
        ] = "text",
    ) -> str:
        """Read what happened in one session, up to this second: seconds after its start, action,
        what. Repeated events are folded, silence is idle, `!` marks signals of frustration. What
        max_tokens leaves no room for is counted where it was."""
        if (session_id is None) == (distinct_id is None):
            raise ToolError("give either session_id or distinct_id")
        with self._reading() as connection:
            if session_id is not None:
                timeline = timeline_of(connection, session_id, project=project)
            else:
                timeline = newest_timeline_of(connection, str(distinct_id), project=project)
        return render(timeline, form, max_tokens)

    def person(
        self,
        person: Annotated[
            Word, Field(description="person_… as shown elsewhere, or a distinct_id that you know.")
        ],
        start: Start = None,
        end: End = None,
        project: Project = None,
        max_tokens: PersonTokens = 3_000,
    ) -> str:
        """What one person did over their sessions: each with outline and signals, what was new to
        them, what they began and never finished. Without start, of the week before end, or before
        their newest event."""
        first, last = bounds(start, end)
        with self._reading() as connection:
            report = person_report(connection, person, project=project, start=first, end=last)
        return person_as_text(report, max_tokens)

    def search_events(
        self,
        event_type: Annotated[Word | None, Field(description="pageview, click, custom, …")] = None,
        action_type: Annotated[Word | None, Field(description="view, submit, …")] = None,
        event: Annotated[
            Word | None, Field(description="The exact name, such as $pageview.")
        ] = None,
        page: Annotated[
            Word | None, Field(description="The beginning of a page's template: /checkout.")
        ] = None,
        person: Person = None,
        session_id: Annotated[Word | None, Field(description="Of this session alone.")] = None,
        contains: Annotated[Word | None, Field(description="Text of the sentence.")] = None,
        start: Start = None,
        end: End = None,
        project: Project = None,
        limit: Limit = 50,
        offset: Offset = 0,
        max_tokens: TableTokens = MOST_TOKENS,
    ) -> Events:
        """Search single events, the newest first, each as a sentence. Without start, those of the
        seven days before end, or before the newest event."""
        with self._reading() as connection:
            first, last = time_of(connection, start, end, _SEARCHED)
            found = search_events(
                connection,
                first,
                last,
                project=project,
                event_type=event_type,
                action_type=action_type,
                event=event,
                page=page,
                person=person,
                session_id=session_id,
                contains=contains,
                limit=limit + 1,
                offset=offset,
            )
        rows = [
            EventLine(
                shown_moment(one.occurred_at),
                one.person_handle or one.person,
                one.event_type,
                one.action_type,
                one.description,
                one.handle or (masked_id(one.session_id) if one.session_id else None),
            )
            for one in found
        ]
        return table(
            EventLine,
            rows,
            limit=limit,
            max_tokens=max_tokens,
            offset=offset,
            summary=None if rows else nothing_between(first, last),
        )

    def check_citations(
        self,
        text: Annotated[
            str, Field(max_length=_MOST_TEXT, description="Your answer, or a part of it.")
        ],
    ) -> str:
        """Check an answer before you give it: whether each session (s12), line (s12:34, at second
        34) and person (p3) that it cites exists, and says what the sentence around it quotes: ok.
        A sentence without a quotation or a page is not compared: exists."""
        with self._reading() as connection:
            found = check_citations(connection, text)
        if not found:
            return "no citation; cite a session as s12, a line as s12:34"
        return "\n".join(dict.fromkeys(_verdict(one) for one in found))

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._store, SECONDS)


def _verdict(one: Citation) -> str:
    """A citation, and what is wrong with it; what the lines say instead, where that helps."""
    said = f"{one.cited} {one.verdict}"
    if one.verdict == "does not say so":
        said += f": {', '.join(masked_line(text) for text in one.missing)}"
    if one.verdict not in RIGHT and one.lines:
        what = "it says" if one.verdict == "does not say so" else "the nearest is"
        said += f"; {what}: {' / '.join(one.lines[:_MOST_LINES])}"
    return said
