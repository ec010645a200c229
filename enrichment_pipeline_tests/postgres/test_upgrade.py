"""A store of the first schema is brought up to date, on servers as they are elsewhere."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import connect_store
from enrichment_pipeline.store.database.schema import newest_version
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.faults.old_store import fill
from enrichment_pipeline_tests.postgres.conftest import PLAIN, Place
from enrichment_pipeline_tests.postgres.test_walk import backup, books, said

EVENTS, REFUSED = 1_000, 10


@pytest.mark.usefixtures("place")
def test_an_older_store_is_brought_up_to_date_when_a_person_says_so(tmp_path: Path) -> None:
    with closing(connect_store(load_settings())) as store:
        with store.transaction() as connection:
            fill(connection, EVENTS)
        refused = call("status")
        assert refused.returncode == 1
        assert "has schema version 0001" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert said("migrate")["newest"] == newest_version()
        with store.transaction() as connection:
            left = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid"
            assert connection.execute(text(left)).all() == []
    file = tmp_path / "events.jsonl"
    file.write_bytes(make_event())
    assert said("import", str(file))["accepted"] == 1
    assert books() == (EVENTS + REFUSED + 1, EVENTS, REFUSED, 1)


@pytest.mark.parametrize("place", [PLAIN], indirect=True)
def test_a_backup_of_an_older_store_is_brought_up_to_date_by_its_restore(
    place: Place, tmp_path: Path
) -> None:
    with closing(connect_store(load_settings())) as store, store.transaction() as connection:
        fill(connection, EVENTS)
    saved = tmp_path / "saved"
    backup("save", saved, place.direct)
    assert f"restored {EVENTS + REFUSED:,} events" in backup("restore", saved, place.empty)
    assert books(DATABASE_URL=place.empty) == (EVENTS + REFUSED, EVENTS, REFUSED, 0)
