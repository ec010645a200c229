"""The sensor `alerts`: records the failures that only Dagster knows, evaluates all alerts, and
delivers messages, so that people are notified where no API runs. Evaluating belongs to the package
`alerts`."""

from contextlib import suppress

import dagster as dg

from enrichment_pipeline.alerts.channels import channels
from enrichment_pipeline.alerts.delivery import deliver_everywhere
from enrichment_pipeline.alerts.evaluation import evaluate
from enrichment_pipeline.classification import RulesFileError
from enrichment_pipeline.orchestration.heartbeats import records_heartbeat
from enrichment_pipeline.orchestration.outcomes import note_outcomes
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.replaying import marked_letters, transient_letters
from enrichment_pipeline.orchestration.resources import Pipeline, rules_in_use
from enrichment_pipeline.store.monitoring.heartbeats import forget_other_sensors

_SECONDS = 30

# The sensors of the other code location.
_ELSEWHERE = (marked_letters, transient_letters)


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notifies people of what is wrong, as the API does; launches nothing.",
)
@keeps_errors_private
@records_heartbeat("alerts")
def alerts(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.SkipReason:
    """Evaluate once, and deliver the messages that are due."""
    store, definitions = pipeline.store, context.repository_def
    with suppress(RulesFileError):
        # Reading the rules records whether their file is broken.
        rules_in_use(pipeline.settings.rules_file).now(store)
    if definitions is not None:
        checks = definitions.asset_graph.asset_check_keys
        context.update_cursor(note_outcomes(context.instance, checks, store, context.cursor))
        with store.transaction() as connection:
            forget_other_sensors(connection, _switched_on(context.instance, definitions))
    found = channels(pipeline.settings)
    messages = evaluate(store, pipeline.settings, [channel.name for channel in found])
    deliver_everywhere(store, found)
    return dg.SkipReason(
        "; ".join(message.title for message in messages) or "nothing new to notify of"
    )


def _switched_on(instance: dg.DagsterInstance, definitions: dg.RepositoryDefinition) -> set[str]:
    """The sensors and schedules that are expected to tick."""
    here = {sensor.name for sensor in (*definitions.sensor_defs, *_ELSEWHERE)}
    here |= {schedule.name for schedule in definitions.schedule_defs}
    states = instance.all_instigator_state() if instance.schedule_storage else ()
    # Dagster's enumeration of the states is not public.
    return here - {state.name for state in states if state.status.value == "STOPPED"}
