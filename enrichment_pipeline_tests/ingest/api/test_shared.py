"""What several processes that speak HTTP share, as each of them sees it."""

import threading
from multiprocessing import get_context

import pytest
from starlette.testclient import TestClient

from enrichment_pipeline.ingest.api import app as module
from enrichment_pipeline.ingest.api.app import create_app
from enrichment_pipeline.ingest.api.metrics import Metrics
from enrichment_pipeline.ingest.api.micro_batch import OverloadedError, Reservation
from enrichment_pipeline.ingest.api.server import http_processes, writers_of_each
from enrichment_pipeline.ingest.api.shared import Share, SharedBudget
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store


@pytest.fixture
def share() -> Share:
    """The share of the first of two processes."""
    return Share.among(2)


def shown(metrics: Metrics, name: str) -> float:
    [line] = [one for one in metrics.text().decode().splitlines() if one.startswith(f"{name} ")]
    return float(line.split()[1])


def reserve(share: Share, size: int) -> Reservation:
    reservation = Reservation(SharedBudget(100, share))
    reservation.add(size)
    return reservation


def _reserve_and_die(share: Share) -> None:
    reserve(share, 60)


def test_the_memory_of_all_processes_is_one_budget(share: Share) -> None:
    first = reserve(share, 60)
    with pytest.raises(OverloadedError):
        reserve(share.of(1), 41)
    second = reserve(share.of(1), 40)
    assert SharedBudget(100, share).taken == 100
    first.release()
    second.release()
    assert SharedBudget(100, share).taken == 0


def test_the_memory_of_a_process_that_died_is_given_back(share: Share) -> None:
    process = get_context("spawn").Process(target=_reserve_and_die, args=(share.of(1),))
    process.start()
    process.join()
    assert SharedBudget(100, share).taken == 60
    share.of(1).release()
    assert SharedBudget(100, share).taken == 0


def test_every_process_shows_what_all_have_counted(share: Share) -> None:
    first, second = Metrics(share), Metrics(share.of(1))
    first.requests.labels(200).inc(2)
    second.requests.labels(200).inc(3)
    second.requests.labels(413).inc()
    second.acknowledge.observe(0.04)
    second.waiting.set(7)
    second.publish()
    assert shown(first, 'enrichment_requests_total{status="200"}') == 5
    assert shown(first, 'enrichment_requests_total{status="413"}') == 1
    assert shown(first, 'enrichment_acknowledge_seconds_bucket{le="0.05"}') == 1
    assert shown(first, "enrichment_waiting_events") == 7
    # What the first shows it has published.
    assert shown(second, 'enrichment_requests_total{status="200"}') == 5


def test_what_is_measured_of_the_store_is_not_added_up(share: Share) -> None:
    first, second = Metrics(share), Metrics(share.of(1))
    for metrics in (first, second):
        metrics.queue_events.set(9)
        metrics.memory.set(50)
        metrics.alerts_open.labels("dead_letters").set(1)
        metrics.publish()
    # One process alone watches, and knows of an outage.
    second.set_store_down(True)
    second.publish()
    assert shown(first, "enrichment_queue_events") == 9
    assert shown(first, "enrichment_request_memory_bytes") == 50
    assert shown(first, 'enrichment_alerts_open{kind="dead_letters"}') == 1
    assert shown(first, 'enrichment_alerts_open{kind="store_down"}') == 1


def test_a_process_goes_on_counting_where_the_one_that_it_replaces_has_died(share: Share) -> None:
    first, second = Metrics(share), Metrics(share.of(1))
    second.requests.labels(200).inc(3)
    second.waiting.set(7)
    second.publish()
    third = Metrics(share.of(1))
    third.requests.labels(200).inc()
    assert shown(third, 'enrichment_requests_total{status="200"}') == 4
    assert shown(first, 'enrichment_requests_total{status="200"}') == 4
    assert shown(first, "enrichment_waiting_events") == 0


def test_requests_of_one_process_leave_less_memory_to_another_which_is_not_ready_then(
    store: Store, settings: Settings, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY_BYTES", 1_000)
    with TestClient(create_app(store, settings, share=share)) as client:
        body = {"api_key": "phc_local", "event": "x", "distinct_id": "a", "properties": {}}
        assert client.get("/readyz").text == "ready"
        assert client.post("/e/", json=body).status_code == 200
        other = Reservation(SharedBudget(1_000, share.of(1)))
        other.add(950)
        assert client.get("/readyz").text == "overloaded"
        assert client.post("/e/", json=body).status_code == 503


def test_of_several_processes_the_first_alone_watches(
    store: Store, settings: Settings, share: Share
) -> None:
    for number, watches in ((0, True), (1, False)):
        with TestClient(create_app(store, settings, share=share.of(number))):
            names = {thread.name for thread in threading.enumerate()}
            assert ("alerts" in names) is watches


@pytest.mark.parametrize(
    ("cores", "processes", "writers"),
    [(1, 1, 1), (2, 1, 2), (4, 1, 4), (7, 1, 4), (8, 2, 2), (16, 4, 2), (64, 4, 4)],
)
def test_the_cores_decide_how_many_processes_there_are(
    cores: int, processes: int, writers: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert http_processes(settings) == processes
    assert writers_of_each(processes) == writers


def test_the_setting_decides_before_the_cores_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert http_processes(settings.model_copy(update={"api_processes": 3})) == 3
    assert writers_of_each(3) == 1
