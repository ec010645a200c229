"""Waiting for the store during an outage, for work that a person waits for.

Work from a queue does not wait; it ends, and the queue calls it again.
"""

import logging
import time

from sqlalchemy import text

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import first_line, is_store_failure

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0

MOST_SECONDS = 3_600.0
"""Seconds of waiting after which the outage is reported as an error."""

logger = logging.getLogger(__name__)


def wait_for_store(store: Store, error: Exception, most_seconds: float | None = None) -> None:
    """Return once the store answers again, after `error` was raised because it did not.

    It is queried ever more rarely, up to every 15 seconds. Ctrl-C ends the waiting.

    Raises:
        Exception: `error`, if it is not a failure of the store or has lasted too long.
    """
    if not is_store_failure(error):
        raise error
    deadline = time.monotonic() + (MOST_SECONDS if most_seconds is None else most_seconds)
    logger.warning("PostgreSQL does not answer (%s); waiting until it does …", first_line(error))
    wait = FIRST_WAIT_SECONDS
    while time.monotonic() + wait < deadline:
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        if _answers(store):
            logger.warning("PostgreSQL answers again; going on")
            return
    raise error


def _answers(store: Store) -> bool:
    """Whether the store accepts writes; with a full disk it does not."""
    try:
        with store.transaction() as connection:
            connection.execute(
                text(
                    """
                    INSERT INTO heartbeat VALUES ('probe', now())
                    ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at
                    """
                )
            )
    except Exception as error:
        if not is_store_failure(error):
            raise
        return False
    return True
