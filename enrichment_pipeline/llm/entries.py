"""The entries of a timeline. Turning events into entries belongs to `timelines`."""

from collections.abc import Sequence
from dataclasses import dataclass

from enrichment_pipeline.events.touches import Touch
from enrichment_pipeline.llm.event_names import is_sent


@dataclass(slots=True)
class Entry:
    """A user's action, once or several times in a row; or a time without one (`idle`)."""

    at: float
    """Seconds after the start of the session."""
    action: str
    """`view`, `leave`, `click`, `rage_click`, `submit`, `change`; `dead_click`, `error`,
    `identify`; `person` where another person begins, `tab` where another tab is used; `other` for
    other events of PostHog; `event` for the site's own events; `idle`."""
    text: str
    """The sentence, without the verb of the action and without the page."""
    page: str | None = None
    times: int = 1
    until: float = 0.0
    """Seconds after the start of the last repetition; for `idle`, of its end."""
    signal: str | None = None
    """The kind of signal that this entry shows."""
    event: str = ""
    """The name of the event."""
    touch: Touch | None = None
    """What was touched."""
    acts: int = 0
    """Which of the events of one act it holds so far, as bits: `folding`."""
    typed: Sequence[Touch | None] = ()
    """The fields that were typed into; several may read alike. None: an unknown one."""
    is_dead: bool = False
    """Whether PostHog saw no effect of the click."""
    tab: int | None = None
    """The tab of the browser; None if unknown."""

    @property
    def sends(self) -> bool:
        """Whether the site says that something was sent."""
        return self.action == "event" and is_sent(self.event)


def mark(at: float, action: str, text: str) -> Entry:
    """An entry that is no event: it says what holds from now on."""
    return Entry(at, action, text, until=at)


def idle(at: float, until: float, page: str | None) -> Entry:
    """A time in which nothing was done."""
    return Entry(at, "idle", "", page, until=until)
