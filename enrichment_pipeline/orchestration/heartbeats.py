"""The heartbeat of sensors and schedules: the store records each tick that ends well, and why a
tick failed. From within Dagster a failing sensor cannot be noticed.

What follows from a missing heartbeat belongs to `alerts`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import TypeVar

from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.store.database.errors import driver_error, first_line, is_store_failure
from enrichment_pipeline.store.monitoring.failures import (
    SENSOR,
    Failure,
    clear_failures,
    note_failures,
)
from enrichment_pipeline.store.monitoring.heartbeats import record_heartbeat, sensor_heartbeat

Context = TypeVar("Context")
Answer = TypeVar("Answer")
Evaluate = Callable[[Context, Pipeline], Answer]


def records_heartbeat(
    name: str,
) -> Callable[[Evaluate[Context, Answer]], Evaluate[Context, Answer]]:
    """Record the heartbeat of the sensor or schedule of this name; to be written below Dagster's
    decorator."""

    def decorate(evaluate: Evaluate[Context, Answer]) -> Evaluate[Context, Answer]:
        @wraps(evaluate)
        def evaluated(context: Context, pipeline: Pipeline) -> Answer:
            try:
                answer = evaluate(context, pipeline)
            except Exception as error:
                # A store that fails cannot be written to; the alert `store_down` reports it.
                if not is_store_failure(error):
                    _note(pipeline, name, error)
                raise
            with pipeline.store.transaction() as connection:
                clear_failures(connection, SENSOR, name)
                record_heartbeat(connection, sensor_heartbeat(name))
            return answer

        return evaluated

    return decorate


def _note(pipeline: Pipeline, name: str, error: Exception) -> None:
    now = datetime.now(UTC)
    # What PostgreSQL says may quote a row.
    said = "" if driver_error(error) else f": {first_line(error)}"
    with pipeline.store.transaction() as connection:
        failure = Failure(SENSOR, name, "", now, now, f"{type(error).__name__}{said}")
        note_failures(connection, [failure])
