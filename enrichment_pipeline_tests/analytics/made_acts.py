"""Generated sessions for the counting questions, and the same answers without SQL."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import strategies as st

from enrichment_pipeline.llm.sessions import cut_at_silence
from enrichment_pipeline.store.sessions.reading import SessionEvent
from enrichment_pipeline_tests.conftest import make_event

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAGES = ("/", "/cart", "/checkout")
CUSTOM = ("order_placed", "coupon denied")
LABELS = ("Buy now", "Pay")
# The second and third are joined to one person.
PEOPLE = ("ann", "bob", "anonymous-7")
JOINED = {"anonymous-7": "bob"}


class Act(NamedTuple):
    """An event as the reference sees it."""

    minute: int
    event: str
    page: str
    label: str | None
    distinct_id: str
    session: str | None

    @property
    def at(self) -> datetime:
        return NOON + timedelta(minutes=self.minute)

    @property
    def sentence(self) -> str:
        verbs = {"$pageview": "Viewed", "$pageleave": "Left"}
        if self.event in verbs:
            return f"{verbs[self.event]} {self.page}"
        what = f'Clicked button "{self.label}"' if self.label else self.event.replace("_", " ")
        return f"{what} on {self.page}"

    def payload(self) -> bytes:
        """The event as it is sent."""
        properties: dict[str, object] = {"$pathname": self.page}
        if self.session:
            properties["$session_id"] = self.session
        if self.label:
            properties |= {"$event_type": "click", "$el_text": self.label}
            properties["$elements_chain"] = f'button:text="{self.label}"'
        if not self.event.startswith("$"):
            properties["sku"] = f"A{self.minute}"
        return make_event(self.event, self.at, distinct_id=self.distinct_id, properties=properties)


def _act(minute: int, kind: int, page: str, person: str, session: str | None) -> Act:
    if kind < 2:
        event, label = ("$pageview", "$pageleave")[kind], None
    elif kind < 4:
        event, label = "$autocapture", LABELS[kind - 2]
    else:
        event, label = CUSTOM[kind - 4], None
    return Act(minute, event, page, label, person, session)


# Minutes are distinct, so that no order is left to chance.
ACTS = st.lists(
    st.builds(
        _act,
        st.integers(0, 400),
        st.integers(0, 5),
        st.sampled_from(PAGES),
        st.sampled_from(PEOPLE),
        st.sampled_from(("one", "two", "three", None)),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda act: act.minute,
)


def person_of(act: Act) -> str:
    return JOINED.get(act.distinct_id, act.distinct_id)


def sessions_of(acts: Iterable[Act]) -> dict[str, list[Act]]:
    """The acts of each session, in order; those without a session id join one of the same person
    that is near, or are cut at silence."""
    found: defaultdict[str, list[Act]] = defaultdict(list)
    quiet: defaultdict[str, list[Act]] = defaultdict(list)
    ordered = sorted(acts)
    for act in ordered:
        if session := act.session or _joined(act, ordered):
            found[session].append(act)
        else:
            quiet[person_of(act)].append(act)
    for person, theirs in quiet.items():
        left = iter(theirs)
        for number, cut in enumerate(cut_at_silence(map(_as_event, theirs))):
            found[f"{person}@{number}"] = [next(left) for _ in cut]
    return dict(found)


def _joined(act: Act, acts: Sequence[Act]) -> str | None:
    theirs = [one for one in acts if one.session and person_of(one) == person_of(act)]
    before = [one for one in theirs if 0 <= act.minute - one.minute <= 30]
    after = [one for one in theirs if 0 <= one.minute - act.minute <= 30]
    return before[-1].session if before else after[0].session if after else None


def _as_event(act: Act) -> SessionEvent:
    return SessionEvent(act.at.timestamp(), act.event, act.sentence, act.page, "", None)


class Wanted(NamedTuple):
    """A step: as it is written, and whether an act is it."""

    written: str
    event: str | None = None
    page: str | None = None
    label: str | None = None

    def fits(self, act: Act) -> bool:
        return (
            self.event in (None, act.event)
            and self.label in (None, act.label)
            and (self.page is None or (act.page == self.page and act.event != "$pageleave"))
        )


STEPS = (
    Wanted("/cart", page="/cart"),
    Wanted("page=/checkout", page="/checkout"),
    Wanted("event=order placed", event="order_placed"),
    Wanted("touched=Buy now", label="Buy now"),
    Wanted("touched=Pay & page=/checkout", label="Pay", page="/checkout"),
)


def count_by(acts: Sequence[Act], name: str) -> dict[str, tuple[int, int, int]]:
    """Events, sessions and people of each value."""
    events, sessions, people = Counter[str](), defaultdict(set), defaultdict(set)
    for session, theirs in sessions_of(acts).items():
        for act in theirs:
            for value in _values(act, name):
                events[value] += 1
                sessions[value].add(session)
                people[value].add(person_of(act))
    return {one: (events[one], len(sessions[one]), len(people[one])) for one in events}


def _values(act: Act, name: str) -> Iterator[str]:
    if name == "touched":
        if act.label:
            yield f'Clicked button "{act.label}"'
    elif name == "hour":
        yield f"{act.at:%Y-%m-%d %H:00}"
    else:
        yield str(getattr(act, name))


def funnel_of(
    acts: Sequence[Act], steps: Sequence[Wanted], window: timedelta | None
) -> tuple[list[int], list[Counter[str]]]:
    """How many come to each step, and what those who come no further do next, by trying every
    possible way."""
    if window is None:
        groups = sessions_of(acts)
    else:
        groups = defaultdict(list)
        for act in sorted(acts):
            groups[person_of(act)].append(act)
    reached, instead = [0] * len(steps), [Counter[str]() for _ in steps]
    for theirs in groups.values():
        ends = [
            [way[-1] for way in _ways(theirs, steps[: n + 1], window)] for n in range(len(steps))
        ]
        furthest = sum(map(bool, ends))
        for n in range(furthest):
            reached[n] += 1
        if 0 < furthest < len(steps):
            last = max(ends[furthest - 1])
            after = theirs[last + 1 :]
            step = steps[furthest - 1]
            did = (a.sentence for a in after if a.event != "$pageleave" and not step.fits(a))
            instead[furthest - 1][next(did, "nothing more")] += 1
    return reached, instead


def _ways(
    acts: Sequence[Act], steps: Sequence[Wanted], window: timedelta | None
) -> list[tuple[int, ...]]:
    """All the places at which the steps can have been taken."""
    ways: list[tuple[int, ...]] = [()]
    for n, step in enumerate(steps):
        longer = []
        for way in ways:
            least = 0 if not way else way[-1] + (step == steps[n - 1])
            for place in range(least, len(acts)):
                start = acts[way[0]] if way else acts[place]
                in_time = window is None or acts[place].at - start.at <= window
                if step.fits(acts[place]) and in_time:
                    longer.append((*way, place))
        # Only where a way began and where it is now matters.
        ways = sorted({(way[0], *way[1:-1][:0], way[-1]): way for way in longer}.values())
    return ways
