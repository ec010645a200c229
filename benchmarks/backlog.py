"""A backlog and the workers that drain it: two against one, what limits them, and whether an event
costs more where more of them wait.

The backlog is as the API leaves one: small batches. Its first events are loaded as the API loads
them, the others are copies of those under new uuids. So all inputs are known to the rules; and the
keys of the copies are left out, which enrichment does not look at.
"""

import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

import psutil
from sqlalchemy import Connection, text

from benchmarks.generate import generate_events
from benchmarks.measure import Rate, Report, console, wait_until_stopped
from benchmarks.scaled import CELERY, ORM, Stage, Workers, staged
from enrichment_pipeline.classification import load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import Arrival, parse_event
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.tables import raw_event
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.choosing import broker_at
from enrichment_pipeline.workers.notifying import notify

_FIRST_EVENTS = 100_000
_COMMIT_EVENTS = 100
_ROUNDS = 2
_DEEP_WORKERS = 2
_SAMPLE_SECONDS = 0.1
_TOP = 6

_COPIED = ", ".join(
    column.name for column in raw_event.c if column.name not in {"batch_id", "uuid"}
)

_COPY_BATCHES = text(
    """
    INSERT INTO raw_batch (id, window_start, source, state, event_count, due_at)
    SELECT id + :shift, window_start, source, 'pending', event_count, due_at
    FROM raw_batch WHERE id <= :first
    """
)
_COPY_EVENTS = text(
    f"""
    INSERT INTO raw_event (batch_id, uuid, {_COPIED})
    SELECT batch_id + :shift, gen_random_uuid(), {_COPIED} FROM raw_event WHERE batch_id <= :first
    """
)

_SIZE = text(
    """
    SELECT max(id) FILTER (WHERE so_far <= :first), max(so_far)::bigint
    FROM (SELECT id, sum(event_count) OVER (ORDER BY id) AS so_far FROM raw_batch) AS counted
    """
)

_COMMITS = text(
    """
    SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS done, sum(event_count)
    FROM raw_batch WHERE state = 'enriched' GROUP BY done ORDER BY done
    """
)

_BUSY = text(
    """
    SELECT CASE
            WHEN state = 'active' THEN coalesce(wait_event_type || ':' || wait_event, 'running')
            ELSE 'waiting for the worker'
        END,
        query
    FROM pg_stat_activity
    WHERE state IN ('active', 'idle in transaction') AND backend_type = 'client backend'
        AND datname = current_database() AND pid <> pg_backend_pid()
    """
)


class Drain(NamedTuple):
    """How a backlog was drained."""

    began: float
    commits: Sequence[tuple[float, int]]
    """Moment and events of each transaction, in order."""

    @property
    def events(self) -> int:
        """All of them."""
        return sum(events for _, events in self.commits)

    @property
    def seconds(self) -> float:
        """From the notification to the last commit."""
        return self.commits[-1][0] - self.began

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    def fifths(self) -> list[float]:
        """Events a second over each fifth of the events, as near as the commits divide them."""
        rates: list[float] = []
        since, before, so_far = self.began, 0, 0
        for moment, events in self.commits:
            so_far += events
            if 5 * so_far >= (len(rates) + 1) * self.events:
                rates.append((so_far - before) / (moment - since))
                since, before = moment, so_far
        return rates


class Profile:
    """What PostgreSQL's backends, the cores and the workers' memory do in the block."""

    def __init__(self, store: Store, workers: Workers) -> None:
        self.doing: Counter[str] = Counter()
        """Samples of what a backend was running, or waiting for."""
        self.statements: Counter[str] = Counter()
        """Samples of the statements that ran then, by their first words."""
        self.memory: list[float] = []
        """Resident megabytes of the largest process of a worker, sample by sample."""
        self.cores: Mapping[str, float] = {}
        """How many cores each kind of process had on average."""
        self._store = store
        self._workers = workers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._before = _cpu_seconds(self._store, self._workers)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        after = _cpu_seconds(self._store, self._workers)
        spent = Counter(after)
        spent.subtract(self._before)
        passed = spent.pop("time")
        self.cores = {kind: seconds / passed for kind, seconds in spent.items()}

    def _sample(self) -> None:
        processes = self._workers.processes()
        while not self._stop.wait(_SAMPLE_SECONDS):
            with self._store.transaction() as connection:
                for doing, query in connection.execute(_BUSY):
                    self.doing[doing] += 1
                    self.statements[" ".join(query.split()[:3])] += 1
            self.memory.append(max(one.memory_info().rss for one in processes) / 1024**2)


def _cpu_seconds(store: Store, workers: Workers) -> dict[str, float]:
    """Seconds of the processors that were spent until now, by kind of process, and the time."""
    seconds: Counter[str] = Counter()
    with store.transaction() as connection:
        for kind, process in _processes(connection, workers):
            times = process.cpu_times()
            seconds[kind] += times.user + times.system
    machine = psutil.cpu_times()
    seconds["waiting for the disk"] = machine.iowait
    seconds["idle"] = machine.idle
    seconds["taken by the host"] = machine.steal
    known = sum(seconds.values())
    seconds["all else on the machine"] = sum(machine) - machine.guest - machine.guest_nice - known
    seconds["time"] = sum(machine) / psutil.cpu_count()
    return seconds


def _processes(connection: Connection, workers: Workers) -> Iterator[tuple[str, psutil.Process]]:
    yield from (("workers", process) for process in workers.processes())
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    postmaster = psutil.Process(pid).parent()
    assert postmaster
    for process in (postmaster, *postmaster.children()):
        with suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            # They come and go; their time is among all else.
            if "autovacuum worker" not in title:
                yield f"PostgreSQL, {'backends' if '[local]' in title else 'its own'}", process
    for process in psutil.Process().children(recursive=True):
        if process.name() == "beam.smp":
            yield "RabbitMQ", process


def measure(report: Report, home: Path, backlog: int, deep: int, start: datetime) -> None:
    """Measure one worker and two on one backlog, then a deep one; 0 leaves out either."""
    with staged(home) as stage:
        _load_first(stage.store, start)
        if backlog:
            _grow(stage.store, backlog)
            _compare(report, stage)
        if deep:
            _grow(stage.store, deep)
            _measure_deep(report, stage)
    wait_until_stopped(home)
    shutil.rmtree(home)


def _compare(report: Report, stage: Stage) -> None:
    drains: dict[int, list[Drain]] = {1: [], 2: []}
    profiles: dict[int, Profile] = {}
    for _ in range(_ROUNDS):
        for count, done in drains.items():
            drain, profiles[count] = _drain(stage, count)
            done.append(drain)
    one, two = ([drain.rate for drain in done] for done in drains.values())
    events = drains[1][0].events
    name = f"backlog of {events:,}, one worker"
    report.add(Rate(name, events, one))
    report.add(Rate(f"backlog of {events:,}, two workers", events, two, against=name, target=1.6))
    report.add(Rate(f"{name}, again", events, one, against=ORM, target=100))
    report.add(Rate(f"{name}, once more", events, one, against=CELERY, target=100))
    for count, profile in profiles.items():
        _add_profile(report, f"backlog of {events:,}, workers: {count}", profile)


def _measure_deep(report: Report, stage: Stage) -> None:
    drain, profile = _drain(stage, _DEEP_WORKERS)
    name = f"backlog of {drain.events:,}, workers: {_DEEP_WORKERS}"
    fifths = drain.fifths()
    first = Rate(f"{name}, the first fifth", drain.events // 5, fifths[:1])
    report.add(first)
    last = f"{name}, the last fifth"
    report.add(Rate(last, drain.events // 5, fifths[-1:], against=first.name, target=1))
    rates = ", ".join(f"{rate:,.0f}" for rate in fifths)
    report.fact(f"{name}: events/s of each fifth", rates, "steady")
    report.fact(f"{name}: all drained", f"{drain.seconds:,.1f} s")
    places = [number * (len(profile.memory) - 1) // 4 for number in range(1, 5)]
    report.fact(
        f"{name}: resident MB of a worker, after each quarter of the time",
        ", ".join(f"{profile.memory[place]:,.0f}" for place in places),
        "flat",
    )
    _add_profile(report, name, profile)


def _add_profile(report: Report, name: str, profile: Profile) -> None:
    cores = ", ".join(f"{kind} {count:.2f}" for kind, count in profile.cores.items())
    report.fact(f"{name}: cores used, of {psutil.cpu_count()}", cores)
    report.fact(f"{name}: what backends do", _shares(profile.doing))
    report.fact(f"{name}: in which statements", _shares(profile.statements))


def _shares(samples: Counter[str]) -> str:
    total = samples.total()
    return ", ".join(f"{name} {count / total:.0%}" for name, count in samples.most_common(_TOP))


def _drain(stage: Stage, count: int) -> tuple[Drain, Profile]:
    """Let so many workers drain everything."""
    store = stage.store
    events = _make_due(store)
    console.print(f"Draining {events:,} events, workers: {count} …", highlight=False)
    app = celery_app(broker_at(stage.broker_url))
    with stage.workers(count) as workers, Profile(store, workers) as profile:
        with store.transaction() as connection:
            now = text("SELECT extract(epoch FROM clock_timestamp())::float8")
            began = connection.execute(now).scalar_one()
        # One message each: whoever finds more after a turn notifies again.
        for _ in range(count):
            notify(app, [])
        _await_events(workers, events)
    app.close()
    with store.transaction() as connection:
        drain = Drain(began, [(row[0], int(row[1])) for row in connection.execute(_COMMITS)])
        written = connection.execute(text("SELECT count(*) FROM enriched_event")).scalar_one()
    assert drain.events == written == events, (drain.events, written, events)
    return drain, profile


def _await_events(workers: Workers, events: int) -> None:
    """Return once the workers have reported so many; the store is not asked, which would cost the
    drain."""
    while events > 0:
        events -= handled_events(workers.next_line())


def handled_events(line: str) -> int:
    """How many events a line of a worker's log says that it has handled."""
    found = re.search(r" ([\d,]+) events? in ", line)
    return int(found[1].replace(",", "")) if found else 0


def _load_first(store: Store, start: datetime) -> None:
    """The first events, in commits as small as the API's, and what the rules say of them."""
    console.print(f"Loading {_FIRST_EVENTS:,} events …", highlight=False)
    payloads = list(generate_events(_FIRST_EVENTS, seed=88, start=start))
    for first in range(0, len(payloads), _COMMIT_EVENTS):
        some = payloads[first : first + _COMMIT_EVENTS]
        events = [parse_event(payload, "bench", Arrival(start)) for payload in some]
        load_events(store, events, [], "bench")
    enrich_due(store, load_rules())


def _grow(store: Store, events: int) -> None:
    """Copy the first events until there are so many."""
    with store.transaction() as connection:
        first, count = connection.execute(_SIZE, {"first": _FIRST_EVENTS}).one()
    for number in range(count // _FIRST_EVENTS, events // _FIRST_EVENTS):
        shift = {"shift": number * first, "first": first}
        with store.transaction() as connection:
            connection.execute(_COPY_BATCHES, shift)
            connection.execute(_COPY_EVENTS, shift)


def _make_due(store: Store) -> int:
    """Make all due, as if nobody had ever looked at it; returns how many events that are."""
    with store.transaction() as connection:
        connection.execute(text("TRUNCATE enriched_event"))
        connection.execute(
            text("UPDATE raw_batch SET state = 'pending', enriched_count = 0, finished_at = NULL")
        )
        events = connection.execute(text("SELECT sum(event_count) FROM raw_batch")).scalar_one()
    with store.engine.connect() as connection:
        connection.execute(text("VACUUM (ANALYZE) raw_event, raw_batch"))
        # What is left to be written would be written during the drain.
        connection.execute(text("CHECKPOINT"))
    return int(events)
