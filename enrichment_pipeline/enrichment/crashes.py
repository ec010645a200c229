"""Charging the deaths of processes: to the batches and the letters that they had in hand.

How a death is noticed belongs to `store.work_in_hand`, what one costs to `attempts`.
"""

from sqlalchemy import Connection

from enrichment_pipeline.enrichment import attempts
from enrichment_pipeline.store.claims import (
    Batch,
    Death,
    claim_crashed,
    count_crash,
    mark_dead,
)
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.replays import count_death
from enrichment_pipeline.store.work_in_hand import Work, take_work_of_the_dead


def charge_crashes(store: Store, rules_version: str) -> None:
    """Charge each death since the last time.

    A batch that was in hand with others is not charged, only suspected: it is claimed alone from
    now on. One that was alone has spent an attempt. Letters in hand have failed one replay.
    """
    with store.transaction() as connection:
        for work in take_work_of_the_dead(connection):
            message = f"the process that was at work on it died ({work.worker})"
            death = Death(attempts.Reason.CRASHED_BATCH, message, None, rules_version, work.worker)
            _charge_batches(connection, work, death)
            count_death(connection, work.letter_ids, work.worker, attempts.MAX_REPLAYS)


def _charge_batches(connection: Connection, work: Work, death: Death) -> None:
    alone = len(work.batch_ids) == 1
    for batch in claim_crashed(connection, work.batch_ids):
        _charge(connection, batch, death, alone=alone)


def _charge(connection: Connection, batch: Batch, death: Death, *, alone: bool) -> None:
    if alone and attempts.is_last(batch.attempts):
        mark_dead(connection, batch, death, attempts.MAX_REPLAYS)
        return
    wait = attempts.wait_before_retry(batch.attempts)
    count_crash(connection, batch, death.message, wait, spends=alone)
