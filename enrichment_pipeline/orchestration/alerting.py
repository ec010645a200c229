"""The sensor `alerts`: looks at what is wrong and delivers, so that alerts are told where no API
runs. What it does belongs to the room `alerts`."""

import dagster as dg

from enrichment_pipeline.alerts.channels import channels
from enrichment_pipeline.alerts.delivery import deliver_everywhere
from enrichment_pipeline.alerts.looking import look
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.resources import Pipeline

_SECONDS = 30


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people what is wrong, as the API does; launches nothing.",
)
@keeps_errors_private
def alerts(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.SkipReason:
    """Look once, and deliver what is due."""
    found = channels(pipeline.settings)
    told = look(pipeline.store, pipeline.settings, [channel.name for channel in found])
    deliver_everywhere(pipeline.store, found)
    return dg.SkipReason("; ".join(message.title for message in told) or "nothing new to tell")
