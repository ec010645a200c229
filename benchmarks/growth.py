"""How the cost grows: the same work in a store that holds ten times the events."""

import re
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import text

from benchmarks.enriching import enrich_all, reset
from benchmarks.generate import generate_events
from benchmarks.loading import import_all
from benchmarks.measure import Rate, Report, timed
from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, connect_store


def measure(
    report: Report, store: Store, rules: Rules, events: int, times: int, start: datetime
) -> None:
    """Import and enrich the same number of events again and again; report the first three times and
    the last three, whose medians one checkpoint does not move."""
    imports, enrichments = [], []
    for number in range(1, times):
        with TemporaryDirectory(prefix="bench-") as folder:
            file = Path(folder) / "more.jsonl"
            with file.open("wb") as out:
                for payload in generate_events(events, seed=1_000 + number, start=start):
                    out.write(payload + b"\n")
            imports.append(timed(lambda file=file: import_all(store, file, events), events))
        enrichments.append(timed(lambda: enrich_all(store, rules, events), events))
    if len(imports) < 2:
        return
    # Each time has inputs that no other has; an event may cost a tenth more than at first.
    for name, rates, target in (("import", imports, None), ("enrichment", enrichments, 0.91)):
        first = Rate(f"{name}, {events:,} more, store at 2x to 4x", events, rates[:3])
        report.add(first)
        last = f"{name}, {events:,} more, store at up to {times}x"
        report.add(Rate(last, events, rates[-3:], against=first.name, target=target))
    _measure_memory(report, store, events, events * times)


def _measure_memory(report: Report, store: Store, few: int, many: int) -> None:
    """Peak memory of a process that enriches few events, and of one that enriches many."""
    for count in (few, many):
        reset(store)
        with store.transaction() as connection:
            connection.execute(
                text(
                    """
                    UPDATE raw_batch SET state = 'enriched' WHERE id IN (
                        SELECT id FROM (
                            SELECT id, sum(event_count) OVER (ORDER BY id) AS so_far FROM raw_batch
                        ) AS counted WHERE so_far > :count
                    )
                    """
                ),
                {"count": count},
            )
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            enriched, peak = pool.submit(_enrich_in_child, store.settings).result()
        report.fact(f"peak memory of enriching {enriched:,} events", f"{peak:,.0f} MB", "flat")


def _enrich_in_child(settings: Settings) -> tuple[int, float]:
    store = connect_store(settings)
    events = enrich_due(store, load_rules()).events
    # Not getrusage: a process that was just started counts its parent's memory as its own peak.
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return events, int(peak) / 1024
