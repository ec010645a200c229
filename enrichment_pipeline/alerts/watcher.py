"""The watcher: evaluates alerts and delivers messages periodically, in threads of its process.

A slow store or channel holds up its own thread only.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import psycopg
from sqlalchemy.exc import TimeoutError as NoConnectionError

from enrichment_pipeline.alerts.channels import Channel, attempt, channels
from enrichment_pipeline.alerts.delivery import OnFailure, deliver, wait_after
from enrichment_pipeline.alerts.evaluation import evaluate, log, notify
from enrichment_pipeline.alerts.messages import Message, compose
from enrichment_pipeline.alerts.outage import PATIENCE, Outage
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import driver_error, first_line, is_store_failure

EVALUATION_SECONDS = 15.0

# Evaluating a million letters takes the store half a second. This bounds the share of its time.
_MOST_OF_THE_TIME = 0.05
_LONGEST_PAUSE_SECONDS = 120.0

_CHECK_SECONDS = 5.0
_STOP_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Watcher:
    """Watches from `start` to `stop`.

    `on_failure` is called with the channel of each message that did not arrive; `on_outage` is
    called when people are notified that the store does not answer, and when that is over.

    Raises:
        SettingsError: Apprise does not know a URL.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        on_failure: OnFailure = lambda _: None,
        on_outage: Callable[[bool], None] = lambda _: None,
        evaluation_seconds: float = EVALUATION_SECONDS,
        patience: timedelta = PATIENCE,
    ) -> None:
        self.channels = channels(settings)
        self._store = store
        self._settings = settings
        self._on_failure = on_failure
        self._on_outage = on_outage
        self._evaluation_seconds = evaluation_seconds
        self._names = [channel.name for channel in self.channels]
        self._wakes = {name: Event() for name in self._names}
        self._stopping = Event()
        self._clock = _SteadyClock()
        self._outage = Outage(patience)
        self._logged: str | None = None
        self._urgent: Message | None = None
        self._threads = [
            Thread(target=self._keep_evaluating, name="alerts", daemon=True),
            Thread(target=self._keep_checking, name="alerts-outage", daemon=True),
            *(
                Thread(
                    target=self._keep_delivering,
                    args=(channel,),
                    name=f"alerts-{channel.name}",
                    daemon=True,
                )
                for channel in self.channels
            ),
        ]

    def start(self) -> None:
        """Begin; the first evaluation comes after a pause, after the start of the process."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End. A message being sent is not waited for; the next process that delivers sends it
        again."""
        self._stopping.set()
        self._wake()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))

    def _keep_evaluating(self) -> None:
        pause = self._evaluation_seconds
        while not self._stopping.wait(pause):
            began = time.monotonic()
            error = self._guarded(self._evaluate)
            if error is None or not _is_outage(error):
                self._guarded(self._notify_that_it_answers)
            if error is None:
                self._logged = None
            took = time.monotonic() - began
            pause = min(took / _MOST_OF_THE_TIME, _LONGEST_PAUSE_SECONDS)
            pause = max(pause, self._evaluation_seconds)

    def _evaluate(self) -> None:
        self._outage.asked(self._clock.now())
        if evaluate(self._store, self._settings, self._names):
            self._wake()

    def _notify_that_it_answers(self) -> None:
        notice = self._outage.answered()
        if notice is None:
            return
        now = self._clock.now()
        with self._store.transaction() as connection:
            message = notify(connection, notice, self._settings, self._names, now)
        self._outage.all_clear_is_kept()
        self._on_outage(False)
        log(message)
        self._wake()

    def _guarded(self, work: Callable[[], None]) -> Exception | None:
        """Do some work; an error is returned, and logged once."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  whatever it is, the next evaluation may succeed
            said = f"{type(error).__name__}: {first_line(error)}"
            if _is_outage(error):
                self._outage.failed(first_line(error))
            if said != self._logged and not self._stopping.is_set():
                self._logged = said
                logger.warning("alerts cannot be evaluated: %s", said)
            return error
        return None

    def _keep_delivering(self, channel: Channel) -> None:
        wake = self._wakes[channel.name]
        while not self._stopping.is_set():
            wake.wait(self._evaluation_seconds)
            wake.clear()
            if not self._stopping.is_set():
                # A failure of the store is reported by the evaluations.
                self._guarded(lambda: deliver(self._store, channel, self._on_failure))

    def _keep_checking(self) -> None:
        while not self._stopping.wait(min(_CHECK_SECONDS, self._evaluation_seconds)):
            now = self._clock.now()
            if notice := self._outage.to_notify(now):
                self._urgent = compose(notice, self._settings, now)
                self._on_outage(True)
                log(self._urgent)
                # In separate threads: the delivering threads may be waiting for the store.
                for channel in self.channels:
                    Thread(
                        target=self._insist,
                        args=(channel, self._urgent),
                        name=f"alerts-urgent-{channel.name}",
                        daemon=True,
                    ).start()

    def _insist(self, channel: Channel, message: Message) -> None:
        """Send a message that cannot be stored, until it arrives or is out of date."""
        tries = 0
        while self._urgent is message and self._outage.is_notified:
            if attempt(channel, message) is None:
                return
            tries += 1
            self._on_failure(channel.name)
            if self._stopping.wait(wait_after(tries).total_seconds()):
                return

    def _wake(self) -> None:
        for wake in self._wakes.values():
            wake.set()


class _SteadyClock:
    """A clock that ignores changes of the system's time: one that jumps forward must not make a
    store that answered a moment ago look silent."""

    def __init__(self) -> None:
        self._began, self._monotonic = datetime.now(UTC), time.monotonic()

    def now(self) -> datetime:
        return self._began + timedelta(seconds=time.monotonic() - self._monotonic)


def _is_outage(error: BaseException) -> bool:
    if isinstance(driver_error(error), psycopg.errors.QueryCanceled):
        return False  # the query took too long, but the store answered
    return is_store_failure(error) or isinstance(error, NoConnectionError)
