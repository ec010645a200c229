"""One evaluation: finds what is wrong, decides what to notify people of, and queues the messages.

It is one transaction, and one process at a time does it, so that no message is sent twice.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from enrichment_pipeline.alerts.conditions import Situation, conditions, limits
from enrichment_pipeline.alerts.decisions import Notice, Stage, decide
from enrichment_pipeline.alerts.messages import Message, compose
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.pulled import pull_differences
from enrichment_pipeline.store.monitoring.alerts import (
    Alert,
    begin_evaluation,
    forget_old,
    keep_alert,
    letter_groups,
    newest_live_batch,
    open_alerts,
    queue_message,
    queue_wait,
)
from enrichment_pipeline.store.monitoring.failures import failure_groups
from enrichment_pipeline.store.monitoring.heartbeats import (
    DUE_WINDOWS_SENSOR,
    LIVE_EVENT,
    SENSORS_BEGAN,
    WATCH,
    WATCH_BEGAN,
    last_seen,
    record_heartbeat,
    sensor_ticks,
)

LONGEST_PAUSE = timedelta(minutes=5)
"""Without an evaluation for longer than this, alerts were not watched in between."""

_KEPT = timedelta(days=30)
_GIVEN_UP_AFTER = timedelta(days=7)

logger = logging.getLogger(__name__)


def evaluate(
    store: Store, settings: Settings, channels: Sequence[str], at: datetime | None = None
) -> list[Message]:
    """Evaluate once and queue messages for these channels; returns what they say.

    `at` replaces the current time. Nothing is done while another process evaluates.
    """
    with store.transaction() as connection:
        begun = begin_evaluation(connection)
        if begun is None:
            return []
        now = at or begun
        notified = open_alerts(connection)
        found = conditions(_situation(connection, now), limits(settings), notified)
        messages = [
            notify(connection, notice, settings, channels, now)
            for notice in decide(found, notified, now)
        ]
        given_up = forget_old(connection, now - _KEPT, now - _GIVEN_UP_AFTER)
    for message in messages:
        log(message)
    if given_up:
        logger.warning("%d alert messages could not be delivered for a week: given up", given_up)
    return messages


def _situation(connection: Connection, now: datetime) -> Situation:
    seen = last_seen(connection)
    began, before = seen.get(WATCH_BEGAN), seen.get(WATCH)
    if began is None or before is None or now - before > LONGEST_PAUSE:
        began = now
        record_heartbeat(connection, WATCH_BEGAN, began)
    record_heartbeat(connection, WATCH, now)
    live = max(filter(None, (newest_live_batch(connection), seen.get(LIVE_EVENT))), default=None)
    if live and live != seen.get(LIVE_EVENT):
        record_heartbeat(connection, LIVE_EVENT, live)
    tick = seen.get(DUE_WINDOWS_SENSOR)
    sensors_since = seen.get(SENSORS_BEGAN)
    if tick is None or now - tick > LONGEST_PAUSE:
        sensors_since = now
        record_heartbeat(connection, SENSORS_BEGAN, sensors_since)
    return Situation(
        now=now,
        letters=letter_groups(connection),
        waiting=queue_wait(connection, now),
        live_event=live,
        sensor_tick=tick,
        watched_since=began,
        pull_differences=pull_differences(connection),
        failures=failure_groups(connection),
        other_ticks=sensor_ticks(seen),
        sensors_since=sensors_since,
    )


def notify(
    connection: Connection,
    notice: Notice,
    settings: Settings,
    channels: Sequence[str],
    now: datetime,
) -> Message:
    """Queue a message and record that people were notified."""
    stage, condition = notice
    is_over = stage is Stage.CLOSED
    alert = Alert(
        condition.key, condition.kind, condition.facts, condition.since, now, condition.count
    )
    keep_alert(connection, alert, closed_at=now if is_over else None)
    message = compose(notice, settings, now)
    queue_message(
        connection, condition.key, channels, message.as_json(), in_place_of_earlier=not is_over
    )
    return message


def log(message: Message) -> None:
    """Log the message in one line."""
    todo = f"; run: {message.commands[0]}" if message.commands else ""
    level = logging.INFO if message.status == "closed" else logging.WARNING
    logger.log(level, "alert: %s%s", message.title, todo)
