"""The code location `dead_letter_worker`: replays alone, in a process of their own, so that however
many letters are replayed, fresh events find the pipeline's process as free as before.

It defines no asset: its job logs a materialization of `dead_letter`.
"""

import warnings

import dagster as dg

# As in `definitions`.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from enrichment_pipeline.orchestration.replaying import (  # noqa: E402
    marked_letters,
    replay_dead_letters,
    transient_letters,
)
from enrichment_pipeline.orchestration.resources import Pipeline  # noqa: E402


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return dg.Definitions(
        jobs=[replay_dead_letters],
        sensors=[marked_letters, transient_letters],
        resources={"pipeline": Pipeline()},
        executor=dg.in_process_executor,
    )
