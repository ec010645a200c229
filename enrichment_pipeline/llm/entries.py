"""The entries of a timeline. Turning events into entries belongs to `timelines`."""

from dataclasses import dataclass


@dataclass(slots=True)
class Entry:
    """A user's action, once or several times in a row; or a time without one (`idle`)."""

    at: float
    """Seconds after the start of the session."""
    action: str
    """`view`, `leave`, `click`, `rage_click`, `submit`, `change`; `dead_click`, `error`,
    `identify`; `other` for other events of PostHog; `event` for the site's own events; `idle`."""
    text: str
    """The sentence, without the verb of the action and without the page."""
    page: str | None = None
    times: int = 1
    until: float = 0.0
    """Seconds after the start of the last repetition; for `idle`, of its end."""
    signal: str | None = None
    """The kind of signal that this entry shows."""
    sends: bool = False
    """Whether the event's name says that something was sent."""
