"""The rates over the fifths of a drain."""

import pytest

from benchmarks.backlog import Drain, handled_events
from enrichment_pipeline.wording import counted

pytestmark = pytest.mark.slow


def test_a_steady_drain_has_the_same_rate_in_each_fifth() -> None:
    drain = Drain(100.0, [(100.0 + number, 50) for number in range(1, 11)])
    assert drain.events == 500
    assert drain.rate == 50
    assert drain.fifths() == [50] * 5


def test_a_drain_that_slows_down_has_the_lowest_rate_in_its_last_fifth() -> None:
    moments = [1.0, 2.0, 4.0, 8.0, 16.0]
    drain = Drain(0.0, [(moment, 80) for moment in moments])
    assert drain.fifths() == [80, 80, 40, 20, 10]


def test_commits_that_do_not_end_with_a_fifth_count_where_they_end() -> None:
    drain = Drain(0.0, [(number / 7, 10) for number in range(1, 8)])
    assert len(drain.fifths()) == 5
    assert drain.fifths() == pytest.approx([70] * 5)


@pytest.mark.parametrize("events", [1, 40, 50_000, 1_234_567])
def test_a_worker_says_how_many_events_it_has_handled(events: int) -> None:
    line = f"[2026-11-29 11:36:11,002: INFO/MainProcess] {counted(events, 'event')} in 0.300 s"
    assert handled_events(line) == events


def test_other_lines_of_a_worker_say_no_events() -> None:
    assert handled_events("Connected to amqp://guest:**@127.0.0.1:5672//") == 0
