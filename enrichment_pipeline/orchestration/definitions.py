"""The code location `enrichment_pipeline`: all definitions, built by one function."""

import logging
import warnings
from datetime import timedelta

import dagster as dg

from enrichment_pipeline.classification import RulesFileError, load_rules
from enrichment_pipeline.orchestration.alerting import alerts
from enrichment_pipeline.orchestration.assets import build_assets
from enrichment_pipeline.orchestration.changed_sensor import build_changed_sensor
from enrichment_pipeline.orchestration.forked_runs import fork_runs
from enrichment_pipeline.orchestration.maintenance import (
    build_maintenance,
    build_maintenance_schedule,
)
from enrichment_pipeline.orchestration.pull_schedule import build_pull_schedule
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import build_enrichment_job, build_sensor
from enrichment_pipeline.orchestration.session_timelines import (
    build_session_timelines,
    build_sessions_job,
)
from enrichment_pipeline.orchestration.sweep import enrichment_sweep
from enrichment_pipeline.settings import Settings, load_settings

logger = logging.getLogger(__name__)

# In every process, Dagster warns several times that backfill_policy is in beta, although it
# recommends it for assets like these.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_definitions(settings: Settings) -> dg.Definitions:
    """All definitions."""
    assets = [*build_assets(_rules_version(settings)), build_session_timelines()]
    maintenance = build_maintenance(assets)
    schedules = [build_maintenance_schedule(maintenance)]
    if settings.pulls:
        schedules.append(build_pull_schedule())
    enrichment, sessions = build_enrichment_job(), build_sessions_job()
    # With a broker, workers enrich what is due first, and Dagster what they leave.
    grace = timedelta(seconds=settings.grace_seconds if settings.broker_url else 0)
    return dg.Definitions(
        assets=assets,
        jobs=[enrichment, sessions, enrichment_sweep, maintenance],
        schedules=schedules,
        sensors=[
            build_sensor(enrichment, settings.sensor_seconds, grace, waits=settings.sensor_waits),
            build_changed_sensor(enrichment, sessions, settings.sensor_seconds),
            alerts,
        ],
        resources={"pipeline": Pipeline()},
        # A run is one short step after another: a process for each would take some 3 s a run.
        executor=dg.in_process_executor,
    )


def _rules_version(settings: Settings) -> str | None:
    """The rules version; None where the rules cannot be read: runs report it, sensors go on."""
    try:
        return load_rules(settings.rules_file).version
    except RulesFileError as error:
        logger.warning("%s", error)
        return None


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    settings = load_settings()
    # Who waits for events wants them soon.
    fork_runs(ready=settings.sensor_waits)
    return build_definitions(settings)
