"""A store of an older schema with many events in it, and commits to it as its version makes them.

All statements know the first schema alone, and so hold for every later one. What happens to the
store meanwhile belongs to `migrating`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from enrichment_pipeline.store.database.partitions import ensure_partitions, hold_partitions
from enrichment_pipeline.store.database.schema import upgrade
from enrichment_pipeline.store.database.transactions import begin

DAYS = 14
"""Days that have events, each with a partition."""

SESSIONS_FROM = "0006"
"""The schema that first has a table of sessions."""

_FIRST = date(2026, 3, 1)
_IN_A_BATCH = 10
_IN_A_SESSION = 20
_PARTITION_EACH = 100
_TO_A_LETTER = 100

_DAY = f"n / {_IN_A_BATCH} % {DAYS}"

# A batch is of one window, which is an hour long.
_MOMENT = f"""
timestamptz '{_FIRST} 00:00+00' + {_DAY} * interval '1 day'
    + n / {_IN_A_BATCH * DAYS} % 24 * interval '1 hour' + n % 3600 * interval '1 second'
"""

_UUID = "md5(n::text)::uuid"

_FILL = f"""
CREATE TEMPORARY TABLE made ON COMMIT DROP AS
SELECT n, n / {_IN_A_BATCH} + 1 AS batch, {_UUID} AS uuid, {_MOMENT} AS at,
    'user-' || n / {_IN_A_SESSION * 3} AS person, 'session-' || n / {_IN_A_SESSION} AS session,
    '/page-' || n % 50 AS path, md5((n % 5000)::text)::uuid AS input
FROM generate_series(0, :events - 1) n;

INSERT INTO raw_batch (window_start, source, state, event_count, enriched_count, due_at,
    finished_at)
SELECT date_trunc('hour', min(at), 'UTC'), 'test', 'enriched', count(*), count(*), min(at), max(at)
FROM made GROUP BY batch ORDER BY batch;

INSERT INTO event_key SELECT 'default', uuid, batch FROM made;

INSERT INTO raw_event (batch_id, project, uuid, occurred_at, event, distinct_id, session_id, path,
    properties, input_key, payload)
SELECT batch, 'default', uuid, at, '$pageview', person, session, path, '{{"a": 1}}', input,
    decode(repeat(md5(n::text), 20), 'hex')
FROM made;

INSERT INTO enriched_event (occurred_at, uuid, project, batch_id, event, event_type, action_type,
    distinct_id, session_id, path, path_template, description, rules_version, enriched_at)
SELECT at, uuid, 'default', batch, '$pageview', 'pageview', 'view', person, session, path, path,
    'Viewed ' || path, '1', at
FROM made;

INSERT INTO enrichment_input (input_key, event) SELECT DISTINCT input, '$pageview' FROM made;

INSERT INTO enrichment_output (version, input_key, event_type, action_type, description)
SELECT '1', input_key, 'pageview', 'view', 'Viewed a page' FROM enrichment_input;

WITH refused AS (
    INSERT INTO raw_batch (window_start, source, state, event_count, dead_count, due_at)
    VALUES ('{_FIRST} 00:00+00', 'test', 'enriched', :events / {_TO_A_LETTER},
        :events / {_TO_A_LETTER}, now())
    RETURNING id, window_start
)
INSERT INTO dead_letter (kind, state, batch_id, window_start, event_count, source, reason_code,
    message)
SELECT 'event', 'open', id, window_start, 1, 'test', 'invalid_json', 'no event'
FROM refused, generate_series(1, :events / {_TO_A_LETTER});
"""

_SESSIONS = f"""
INSERT INTO session_timeline (project, session_id, day, distinct_id, started_at, ended_at, events,
    pages, outline, signals, timeline)
SELECT 'default', 'session-' || n, date '{_FIRST}' + {_DAY}, 'user-' || n / 3, {_MOMENT},
    {_MOMENT}, {_IN_A_SESSION}, 5, 'Viewed pages', '{{}}', repeat('Viewed /page ' || n, 100)
FROM generate_series(0, :events / {_IN_A_SESSION}) n;
"""

_TAKE_IN = f"""
WITH batch AS (
    INSERT INTO raw_batch (window_start, source, state, event_count, due_at)
    VALUES (date_trunc('hour', CAST(:at AS timestamptz), 'UTC'), 'load', 'pending', {_IN_A_BATCH},
        now())
    RETURNING id
), made AS (
    SELECT id, gen_random_uuid() AS uuid FROM batch, generate_series(1, {_IN_A_BATCH})
), keys AS (
    INSERT INTO event_key (project, uuid, batch_id) SELECT 'default', uuid, id FROM made
)
INSERT INTO raw_event (batch_id, project, uuid, occurred_at, event, distinct_id, input_key, payload)
SELECT id, 'default', uuid, :at, 'load', 'user', uuid, '' FROM made
"""

_ENRICH = """
WITH claimed AS (
    SELECT id FROM raw_batch WHERE state = 'pending' ORDER BY window_start, id LIMIT 50
    FOR UPDATE SKIP LOCKED
), enriched AS (
    INSERT INTO enriched_event (occurred_at, uuid, project, batch_id, event, event_type,
        action_type, distinct_id, description, rules_version, enriched_at)
    SELECT occurred_at, uuid, project, batch_id, event, 'custom', 'custom', distinct_id, 'Loaded',
        '1', now()
    FROM raw_event JOIN claimed ON batch_id = claimed.id
)
UPDATE raw_batch SET state = 'enriched', enriched_count = event_count, finished_at = now()
FROM claimed WHERE raw_batch.id = claimed.id
"""

_BUILD = """
INSERT INTO session_timeline AS old (project, session_id, day, distinct_id, started_at, ended_at,
    events, pages, outline, signals, timeline)
SELECT 'default', 'session-' || (:number * 7 + n) % 1000, current_date, 'user', now(), now(), 1, 1,
    '', '{}', 'Viewed a page'
FROM generate_series(1, 5) n
ON CONFLICT (project, session_id) DO UPDATE SET built_at = now(), events = old.events + 1
"""


def fill(connection: Connection, events: int) -> None:
    """Make the first schema in an empty database, and this many events, all enriched; beside them,
    one in a hundred was refused."""
    upgrade(connection, "0001")
    ensure_partitions(connection, [_FIRST + timedelta(days=day) for day in range(DAYS)])
    connection.execute(text(_FILL.replace(":events", str(events))))
    connection.execute(text("ANALYZE"))


def fill_sessions(connection: Connection, events: int) -> None:
    """Their sessions, in the first schema that has any."""
    connection.execute(text(_SESSIONS), {"events": events})


class Pause(NamedTuple):
    """The longest time in which somebody who commits one thing after the other had no commit."""

    seconds: float
    who: str
    at: float
    """When it ended, by the clock of `time.monotonic`."""


class Commits:
    """Those who commit: two take events in, one enriches them, one builds sessions, if there is a
    table of these."""

    def __init__(self, engine: Engine, *, sessions: bool) -> None:
        self._engine = engine
        self._stop = threading.Event()
        self._ends: dict[str, list[float]] = {}
        self._errors: list[BaseException] = []
        work: dict[str, Callable[[int], None]] = {
            "one takes in": self._take_in,
            "another takes in": self._take_in,
            "enriches": self._enrich,
        }
        if sessions:
            work["builds sessions"] = self._build
        self._threads = [threading.Thread(target=self._go_on, args=one) for one in work.items()]

    @contextmanager
    def running(self) -> Iterator[None]:
        """They are at work in this block; raises what one of them has failed with."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
        if self._errors:
            raise self._errors[0]

    def count(self) -> int:
        """Commits so far."""
        return sum(map(len, self._ends.values()))

    def longest(self, since: float, until: float) -> Pause:
        """The longest pause that touched this time, by the clock of `time.monotonic`."""
        pauses = [
            Pause(end - before, who, end)
            for who, ends in self._ends.items()
            for before, end in pairwise(ends)
            if end >= since and before <= until
        ]
        return max(pauses)

    def _go_on(self, who: str, commit: Callable[[int], None]) -> None:
        ends = self._ends[who] = [time.monotonic()]
        number = 0
        try:
            while not self._stop.is_set():
                number += 1
                commit(number)
                ends.append(time.monotonic())
                self._stop.wait(0.005)
        except Exception as error:
            self._errors.append(error)
            raise

    def _take_in(self, number: int) -> None:
        # Of today and of days that have no partition yet.
        day = DAYS + number // _PARTITION_EACH
        at = datetime(_FIRST.year, _FIRST.month, _FIRST.day, 12, tzinfo=UTC) + timedelta(days=day)
        if number % _PARTITION_EACH == 0 or number == 1:
            # Held: another one may be about to commit the same.
            with begin(self._engine) as connection:
                hold_partitions(connection, [at.date()])
        with begin(self._engine) as connection:
            connection.execute(text(_TAKE_IN), {"at": at})

    def _enrich(self, _: int) -> None:
        with begin(self._engine) as connection:
            connection.execute(text(_ENRICH))

    def _build(self, number: int) -> None:
        with begin(self._engine) as connection:
            connection.execute(text(_BUILD), {"number": number})
