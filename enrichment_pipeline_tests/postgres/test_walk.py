"""All that a store goes through, on servers as they are elsewhere: another version, another time
zone, behind PgBouncer, in a schema of its own, under the limits of a role that may do little."""

import json
import os
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import opened_store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.poison import RAISES, poisoned
from enrichment_pipeline_tests.postgres.conftest import Place
from enrichment_pipeline_tests.served import served_by_a_thread

BACKUP = Path(__file__).parents[2] / "deploy" / "backup.py"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

SENT = 12
"""Events in a request; as many as a prepared statement would need to be prepared, and more."""


def said(*arguments: str, **variables: str) -> Any:
    """What a command says as JSON."""
    called = call(*arguments, "--json", **variables)
    assert called.returncode == 0, called.stderr
    return json.loads(called.stdout)


def test_a_store_lives_as_it_does_at_home(place: Place, rules: Rules, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([*visits(), make_event("poison", NOON), b"broken"]))
    assert said("import", str(file))["accepted"] == 21

    settings = load_settings()
    with opened_store(settings) as store:
        with served_by_a_thread(store, settings) as api:
            for number in range(SENT):
                send(api, f"user-{number}")
        enrich_due(store, poisoned(rules, poison=RAISES))
    assert books() == (22 + SENT, 20 + SENT, 2, 0)

    replayed = said("dead-letters", "replay", "--reason", "enrichment_raised")
    assert (replayed["resolved"], replayed["failed"]) == (1, 0)
    assert books() == (22 + SENT, 21 + SENT, 1, 0)
    assert "2026-03-01 12:00" in call("status", "--all").stdout  # in UTC, as it says

    said("sessions", "build")
    listed = said("sessions", "list", "--contains", "/page-9")
    assert {one["session_id"]: one["events"] for one in listed} == {"ann": 10, "bob": 10}
    assert "/page-9" in call("timeline", "ann").stdout

    forgotten = said("forget", "bob", "--yes")
    assert [person["enriched"] for person in forgotten["people"]] == [10]
    assert books() == (12 + SENT, 11 + SENT, 1, 0)

    saved = tmp_path / "saved"
    backup("save", saved, place.direct)
    assert f"restored {12 + SENT} events" in backup("restore", saved, place.empty)
    assert books(DATABASE_URL=place.empty) == (12 + SENT, 11 + SENT, 1, 0)


def visits() -> list[bytes]:
    """Two sessions of ten events."""
    return [
        make_event(
            at=NOON.replace(minute=number),
            distinct_id=who,
            properties={"$session_id": who, "$pathname": f"/page-{number}"},
        )
        for who in ("ann", "bob")
        for number in range(10)
    ]


def send(api: str, who: str) -> None:
    event = {"event": "$pageview", "distinct_id": who}
    body = json.dumps({"api_key": "phc_local", "batch": [event]}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{api}/batch/", body)) as response:
        assert response.status == 200


def books(**variables: str) -> tuple[int, ...]:
    total = said("status", "--verify", **variables)["total"]
    return tuple(total[name] for name in ("accepted", "enriched", "dead", "pending"))


def backup(what: str, folder: Path, url: str) -> str:
    done = subprocess.run(
        [sys.executable, BACKUP, what, folder],
        env={**os.environ, "DATABASE_URL": url, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
