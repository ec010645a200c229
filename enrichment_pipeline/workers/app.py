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
        # A message is acknowledged once it is answered; one whose worker died is given to another.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # Of a process that died, a result may still be on its way; where the broker has no
        # asynchronous client, its message is given back only after that.
        worker_lost_wait=1.0,
        # One message in hand and none in reserve: what waits in a worker waits for nobody else.
        worker_prefetch_multiplier=1,
        # Both want queues that are broadcast to, which SQS and Kafka do not have.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        # A broker that is away is waited for, however long.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        **broker.celery_settings(),
    )
    return app
