"""Alerts: the facts that cause them, the alerts that people were notified of, queued messages.

Whether to notify people, and in which words, belongs to the package `alerts`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

LIVE_SOURCES = ("api", "webhook", "query_api")
"""Sources whose events are expected without a person's action. An import is done by hand; the files
of a pulled folder arrive once an hour or once a day."""

# Any number will do, if nothing else in the database locks by it.
_EVALUATION_LOCK = 7_263_411_000

# So many of the newest batches are searched for a live one: imports can add many newer ones.
_NEWEST_BATCHES = 10_000

_STATEMENT_SECONDS = 30


def begin_evaluation(connection: Connection) -> datetime | None:
    """Make this transaction the one that evaluates alerts; returns the time, or None while another
    process evaluates.

    The server cancels a statement of it that takes too long.
    """
    connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'"))
    now: datetime | None = connection.execute(
        text("SELECT CASE WHEN pg_try_advisory_xact_lock(:lock) THEN now() END"),
        {"lock": _EVALUATION_LOCK},
    ).scalar_one()
    return now


class LetterGroup(NamedTuple):
    """The letters of one kind, reason and window that are not closed."""

    kind: str
    """event or batch."""
    reason: str
    window_start: datetime
    letters: int
    events: int
    since: datetime
    exhausted: int
    """How many of them are exhausted (state `parked`): no automatic replay takes them."""
    exhausted_since: datetime | None


def letter_groups(connection: Connection) -> list[LetterGroup]:
    """All letters that are not closed, by window."""
    rows = connection.execute(
        text(
            """
            SELECT kind, reason_code, window_start, count(*), sum(event_count)::bigint,
                min(first_failed_at), count(*) FILTER (WHERE state = 'parked'),
                min(last_failed_at) FILTER (WHERE state = 'parked')
            FROM dead_letter WHERE state IN ('open', 'replaying', 'parked')
            GROUP BY kind, reason_code, window_start ORDER BY window_start, reason_code, kind
            """
        )
    )
    return [LetterGroup(*row) for row in rows]


class QueueWait(NamedTuple):
    """Batches that are due and wait to be enriched; without historical ones, which may wait."""

    batches: int
    events: int
    oldest: datetime | None
    """When the batch that has waited longest came due."""


def queue_wait(connection: Connection, now: datetime) -> QueueWait:
    """The batches that wait, and for how long."""
    row = connection.execute(
        text(
            """
            SELECT count(*), coalesce(sum(event_count - dead_count), 0)::bigint, min(due_at)
            FROM raw_batch WHERE state = 'pending' AND due_at <= :now AND NOT historical
            """
        ),
        {"now": now},
    ).one()
    return QueueWait(*row)


def newest_live_batch(connection: Connection) -> datetime | None:
    """When the last live event arrived; None if none is among the newest batches."""
    newest: datetime | None = connection.execute(
        text(
            """
            SELECT created_at FROM (
                SELECT id, created_at, source, historical FROM raw_batch
                ORDER BY id DESC LIMIT :most
            ) AS newest
            WHERE source = ANY(:sources) AND NOT historical ORDER BY id DESC LIMIT 1
            """
        ),
        {"sources": list(LIVE_SOURCES), "most": _NEWEST_BATCHES},
    ).scalar_one_or_none()
    return newest


class Alert(NamedTuple):
    """An alert that people were notified of."""

    key: str
    kind: str
    facts: Mapping[str, Any]
    since: datetime
    """Since when the condition lasts."""
    notified_at: datetime
    notified_count: int
    """The size in the last message."""


class ListedAlert(NamedTuple):
    """An alert, open or closed."""

    alert: Alert
    closed_at: datetime | None


_ALERT = "key, kind, facts, since, told_at, told_count"


def open_alerts(connection: Connection) -> dict[str, Alert]:
    """The open alerts that people were notified of, by key."""
    rows = connection.execute(text(f"SELECT {_ALERT} FROM alert WHERE state = 'open' ORDER BY key"))
    return {row.key: Alert(*row) for row in rows}


def listed_alerts(connection: Connection, *, closed_too: bool, most: int) -> list[ListedAlert]:
    """The alerts, the open ones first, then the newest first."""
    condition = "true" if closed_too else "state = 'open'"
    rows = connection.execute(
        text(
            f"""
            SELECT {_ALERT}, closed_at FROM alert WHERE {condition}
            ORDER BY closed_at DESC NULLS FIRST, told_at DESC, key LIMIT :most
            """
        ),
        {"most": most},
    )
    return [ListedAlert(Alert(*row[:-1]), row[-1]) for row in rows]


def keep_alert(connection: Connection, alert: Alert, closed_at: datetime | None = None) -> None:
    """Record that people were notified of this alert; with `closed_at`, of its end too."""
    connection.execute(
        text(
            """
            INSERT INTO alert (key, kind, state, facts, since, told_at, told_count, closed_at)
            VALUES (:key, :kind, :state, :facts, :since, :notified_at, :notified_count, :closed_at)
            ON CONFLICT (key) DO UPDATE SET
                state = excluded.state, facts = excluded.facts, since = excluded.since,
                told_at = excluded.told_at, told_count = excluded.told_count,
                closed_at = excluded.closed_at
            """
        ).bindparams(_json("facts")),
        {
            **alert._asdict(),
            "state": "closed" if closed_at else "open",
            "closed_at": closed_at,
        },
    )


def queue_message(
    connection: Connection,
    alert_key: str,
    channels: Sequence[str],
    message: Mapping[str, Any],
    *,
    in_place_of_earlier: bool,
) -> None:
    """Queue the message for these channels; earlier messages of the same alert that it supersedes
    and that have not arrived are dropped."""
    if in_place_of_earlier:
        connection.execute(
            text(
                """
                DELETE FROM alert_message
                WHERE alert_key = :key AND channel = ANY(:channels) AND delivered_at IS NULL
                """
            ),
            {"key": alert_key, "channels": list(channels)},
        )
    connection.execute(
        text(
            """
            INSERT INTO alert_message (alert_key, channel, message)
            SELECT :key, channel, :message FROM unnest(CAST(:channels AS text[])) AS channel
            """
        ).bindparams(_json("message")),
        {"key": alert_key, "channels": list(channels), "message": message},
    )


class QueuedMessage(NamedTuple):
    """A message to be sent now."""

    id: int
    message: Mapping[str, Any]
    attempts: int
    """This attempt included."""


# The end of an alert is never sent before its beginning.
_TAKE = text(
    """
    UPDATE alert_message SET attempts = attempts + 1, due_at = now() + :lease
    WHERE id = (
        SELECT id FROM alert_message AS next
        WHERE channel = :channel AND delivered_at IS NULL AND due_at <= now()
            AND NOT EXISTS (
                SELECT 1 FROM alert_message AS earlier
                WHERE earlier.alert_key = next.alert_key AND earlier.channel = next.channel
                    AND earlier.delivered_at IS NULL AND earlier.id < next.id
            )
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, message, attempts
    """
)


def take_message(connection: Connection, channel: str, lease: timedelta) -> QueuedMessage | None:
    """The next message that is due on this channel, leased to the caller: nothing is locked while
    it is sent, and if this process ends it is sent again after the lease."""
    row = connection.execute(_TAKE, {"channel": channel, "lease": lease}).one_or_none()
    return QueuedMessage(*row) if row else None


def mark_delivered(connection: Connection, message: QueuedMessage) -> None:
    """Record that the message has arrived."""
    connection.execute(
        text("UPDATE alert_message SET delivered_at = now(), last_error = NULL WHERE id = :id"),
        {"id": message.id},
    )


def postpone(connection: Connection, message: QueuedMessage, error: str, wait: timedelta) -> None:
    """Record that the message did not arrive; it is due again after `wait`."""
    connection.execute(
        text("UPDATE alert_message SET due_at = now() + :wait, last_error = :error WHERE id = :id"),
        {"id": message.id, "error": error, "wait": wait},
    )


class UndeliveredMessage(NamedTuple):
    """A message that has not arrived yet."""

    channel: str
    message: Mapping[str, Any]
    created_at: datetime
    attempts: int
    due_at: datetime
    last_error: str | None


def undelivered_messages(connection: Connection, most: int) -> list[UndeliveredMessage]:
    """The messages that have not arrived, oldest first."""
    rows = connection.execute(
        text(
            """
            SELECT channel, message, created_at, attempts, due_at, last_error
            FROM alert_message WHERE delivered_at IS NULL ORDER BY id LIMIT :most
            """
        ),
        {"most": most},
    )
    return [UndeliveredMessage(*row) for row in rows]


def count_undelivered(connection: Connection) -> dict[str, int]:
    """How many messages have not arrived, by channel."""
    rows = connection.execute(
        text(
            """
            SELECT channel, count(*) FROM alert_message WHERE delivered_at IS NULL GROUP BY channel
            """
        )
    )
    return {row[0]: row[1] for row in rows}


def count_open(connection: Connection) -> dict[str, int]:
    """How many alerts are open, by kind."""
    rows = connection.execute(
        text("SELECT kind, count(*) FROM alert WHERE state = 'open' GROUP BY kind")
    )
    return {row[0]: row[1] for row in rows}


def forget_old(connection: Connection, before: datetime, given_up_before: datetime) -> int:
    """Remove messages that arrived, and alerts that ended, before `before`; returns how many
    messages were given up, which had been tried since before `given_up_before`."""
    connection.execute(
        text("DELETE FROM alert_message WHERE delivered_at < :before"), {"before": before}
    )
    connection.execute(text("DELETE FROM alert WHERE closed_at < :before"), {"before": before})
    return connection.execute(
        text("DELETE FROM alert_message WHERE delivered_at IS NULL AND created_at < :before"),
        {"before": given_up_before},
    ).rowcount


def _json(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=JSONB)
