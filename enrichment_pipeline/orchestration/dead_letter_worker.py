"""The code location `dead_letter_worker`: replays only, in a process of their own, so that they
never slow the pipeline's process down, however many letters are replayed.

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
