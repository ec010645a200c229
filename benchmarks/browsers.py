"""Many browsers that each send one event now and then, to `enrichment-pipeline up` as it is by
default: how soon they are answered, how soon their events are enriched, and whether all are there.

Each browser is a connection that stays open. It sends a request with one event, waits for the
answer, and sends the next one after a random time (exponential, so that none knows of another).
So the rate is what the browsers make it, however slow the answers are.
"""

import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import psutil
from sqlalchemy import text

from benchmarks import http_load
from benchmarks.embedded import Up, freshness, last_batch, up, warm_up
from benchmarks.generate import generate_events
from benchmarks.measure import Report, console, wait_until_stopped
from enrichment_pipeline.ingest.api.tokens import LOCAL_TOKEN
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.windows.books import counted_books

_EVERY_SECONDS = 5
_THREADS = 8  # wrk looks through all waiting connections of a thread for each event of one
_SILENT_SECONDS = 5
_SPARE_EVENTS = 1.1
_SPARE_SOCKETS = 1_000
_SCRIPT = Path(__file__).with_name("browsers.lua")

_STORED = text(
    """
    SELECT count(DISTINCT (raw.project, raw.uuid)), count(DISTINCT (done.project, done.uuid))
    FROM raw_event raw LEFT JOIN enriched_event done USING (project, uuid)
    WHERE raw.batch_id > :after
    """
)


class _Sent(NamedTuple):
    """What wrk reports."""

    sent: int
    answered: int
    refused: int
    """Answered with an error."""
    broken: int
    """Connections that were refused or ended."""
    p50: int
    """Microseconds from a request to its answer."""
    p99: int
    p999: int


def measure(report: Report, home: Path, browsers: int, minutes: float) -> None:
    """Let so many browsers send for so many minutes."""
    _allow_sockets(browsers + _SPARE_SOCKETS)
    seconds = 60 * minutes
    name = f"{browsers:,} browsers"
    with up(home) as here:
        now = datetime.now(UTC)
        warm_up(here.port, now.replace(minute=0, second=0, microsecond=0))
        here.await_idle()
        bodies = _record(home, browsers / _EVERY_SECONDS, seconds)
        after = last_batch(here.store)
        console.print(f"{name} send …", highlight=False)
        before, began = _spent(here), time.monotonic()
        sent = _send(here.port, bodies, browsers, seconds)
        passed = time.monotonic() - began
        spent = {kind: total - before[kind] for kind, total in _spent(here).items()}
        here.await_idle()
        _add_facts(report, name, sent, minutes)
        _add_books(report, name, here.store, sent, after)
        fresh = freshness(here.store, after)
    report.fact(
        f"{name}: acknowledgement to enriched row",
        fresh.shown("p50", "p95", "p99", "longest"),
        "p95 ≤ 5 s",
    )
    cores = ", ".join(f"{kind} {one / passed:.2f}" for kind, one in spent.items())
    report.fact(f"{name}: cores used, of {psutil.cpu_count()}", cores)
    wait_until_stopped(home)
    shutil.rmtree(home)


def _add_facts(report: Report, name: str, sent: _Sent, minutes: float) -> None:
    report.fact(
        f"{name}, one event every {_EVERY_SECONDS} s each on average, for {minutes:g} min",
        f"{sent.sent / minutes / 60:,.0f} requests/s",
    )
    shown = {"p50": sent.p50, "p99": sent.p99, "p99.9": sent.p999}
    report.fact(
        f"{name}: acknowledged",
        ", ".join(f"{place} {1e-3 * spent:,.0f} ms" for place, spent in shown.items()),
        "p99 ≤ 120 ms",
    )


def _add_books(report: Report, name: str, store: Store, sent: _Sent, after: int) -> None:
    with store.transaction() as connection:
        stored, enriched = connection.execute(_STORED, {"after": after}).one()
        windows = connection.execute(text("SELECT DISTINCT window_start FROM raw_batch")).scalars()
        every = counted_books(connection, windows.all(), store.window)
    report.fact(
        f"{name}: sent, acknowledged, stored, enriched",
        ", ".join(f"{count:,}" for count in (sent.sent, sent.answered, stored, enriched)),
        "alike",
    )
    wrong = sum(not books.balances for books in every)
    report.fact(f"{name}: windows whose books do not balance, row by row", f"{wrong}", "0")
    report.fact(
        f"{name}: errors of HTTP, broken connections", f"{sent.refused}, {sent.broken}", "0, 0"
    )


def _allow_sockets(count: int) -> None:
    """Let this process, and what it starts, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= count, f"ulimit -Hn {hard}: {count} are needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def _record(home: Path, rate: float, seconds: float) -> Path:
    """Bodies of requests with one event each, of now on; a file for each thread."""
    events = int(rate * seconds * _SPARE_EVENTS) + 100 * _THREADS
    console.print(f"Recording {events:,} events …", highlight=False)
    # An hour's events at this rate, of which these are the first: their times are those of now.
    hour = generate_events(int(3600 * rate), seed=time.time_ns(), start=datetime.now(UTC), hours=1)
    start = home / "bodies-"
    for number in range(_THREADS):
        with Path(f"{start}{number + 1}").open("wb") as file:
            for body in _bodies(islice(hour, events // _THREADS)):
                file.write(body + b"\n")
    return start


def _bodies(payloads: Iterator[bytes]) -> Iterator[bytes]:
    return iter(http_load.batches(list(payloads), 1, LOCAL_TOKEN))


def _send(port: int, bodies: Path, browsers: int, seconds: float) -> _Sent:
    command = [
        *(http_load.wrk(), "--threads", str(_THREADS), "--connections", str(browsers)),
        *("--duration", f"{int(seconds) + _SILENT_SECONDS}s", "--timeout", "30s"),
        *("--script", str(_SCRIPT), f"http://127.0.0.1:{port}/batch/", "--", str(bodies)),
        *(str(1_000 * _EVERY_SECONDS), str(1_000 * seconds)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return _Sent(*map(int, done.stdout.partition("RESULT ")[2].split()))


def _spent(here: Up) -> dict[str, float]:
    """Processor time until now, by kind of process; wrk's too."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {**here.processor_seconds(), "sender": ended.ru_utime + ended.ru_stime}
