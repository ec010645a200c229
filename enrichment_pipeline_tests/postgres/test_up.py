"""Everything that `up` starts, behind PgBouncer: the API, Dagster's webserver, daemon and runs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.pipeline import EVENTS, Pipeline, counts, wait_until
from enrichment_pipeline_tests.postgres.conftest import POOLED

REQUESTS = 10


def sessions(store: Store) -> int:
    with store.transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM session_timeline")).scalar_one())


@pytest.mark.parametrize("place", [POOLED], indirect=True)
@pytest.mark.usefixtures("place")
def test_up_takes_in_enriches_and_shows_events_behind_a_pooler(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    with pipeline.running() as store:
        for number in range(REQUESTS):
            pipeline.send(f"event {number}", at=datetime.now(UTC))
        wait_until(lambda: counts(store) == (REQUESTS * EVENTS, 0, 0), "all is enriched")
        wait_until(lambda: sessions(store) == EVENTS, "the sessions are there")
        runs = pipeline.ask("{ runsOrError { ... on Runs { results { status startTime } } } }")
        assert pipeline.process.is_running()
    assert "error:" not in (tmp_path / "up.log").read_text()
    found = runs["runsOrError"]["results"]
    assert {run["status"] for run in found} <= {"SUCCESS", "STARTED", "QUEUED", "STARTING"}
    started = [datetime.fromtimestamp(run["startTime"], UTC) for run in found if run["startTime"]]
    assert all(abs((datetime.now(UTC) - at).total_seconds()) < 600 for at in started)
    for log in (tmp_path / "logs").iterdir():
        assert "prepared statement" not in log.read_text(), log
