"""Sessions made by hand, or by hypothesis: events as enrichment leaves them, without a store."""

import zlib

from hypothesis import strategies as st

from enrichment_pipeline.events.privacy import mask
from enrichment_pipeline.events.safe_text import safe_text
from enrichment_pipeline.events.touches import BUTTON, FORM, TYPED, Touch
from enrichment_pipeline.llm.timelines import Timeline, build_timeline, page_of
from enrichment_pipeline.store.sessions.reading import SessionEvent

START = 1_772_452_800.0
"""2026-03-02 12:00:00 UTC."""

DEVICE = "Desktop, Chrome on Windows"


def built(*events: SessionEvent, is_open: bool = False) -> Timeline:
    """The timeline of these events."""
    return build_timeline("default", "one", "person_3f9a12c4d0", events, is_open=is_open)


def lines(timeline: Timeline) -> list[str]:
    """Of each entry: its second, its action, its text, how often."""
    return [
        f"{entry.at:g} {entry.action} {entry.text}"
        + (f" × {entry.times}" if entry.times > 1 else "")
        for entry in timeline.entries
    ]


def signals(timeline: Timeline) -> list[tuple[str, float, str]]:
    """The signals as tuples."""
    return [(signal.kind, signal.at, signal.text) for signal in timeline.signals]


def touched(act: str, kind: str, element: str, form: str | None = None) -> str:
    """What the column `touch` says of it."""
    return str(Touch(act, kind, f"{zlib.crc32(element.encode()):08x}", form))


def _event(
    at: float, event: str, sentence: str, page: str | None, touch: str | None = None
) -> SessionEvent:
    on = f" on {page_of(page)}" if page and event not in {"$pageview", "$pageleave"} else ""
    name, opened, detail = sentence.partition(" (")
    is_of_element = event in {"$autocapture", "$rageclick"}
    sentence = sentence + on if is_of_element else f"{name}{on}{opened}{detail}"
    return SessionEvent(START + at, event, sentence, page, "user-1", DEVICE, touch)


def _safe(text: str) -> str:
    return safe_text(mask(text), 60) or "x"


def view(at: float, page: str = "/") -> SessionEvent:
    """A page view."""
    viewed = page_of(page) or "a page"
    return _event(at, "$pageview", f"Viewed {viewed}", page)


def leave(at: float, page: str = "/") -> SessionEvent:
    """A page is left."""
    left = page_of(page) or "a page"
    return _event(at, "$pageleave", f"Left {left}", page)


def click(
    at: float, label: str = "Buy now", page: str | None = "/", kind: str = BUTTON
) -> SessionEvent:
    """A click on a button, or on another kind of control."""
    sentence = f'Clicked button "{_safe(label)}"'
    return _event(at, "$autocapture", sentence, page, touched("click", kind, label))


def rage(
    at: float, label: str = "Buy now", page: str | None = "/", kind: str = BUTTON
) -> SessionEvent:
    """What posthog-js sends at the third click of a second."""
    sentence = f'Rage-clicked button "{_safe(label)}"'
    return _event(at, "$rageclick", sentence, page, touched("click", kind, label))


def dead(
    at: float, page: str | None = "/", label: str = "Buy now", kind: str = BUTTON
) -> SessionEvent:
    """What posthog-js sends when a click has changed nothing."""
    sentence = "Clicked without any effect"
    return _event(at, "$dead_click", sentence, page, touched("click", kind, label))


def change(
    at: float,
    page: str | None = "/",
    what: str = 'field "Email"',
    kind: str = TYPED,
    form: str | None = "f0",
) -> SessionEvent:
    """A field is filled in."""
    touch = touched("change", kind, what, form)
    return _event(at, "$autocapture", f"Changed {what}", page, touch)


def submit(at: float, page: str | None = "/", form: str = "f0") -> SessionEvent:
    """A form is sent."""
    touch = touched("submit", FORM, form, form)
    return _event(at, "$autocapture", 'Submitted form "Sign up"', page, touch)


def custom(at: float, name: str, page: str | None = "/", detail: str | None = None) -> SessionEvent:
    """An event of the site's own."""
    sentence = _safe(name.replace("_", " ")) + (f" ({detail})" if detail else "")
    return _event(at, name, sentence, page)


def posthogs(at: float, name: str, sentence: str, page: str | None = "/") -> SessionEvent:
    """An event of PostHog's own that the rules do not know."""
    return _event(at, name, sentence, page)


_ANY_TEXT = st.text(max_size=40)
_PAGES = st.sampled_from(["/", "/a", "/a/b", "/products/:id", "/сайт", "/購入", "/x|y", "/a\nb"])
_MOMENTS = st.one_of(st.integers(0, 30).map(float), st.floats(0, 90_000, allow_nan=False, width=32))

EVENTS = st.one_of(
    st.builds(view, _MOMENTS, _PAGES),
    st.builds(leave, _MOMENTS, _PAGES),
    st.builds(click, _MOMENTS, st.one_of(st.just("Buy"), _ANY_TEXT), st.none() | _PAGES),
    st.builds(rage, _MOMENTS, st.just("Buy"), _PAGES),
    st.builds(dead, _MOMENTS, _PAGES),
    st.builds(change, _MOMENTS, _PAGES),
    st.builds(submit, _MOMENTS, _PAGES),
    st.builds(custom, _MOMENTS, st.one_of(st.just("heartbeat"), _ANY_TEXT), st.none() | _PAGES),
    st.builds(custom, _MOMENTS, st.just("paid"), _PAGES, st.just('note="a (b) on /"')),
    st.builds(
        posthogs,
        _MOMENTS,
        st.sampled_from(["$web_vitals", "$exception", "$identify", "$screen", "$new"]),
        st.sampled_from(["Ran into an error", "Viewed a screen", "Said | or\nso"]),
        st.none() | _PAGES,
    ),
)
SESSIONS = st.lists(EVENTS, min_size=1, max_size=40)
"""Events of one session, in any order, many at the same moment."""
