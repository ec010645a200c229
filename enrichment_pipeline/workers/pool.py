"""The processes of a worker, where the broker's client has no event loop: all but RabbitMQ's.

Handling a message in them belongs to `worker`.
"""

from typing import Any

from celery.concurrency import prefork


class _Pool(prefork.BlockingPool):  # type: ignore[misc]
    """Celery's pool, whose processes take tasks from one pipe."""

    def _setup_queues(self) -> None:
        super()._setup_queues()
        tasks = self._inqueue
        tasks.get_payload = lambda: _received(tasks)


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """Celery's prefork pool, which goes on when a process is killed while it waits."""

    BlockingPool = _Pool


def _received(tasks: Any) -> bytes:
    # Billiard holds the lock while it waits. A process that is killed then never releases the lock,
    # and no process gets a task any more.
    while True:
        tasks._reader.poll(None)
        with tasks._rlock:
            if tasks._reader.poll(0):
                return bytes(tasks._reader.recv_bytes())
