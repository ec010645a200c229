"""From the sensor's tick to enriched windows: many due windows, side by side and scattered, through
the real webserver, daemon and code server."""

import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from benchmarks.measure import Report, free_port
from enrichment_pipeline.cli.up import running, wait_until
from enrichment_pipeline.events.raw_event import Arrival, parse_event
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.books import books
from enrichment_pipeline.wording import counted

_EVENTS_A_WINDOW = 20


def measure(report: Report, home: Path, windows: int) -> None:
    """Load events into so many windows at once, and see how long Dagster takes."""
    open_window = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    first = open_window - timedelta(hours=4 * windows)
    # As variables, because Dagster's processes read them too.
    os.environ["ENRICHMENT_HOME"] = str(home)
    os.environ["ENRICHMENT_SENSOR_SECONDS"] = "5"
    os.environ["ENRICHMENT_UI_PORT"] = str(free_port())
    os.environ["ENRICHMENT_API_PORT"] = str(free_port())
    settings = load_settings()
    with running(settings) as (services, store):
        for name, step in (("side by side", 1), ("scattered", 3)):
            _load(store, [first + timedelta(hours=step * number) for number in range(windows)])
            before = datetime.now(UTC).timestamp()
            wait_until(services, lambda: not _pending(store), "the enrichment")
            wait_until(services, lambda: not _unfinished(home), "the runs")
            seconds, runs = _tick_to_end(home, before)
            report.fact(
                f"{windows} due windows, {name}: tick to last run's end",
                f"{seconds:.1f} s ({counted(runs, 'run')})",
                "< 10 s",
            )


def _load(store: Store, windows: list[datetime]) -> None:
    for window in windows:
        events = [
            parse_event(_event(window + timedelta(seconds=number)), "bench", Arrival(window))
            for number in range(_EVENTS_A_WINDOW)
        ]
        load_events(store, events, [], "bench")


def _event(at: datetime) -> bytes:
    return json.dumps(
        {
            "uuid": str(uuid.uuid4()),
            "event": "$pageview",
            "distinct_id": "bench",
            "timestamp": at.isoformat(),
            "properties": {"$pathname": "/pricing"},
        }
    ).encode()


def _pending(store: Store) -> int:
    with store.transaction() as connection:
        return sum(window.pending for window in books(connection))


def _unfinished(home: Path) -> bool:
    """Whether there was no run yet, or one has not ended."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        runs = instance.get_runs()
    return not runs or any(not run.is_finished for run in runs)


def _tick_to_end(home: Path, after: float) -> tuple[float, int]:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        records = [
            record
            for record in instance.get_run_records()
            if record.create_timestamp.timestamp() > after
        ]
    tick = min(record.create_timestamp.timestamp() for record in records)
    return max(record.end_time or 0.0 for record in records) - tick, len(records)
