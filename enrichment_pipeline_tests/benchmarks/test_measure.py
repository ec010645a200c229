"""The table of `make bench`."""

import io
import re

import pytest
from rich.console import Console

from benchmarks import measure
from benchmarks.measure import Rate, Report

pytestmark = pytest.mark.slow

NAMES = (
    "import of 200,000 more, store at 8 to 10 times the events",
    "classify, by frame (291 distinct inputs)",
    "FastAPI, each event with the ORM, then a commit",
)
FACTS = (
    (
        "embedded mode, 5,500 events/s offered for five minutes in batches of 20: enriched",
        "5,272 events/s",
        "5,000 events/s",
    ),
    (
        "soak of 10 min at 9,700 events/s: sent, lost, double",
        "4,450,454, 0, 0",
        "0 lost, 0 double",
    ),
    ("acknowledged, at 9,700 events/s in batches of 100", "p50 23 ms, p99 89 ms", "p99 ≤ 100 ms"),
    (
        "backlog of 5,000,000, workers: 2: events/s of each fifth",
        "189,000, 187,500, 192,300, 185,100, 196,600",
        "steady",
    ),
    (
        "backlog of 1,000,000, workers: 1: in which statements",
        "INSERT INTO enriched_event 81%, SELECT pg_try_advisory_xact_lock 4%",
        "",
    ),
)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_table_of_the_benchmarks_breaks_no_word_and_no_figure(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(measure, "console", Console(file=shown, width=width))
    report = Report({})
    for number, name in enumerate(NAMES):
        against = NAMES[number - 1] if number else None
        report.add(Rate(name, 10, [28_000_000.0 + number], against, 5_000_000))
    for fact in FACTS:
        report.fact(*fact)
    shown.truncate(0)
    shown.seek(0)
    report.print()
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = set(re.sub("[│┃]", " ", shown.getvalue()).split())
    assert "28,000,000" in words
    assert "5e+06" in words
    missing = {word for text in [*NAMES, *sum(FACTS, ())] for word in text.split()} - words
    assert not missing
    assert "…" not in shown.getvalue()
