"""`enrichment-pipeline pull`, as a person types it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import HOUR, make_event
from enrichment_pipeline_tests.ingest.posthog_stand_in import (
    KEY,
    PROJECT_ID,
    StandIn,
    refused,
    stand_in,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = ("--from", "2026-03-01", "--to", "2026-03-02")


@pytest.fixture
def posthog(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """PostHog, which the settings name."""
    with stand_in() as server:
        monkeypatch.setenv("ENRICHMENT_POSTHOG_URL", server.url)
        monkeypatch.setenv("ENRICHMENT_POSTHOG_PROJECT_ID", str(PROJECT_ID))
        monkeypatch.setenv("ENRICHMENT_POSTHOG_API_KEY", KEY)
        yield server


@pytest.mark.usefixtures("store")
@pytest.mark.slow
def test_pulling_a_day_and_pulling_it_again(posthog: StandIn) -> None:
    posthog.add(make_event(at=NOON), make_event(at=NOON + HOUR), make_event(at=NOON + 24 * HOUR))
    first = call("pull", *DAY, "--json")
    assert first.returncode == 0, first.stderr
    figures = json.loads(first.stdout)
    assert (figures["accepted"], figures["duplicates"], len(figures["windows"])) == (2, 0, 24)
    posthog.add(make_event(at=NOON))
    assert "accepted 1 · duplicates 2" in call("pull", *DAY).stdout


@pytest.mark.usefixtures("store")
def test_without_a_day_what_is_due_is_pulled(posthog: StandIn) -> None:
    now = window_start(datetime.now(UTC), HOUR)
    posthog.add(make_event(at=now - timedelta(minutes=1)), make_event(at=now))
    result = call("pull")
    assert "accepted 2 · duplicates 0 · quarantined 0 · 0 files · 2 windows" in result.stdout


@pytest.mark.usefixtures("store")
def test_a_file_of_the_folder_that_is_one_page_of_more_is_said_to_be_one(tmp_path: Path) -> None:
    page = {"next": "https://eu.posthog.com/x", "results": [json.loads(make_event(at=NOON))]}
    (tmp_path / "page.json").write_text(json.dumps(page))
    result = call("pull", "--json", ENRICHMENT_PULL_FOLDER=str(tmp_path))
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["accepted"], summary["errors"]) == (1, [])
    [line] = summary["warnings"]
    assert "page.json: one page of more (1 record read)" in line
    assert line in result.stderr


@pytest.mark.usefixtures("store")
def test_a_failure_is_reported_after_what_came_before_it(posthog: StandIn, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_bytes(make_event(at=NOON))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1, and no more")
    posthog.script.append(refused(403, "missing scope query:read"))
    result = call("pull", "--json", ENRICHMENT_PULL_FOLDER=str(tmp_path))
    assert result.returncode == 1
    summary = json.loads(result.stdout)
    assert (summary["accepted"], summary["files"]) == (1, 1)
    broken, refusal = summary["errors"]
    assert "bad.parquet" in broken
    assert "ENRICHMENT_POSTHOG_API_KEY" in refusal
    assert KEY not in result.stdout + result.stderr


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "no source to pull from: set ENRICHMENT_PULL_FOLDER"),
        (["--from", "yesterday"], "--from 'yesterday' is no day"),
        (["--from", "2026-03-02", "--to", "2026-03-01"], "--from must be before --to"),
        (["--from", "2999-01-01"], "in the past"),
        (["--from", "1971-01-01"], "windows ago"),
        (["--to", "2026-03-01"], "--to goes with --from"),
    ],
)
def test_what_cannot_be_pulled_is_refused_in_one_line(arguments: list[str], line: str) -> None:
    result = call("pull", *arguments)
    assert result.returncode == 1
    assert line in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not result.stdout


@pytest.mark.parametrize(
    ("first", "end", "count"),
    [
        ("2026-03-01T12:30", "2026-03-01T13:00", 1),
        ("2026-03-01T12:30", "2026-03-01T13:01", 2),
        ("2026-03-01T12:00+01:00", "2026-03-01T12:00", 1),
    ],
)
def test_every_window_that_holds_a_part_of_the_time_is_pulled(
    store: Store, posthog: StandIn, first: str, end: str, count: int
) -> None:
    figures = json.loads(call("pull", "--from", first, "--to", end, "--json").stdout)
    assert len(figures["windows"]) == count


def test_the_help_has_an_example() -> None:
    result = call("pull", "--help")
    assert result.returncode == 0
    assert "Example:" in result.stdout
