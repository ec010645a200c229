"""The outage of the store: kept in memory, because a store that is down cannot record it.

Callers report each success and failure of the store; this module separates outages from short
interruptions and words the messages.
"""

from datetime import datetime, timedelta
from threading import Lock

from enrichment_pipeline.alerts.conditions import Condition, Kind
from enrichment_pipeline.alerts.decisions import Notice, Stage, lasting
from enrichment_pipeline.store.monitoring.alerts import Alert

PATIENCE = timedelta(minutes=1)
"""People are not notified of an outage shorter than this."""

_NO_ANSWER = "no answer"


class Outage:
    """Whether the store answers, as seen by this process; thread-safe."""

    def __init__(self, patience: timedelta = PATIENCE) -> None:
        self._lock = Lock()
        self._patience = patience
        self._unanswered_since: datetime | None = None
        self._error = _NO_ANSWER
        self._notified: Alert | None = None

    @property
    def is_notified(self) -> bool:
        """Whether people were notified of an outage that is not known to be over."""
        return self._notified is not None

    def asked(self, now: datetime) -> None:
        """A query to the store begins."""
        with self._lock:
            self._unanswered_since = self._unanswered_since or now

    def failed(self, error: str) -> None:
        """The query failed because of the store."""
        with self._lock:
            self._error = error

    def answered(self) -> Notice | None:
        """The query succeeded; returns the all-clear if people were notified of an outage.

        It is returned until `all_clear_is_kept` is called.
        """
        with self._lock:
            self._unanswered_since, self._error = None, _NO_ANSWER
            if self._notified is None:
                return None
            return Notice(
                Stage.CLOSED, _condition(self._notified.since, self._notified.facts["error"])
            )

    def all_clear_is_kept(self) -> None:
        """The all-clear is stored and queued."""
        with self._lock:
            self._notified = None

    def to_notify(self, now: datetime) -> Notice | None:
        """The message to send now, if any, while the store does not answer."""
        with self._lock:
            since = self._unanswered_since
            if since is None or now - since <= self._patience:
                return None
            if self._notified is None:
                stage = Stage.OPENED
            elif now - self._notified.notified_at >= lasting(self._notified):
                stage = Stage.LASTS
            else:
                return None
            condition = _condition(since, self._error)
            self._notified = Alert(
                condition.key, condition.kind, condition.facts, condition.since, now, 1
            )
            return Notice(stage, condition)


def _condition(since: datetime, error: str) -> Condition:
    return Condition(str(Kind.STORE_DOWN), Kind.STORE_DOWN, 1, since, {"error": error})
