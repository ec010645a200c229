"""The routes that read: `GET /v1/sessions/{id}/timeline`, `/v1/people/{id}/timeline` and
`/v1/people/{id}`, for an agent inside the product, and those that count.

Authorization belongs to the API, which serves it; the answer to `sessions` and `rendering`.
"""

from collections.abc import Callable, Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from enrichment_pipeline.llm.http_answers import Answering, Handler, Write
from enrichment_pipeline.llm.http_counting import counting_routes
from enrichment_pipeline.llm.person import person_report
from enrichment_pipeline.llm.person_forms import write_person
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.sessions import newest_timeline_of, timeline_of
from enrichment_pipeline.store.database.engine import Store

_SECONDS = 5


def reading_routes(store: Store) -> Mapping[str, Handler]:
    """The routes that return timelines and numbers, by path."""
    answering = Answering()
    timelines = _Timelines(store, answering)
    return {
        "/v1/sessions/{session_id:path}/timeline": timelines.of_session,
        "/v1/people/{distinct_id:path}/timeline": timelines.of_person,
        "/v1/people/{distinct_id:path}": timelines.of_all_sessions,
        **counting_routes(store, answering),
    }


class _Timelines:
    """The routes, and the store that they read."""

    def __init__(self, store: Store, answering: Answering) -> None:
        self._store = store
        self._answering = answering

    async def of_session(self, request: Request) -> Response:
        """Return the session with this id."""
        return await self._answer(request, self._read_session, request.path_params["session_id"])

    async def of_person(self, request: Request) -> Response:
        """Return the newest session of the person who has this distinct_id."""
        return await self._answer(request, self._read_person, request.path_params["distinct_id"])

    async def of_all_sessions(self, request: Request) -> Response:
        """Return what the person who has this distinct_id did lately, over all sessions."""
        return await self._answer(request, self._read_all, request.path_params["distinct_id"])

    async def _answer(
        self, request: Request, read: Callable[[str, str | None], Write], wanted: str
    ) -> Response:
        project = request.query_params.get("project")
        return await self._answering.answer(request, partial(read, wanted, project))

    def _read_session(self, session_id: str, project: str | None) -> Write:
        with self._store.bounded(_SECONDS) as connection:
            return partial(render, timeline_of(connection, session_id, project=project))

    def _read_person(self, distinct_id: str, project: str | None) -> Write:
        with self._store.bounded(_SECONDS) as connection:
            return partial(render, newest_timeline_of(connection, distinct_id, project=project))

    def _read_all(self, distinct_id: str, project: str | None) -> Write:
        with self._store.bounded(_SECONDS) as connection:
            return partial(write_person, person_report(connection, distinct_id, project=project))
