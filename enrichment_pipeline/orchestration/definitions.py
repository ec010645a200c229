"""The code location `enrichment_pipeline`: all definitions, built by one function."""

import warnings
from datetime import datetime, timedelta

import dagster as dg

from enrichment_pipeline.classification import load_rules
from enrichment_pipeline.orchestration.alerting import alerts
from enrichment_pipeline.orchestration.assets import build_assets
from enrichment_pipeline.orchestration.broken_sensor import build_broken_sensor
from enrichment_pipeline.orchestration.maintenance import (
    build_maintenance,
    build_maintenance_schedule,
)
from enrichment_pipeline.orchestration.partitions import window_partitions
from enrichment_pipeline.orchestration.pull_schedule import build_pull_schedule
from enrichment_pipeline.orchestration.reconciling import (
    build_reconciling_sensor,
    enrichment_reconcile,
)
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import build_enrichment_job, build_sensor
from enrichment_pipeline.orchestration.session_timelines import (
    build_session_timelines,
    build_sessions_job,
    build_sessions_sensor,
)
from enrichment_pipeline.orchestration.sweep import enrichment_sweep
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.engine import opened_store
from enrichment_pipeline.store.windows import partition_start

# Dagster says of backfill_policy, which it recommends for assets like these, that it is in beta; in
# every process, several times.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_definitions(settings: Settings, start: datetime) -> dg.Definitions:
    """All definitions, with windows from `start`."""
    partitions = window_partitions(start, settings.window)
    rules = load_rules(settings.rules_file)
    assets = [*build_assets(partitions, rules.version), build_session_timelines(start)]
    maintenance = build_maintenance(assets)
    schedules = [build_maintenance_schedule(maintenance)]
    if settings.pulls:
        schedules.append(build_pull_schedule(partitions))
    enrichment, sessions = build_enrichment_job(), build_sessions_job()
    # What is due is the workers' first, where there are some; and they tell Dagster nothing.
    grace = timedelta(seconds=settings.grace_seconds if settings.broker_url else 0)
    sensors = [
        build_sensor(partitions, enrichment, settings.sensor_seconds, grace),
        build_broken_sensor(partitions, enrichment, settings.sensor_seconds),
        build_sessions_sensor(start, sessions, settings.sensor_seconds),
        alerts,
    ]
    if settings.broker_url:
        sensors.append(build_reconciling_sensor(partitions))
    return dg.Definitions(
        assets=assets,
        jobs=[enrichment, sessions, enrichment_sweep, enrichment_reconcile, maintenance],
        schedules=schedules,
        sensors=sensors,
        resources={"pipeline": Pipeline()},
        # A run is one short step after another: a process for each would take some 3 s a run.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads. The start of the windows is in the store, so the store is asked."""
    settings = load_settings()
    with opened_store(settings) as store, store.transaction() as connection:
        start = partition_start(connection)
    return build_definitions(settings, start)
