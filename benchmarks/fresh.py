"""How soon an event is enriched under `enrichment-pipeline up` as it is by default: single events,
one after the other, from the acknowledgement to the enriched row."""

import shutil
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from benchmarks import http_load
from benchmarks.embedded import freshness, last_batch, up, warm_up
from benchmarks.generate import generate_events
from benchmarks.measure import Report, console, wait_until_stopped
from enrichment_pipeline.ingest.api.tokens import LOCAL_TOKEN

_EVERY_SECONDS = 1.7  # not in step with what looks twice a second


def measure(report: Report, home: Path, events: int) -> None:
    """Send so many events, one at a time."""
    with up(home) as here:
        now = datetime.now(UTC)
        warm_up(here.port, now.replace(minute=0, second=0, microsecond=0))
        here.await_idle()
        after = last_batch(here.store)
        # The first of an hour's, so that their times are those of now.
        hour = generate_events(int(3600 / _EVERY_SECONDS), start=now, hours=1, seed=now.microsecond)
        bodies = http_load.batches(list(islice(hour, events)), 1, LOCAL_TOKEN)
        requests = [http_load.request("/batch/", body, here.port) for body in bodies]
        console.print(f"Sending {events:,} events, one every {_EVERY_SECONDS} s …", highlight=False)
        sent = http_load.send_here(here.port, requests, 1, 1 / _EVERY_SECONDS)
        assert sent.acknowledged == events, sent.refused
        here.await_idle()
        fresh = freshness(here.store, after)
    assert fresh.events == events, fresh
    report.fact(
        f"embedded mode, {events:,} events, one every {_EVERY_SECONDS} s: "
        "acknowledgement to enriched row",
        fresh.shown("p50", "p95", "longest"),
        "p95 ≤ 5 s",
    )
    wait_until_stopped(home)
    shutil.rmtree(home)
