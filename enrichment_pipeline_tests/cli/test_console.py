"""What is printed is shown as it is, whatever people wrote into it."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st

from enrichment_pipeline.cli.console import err, fail, out, print_json, print_table, records

# What a line of a terminal can show.
shown = st.text(st.characters(exclude_categories=["C", "M", "Z"]), min_size=1, max_size=20)


@given(shown)
@example("[/x].jsonl")
@example("[bold]text[/]")
@example("\\[/b]")
def test_an_error_is_one_line_and_none_of_it_is_taken_for_markup(message: str) -> None:
    with err.capture() as captured, pytest.raises(typer.Exit) as ended:
        fail(message)
    assert captured.get() == f"error: {message}\n"
    assert ended.value.exit_code == 1


def test_a_long_error_is_not_broken_into_lines() -> None:
    with err.capture() as captured, pytest.raises(typer.Exit):
        fail("word " * 100)
    assert len(captured.get().splitlines()) == 1


@given(shown, shown)
@example("[/k]", "[/a]")
@example("a", "\\")
def test_a_table_shows_names_and_values_as_they_are(name: str, value: str) -> None:
    with out.capture() as captured:
        print_table([name], [[value]])
    text = captured.get()
    assert name in text
    assert value in text


def test_numbers_times_and_nothing_are_shown_as_a_person_reads_them() -> None:
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    with out.capture() as captured:
        print_table(["count", "at", "none"], [[1234567, moment, None]])
    text = captured.get()
    assert "1,234,567" in text
    assert "2026-03-01 12:30:00" in text
    assert "None" not in text


@given(shown, shown)
def test_json_is_given_back_as_it_was(name: str, value: str) -> None:
    with out.capture() as captured:
        print_json(records([name], [[value]]))
    assert json.loads(captured.get()) == [{name: value}]


def test_what_json_lacks_is_text() -> None:
    uuid = UUID("01a2074a-16f5-75be-ae39-7a682b08770e")
    with out.capture() as captured:
        print_json([datetime(2026, 3, 1, 12, tzinfo=UTC), uuid])
    assert json.loads(captured.get()) == ["2026-03-01T12:00:00+00:00", str(uuid)]
