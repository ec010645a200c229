"""What a person sees first of a window, a day and what is broken, and that it is on the page."""

import base64
import io
from datetime import UTC, datetime

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from enrichment_pipeline.orchestration.metadata import (
    accepted_metadata,
    bars,
    broken_metadata,
    window_metadata,
)
from enrichment_pipeline.orchestration.plots import plot_over_time
from enrichment_pipeline.store.dead_letters.summary import BrokenNow
from enrichment_pipeline.store.windows.books import WindowBooks
from enrichment_pipeline.store.windows.contents import Counted, Described

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MARKDOWN_IN_ITS_PLACE = 1_000
"""Characters; Dagster puts what is longer behind a link."""


def columns_of(value: object) -> list[str]:
    assert isinstance(value, dg.TableMetadataValue)
    return [column.name for column in value.schema.columns]


def counts_at(*minutes: int) -> list[Counted]:
    return [Counted(NOON.replace(minute=minute), "click", "click", 1) for minute in minutes]


def broken() -> BrokenNow:
    reasons = [("invalid_json", 2, 2, NOON, NOON, 7)]
    windows = [(NOON, 1, 5, NOON, 7, "run 1")]
    return BrokenNow(
        3,
        7,
        1,
        pd.DataFrame(
            reasons,
            columns=[
                *("reason_code", "letters", "events", "first_failed_at", "last_failed_at"),
                "letter",
            ],
        ),
        pd.DataFrame(
            windows,
            columns=["window_start", "batches", "events", "since", "letter", "worker"],
        ),
    )


def test_of_a_window_the_sentences_come_first_and_beside_them_the_time_alone() -> None:
    shown = window_metadata(counts_at(0, 7), [Described(NOON, "Viewed /")])
    assert list(shown) == ["preview", "events_by_time", "by_type_and_action"]
    assert columns_of(shown["preview"]) == ["time", "description"]
    times = shown["events_by_time"]
    assert isinstance(times, dg.TableMetadataValue)
    assert [record.data["time"] for record in times.records] == ["12:00", "12:05"]


def test_five_minutes_without_events_between_others_are_shown_as_such() -> None:
    shown = window_metadata(counts_at(3, 17), [])["events_by_time"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert [(record.data["time"], record.data["events"]) for record in shown.records] == [
        *(("12:00", 1), ("12:05", 0)),
        *(("12:10", 0), ("12:15", 1)),
    ]
    assert [record.data["bar"] for record in shown.records][1:3] == ["", ""]


def test_what_has_arrived_is_shown_without_what_becomes_of_it() -> None:
    shown = accepted_metadata(WindowBooks(NOON, accepted=9, enriched=0, dead=0, pending=9))
    assert {name: held.value for name, held in shown.items()} == {"accepted": 9}


def test_a_bar_is_as_long_as_its_share_and_never_nothing() -> None:
    shown = bars({"12:00": 1_000, "12:05": 500, "12:10": 1})
    assert [dict(record.data) for record in shown.records] == [
        {"time": "12:00", "bar": "█" * 16, "events": 1_000},
        {"time": "12:05", "bar": "█" * 8, "events": 500},
        {"time": "12:10", "bar": "▏", "events": 1},
    ]


def test_a_full_window_has_a_bar_for_each_five_minutes() -> None:
    shown = window_metadata(counts_at(*range(60)), [])["events_by_time"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert [record.data["events"] for record in shown.records] == [5] * 12


def test_what_is_broken_says_how_to_fix_it_before_what_it_is() -> None:
    shown = broken_metadata(broken())
    names = list(shown)
    assert names[:5] == [
        *("dead_letters", "dead_events", "failed_windows"),
        *("how_to_fix_windows", "windows"),
    ]
    assert names.index("how_to_fix") < names.index("by_reason") < names.index("how_to_list")
    assert columns_of(shown["by_reason"]) == ["reason_code", "letters", "newest_letter"]
    assert columns_of(shown["windows"]) == ["window", "events", "newest_letter"]
    for name in ("how_to_fix", "how_to_fix_windows", "how_to_list"):
        assert "enrichment-pipeline " in str(shown[name].value)
        assert len(str(shown[name].value)) < MARKDOWN_IN_ITS_PLACE


def test_the_plot_counts_in_integers_and_draws_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    real = Figure.savefig

    def savefig(figure: Figure, *args: object, **options: object) -> None:
        drawn.append(figure)
        real(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    end = NOON.replace(hour=13)
    shown = plot_over_time(counts_at(0, 40), NOON, end)
    [axes] = drawn[0].axes
    ticks = np.array(axes.get_yticks())
    assert (ticks == ticks.round()).all()
    assert sum(bar.get_height() for bar in axes.patches) == 2
    assert not axes.collections, "an area draws what lies between two minutes"
    encoded = str(shown.value).partition("base64,")[2].rstrip(")")
    assert Image.open(io.BytesIO(base64.b64decode(encoded))).width >= 750
