"""How the cost grows: the same work in a store that holds ten times the events.

Once with events of the same hours, so that each time goes to places all over the indexes: the worst
case. And once with those of the hour after the last, as traffic comes.
"""

import re
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
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

_HOURS = 6


def measure(
    report: Report,
    store: Store,
    rules: Rules,
    events: int,
    times: int,
    start: datetime,
    *,
    goes_on: bool,
) -> None:
    """Import and enrich the same number of events again and again, each time of the hour after the
    last if time `goes_on`, with inputs that no others have; report the first three times and the
    last three, whose medians one checkpoint does not move."""
    imports, enrichments = [], []
    for number in range(1, times):
        # In the past: nothing comes from the future.
        moment = start + timedelta(hours=number, days=-(times // 24 + 1)) if goes_on else start
        with TemporaryDirectory(prefix="bench-") as folder:
            file = Path(folder) / "more.jsonl"
            hours = 1 if goes_on else _HOURS
            _write(file, generate_events(events, seed=1_000 + number, start=moment, hours=hours))
            imports.append(timed(lambda file=file: import_all(store, file, events), events))
        enrichments.append(timed(lambda: enrich_all(store, rules, events), events))
    if len(imports) < 2:
        return
    more = f"{events:,} more " + ("of the next hour" if goes_on else f"of the same {_HOURS} hours")
    # An event may cost a tenth more than at first.
    for name, rates, target in (("import", imports, None), ("enrichment", enrichments, 0.91)):
        first = Rate(f"{name}, {more}, store at 2x to 4x", events, rates[:3])
        report.add(first)
        last = f"{name}, {more}, store at up to {times}x"
        report.add(Rate(last, events, rates[-3:], against=first.name, target=target))


def _write(file: Path, payloads: Iterable[bytes]) -> None:
    with file.open("wb") as out:
        out.writelines(payload + b"\n" for payload in payloads)


def measure_memory(report: Report, store: Store, few: int, many: int) -> None:
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
