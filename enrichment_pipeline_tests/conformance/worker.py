"""A worker as users start it, with two differences: it writes down which batches it was notified
of, and an event named `kills` kills it.
"""

import os
import sys
from collections.abc import Sequence

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.workers import handling, worker
from enrichment_pipeline.workers.brokers.choosing import broker_at
from enrichment_pipeline.workers.queues import Queue
from enrichment_pipeline_tests.poison import KILLS, poisoned

DELIVERIES = "TEST_DELIVERIES"
"""Variable with the file that each delivery is written to, as a line of batch ids."""


def main(queue: str) -> None:
    """Serve until the process is asked to stop."""
    settings = load_settings()
    assert settings.broker_url
    worker.handle = _handle_and_note  # type: ignore[attr-defined]
    with opened_store(settings):
        broker = broker_at(settings.broker_url.get_secret_value())
        sys.exit(worker.serve(broker, settings, Queue(queue), 1))


def _handle_and_note(
    store: Store, rules: Rules, batches: Sequence[int], notify: handling.Notify
) -> None:
    with open(os.environ[DELIVERIES], "a", encoding="ascii") as file:
        file.write(" ".join(map(str, batches)) + "\n")
    handling.handle(store, poisoned(rules, kills=KILLS), batches, notify)


if __name__ == "__main__":
    main(*sys.argv[1:])
