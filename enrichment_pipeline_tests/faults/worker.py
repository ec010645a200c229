"""A process that enriches what comes due until it is ended, as a worker of a user's does.

Events of four names do harm here: to the code, to the clock on the wall, to memory, to the process.
"""

import logging
import time

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.sandbox import Sandbox
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.store.database.errors import first_line, is_store_failure
from enrichment_pipeline_tests.poison import EATS_MEMORY, HANGS, KILLS, RAISES, poisoned

POISON = {RAISES: RAISES, HANGS: HANGS, EATS_MEMORY: EATS_MEMORY, KILLS: KILLS}

# As in production, but that nobody waits a minute here for an event that hangs.
_ITEM_SECONDS, _MEMORY = 1.0, 2**28
_PAUSE_SECONDS, _OUTAGE_SECONDS = 0.05, 0.3

logger = logging.getLogger("worker")


def main() -> None:
    """Enrich until the process is ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    Sandbox.__init__.__defaults__ = (_ITEM_SECONDS, _MEMORY)  # type: ignore[misc]
    settings = load_settings()
    rules = poisoned(load_rules(settings.rules_file), **POISON)
    while True:
        try:
            with opened_store(settings) as store:
                _work(store, rules)
        except Exception as error:  # noqa: BLE001  it is raised again unless the store has failed
            _pause(error)


def _work(store: Store, rules: Rules) -> None:
    while True:
        try:
            enrich_due(store, rules, worker="the worker of the faults")
        except Exception as error:  # noqa: BLE001  as above
            _pause(error)
        time.sleep(_PAUSE_SECONDS)


def _pause(error: Exception) -> None:
    if not is_store_failure(error):
        raise error
    logger.info("the store has failed: %s", first_line(error))
    time.sleep(_OUTAGE_SECONDS)


if __name__ == "__main__":
    main()
