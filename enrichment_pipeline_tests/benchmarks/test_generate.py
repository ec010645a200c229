"""Generated events: repeatable, and spread as the benchmarks say they are."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from benchmarks.generate import generate_events
from enrichment_pipeline import classify_event
from enrichment_pipeline.ingest.files import read_records
from enrichment_pipeline.ingest.sample.shapes import recorded_shapes

pytestmark = pytest.mark.slow

START = datetime(2026, 11, 23, tzinfo=UTC)
COUNT = 20_000


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return [json.loads(event) for event in generate_events(COUNT, start=START)]


def moments(events: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(event["timestamp"]) for event in events]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first = list(generate_events(300, seed=7, start=START))
    assert list(generate_events(300, seed=7, start=START)) == first
    other = list(generate_events(300, seed=8, start=START))
    assert not {json.loads(e)["uuid"] for e in first} & {json.loads(e)["uuid"] for e in other}


def test_a_uuid_is_of_version_7_and_of_the_event_alone(events: list[dict[str, Any]]) -> None:
    assert len({event["uuid"] for event in events}) == COUNT
    for event, moment in zip(events[:500], moments(events), strict=False):
        uuid = UUID(event["uuid"])
        assert uuid.version == 7
        assert uuid.variant == "specified in RFC 4122"
        assert uuid.int >> 80 == round(moment.timestamp() * 1000)


def test_events_are_as_large_as_real_ones(events: list[dict[str, Any]]) -> None:
    mean = sum(len(event) for event in generate_events(5_000, start=START)) / 5_000
    assert 2_500 < mean < 2_800
    for event in events[:500]:
        assert event.keys() == {"uuid", "event", "distinct_id", "timestamp", "properties"}
        assert event["properties"]["distinct_id"] == event["distinct_id"]
        recorded = recorded_shapes()["plan_upgrade_started"]["properties"].keys()
        assert len(recorded - event["properties"].keys()) < 10


def test_a_tenth_of_the_events_have_a_url_of_their_own(events: list[dict[str, Any]]) -> None:
    urls = Counter(event["properties"]["$current_url"] for event in events)
    alone = {url for url, count in urls.items() if count == 1}
    made_unique = [url for url in alone if "/orders/" in url or "?q=" in url]
    assert 0.09 < len(made_unique) / COUNT < 0.11
    for event in events:
        path = event["properties"]["$pathname"]
        url = event["properties"]["$current_url"]
        assert url.partition("?")[0] == f"https://app.example{path}"


def test_few_pages_and_elements_make_up_most_of_the_traffic(events: list[dict[str, Any]]) -> None:
    paths = Counter(
        path
        for event in events
        if not (path := event["properties"]["$pathname"]).startswith("/users/")
    )
    assert 700 < len(paths) <= 2_000
    assert sum(count for _, count in paths.most_common(100)) > 0.5 * paths.total()
    chains = Counter(event["properties"].get("$elements_chain") for event in events)
    del chains[None]
    assert len(chains) > 500
    assert sum(count for _, count in chains.most_common(20)) > 0.3 * chains.total()


def test_kinds_of_events_are_mixed_as_in_real_traffic(events: list[dict[str, Any]]) -> None:
    names = Counter(event["event"] for event in events)
    share = {name: count / COUNT for name, count in names.items()}
    assert 0.40 < share["$autocapture"] < 0.52
    assert 0.15 < share["$pageview"] < 0.23
    assert 0.15 < share["$pageleave"] < 0.23
    for rare in ("$identify", "$web_vitals", "$rageclick"):
        assert 0.004 < share[rare] < 0.06
    custom = [name for name in names if not name.startswith("$")]
    assert len(custom) > 150
    assert 0.06 < sum(share[name] for name in custom) < 0.14
    found = {tuple(classify_event(e["event"], e["properties"])) for e in events}
    assert len(found) == 10


def test_people_come_in_sessions(events: list[dict[str, Any]]) -> None:
    people: dict[str, set[str]] = {}
    for event in events:
        session = event["properties"]["$session_id"]
        people.setdefault(session, set()).add(event["distinct_id"])
    assert 500 < len({person for met in people.values() for person in met}) <= 5_000
    assert all(len(met) == 1 for met in people.values())
    assert 10 < COUNT / len(people) < 40


def test_some_events_come_hours_late_and_all_lie_in_the_hours_asked_for() -> None:
    lines = generate_events(COUNT, seed=3, start=START, hours=10)
    times = moments([json.loads(line) for line in lines])
    assert min(times) >= START
    assert START + timedelta(hours=9, minutes=59) < max(times) < START + timedelta(hours=10)
    late = 0
    newest = START
    for time in times:
        assert time >= newest or newest - time >= timedelta(minutes=59)
        late += time < newest
        newest = max(newest, time)
    assert 0.02 < late / COUNT < 0.05


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.generate", *arguments]
    folder = Path(__file__).parents[2]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.jsonl.zst"])
def test_the_command_writes_a_file_that_can_be_imported(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    ran = generate("--events", "200", "--out", str(file), "--start", "2026-11-23")
    assert ran.returncode == 0, ran.stderr
    found = [record.payload for record in read_records(str(file))]
    assert found == list(generate_events(200, seed=1, start=START))


def test_the_command_says_how_it_is_used() -> None:
    words = " ".join(generate("--help").stdout.split())
    assert "python -m benchmarks.generate --events 200000 --seed 1 --out" in words


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "events.jsonl"
    refused = generate("--out", str(file))
    assert refused.returncode == 1
    assert refused.stderr == f"cannot write {file}: No such file or directory\n"
