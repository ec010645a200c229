"""Many browsers that each send one event now and then, to `enrichment-pipeline up` as it is by
default: how soon they are answered, how soon their events are enriched, and whether all are there.
"""

import shutil
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import psutil
from sqlalchemy import text

from benchmarks import http_load
from benchmarks.api import percentiles
from benchmarks.browser_load import Sent, allow_sockets, send
from benchmarks.embedded import freshness, last_batch, up, warm_up
from benchmarks.generate import generate_events
from benchmarks.measure import Report, console, wait_until_stopped
from enrichment_pipeline.ingest.api.tokens import LOCAL_TOKEN
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.windows.books import counted_books

_EVERY_SECONDS = 5
_SPARE_EVENTS = 1.1
_BODIES_AT_ONCE = 1_000

_STORED = text(
    """
    SELECT count(DISTINCT (raw.project, raw.uuid)), count(DISTINCT (done.project, done.uuid))
    FROM raw_event raw LEFT JOIN enriched_event done USING (project, uuid)
    WHERE raw.batch_id > :after
    """
)


def measure(report: Report, home: Path, browsers: int, minutes: float) -> None:
    """Let so many browsers send for so many minutes."""
    allow_sockets(browsers)
    name = f"{browsers:,} browsers"
    with up(home) as here:
        now = datetime.now(UTC)
        warm_up(here.port, now.replace(minute=0, second=0, microsecond=0))
        here.await_idle()
        bodies = _record(home, browsers / _EVERY_SECONDS, 60 * minutes)
        after = last_batch(here.store)
        console.print(f"{name} send …", highlight=False)
        before, began = here.processor_seconds(), time.monotonic()
        sent = send(here.port, bodies, browsers, _EVERY_SECONDS, 60 * minutes)
        passed = time.monotonic() - began
        spent = {kind: total - before[kind] for kind, total in here.processor_seconds().items()}
        spent["sender"] = sent.processor_seconds
        here.await_idle()
        _add_facts(report, name, sent, minutes)
        _add_books(report, name, here.store, sent, after)
        fresh = freshness(here.store, after)
    report.fact(
        f"{name}: acknowledgement to enriched row",
        fresh.shown("p50", "p95", "p99", "longest"),
        "p95 ≤ 5 s",
    )
    report.fact(f"{name}: cores used, of {psutil.cpu_count()}", _cores(spent, passed))
    wait_until_stopped(home)
    shutil.rmtree(home)


def _add_facts(report: Report, name: str, sent: Sent, minutes: float) -> None:
    report.fact(
        f"{name}, one event every {_EVERY_SECONDS} s each on average, for {minutes:g} min",
        f"{sent.sent / minutes / 60:,.0f} requests/s",
    )
    report.fact(f"{name}: acknowledged", percentiles(sent.latencies), "p99 ≤ 120 ms")


def _add_books(report: Report, name: str, store: Store, sent: Sent, after: int) -> None:
    with store.transaction() as connection:
        stored, enriched = connection.execute(_STORED, {"after": after}).one()
        windows = connection.execute(text("SELECT DISTINCT window_start FROM raw_batch")).scalars()
        every = counted_books(connection, windows.all(), store.window)
    report.fact(
        f"{name}: sent, acknowledged, stored, enriched",
        ", ".join(f"{count:,}" for count in (sent.sent, sent.acknowledged, stored, enriched)),
        "alike",
    )
    wrong = sum(not books.balances for books in every)
    report.fact(f"{name}: windows whose books do not balance, row by row", f"{wrong}", "0")
    report.fact(
        f"{name}: errors of HTTP, broken connections", f"{sent.refused}, {sent.broken}", "0, 0"
    )


def _cores(spent: dict[str, float], seconds: float) -> str:
    others = (psutil.cpu_count() or 1) * seconds - sum(spent.values())
    every = {**spent, "all else on the machine": others}
    return ", ".join(f"{kind} {one / seconds:.2f}" for kind, one in every.items())


def _record(home: Path, rate: float, seconds: float) -> Path:
    """Bodies of requests with one event each, of now on, one a line."""
    events = int(rate * seconds * _SPARE_EVENTS) + _BODIES_AT_ONCE
    console.print(f"Recording {events:,} events …", highlight=False)
    # An hour's events at this rate, of which these are the first: their times are those of now.
    hour = generate_events(int(3600 * rate), seed=time.time_ns(), start=datetime.now(UTC), hours=1)
    wanted = islice(hour, events)
    file = home / "bodies"
    with file.open("wb") as out:
        while some := list(islice(wanted, _BODIES_AT_ONCE)):
            out.writelines(body + b"\n" for body in http_load.batches(some, 1, LOCAL_TOKEN))
    return file
