"""Which tab of a browser is used in a session, where there are several."""

from collections.abc import Sequence

from enrichment_pipeline.store.sessions.reading import SessionEvent

# What a page does by itself, it also does in a tab that nobody looks at.
_OF_USERS = frozenset({"$pageview", "$autocapture", "$rageclick", "$dead_click"})


class Tabs:
    """Watches the events of a session, in the order of time, for a change of the tab."""

    def __init__(self, events: Sequence[SessionEvent]) -> None:
        used = (_tab(event) for event in events)
        # In the order in which they were first used.
        self._numbers = {
            tab: number
            for number, tab in enumerate(dict.fromkeys(tab for tab in used if tab is not None), 1)
        }
        self._current: int | None = None

    def switched_to(self, event: SessionEvent) -> int | None:
        """The number of the tab, from 1 on, if this event is the first in it after one in another;
        else None."""
        tab = _tab(event)
        if tab is None or tab == self._current:
            return None
        is_first = self._current is None
        self._current = tab
        return None if is_first else self._numbers[tab]


def _tab(event: SessionEvent) -> int | None:
    return event.tab if event.event in _OF_USERS else None
