"""What a timeline is made of. How events become entries belongs to `timelines`."""

from dataclasses import dataclass


@dataclass(slots=True)
class Entry:
    """What a user did, once or several times in a row; or nothing, for a while (`idle`)."""

    at: float
    """Seconds after the start of the session."""
    action: str
    """`view`, `leave`, `click`, `rage_click`, `submit`, `change`; `dead_click`, `error`,
    `identify`; `other` for what else PostHog names; `event` for what the site names; `idle`."""
    text: str
    """The sentence, without the word that the action says and without the page."""
    page: str | None = None
    times: int = 1
    until: float = 0.0
    """Seconds after the start, of the last of these times; of `idle`, its end."""
    signal: str | None = None
    """The kind of signal that shows here."""
    sends: bool = False
    """Whether the event's name says that something was sent."""
