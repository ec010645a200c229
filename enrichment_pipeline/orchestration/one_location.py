"""Both code locations in one, for `dg`: it loads one location from a project.

`workspace.yaml` has them apart, for everything else.
"""

import dagster as dg

from enrichment_pipeline.orchestration import dead_letter_worker, definitions


@dg.definitions
def defs() -> dg.Definitions:
    """What `dg` loads."""
    pipeline, replays = definitions.defs(), dead_letter_worker.defs()
    # Both have the resource and the executor of the first.
    return dg.Definitions.merge(
        pipeline, dg.Definitions(jobs=replays.jobs, sensors=replays.sensors)
    )
