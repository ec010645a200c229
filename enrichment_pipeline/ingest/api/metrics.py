"""What the API counts and measures, for Prometheus.

The code that does something calls the counter; this module has the names.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.samples import Sample
from sqlalchemy import Connection

from enrichment_pipeline.alerts.conditions import Kind
from enrichment_pipeline.ingest.api.shared import Share, SharedCounts
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import LoadResult
from enrichment_pipeline.store.monitoring.alerts import count_open, count_undelivered
from enrichment_pipeline.store.queue.claims import queue_depth
from enrichment_pipeline.store.windows.freshness import recent_latency

_QUANTILES = (0.5, 0.95, 0.99)
_OF_A_PROCESS = {"enrichment_waiting_events", "enrichment_pool_connections"}
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """All metrics, in a registry of their own; with a share, as several processes count them."""

    def __init__(self, share: Share | None = None) -> None:
        self.registry = CollectorRegistry()
        self._shared = SharedCounts(self.registry, share, self._adds) if share else None
        self.requests = self._counter("requests", "Requests, by answer.", "status")
        self.bytes = self._counter("request_bytes", "Bytes of bodies, as they were sent.")
        self.accepted = self._counter("events_accepted", "Events taken, by source.", "source")
        self.duplicates = self._counter(
            "events_duplicate", "Events that were known, by source.", "source"
        )
        self.quarantined = self._counter(
            "events_quarantined", "Events that went to the dead letters, by reason.", "reason"
        )
        self.recordings = self._counter(
            "recordings_left_out", "Requests with recordings of sessions, which are no events."
        )
        self.acknowledge = Histogram(
            "enrichment_acknowledge_seconds",
            "From a request that was read to its answer, which comes after the commit.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.memory = self._gauge("request_memory_bytes", "Memory that requests under way take.")
        self.waiting = self._gauge("waiting_events", "Events that wait for a commit to begin.")
        self.store_up = self._gauge("store_up", "Whether the store answered just now.")
        self.connections = self._gauge("pool_connections", "Connections to the store in use.")
        self.queue_batches = self._gauge("queue_batches", "Batches that wait for enrichment.")
        self.queue_events = self._gauge("queue_events", "Events that wait for enrichment.")
        self.queue_age = self._gauge("queue_oldest_seconds", "How long the oldest one has waited.")
        self.notifications = self._counter(
            "notifications",
            "Batches whose notification was published to the broker, or not (left to the sensor).",
            "outcome",
        )
        self.messages = self._gauge(
            "broker_messages", "Messages that wait on the broker, where it counts them.", "queue"
        )
        self.alerts_open = self._gauge("alerts_open", "Alerts that are open, by kind.", "kind")
        self.alerts_waiting = self._gauge(
            "alert_messages_waiting", "Alerts that have not arrived yet, by channel.", "channel"
        )
        self.alert_failures = self._counter(
            "alert_failures", "Alerts that did not arrive when this process sent them.", "channel"
        )
        self.latency = self._gauge(
            "latency_seconds",
            "From the commit of an event to its enriched row, of the last ten minutes; imports of "
            "the past not counted.",
            "quantile",
        )
        self.alert_channels: Sequence[str] = ()
        """The channels that are shown before there is anything to count."""
        self.set_store_down(False)

    def count(self, source: str, result: LoadResult) -> None:
        """Count what became of the events of one commit."""
        self.accepted.labels(source).inc(result.accepted)
        self.duplicates.labels(source).inc(result.duplicates)
        for reason, events in result.quarantined.items():
            self.quarantined.labels(reason).inc(events)

    def count_notifications(self, outcome: str, batches: int) -> None:
        """Count batches by the outcome of their notification."""
        self.notifications.labels(outcome).inc(batches)

    def measure_queue(self, queue: str, messages: int | None) -> None:
        """Show how many messages wait in a queue of the broker; nothing where that is unknown."""
        if messages is None:
            with suppress(KeyError):
                self.messages.remove(queue)
        else:
            self.messages.labels(queue).set(messages)

    def read_queue(self, store: Store) -> None:
        """Measure the queue of the store."""
        with store.transaction() as connection:
            depth = queue_depth(connection)
            self._measure_latency(connection)
            self._read_alerts(connection)
        self.queue_batches.set(depth.batches)
        self.queue_events.set(depth.events)
        waited = datetime.now(UTC) - depth.oldest if depth.oldest else None
        self.queue_age.set(max(0.0, waited.total_seconds()) if waited else 0.0)

    def _measure_latency(self, connection: Connection) -> None:
        self.latency.clear()
        found = recent_latency(connection, _QUANTILES)
        for quantile, seconds in zip(_QUANTILES, found, strict=False):
            self.latency.labels(quantile).set(seconds)

    def _read_alerts(self, connection: Connection) -> None:
        open_alerts, waiting = count_open(connection), count_undelivered(connection)
        for kind in Kind:
            if kind is not Kind.STORE_DOWN:
                self.alerts_open.labels(kind).set(open_alerts.get(kind, 0))
        self.alerts_waiting.clear()
        for channel in {*self.alert_channels, *waiting}:
            self.alerts_waiting.labels(channel).set(waiting.get(channel, 0))

    def count_alert_failure(self, channel: str) -> None:
        """Count an alert message that could not be delivered."""
        self.alert_failures.labels(channel).inc()

    def set_store_down(self, is_notified: bool) -> None:
        """Show the alert `store_down`, the only one that is not in the store."""
        self.alerts_open.labels(Kind.STORE_DOWN).set(is_notified)

    def publish(self) -> None:
        """Show the other processes what this one has counted so far."""
        if self._shared:
            self._shared.publish()

    def text(self) -> bytes:
        """The metrics of all processes in Prometheus' text format."""
        return generate_latest(self._shared or self.registry)

    def _adds(self, gauge: Sample) -> bool:
        """Whether this gauge is about this process alone. The others are about the store, the
        broker or all processes."""
        # Of the alerts, this one is known to the process that watches.
        return gauge.name in _OF_A_PROCESS or gauge.labels.get("kind") == Kind.STORE_DOWN

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"enrichment_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"enrichment_{name}", meaning, labels, registry=self.registry)
