"""Celery, set up for a broker: the same for publishers and workers.

What a message means belongs to `notifying` and `handling`.
"""

from celery import Celery
from kombu import Exchange
from kombu import Queue as KombuQueue

from enrichment_pipeline.workers.brokers.broker import Broker
from enrichment_pipeline.workers.queues import EXCHANGE, NOTIFICATION, Queue


def celery_app(broker: Broker) -> Celery:
    """An application on this broker, which knows both queues and no tasks yet."""
    app = Celery("enrichment_pipeline", set_as_current=False)
    app.conf.update(
        task_queues=[
            KombuQueue(
                str(queue),
                Exchange(EXCHANGE, type="direct"),
                routing_key=str(queue),
                queue_arguments=dict(broker.queue_arguments(queue) or {}) or None,
            )
            for queue in Queue
        ],
        task_default_queue=str(Queue.ENRICH),
        task_default_exchange=EXCHANGE,
        task_default_routing_key=str(Queue.ENRICH),
        task_create_missing_queues=False,
        task_routes={NOTIFICATION: {"queue": str(Queue.ENRICH)}},
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # A message is acknowledged once it is handled; if its worker dies, another one gets it.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A process that died may have sent a result that is still on its way; with a broker without
        # an asynchronous client, the process's message is given back only after that.
        worker_lost_wait=1.0,
        # Claim one message and hold none in reserve: other workers cannot take a reserved one.
        worker_prefetch_multiplier=1,
        # Both need broadcast queues, which SQS and Kafka do not have.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        # Wait for an unreachable broker, however long that takes.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        **broker.celery_settings(),
    )
    return app
