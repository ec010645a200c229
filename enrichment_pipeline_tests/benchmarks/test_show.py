"""The tables of `make bench`."""

import io
from typing import Any

import pytest
from rich.console import Console

from benchmarks import measure, show
from benchmarks.measure import Rate, Report
from benchmarks.parts import TITLES

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


def run() -> dict[str, Any]:
    """Rates in one part, facts in another."""
    report = Report({})
    report.begin("load")
    for number, name in enumerate(NAMES):
        against = NAMES[number - 1] if number else None
        report.add(Rate(name, 10, [28_000_000.0 + number], against, 5_000))
    report.begin("backlog")
    for fact in FACTS:
        report.fact(*fact)
    return report.content()


def printed(monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    monkeypatch.setattr(measure, "console", Console(file=io.StringIO()))
    shown = io.StringIO()
    monkeypatch.setattr(show, "console", Console(file=shown, width=width))
    show.print_run(run())
    return shown.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_of_the_benchmarks_break_no_word_and_no_figure(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    shown = printed(monkeypatch, width)
    assert max(map(len, shown.splitlines())) <= width
    words = set(shown.split())
    assert {"28,000,000", "5,000"} <= words
    missing = {word for text in [*NAMES, *sum(FACTS, ())] for word in text.split()} - words
    assert not missing
    assert "…" not in shown


@pytest.mark.parametrize(("width", "lines"), [(80, 36), (120, 30)])
def test_the_tables_have_columns_of_more_than_a_word(
    monkeypatch: pytest.MonkeyPatch, width: int, lines: int
) -> None:
    assert len(printed(monkeypatch, width).splitlines()) <= lines


def test_what_was_measured_stands_below_the_title_of_its_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = printed(monkeypatch, 120)
    load, rate, backlog, fact = map(
        shown.index, (TITLES["load"], NAMES[0], TITLES["backlog"], FACTS[1][1])
    )
    assert load < rate < backlog < fact
