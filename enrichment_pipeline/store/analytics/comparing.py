"""What the sessions of two sides have in them: events, touched elements, pages, signals, devices
and releases, with how many sessions of each side.

Whether a difference is more than chance belongs to `analytics.difference`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Literal, NamedTuple, cast

from sqlalchemy import Connection

from enrichment_pipeline.store.analytics.counting import EXAMPLES, RELEASE
from enrichment_pipeline.store.analytics.selection import (
    ANY_SIGNAL,
    IS_TOUCH,
    TOUCHED,
    About,
    Acts,
    Session,
    Step,
)

Kind = Literal["event", "page", "touched", "signal", "device", "release"]
"""What is compared."""

FEWEST = 3
"""What is in fewer sessions is not compared: it can hardly be told from chance."""


class Side(NamedTuple):
    """The sessions of one side."""

    sessions: Sequence[Session]
    """The oldest first."""
    median_events: float


class Found(NamedTuple):
    """Something that sessions have in them."""

    kind: Kind
    what: str
    these: int
    """How many sessions of the first side have it in them."""
    others: int
    """And of the second."""
    newest: Sequence[Session]
    """Of the first side: the newest, and other recent ones."""
    newest_others: Sequence[Session]


class Sides(NamedTuple):
    """Two sides, and what is in them."""

    these: Side
    others: Side
    both: int
    """Sessions that would be on both sides, and are on none."""
    found: Sequence[Found]
    """All that is in `FEWEST` sessions, but not in all; without what the sides are chosen by."""


class _Row(NamedTuple):
    key: int
    device: str
    release: str
    is_this: bool
    is_other: bool
    events: int
    newest: datetime
    session: str
    project: str


class _Place(NamedTuple):
    """A session, and where it is: the n-th of the first side, or (-n) of the second."""

    place: int
    session: Session
    devices: frozenset[str]
    releases: frozenset[str]


_SERVER = "posthog-"
"""What the device of an event from a server begins with: its library."""

_SIDES = """
    SELECT act.key, coalesce(act.device, 'unknown') AS device, {release} AS release,
        bool_or({these}), bool_or({others}), count(*)::int, max(act.occurred_at),
        min(act.session COLLATE "C"), min(act.project COLLATE "C")
    FROM {acts} GROUP BY 1, 2, 3
"""

# One statement for each kind: all in one take longer than a statement may.
_FOUND = """
    SELECT what, count(*) FILTER (WHERE place > 0), count(*) FILTER (WHERE place < 0), {newest}
    FROM ({pairs} GROUP BY 1, 2) found
    JOIN unnest(CAST(:keys AS bigint[]), CAST(:places AS int[])) AS side (key, place) USING (key)
    WHERE what IS NOT NULL
    GROUP BY 1 HAVING count(*) >= :fewest AND count(*) < cardinality(CAST(:keys AS bigint[]))
"""
# The newest session of each residue: three of the newest, and no sorting.
_NEWEST = ", ".join(
    f"{most}(place) FILTER (WHERE place {side} 0 AND abs(place) % {EXAMPLES} = {rest})"
    for most, side in (("max", ">"), ("min", "<"))
    for rest in range(EXAMPLES)
)
_SIGNALS = """
    SELECT hashtextextended(session_id, hashtext(project)) AS key, signal AS what
    FROM session_timeline, unnest(signals) AS signal WHERE {listed} AND {kept}
"""


def find_sides(connection: Connection, about: About, step: Step, against: Step | None) -> Sides:
    """The sessions that have a step in them, those that have not (or that have the step `against`
    in them), and what else is in them.

    Raises:
        UnknownNameError: nothing is shown like a name of the question.
    """
    acts = Acts(connection, about)
    these = acts.is_step(step)
    statement = _SIDES.format(
        acts=acts.table,
        release=RELEASE,
        these=these,
        others=acts.is_step(against) if against else "true",
    )
    rows = [_Row(*row) for row in cast("list[_Row]", acts.rows(statement))]
    sides, places, both = _sides(rows, is_rest=against is None)
    chosen_by = [one for one in (step, against) if one]
    found: list[Found] = []
    if all(side.sessions for side in sides):
        acts.parameters |= {
            "keys": _array(places),
            "places": _array(one.place for one in places.values()),
            "fewest": FEWEST,
        }
        by_place = {one.place: one.session for one in places.values()}
        for kind, pairs in _pairs(acts, chosen_by):
            counted = acts.rows(_FOUND.format(newest=_NEWEST, pairs=pairs))
            found += (_found(kind, row, by_place) for row in counted)
        found += _of_sessions(list(places.values()), chosen_by)
    return Sides(sides[0], sides[1], both, found)


def _array(numbers: Iterable[int]) -> str:
    """As PostgreSQL reads it: hundreds of thousands are written once."""
    return f"{{{','.join(map(str, numbers))}}}"


def _sides(rows: Sequence[_Row], *, is_rest: bool) -> tuple[list[Side], dict[int, _Place], int]:
    """The two sides, the place of each session by its key, and how many are on no side."""
    by_key: defaultdict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        by_key[row.key].append(row)
    sides: tuple[list[list[_Row]], list[list[_Row]]] = ([], [])
    both = 0
    for those in by_key.values():
        is_this, is_other = any(one.is_this for one in those), any(one.is_other for one in those)
        if is_this and is_other and not is_rest:
            both += 1
        elif is_this or is_other:
            sides[not is_this].append(those)
    made, places = [], {}
    for sign, side in zip((1, -1), sides, strict=True):
        side.sort(key=lambda those: (max(one.newest for one in those), those[0][-2:]))
        for place, those in enumerate(side, 1):
            places[those[0].key] = _Place(
                sign * place,
                _session(those),
                frozenset(one.device for one in those),
                frozenset(one.release for one in those),
            )
        events = [sum(one.events for one in those) for those in side]
        made.append(Side([_session(those) for those in side], median(events) if events else 0))
    return made, places, both


def _session(rows: Sequence[_Row]) -> Session:
    return rows[0].project, rows[0].session


def _pairs(acts: Acts, chosen_by: Sequence[Step]) -> Iterator[tuple[Kind, str]]:
    """SQL of each kind: a session's key, and what is in it."""
    of_acts: dict[Kind, tuple[str, str]] = {
        "event": (acts.shown("event"), acts.is_act()),
        "page": (acts.shown("path_template"), "act.event <> '$pageleave'"),
        "touched": (TOUCHED, IS_TOUCH),
    }
    for kind, (what, is_it) in of_acts.items():
        named = (Step(**{kind: getattr(one, kind)}) for one in chosen_by if getattr(one, kind))
        kept = " AND ".join([is_it, *(f"NOT {acts.is_step(one)}" for one in named)])
        yield kind, f"SELECT act.key, {what} AS what FROM {acts.table} WHERE {kept}"
    signals = {one.signal for one in chosen_by}
    if ANY_SIGNAL not in signals:
        kept = f"signal <> ALL(CAST({acts.add([one for one in signals if one])} AS text[]))"
        yield "signal", _SIGNALS.format(listed=acts.listed(), kept=kept)


def _found(kind: Kind, row: Sequence[object], by_place: Mapping[int, Session]) -> Found:
    what, these, others, *newest = row
    places = [
        sorted(filter(None, cast("list[int | None]", part)), key=abs, reverse=True)
        for part in (newest[:EXAMPLES], newest[EXAMPLES:])
    ]
    named = ([by_place[place] for place in side] for side in places)
    return Found(kind, str(what), cast(int, these), cast(int, others), *named)


def _devices(one: _Place) -> Collection[str]:
    """Those of its user. Whatever else reported, such as the library of a server, is none."""
    return [device for device in one.devices if not device.startswith(_SERVER)] or one.devices


def _of_sessions(sessions: Sequence[_Place], chosen_by: Sequence[Step]) -> Iterator[Found]:
    """The devices and releases, of which a session has few."""
    of_kind: dict[Kind, defaultdict[str, list[_Place]]] = {"release": defaultdict(list)}
    if not any(one.device for one in chosen_by):
        of_kind["device"] = defaultdict(list)
    # The newest first.
    for one in sorted(sessions, key=lambda one: abs(one.place), reverse=True):
        for kind, found in of_kind.items():
            for what in _devices(one) if kind == "device" else one.releases:
                found[what].append(one)
    for kind, found in of_kind.items():
        for what, those in found.items():
            if FEWEST <= len(those) < len(sessions):
                these = [one.session for one in those if one.place > 0]
                others = [one.session for one in those if one.place < 0]
                newest = these[:EXAMPLES], others[:EXAMPLES]
                yield Found(kind, what, len(these), len(others), *newest)
