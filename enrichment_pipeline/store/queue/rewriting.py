"""Rewriting enriched events under other rules, and counting what that changed.

Writing them for the first time belongs to `enriched`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.queue.claims import Batch
from enrichment_pipeline.store.queue.enriched import DESCRIPTION

_DERIVED = "event_type, action_type, path_template, element_tag, element_label, description, touch"

_REWRITE = text(
    f"""
    WITH wanted AS MATERIALIZED (
        SELECT raw.occurred_at, raw.uuid, raw.project, raw.batch_id, output.event_type,
            output.action_type, output.path_template, output.element_tag, output.element_label,
            {DESCRIPTION} AS description, output.touch
        FROM raw_event raw
        JOIN enrichment_output output
            ON output.version = :version AND output.input_key = raw.input_key
        WHERE raw.batch_id = ANY(:ids) AND raw.occurred_at >= :start AND raw.occurred_at < :end
    ),
    before AS MATERIALIZED (
        SELECT occurred_at, uuid, project, event, {_DERIVED}
        FROM enriched_event
        WHERE occurred_at >= :start AND occurred_at < :end AND batch_id = ANY(:ids)
    ),
    rewritten AS (
        UPDATE enriched_event enriched
        SET ({_DERIVED}, rules_version, enriched_at) = (
            wanted.event_type, wanted.action_type, wanted.path_template, wanted.element_tag,
            wanted.element_label, wanted.description, wanted.touch, :rules_version, now()
        )
        FROM wanted
        WHERE enriched.occurred_at = wanted.occurred_at AND enriched.uuid = wanted.uuid
            AND enriched.project = wanted.project
            AND (enriched.event_type, enriched.action_type, enriched.path_template,
                enriched.element_tag, enriched.element_label, enriched.description,
                enriched.touch, enriched.rules_version)
            IS DISTINCT FROM (wanted.event_type, wanted.action_type, wanted.path_template,
                wanted.element_tag, wanted.element_label, wanted.description, wanted.touch,
                :rules_version)
    )
    SELECT batch.window_start, before.event,
        before.event_type || '/' || before.action_type AS was,
        wanted.event_type || '/' || wanted.action_type AS is_now,
        count(*) AS events, min(before.description) AS description_was,
        min(wanted.description) AS description_is
    FROM before
    JOIN wanted USING (occurred_at, uuid, project)
    JOIN raw_batch batch ON batch.id = wanted.batch_id
    WHERE (before.event_type, before.action_type, before.path_template, before.element_tag,
            before.element_label, before.description, before.touch)
        IS DISTINCT FROM (wanted.event_type, wanted.action_type, wanted.path_template,
            wanted.element_tag, wanted.element_label, wanted.description, wanted.touch)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 5 DESC, 2
    """
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))


class Change(NamedTuple):
    """Events of one name in one window whose result differs, and an example."""

    window_start: datetime
    event: str
    was: str
    """Event type and action type, as `custom/click`."""
    is_now: str
    events: int
    description_was: str
    description_is: str


def rewrite_enriched(
    connection: Connection,
    batches: Sequence[Batch],
    window: timedelta,
    version: str,
    rules_version: str,
) -> list[Change]:
    """Rewrite the enriched events of these batches with this version's outputs; rows that are the
    same stay untouched. Returns the differences, except for the rules version."""
    starts = [batch.window_start for batch in batches]
    rows = connection.execute(
        _REWRITE,
        {
            "ids": [batch.id for batch in batches],
            "start": min(starts),
            "end": max(starts) + window,
            "version": version,
            "rules_version": rules_version,
        },
    )
    return [Change(*row) for row in rows]
