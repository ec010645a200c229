"""How the cost grows: the same work in a store that holds ten times the events."""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.enriching import enrich_all
from benchmarks.generate import generate_events
from benchmarks.loading import import_all
from benchmarks.measure import Rate, Report, timed
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.engine import Store


def measure(
    report: Report, store: Store, rules: Rules, events: int, times: int, start: datetime
) -> None:
    """Import and enrich the same number of events again and again; tell the first and the last."""
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
    for name, rates in (("import", imports), ("enrichment", enrichments)):
        second = Rate(f"{name}, {events:,} more, store at 2x", events, rates[:1])
        report.add(second)
        report.add(
            Rate(
                f"{name}, {events:,} more, store at {times}x",
                events,
                rates[-1:],
                against=second.name,
            )
        )
