"""For the demo: the timeline of the newest session that clicks have made, once its user pauses."""

import time
from datetime import datetime

from enrichment_pipeline.cli.console import out, write
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.sessions import SessionNotFoundError, newest_timeline_of, timeline_of
from enrichment_pipeline.llm.timelines import Timeline
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import driver_error, is_store_failure
from enrichment_pipeline.store.sessions.reading import newest_event_since
from enrichment_pipeline.wording import command

_EVERY_SECONDS = 2.0
_PAUSE_SECONDS = 4.0


class Clicked:
    """Shows the newest session whose events came in after `since` and are not the sample's."""

    def __init__(self, store: Store, since: datetime, sample: str) -> None:
        self._store = store
        self._since = since
        self._sample = sample
        self._read_at = 0.0
        self._seen: tuple[str, int] | None = None
        self._changed = 0.0
        self._shown: tuple[str, int] | None = None

    def read(self) -> None:
        """Check for new events, now and then; show the session after a moment without any."""
        now = time.monotonic()
        if now - self._read_at < _EVERY_SECONDS:
            return
        self._read_at = now
        timeline = self._newest()
        if timeline is None:
            return
        state = timeline.session_id, timeline.events
        if state != self._seen:
            self._seen, self._changed = state, now
        elif state != self._shown and now - self._changed >= _PAUSE_SECONDS:
            self._show(timeline)

    def show_last(self) -> None:
        """Show the session now, if it has not been shown yet."""
        timeline = self._newest()
        if timeline and (timeline.session_id, timeline.events) != self._shown:
            self._show(timeline)

    def _newest(self) -> Timeline | None:
        try:
            with self._store.bounded(5) as connection:
                newest = newest_event_since(connection, self._since, self._sample)
                if newest is None:
                    return None
                if newest.session_id is None:
                    return newest_timeline_of(
                        connection, newest.distinct_id, project=newest.project
                    )
                return timeline_of(connection, newest.session_id, project=newest.project)
        except SessionNotFoundError:
            return None
        except Exception as error:
            # The code that watches the services reports a failing store.
            if not is_store_failure(error) and driver_error(error) is None:
                raise
            return None

    def _show(self, timeline: Timeline) -> None:
        self._shown = timeline.session_id, timeline.events
        out.print("\n[bold]What you just did[/], as a language model reads it:")
        write(render(timeline))
        out.print(
            f"Again:   {command(f'timeline {timeline.session_id}')}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
