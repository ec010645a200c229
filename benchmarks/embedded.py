"""`enrichment-pipeline up` without a broker, as a part of the bench starts it and watches it.

What is sent to it, and what is asked of it, belongs to the parts.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import psutil
from sqlalchemy import text

from benchmarks import http_load
from benchmarks.generate import generate_events
from benchmarks.measure import free_port
from enrichment_pipeline.cli.services import Services
from enrichment_pipeline.cli.up import running, wait_until
from enrichment_pipeline.ingest.api.tokens import LOCAL_TOKEN
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.claims import queue_depth

NOTES_COMMITS = {"track_commit_timestamp": "on"}
"""The setting of PostgreSQL that `freshness` needs, and the only one that differs from a user's."""

_OURS = ("ENRICHMENT_", "BROKER_URL", "DATABASE_URL")
_WARM_UP_EVENTS = 200
_BATCH = 20
_QUIET_SECONDS = 600
_POLL_SECONDS = 0.5

# Commit to commit, as PostgreSQL wrote them down: the acknowledgement follows the first one, and
# the row can be seen from the second on.
_LATENCY = text(
    """
    SELECT count(*),
        percentile_cont(ARRAY[0.5, 0.95, 0.99, 1.0]) WITHIN GROUP (ORDER BY extract(epoch FROM
            done - taken)::float8),
        extract(epoch FROM max(done) - min(taken))::float8
    FROM (
        SELECT pg_xact_commit_timestamp(raw.xmin) AS taken,
            pg_xact_commit_timestamp(enriched.xmin) AS done
        FROM raw_event raw JOIN enriched_event enriched USING (project, uuid)
        WHERE raw.batch_id > :after
    ) AS event
    """
)


class Freshness(NamedTuple):
    """How soon after their acknowledgement events were enriched, in seconds."""

    events: int
    seconds: float
    """From the first commit of a raw event to the last of an enriched one."""
    p50: float
    p95: float
    p99: float
    longest: float

    def shown(self, *names: str) -> str:
        """These percentiles, for a person."""
        return ", ".join(f"{name} {getattr(self, name):.2f} s" for name in names)


class Up(NamedTuple):
    """All that `up` has started."""

    services: Services
    store: Store
    port: int
    """Of the API."""
    settings: Settings

    def await_idle(self) -> None:
        """Return once nothing waits to be enriched."""
        wait_until(self.services, lambda: is_idle(self.store), "the enrichment")

    def processor_seconds(self) -> dict[str, float]:
        """Processor time until now, by kind of process, of those too that have ended; and what the
        machine had left."""
        found = {name: psutil.Process(one.pid) for name, one in self.services.processes.items()}
        with self.store.transaction() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        postmaster = psutil.Process(pid).parent()
        assert postmaster
        return {
            "API": _spent(found.pop("api")),
            "Dagster": sum(map(_spent, found.values())),
            "PostgreSQL": _spent(postmaster),
            "idle": psutil.cpu_times().idle,
        }


def _spent(process: psutil.Process) -> float:
    # What processes have spent that have ended is counted by those that waited for them.
    seconds = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            seconds += sum(one.cpu_times()[:4])
    return seconds


@contextmanager
def up(home: Path) -> Iterator[Up]:
    """`enrichment-pipeline up` with its defaults, on free ports and with its state in `home`."""
    port = free_port()
    variables = {
        # As variables, because Dagster's processes read them too.
        "ENRICHMENT_HOME": str(home),
        "ENRICHMENT_API_PORT": str(port),
        "ENRICHMENT_UI_PORT": str(free_port()),
    }
    # Without what another benchmark, or whoever runs this one, has set.
    others = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    home.mkdir()
    with (
        patch.dict(os.environ, others | variables, clear=True),
        EmbeddedPostgres(home, NOTES_COMMITS),
    ):
        settings = load_settings()
        with running(settings) as (services, store):
            yield Up(services, store, port, settings)


def warm_up(port: int, start: datetime) -> None:
    """Let every process connect, and partitions be made, before it counts."""
    payloads = list(generate_events(_WARM_UP_EVENTS, seed=time.time_ns(), start=start))
    bodies = http_load.batches(payloads, _BATCH, LOCAL_TOKEN)
    sent = http_load.send_at_once(port, "/batch/", bodies, 1)
    assert sent.refused == 0, sent.refused


def last_batch(store: Store) -> int:
    """The last batch until now, for `freshness`."""
    with store.transaction() as connection:
        found = connection.execute(text("SELECT coalesce(max(id), 0) FROM raw_batch")).scalar_one()
    return int(found)


def freshness(store: Store, after: int) -> Freshness:
    """How soon the events of the batches after this one were enriched."""
    with store.transaction() as connection:
        events, waits, seconds = connection.execute(_LATENCY, {"after": after}).one()
    return Freshness(events, seconds, *waits)


def await_idle(store: Store) -> None:
    """Return once nothing waits to be enriched."""
    deadline = time.monotonic() + _QUIET_SECONDS
    while not is_idle(store):
        assert time.monotonic() < deadline, "the enrichment does not end"
        time.sleep(_POLL_SECONDS)


def is_idle(store: Store) -> bool:
    """Whether nothing waits to be enriched."""
    with store.transaction() as connection:
        return not queue_depth(connection).batches
