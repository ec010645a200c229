"""(h) One Celery task for each event, as prototypes scale out: it reads the row, classifies it with
our rules, writes the enriched row with the ORM and commits.

Celery is as it comes: its default queue, prefetch and acknowledgement, a process for each core. The
tables are those of `orm_queue`.
"""

import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import msgspec
from celery import Celery
from sqlalchemy import Engine, create_engine, func, insert, select
from sqlalchemy.orm import Session

from benchmarks import orm_queue
from benchmarks.orm_queue import Base, EnrichedEvent, QueuedEvent
from enrichment_pipeline.store.database.engine import Store

EVENTS = 3_000

_DATABASE = "BENCH_DATABASE_URL"
_MOST_SECONDS = 300
_POLL_SECONDS = 0.2
_STOP_SECONDS = 60

app = Celery("benchmarks.celery_per_event", set_as_current=False)


@cache
def _engine() -> Engine:
    """Of this process; first asked for by a task, after the fork."""
    return create_engine(os.environ[_DATABASE])


@app.task
def enrich(event_id: int) -> None:
    """Enrich one event."""
    with Session(_engine()) as session, session.begin():
        orm_queue.enrich(session, session.get_one(QueuedEvent, event_id))


def measure(store: Store, broker_url: str, payloads: list[bytes]) -> float:
    """Events a second over the first 3,000 events, from the first enriched row to the last one: the
    start of the worker and the publishing of the tasks are not counted."""
    Base.metadata.drop_all(store.engine)
    Base.metadata.create_all(store.engine)
    app.conf.broker_url = broker_url
    for event_id in _insert(store, payloads[:EVENTS]):
        enrich.delay(event_id)
    environment = {
        "PATH": "/usr/bin:/bin",
        _DATABASE: store.engine.url.render_as_string(hide_password=False),
    }
    celery = str(Path(sys.executable).with_name("celery"))
    worker = subprocess.Popen(
        [celery, "--app", __name__, "--broker", broker_url, "worker", "--loglevel", "ERROR"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_all(store, worker, len(payloads[:EVENTS]))
    finally:
        worker.terminate()
        worker.wait(_STOP_SECONDS)
    rate = _rate(store)
    Base.metadata.drop_all(store.engine)
    return rate


def _insert(store: Store, payloads: list[bytes]) -> list[int]:
    events = [msgspec.json.decode(payload) for payload in payloads]
    with store.transaction() as connection:
        connection.execute(
            insert(QueuedEvent),
            [
                {
                    "event": event["event"],
                    "distinct_id": event["distinct_id"],
                    "payload": event,
                    "status": "pending",
                }
                for event in events
            ],
        )
        return list(connection.execute(select(QueuedEvent.id).order_by(QueuedEvent.id)).scalars())


def _await_all(store: Store, worker: "subprocess.Popen[bytes]", events: int) -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    while _enriched(store) < events:
        assert worker.poll() is None, "the worker ended"
        assert time.monotonic() < deadline, "the tasks do not end"
        time.sleep(_POLL_SECONDS)


def _enriched(store: Store) -> int:
    with store.transaction() as connection:
        return connection.execute(select(func.count()).select_from(EnrichedEvent)).scalar_one()


def _rate(store: Store) -> float:
    moment = EnrichedEvent.enriched_at
    with store.transaction() as connection:
        query = select(func.count(), func.min(moment), func.max(moment))
        count, first, last = connection.execute(query).one()
    return float((count - 1) / (last - first).total_seconds())
