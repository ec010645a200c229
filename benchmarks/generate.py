"""Generated PostHog events for the benchmarks: real shapes, the spread of real traffic, one seed.

    python -m benchmarks.generate --events 200000 --seed 1 --out events.jsonl.zst

The events have the keys of the recorded ones (`enrichment_pipeline.ingest.sample`). Here belongs
who does what when; what there is to visit belongs to `website`.
"""

import gzip
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple, cast

import msgspec
import typer
import zstandard
from rich.progress import track

from benchmarks.website import (
    CUSTOM_NAMES_OF_A_PAGE,
    ELEMENTS_OF_A_PAGE,
    HOST,
    Page,
    make_website,
    unique_url,
    zipf,
)
from enrichment_pipeline.ingest.sample.shapes import browser_time, recorded_shapes

_HOUR = 3_600_000
"""In milliseconds, like all times in this module."""

_PEOPLE = 5_000
_SESSIONS_AT_ONCE = 300

_UNIQUE_URLS = 0.1
_LATE = 0.04
_LEAST_DELAY = _HOUR

# With these a page visit makes a $pageview, a $pageleave and three events between, which gives the
# mix of a site with autocapture on: 46 % $autocapture, 19 % each of $pageview and $pageleave, 10 %
# custom, 4 % $web_vitals, 2 % $rageclick, 1 % $identify.
_ANOTHER_PAGE = 0.8
_ANOTHER_ACT = 0.75
_AUTOCAPTURE = 0.8
_RAGE_CLICK = 0.03
_WEB_VITALS = 0.2
_IDENTIFY = 0.05

_ELEMENT_WEIGHTS = zipf(ELEMENTS_OF_A_PAGE)
_NAME_WEIGHTS = zipf(CUSTOM_NAMES_OF_A_PAGE)


class _Act(NamedTuple):
    """One event without its id, its time and its URL."""

    event: str
    shape: str
    page: Page
    properties: dict[str, object]


def generate_events(
    count: int, *, seed: int = 1, start: datetime, hours: int = 6
) -> Iterator[bytes]:
    """`count` exported events as JSON, evenly over `hours` hours from `start`, 2.7 KB on average.

    `start` is in UTC. Each event has `uuid` (version 7, of its time), `event`, `distinct_id`,
    `timestamp` and `properties`. The same arguments give the same bytes. Pages, elements and custom
    names are chosen by Zipf's law, a tenth of the events have a URL that no other has, and in the
    order of the events some 3 % come late: hours after they occurred, though never before `start`.
    """
    first, length = int(start.timestamp() * 1000), hours * _HOUR
    rng = random.Random(seed)
    pages = make_website(rng)
    popularity = zipf(len(pages))
    sessions = [_session(rng, first, pages, popularity) for _ in range(_SESSIONS_AT_ONCE)]
    for number in range(count):
        elapsed = length * number // count
        place = int(rng.random() * _SESSIONS_AT_ONCE)
        act = next(sessions[place], None)
        while act is None:
            sessions[place] = _session(rng, first + elapsed, pages, popularity)
            act = next(sessions[place], None)
        if elapsed > _LEAST_DELAY and rng.random() < _LATE:
            elapsed -= rng.randint(_LEAST_DELAY, elapsed)
        yield msgspec.json.encode(_event(rng, act, first + elapsed))


def _event(rng: random.Random, act: _Act, moment: int) -> dict[str, Any]:
    path = act.page.path
    url = f"https://{HOST}{path}"
    if rng.random() < _UNIQUE_URLS:
        path, url = unique_url(rng, path)
    properties = {
        **recorded_shapes()[act.shape]["properties"],
        **act.properties,
        "$current_url": url,
        "$pathname": path,
        "$time": moment / 1000,
        "$insert_id": f"{rng.getrandbits(64):016x}",
    }
    return {
        "uuid": _uuid7(rng, moment),
        "event": act.event,
        "distinct_id": properties["distinct_id"],
        "timestamp": browser_time(datetime.fromtimestamp(moment / 1000, UTC)),
        "properties": properties,
    }


def _session(
    rng: random.Random, moment: int, pages: list[Page], popularity: Sequence[float]
) -> Iterator[_Act]:
    """What one person does from that moment on, page by page. Ids are of version 7, as those of
    posthog-js: what came together lies together in an index."""
    person = _person(rng)
    page = rng.choices(pages, cum_weights=popularity)[0]
    person |= {
        "$session_id": _uuid7(rng, moment),
        "$window_id": _uuid7(rng, moment),
        "$session_entry_url": f"https://{HOST}{page.path}",
        "$session_entry_host": HOST,
        "$session_entry_pathname": page.path,
        "$host": HOST,
    }
    while True:
        person["$pageview_id"] = _uuid7(rng, moment)
        yield from _visit(rng, page, person)
        if rng.random() > _ANOTHER_PAGE:
            return
        page = rng.choices(pages, cum_weights=popularity)[0]


def _visit(rng: random.Random, page: Page, person: dict[str, object]) -> Iterator[_Act]:
    yield _Act("$pageview", "$pageview", page, {**person, "title": page.title})
    if rng.random() < _IDENTIFY:
        yield _Act("$identify", "$identify", page, {**person})
    if rng.random() < _WEB_VITALS:
        vitals = {"$web_vitals_LCP_value": round(rng.uniform(300, 4000), 1)}
        yield _Act("$web_vitals", "plan_upgrade_started", page, {**person, **vitals})
    while rng.random() < _ANOTHER_ACT:
        yield _act(rng, page, person)
    duration = {
        "$prev_pageview_id": person["$pageview_id"],
        "$prev_pageview_pathname": page.path,
        "$prev_pageview_duration": round(rng.expovariate(1 / 40), 3),
    }
    yield _Act("$pageleave", "$pageleave", page, {**person, **duration})


def _act(rng: random.Random, page: Page, person: dict[str, object]) -> _Act:
    dice = rng.random()
    if dice >= _AUTOCAPTURE + _RAGE_CLICK:
        name = rng.choices(page.custom_names, cum_weights=_NAME_WEIGHTS)[0]
        custom = {"plan": rng.choice(("free", "pro", "team")), "amount": rng.randrange(1, 500)}
        return _Act(name, "plan_upgrade_started", page, {**person, **custom})
    element = rng.choices(page.elements, cum_weights=_ELEMENT_WEIGHTS)[0]
    properties = {**person, "$elements_chain": element.chain}
    if element.text is not None:
        properties["$el_text"] = element.text
    if dice >= _AUTOCAPTURE and element.kind == "click":
        return _Act("$rageclick", "$rageclick", page, properties)
    return _Act("$autocapture", f"$autocapture:{element.kind}", page, properties)


def _person(rng: random.Random) -> dict[str, object]:
    number = rng.randrange(_PEOPLE)
    # A device is a person's own, so its id must not depend on when the person is met.
    device = f"01a2074a-16cd-77df-b9a1-{number:012x}"
    if number % 3:
        return {"distinct_id": device, "$device_id": device}
    user = f"user-{number}"
    return {"distinct_id": user, "$user_id": user, "$device_id": device, "$is_identified": True}


def _uuid7(rng: random.Random, moment: int) -> str:
    """A UUID of version 7 (RFC 9562): milliseconds since 1970, then 74 random bits."""
    bits = moment << 80 | rng.getrandbits(80)
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 0x2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _opened(path: Path) -> IO[bytes]:
    """A new file for writing, compressed as its name says."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "wb", compresslevel=6))
    if path.suffix == ".zst":
        return cast("IO[bytes]", zstandard.open(path, "wb"))
    return path.open("wb")


def main(
    out: Annotated[Path, typer.Option(help="FILE.jsonl, FILE.jsonl.gz or FILE.jsonl.zst")],
    events: Annotated[int, typer.Option(min=1, help="how many")] = 200_000,
    seed: Annotated[int, typer.Option(help="another seed gives other events")] = 1,
    hours: Annotated[int, typer.Option(min=1, help="hours that the events cover")] = 6,
    start: Annotated[
        datetime | None,
        typer.Option(help="first hour, UTC; by default the events end with the last full hour"),
    ] = None,
) -> None:
    """Write generated PostHog events to a file, one a line.

    Example: python -m benchmarks.generate --events 200000 --seed 1 --out events.jsonl.zst

    The same --events, --seed, --hours and --start give the same bytes.
    """
    if start is None:
        this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        start = this_hour - timedelta(hours=hours)
    lines = generate_events(events, seed=seed, start=start.replace(tzinfo=UTC), hours=hours)
    try:
        with _opened(out) as file:
            for line in track(lines, "Generating", total=events):
                file.write(line + b"\n")
    except OSError as error:
        sys.exit(f"cannot write {out}: {error.strerror}")


if __name__ == "__main__":
    typer.run(main)
