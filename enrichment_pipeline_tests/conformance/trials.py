"""What each broker has to go through. What became of the events is counted in `accounts`."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil
from sqlalchemy import text

from enrichment_pipeline.store.database.embedded_server import ServerFiles
from enrichment_pipeline_tests.conformance.accounts import await_rest
from enrichment_pipeline_tests.conformance.stage import Stage, kill
from enrichment_pipeline_tests.conftest import raw_events
from enrichment_pipeline_tests.faults.stage import Load

Act = Callable[[Stage, Load, float], None]

_STOP_SECONDS = 15.0
_DEAD_SECONDS = 60.0
_RULES = """
events:
  page opened: {event_type: pageview, action_type: view}
"""
_UNKNOWN_BATCH = 2**40


@dataclass(frozen=True)
class Trial:
    """Something that happens while events come in."""

    name: str
    act: Act
    """Does it; how long it lasts, where it does, is the third argument, in seconds."""
    dead: int = 0
    """Events that have to become dead letters."""


def _nothing(stage: Stage, load: Load, lasts: float) -> None:
    time.sleep(lasts)


def _a_worker_is_killed(stage: Stage, load: Load, lasts: float) -> None:
    for _ in range(2):
        kill(stage.workers[0])
        time.sleep(lasts / 2)


def _the_api_is_killed(stage: Stage, load: Load, lasts: float) -> None:
    kill(stage.api)
    time.sleep(lasts)


def _postgresql_is_killed(stage: Stage, load: Load, lasts: float) -> None:
    files = ServerFiles.of(stage.home)
    postmaster = psutil.Process(int((files.data / "postmaster.pid").read_text().split()[0]))
    children = postmaster.children(recursive=True)
    postmaster.kill()
    psutil.wait_procs([postmaster, *children], timeout=_STOP_SECONDS)
    time.sleep(lasts / 2)
    stage.server.start()
    time.sleep(lasts / 2)


def _every_message_comes_twice(stage: Stage, load: Load, lasts: float) -> None:
    time.sleep(lasts)
    for batch in _newest(stage, 100):
        stage.notify([batch])


def _out_of_order(stage: Stage, load: Load, lasts: float) -> None:
    """Batches without a notification yet, and one that does not exist, notified of in any order."""
    now = datetime.now(UTC)
    batches = [batch for _ in range(30) for batch in _hidden(stage, load, now)]
    batches.append(_UNKNOWN_BATCH)
    random.Random(5).shuffle(batches)
    for batch in batches:
        stage.notify([batch])
    time.sleep(lasts / 2)


def _the_broker_is_gone(stage: Stage, load: Load, lasts: float) -> None:
    stage.part.stop()
    time.sleep(lasts)
    stage.part.start()


def _a_foreign_message(stage: Stage, load: Load, lasts: float) -> None:
    for body in (b"\x00\xff not ours", b'{"not": "ours"}', b"[]"):
        stage.part.put_foreign(body)
    time.sleep(lasts / 2)


def _a_poison_event(stage: Stage, load: Load, lasts: float) -> None:
    # Its runs are in this process, which is not to be killed.
    stage.sensor.is_paused = True
    try:
        [poison] = load.send("kills")
        deadline = time.monotonic() + _DEAD_SECONDS
        while not _is_dead(stage, poison):
            assert time.monotonic() < deadline, "the event did not become a dead letter"
            time.sleep(0.2)
    finally:
        stage.sensor.is_paused = False


def _more_workers_and_fewer(stage: Stage, load: Load, lasts: float) -> None:
    for count in (1, 4, 1, 2):
        slowest = stage.scale(count)
        assert slowest < _STOP_SECONDS, f"a worker took {slowest:.0f} s to stop"
        time.sleep(lasts / 2)


def _new_rules_and_back(stage: Stage, load: Load, lasts: float) -> None:
    """Rules are released worker by worker, and rolled back; old and new are at work together."""
    file = stage.home / "rules.yaml"
    file.write_text(_RULES, encoding="utf-8")
    stage.replace_worker(ENRICHMENT_RULES_FILE=str(file))
    _await_versions(stage, 2)
    time.sleep(lasts / 2)
    for _ in range(2):
        stage.replace_worker()


def _await_versions(stage: Stage, count: int) -> None:
    """Wait until events were enriched under so many versions of the rules."""
    versions = text("SELECT count(DISTINCT rules_version) FROM enriched_event")
    deadline = time.monotonic() + _DEAD_SECONDS
    while True:
        with stage.store.transaction() as connection:
            if connection.execute(versions).scalar_one() >= count:
                return
        assert time.monotonic() < deadline, "nobody worked under the new rules"
        time.sleep(0.2)


def _never_published(stage: Stage, load: Load, lasts: float) -> None:
    """The process that took them in died before it notified, and nobody else notifies."""
    load.pause()
    await_rest(stage, load)
    runs = stage.sensor.runs
    _hidden(stage, load, datetime.now(UTC))
    await_rest(stage, load)
    assert stage.sensor.runs > runs, "somebody else has found them"


def _hidden(stage: Stage, load: Load, now: datetime) -> list[int]:
    events = raw_events(5, now)
    batches = list(stage.load(events))
    load.acknowledged |= {str(event.uuid) for event in events}
    return batches


def _is_dead(stage: Stage, uuid: str) -> bool:
    with stage.store.transaction() as connection:
        found = connection.execute(
            text("SELECT count(*) FROM dead_letter WHERE uuid = CAST(:uuid AS uuid)"),
            {"uuid": uuid},
        )
        return bool(found.scalar_one())


def _newest(stage: Stage, count: int) -> list[int]:
    with stage.store.transaction() as connection:
        return list(
            connection.execute(
                text("SELECT id FROM raw_batch ORDER BY id DESC LIMIT :count"), {"count": count}
            ).scalars()
        )


TRIALS = (
    Trial("publish and consume", _nothing),
    Trial("a worker is killed", _a_worker_is_killed),
    Trial("the API is killed", _the_api_is_killed),
    Trial("PostgreSQL is killed", _postgresql_is_killed),
    Trial("every message comes twice", _every_message_comes_twice),
    Trial("messages out of order", _out_of_order),
    Trial("the broker is gone, and back", _the_broker_is_gone),
    Trial("messages that are not ours", _a_foreign_message),
    Trial("an event that kills workers", _a_poison_event, dead=1),
    Trial("workers 2, 1, 4, 1, 2", _more_workers_and_fewer),
    Trial("new rules, and back", _new_rules_and_back),
    Trial("the publish that never happened", _never_published),
)
