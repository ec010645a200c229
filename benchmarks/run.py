"""`make bench`: ours, the limit and the peers in one run, on the same events; prints tables and
writes JSON. `make bench PART="enrich api"` measures some of it."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import (
    api,
    backlog,
    browsers,
    enriching,
    footprint,
    fresh,
    growth,
    in_memory,
    loading,
    replaying,
    scaled,
    sensor,
    sessions,
    tokens,
)
from benchmarks.generate import generate_events
from benchmarks.measure import RESULTS, Report, console, wait_until_stopped
from benchmarks.parts import TITLES
from benchmarks.show import print_run
from enrichment_pipeline.classification import load_rules
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline_tests.workers.parts.rabbitmq import RabbitMQPart


class Bench:
    """One run: its events, its folder, and what it has measured. Each part is a method, and has a
    store of its own."""

    def __init__(self, report: Report, home: Path, events: int, seed: int, rounds: int) -> None:
        self.report = report
        self._home = home
        self._events = events
        self._rounds = rounds
        self._start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self._start -= timedelta(hours=8)
        self._rules = load_rules()
        console.print(f"Generating {events:,} events …", highlight=False)
        self._payloads = list(generate_events(events, seed=seed, start=self._start))
        self._file = home / "events.jsonl"
        self._file.write_bytes(b"\n".join(self._payloads) + b"\n")

    @contextmanager
    def _store(self, name: str) -> Iterator[Store]:
        with opened_store(Settings(home=self._home / name)) as store:
            yield store
        wait_until_stopped(self._home / name)

    def classify(self) -> None:
        """Classifying in memory."""
        size = sum(map(len, self._payloads)) / self._events
        self.report.fact("bytes of an event", f"{size:,.0f}")
        in_memory.measure(self.report, self._payloads, self._rounds)

    def tokens(self) -> None:
        """Tokens of timelines."""
        tokens.measure(self.report, self._rules)

    def footprint(self) -> None:
        """Bytes on disk and in the log."""
        with self._store("footprint") as store:
            footprint.measure(self.report, store, self._rules, self._file, self._events)

    def load(self) -> None:
        """Import."""
        with self._store("load") as store:
            loading.measure(self.report, store, self._file, self._payloads, self._rounds)

    def enrich(self) -> None:
        """Enrichment, cold and warm."""
        with self._store("enrich") as store:
            loading.import_all(store, self._file, self._events)
            enriching.measure(self.report, store, self._rules, self._rounds, self._payloads)

    def grow(self, times: int) -> None:
        """The same in a store that grows."""
        events, rules = self._events, self._rules
        for goes_on in (False, True):
            with self._store("grow_on" if goes_on else "grow") as store:
                loading.import_all(store, self._file, events)
                enriching.enrich_all(store, rules, events)
                growth.measure(
                    self.report, store, rules, events, times, self._start, goes_on=goes_on
                )
                if goes_on:
                    growth.measure_memory(self.report, store, events, events * times)

    def api(self, soak: float) -> None:
        """The API under load."""
        with self._store("api") as store:
            api.measure(self.report, store, self._events, self._rounds, self._start, soak)

    def sessions(self, events: int) -> None:
        """Timelines of sessions."""
        with self._store("sessions") as store:
            sessions.measure(self.report, store, self._rules, events, self._rounds)

    def replay(self, letters: int) -> None:
        """Replaying dead letters."""
        with self._store("replay") as store:
            replaying.measure(self.report, store, self._rules, letters, self._start)

    def windows(self, windows: int) -> None:
        """Due windows, by Dagster."""
        sensor.measure(self.report, self._home / "sensor", windows)
        wait_until_stopped(self._home / "sensor")

    def fresh(self, events: int) -> None:
        """From the acknowledgement to the enriched row, embedded."""
        fresh.measure(self.report, self._home / "fresh", events)

    def browsers(self, count: int, minutes: float) -> None:
        """Many browsers, one event now and then."""
        browsers.measure(self.report, self._home / "browsers", count, minutes)

    def scaled(self, minutes: float) -> None:
        """API, broker and workers."""
        if self._has_broker():
            scaled.measure(self.report, self._home, minutes, self._payloads, self._start)

    def backlog(self, waiting: int, deep: int) -> None:
        """A backlog, drained by one worker and by two."""
        if self._has_broker():
            backlog.measure(self.report, self._home / "backlog", waiting, deep, self._start)

    def _has_broker(self) -> bool:
        missing = RabbitMQPart.cannot()
        if missing:
            self.report.fact("the scaled mode, left out", missing)
        return not missing


def main(
    part: Annotated[
        list[str] | None, typer.Argument(help="Only these parts; unset: all.", show_default=False)
    ] = None,
    events: Annotated[int, typer.Option(help="Events to measure with.")] = 200_000,
    rounds: Annotated[int, typer.Option(help="Rounds of each form, in turn.")] = 3,
    times: Annotated[int, typer.Option(help="Grow the store to so many times the events.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the generator.")] = 1,
    windows: Annotated[int, typer.Option(help="Due windows for the sensor.")] = 50,
    letters: Annotated[int, typer.Option(help="Letters to replay.")] = 100_000,
    soak: Annotated[float, typer.Option(help="Minutes of the API's soak; 0: leave out.")] = 10,
    fresh_events: Annotated[
        int, typer.Option("--fresh", help="Events sent one at a time to the embedded mode.")
    ] = 60,
    browsers_of: Annotated[
        int, typer.Option("--browsers", help="Browsers that send an event every 5 s.")
    ] = 10_000,
    browser_minutes: Annotated[float, typer.Option(help="Minutes for which they do.")] = 2,
    scaled_minutes: Annotated[float, typer.Option(help="Minutes of load on the scaled mode.")] = 5,
    waiting: Annotated[
        int, typer.Option("--backlog", help="Events that one worker and two drain; 0: leave out.")
    ] = 1_000_000,
    deep: Annotated[
        int, typer.Option("--deep-backlog", help="The same of a deep backlog; some 15 GB.")
    ] = 5_000_000,
    sessions_of: Annotated[
        int, typer.Option("--sessions", help="Events that become timelines.")
    ] = 1_000_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small, in some minutes: ratios of one round.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = RESULTS / "bench.json",
) -> None:
    """Measure ours, the limit and the peers side by side, on a PostgreSQL of its own with fsync on.

    Parts: classify, tokens, footprint, load, enrich, grow, api, sessions, replay, windows, fresh,
    browsers, scaled, backlog.

    Examples: python -m benchmarks enrich, python -m benchmarks --quick
    """
    if quick:
        events, rounds, times, windows, letters = 20_000, 1, 2, 10, 5_000
        soak, scaled_minutes, waiting, deep, sessions_of = 0, 0.2, 40_000, 0, 40_000
        fresh_events, browsers_of, browser_minutes = 10, 1_000, 0.2
    settings = {"events": events, "rounds": rounds, "times": times, "seed": seed, "quick": quick}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        report = Report(settings)
        wanted = _wanted(part or [])
        bench = Bench(report, Path(folder), events, seed, rounds)
        parts: dict[str, Callable[[], None]] = {
            "classify": bench.classify,
            "tokens": bench.tokens,
            "footprint": bench.footprint,
            "load": bench.load,
            "enrich": bench.enrich,
            "grow": lambda: bench.grow(times),
            "api": lambda: bench.api(soak),
            "sessions": lambda: bench.sessions(sessions_of),
            "replay": lambda: bench.replay(letters),
            "windows": lambda: bench.windows(windows),
            "fresh": lambda: bench.fresh(fresh_events),
            "browsers": lambda: bench.browsers(browsers_of, browser_minutes),
            "scaled": lambda: bench.scaled(scaled_minutes),
            "backlog": lambda: bench.backlog(waiting, deep),
        }
        for name in wanted:
            report.begin(name)
            parts[name]()
            # After each part: a run that is ended keeps what it has measured.
            report.write(out)
    print_run(report.content())
    console.print(f"Written to {out}")


def _wanted(named: list[str]) -> list[str]:
    if unknown := sorted(set(named) - set(TITLES)):
        sys.exit(f"no part {', '.join(unknown)}; the parts are {', '.join(TITLES)}")
    return [name for name in TITLES if not named or name in named]


def run() -> None:
    """Measure what the command line names."""
    typer.run(main)
