"""Fresh events while dead letters are replayed: how long they wait until they are enriched, with a
replay of many letters beside them and without."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import quantiles

from sqlalchemy import text

from benchmarks.generate import generate_events
from benchmarks.measure import Report
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import Arrival, parse_event
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.poison import IS_BAD, poisoned

_BATCH = 100
_EVERY_SECONDS = 0.1
_PAUSE_SECONDS = 0.02
_SECONDS = 20
_NAME = "a bad event"


def measure(report: Report, store: Store, rules: Rules, letters: int, start: datetime) -> None:
    """Measure the wait of fresh events alone, then beside the replay of so many letters."""
    _make_letters(store, rules, letters, start)
    with _worker(store, rules):
        alone = _waits(store, start, seed=11)
        began = time.monotonic()
        replay = subprocess.Popen(
            [
                Path(sys.executable).with_name("enrichment-pipeline"),
                *("dead-letters", "replay", "--all", "--yes"),
            ],
            env={"PATH": "/usr/bin:/bin", "ENRICHMENT_HOME": str(store.settings.home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        beside = _waits(store, start, seed=12)
        still_at_work = replay.poll() is None
        assert replay.wait(600) == 0
    seconds = time.monotonic() - began
    left = _open_letters(store)
    assert left == 0, left
    report.fact("fresh events until enriched, p50 and p95", _percentiles(alone))
    report.fact(
        f"the same beside a replay of {letters:,} letters"
        + ("" if still_at_work else " (which ended before)"),
        _percentiles(beside),
        "as before",
    )
    report.fact("the replay", f"{letters / seconds:,.0f} letters/s (limit 2,000), 0 left")


def _make_letters(store: Store, rules: Rules, letters: int, start: datetime) -> None:
    bad = poisoned(rules, **{_NAME: IS_BAD})
    for first in range(0, letters, 10_000):
        payloads = generate_events(min(10_000, letters - first), seed=500 + first, start=start)
        events = [parse_event(payload, "bench", Arrival(start)) for payload in payloads]
        named = [
            event._replace(
                event=_NAME,
                input_key=event.uuid,
                inputs=event.inputs._replace(event=_NAME),
            )
            for event in events
        ]
        load_events(store, named, [], "bench")
    enrich_due(store, bad)
    assert _open_letters(store) == letters


def _open_letters(store: Store) -> int:
    with store.transaction() as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM dead_letter WHERE state <> 'resolved'")
            ).scalar_one()
        )


@contextmanager
def _worker(store: Store, rules: Rules) -> Iterator[None]:
    """Enriches what comes due."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(_PAUSE_SECONDS):
            enrich_due(store, rules)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _waits(store: Store, start: datetime, seed: int) -> list[float]:
    """Seconds from the commit of each small batch until it is enriched."""
    number = int(_SECONDS / _EVERY_SECONDS)
    payloads = list(generate_events(number * _BATCH, seed=seed, start=start))
    events = [parse_event(payload, "bench", Arrival(start)) for payload in payloads]
    with store.transaction() as connection:
        newest = connection.execute(text("SELECT max(id) FROM raw_batch")).scalar_one()
    for index in range(number):
        began = time.monotonic()
        load_events(store, events[index * _BATCH : (index + 1) * _BATCH], [], "bench")
        time.sleep(max(0.0, _EVERY_SECONDS - (time.monotonic() - began)))
    with store.transaction() as connection:
        rows = connection.execute(
            text(
                """
                SELECT extract(epoch FROM finished_at - created_at) FROM raw_batch
                WHERE id > :newest AND source = 'bench' AND finished_at IS NOT NULL
                """
            ),
            {"newest": newest},
        )
        return [float(row[0]) for row in rows]


def _percentiles(waits: list[float]) -> str:
    cuts = quantiles(waits, n=100)
    return f"{1_000 * cuts[49]:.0f} ms, {1_000 * cuts[94]:.0f} ms"
