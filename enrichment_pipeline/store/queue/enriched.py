"""Writing enriched events set by set: the hot statement of the whole pipeline.

Action outputs are made by `enrichment`; the queue belongs to `claims`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Connection, TextClause, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.queue.claims import Batch

# The time range lets PostgreSQL leave out the partitions of all other days.
_OF_BATCHES = """
    raw.batch_id = ANY(:ids) AND raw.occurred_at >= :start AND raw.occurred_at < :end
"""

# Only queried if a batch has any dead events: it costs each event a search among the letters.
_NOT_DEAD = """
    AND NOT EXISTS (
        SELECT FROM dead_letter dead
        WHERE dead.batch_id = raw.batch_id AND dead.uuid = raw.uuid AND dead.project = raw.project
            AND dead.state <> 'resolved'
    )
"""

# At most 120 characters, like every sentence: a detail that does not fit is cut or left out. Quotes
# that are cut are closed: text outside of quotes is ours.
_CUT = "left(raw.detail, 115 - length(output.description))"
_BEFORE_A_CUT = r"E' \u200c\u200d'"
DESCRIPTION = f"""
    CASE
        WHEN raw.detail IS NULL OR length(output.description) > 100 THEN output.description
        WHEN length(output.description) + length(raw.detail) <= 117
            THEN output.description || ' (' || raw.detail || ')'
        WHEN length(replace({_CUT}, '"', '')) % 2
                = length({_CUT}) % 2
            THEN output.description || ' (' || rtrim({_CUT}, {_BEFORE_A_CUT}) || '…)'
        ELSE output.description || ' (' || rtrim({_CUT}, {_BEFORE_A_CUT}) || '…")'
    END
"""
"""The sentence of an event: from its action output, and its own detail."""

INSERT_ENRICHED = f"""
    INSERT INTO enriched_event (
        occurred_at, uuid, project, batch_id, event, event_type, action_type, distinct_id,
        session_id, path, path_template, title, element_tag, element_label, description,
        properties, rules_version, enriched_at, device, touch, tab
    )
    SELECT raw.occurred_at, raw.uuid, raw.project, raw.batch_id, raw.event, output.event_type,
        output.action_type, raw.distinct_id, raw.session_id, raw.path, output.path_template,
        raw.title, output.element_tag, output.element_label, {DESCRIPTION}, raw.properties,
        :rules_version, now(), raw.device, output.touch, raw.tab
"""
"""The columns of an enriched event, from `raw` (`raw_event`) and `output` (`enrichment_output`),
which the statement has to join."""

# The outputs of some inputs, each found by the index. A subquery, for PostgreSQL takes it for no
# loop; see `expect_many`.
_SEARCHED = """
    WITH found AS MATERIALIZED (
        SELECT (
            SELECT output FROM enrichment_output output
            WHERE output.version = :version AND output.input_key = input.input_key
        ) AS output
        FROM ({inputs}) input
    ),
    output AS MATERIALIZED (
        SELECT (found.output).* FROM found WHERE (found.output).input_key IS NOT NULL
    )
"""
_OUTPUTS = "output ON output.input_key = raw.input_key"
_ALL_OUTPUTS = f"enrichment_output {_OUTPUTS} AND output.version = :version"

_INPUTS = f"SELECT DISTINCT raw.input_key FROM raw_event raw WHERE {_OF_BATCHES}"
_GIVEN_INPUTS = "SELECT unnest(:keys) AS input_key"

# OFFSET 0, so that the events are found by their batches and not, output by output, by their
# inputs: without statistics PostgreSQL takes the outputs for few.
_WRITE = f"""
    {INSERT_ENRICHED}
    FROM (SELECT * FROM raw_event raw WHERE {_OF_BATCHES} OFFSET 0) raw JOIN {{outputs}}
    WHERE true
"""

_MISSING = """
    SELECT input.input_key
    FROM ({inputs}) input
    WHERE NOT coalesce((
        SELECT true FROM enrichment_output output
        WHERE output.version = :version AND output.input_key = input.input_key
    ), false)
"""

_REMOVE = f"""
    DELETE FROM enriched_event enriched USING raw_event raw
    WHERE {_OF_BATCHES}
        AND enriched.occurred_at = raw.occurred_at AND enriched.uuid = raw.uuid
        AND enriched.project = raw.project
"""

_UUIDS = f"SELECT raw.uuid FROM raw_event raw WHERE {_OF_BATCHES}"

_WITH_UUIDS = " AND raw.uuid = ANY(:uuids)"

_DEAD_LETTER = f"""
    WITH raw AS (
        SELECT raw.*, failure.reason, failure.message, failure.traceback
        FROM json_to_recordset(CAST(:failures AS json))
            AS failure (input_key uuid, uuid uuid, reason text, message text, traceback text)
        JOIN raw_event raw ON raw.{{by}} = failure.{{by}}
        WHERE {_OF_BATCHES}
            AND NOT EXISTS (
                SELECT FROM dead_letter dead
                WHERE dead.batch_id = raw.batch_id AND dead.uuid = raw.uuid
                    AND dead.project = raw.project AND dead.state <> 'resolved'
            )
    ),
    counted AS (
        UPDATE raw_batch SET dead_count = dead_count + failed.events
        FROM (SELECT batch_id, count(*) AS events FROM raw GROUP BY batch_id) failed
        WHERE id = failed.batch_id
    )
    INSERT INTO dead_letter (
        kind, batch_id, window_start, event_count, source, project, event, reason_code, message,
        traceback, attempts, rules_version, payload, uuid, occurred_at, distinct_id, worker
    )
    SELECT 'event', raw.batch_id, batch.window_start, 1, batch.source, raw.project, raw.event,
        raw.reason, raw.message, raw.traceback, batch.attempts + 1, :rules_version, raw.payload,
        raw.uuid, raw.occurred_at, raw.distinct_id, :worker
    FROM raw JOIN raw_batch batch ON batch.id = raw.batch_id
"""

_COUNT_BY_KEY = f"""
    SELECT raw.batch_id, raw.input_key, count(*) FROM raw_event raw WHERE {_OF_BATCHES}
        AND raw.input_key = ANY(:keys)
"""

_ids = bindparam("ids", type_=ARRAY(BigInteger))
_keys = bindparam("keys", type_=ARRAY(Uuid))
_uuids = bindparam("uuids", type_=ARRAY(Uuid))


@cache
def _statement(sql: str) -> TextClause:
    wanted = [given for given in (_ids, _keys, _uuids) if f":{given.key})" in sql]
    return text(sql).bindparams(*wanted)


def _of(batches: Sequence[Batch], window: timedelta) -> dict[str, list[int] | datetime]:
    starts = [batch.window_start for batch in batches]
    return {
        "ids": [batch.id for batch in batches],
        "start": min(starts),
        "end": max(starts) + window,
    }


_MANY_EVENTS = 1_000
_OUTPUT_BYTES = 200
_SIZE_OF_OUTPUTS = text("SELECT pg_relation_size('enrichment_output')")


def expect_many(connection: Connection, events: int) -> None:
    """Let the planner of this transaction expect this many events.

    A new partition has no statistics yet. PostgreSQL then takes it for nearly empty and loops over
    the other table once for each event: 3,000 events a second instead of 80,000.
    """
    if events >= _MANY_EVENTS:
        connection.execute(text("SET LOCAL enable_nestloop = off"))


def plan_claim(connection: Connection, batches: Sequence[Batch]) -> None:
    """Let the planner of this transaction expect the events of these claimed batches, and find them
    by their index.

    Without statistics PostgreSQL reads all of a partition for each claim; and a day into which
    millions of events came at once has none until it was vacuumed, which takes minutes.
    """
    expect_many(connection, sum(batch.due_count for batch in batches))
    connection.execute(text("SET LOCAL enable_seqscan = off"))


def write_enriched(
    connection: Connection,
    batches: Sequence[Batch],
    window: timedelta,
    version: str,
    rules_version: str,
    *,
    keys: Sequence[UUID] | None = None,
    uuids: Sequence[UUID] | None = None,
) -> int:
    """Write the enriched events of these batches whose action outputs this version has (or only
    those of `keys` or `uuids`); returns how many were written. Dead events are left out."""
    parameters: dict[str, object] = {"version": version, "rules_version": rules_version}
    if keys is not None:
        parameters["keys"] = list(keys)
    if keys is not None or _are_many_outputs(connection, batches):
        searched = _SEARCHED.format(inputs=_INPUTS if keys is None else _GIVEN_INPUTS)
        statement = searched + _WRITE.format(outputs=_OUTPUTS)
    else:
        statement = _WRITE.format(outputs=_ALL_OUTPUTS)
    statement += _not_dead(batches)
    if uuids is not None:
        statement += _WITH_UUIDS
        parameters["uuids"] = list(uuids)
    return connection.execute(_statement(statement), _of(batches, window) | parameters).rowcount


def _are_many_outputs(connection: Connection, batches: Sequence[Batch]) -> bool:
    """Whether reading all outputs takes longer than searching for those of the batches."""
    events = sum(batch.due_count for batch in batches)
    if events < _MANY_EVENTS:
        return False
    size: int = connection.execute(_SIZE_OF_OUTPUTS).scalar_one()
    return size > events * _OUTPUT_BYTES


def _not_dead(batches: Sequence[Batch]) -> str:
    return _NOT_DEAD if any(batch.dead_count for batch in batches) else ""


def missing_inputs(
    connection: Connection, batches: Sequence[Batch], window: timedelta, version: str
) -> list[UUID]:
    """The keys of the action inputs in these batches for which this version has no output yet."""
    parameters = _of(batches, window) | {"version": version}
    statement = _statement(_MISSING.format(inputs=_INPUTS + _not_dead(batches)))
    return list(connection.execute(statement, parameters).scalars())


def events_to_write(connection: Connection, batch: Batch, window: timedelta) -> list[UUID]:
    """The uuids of the events of a batch that are not dead."""
    statement = _statement(_UUIDS + _not_dead([batch]))
    return list(connection.execute(statement, _of([batch], window)).scalars())


def remove_enriched(connection: Connection, batches: Sequence[Batch], window: timedelta) -> int:
    """Remove earlier enriched events of these batches; returns how many rows that were."""
    return connection.execute(_statement(_REMOVE), _of(batches, window)).rowcount


class EventFailure(NamedTuple):
    """Why the events of one action input, or one event, cannot be enriched."""

    reason: str
    message: str
    traceback: str | None


def count_by_key(
    connection: Connection, batches: Sequence[Batch], window: timedelta, keys: Collection[UUID]
) -> dict[int, dict[UUID, int]]:
    """For each of these batches, how many events it has with each of these action inputs."""
    rows = connection.execute(
        _statement(f"{_COUNT_BY_KEY}{_not_dead(batches)} GROUP BY 1, 2"),
        _of(batches, window) | {"keys": list(keys)},
    )
    counts: dict[int, dict[UUID, int]] = {}
    for batch, key, events in rows:
        counts.setdefault(batch, {})[key] = events
    return counts


def dead_letter_events(
    connection: Connection,
    batches: Sequence[Batch],
    window: timedelta,
    failures: Mapping[UUID, EventFailure],
    by: Literal["input_key", "uuid"],
    rules_version: str,
    worker: str,
) -> int:
    """Dead-letter the events with these action inputs (`by` is "input_key"), or these events
    ("uuid"); returns how many that were."""
    rows = [{by: key, **failure._asdict()} for key, failure in failures.items()]
    parameters = {
        "failures": msgspec.json.encode(rows).decode(),
        "rules_version": rules_version,
        "worker": worker,
    }
    return connection.execute(
        _statement(_DEAD_LETTER.format(by=by)), _of(batches, window) | parameters
    ).rowcount
