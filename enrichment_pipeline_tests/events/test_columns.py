"""The smaller parts of an event: pages, times, custom properties, inputs."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.events.custom_properties import MAX_BYTES, custom_properties
from enrichment_pipeline.events.inputs import EnrichmentInput, input_key
from enrichment_pipeline.events.pages import page_path, path_template
from enrichment_pipeline.events.text import clean_json
from enrichment_pipeline.events.times import parse_timestamp, window_start


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/users/8231/orders/5f2a9c1e44", "/users/:id/orders/:id"),
        ("/u/01a2074a-16f5-75be-ae39-7a682b08770e/", "/u/:id/"),
        ("/invite/aGVsbG8gd29ybGQ4c2VjcmV0", "/invite/:id"),
        ("/people/jo@example.com", "/people/:id"),
        ("/docs/getting-started", "/docs/getting-started"),
        ("/products/desk-lamp", "/products/desk-lamp"),
        ("/deadbeef", "/deadbeef"),
        ("/v2/pricing", "/v2/pricing"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_ids_are_taken_out_of_a_path_and_words_are_not(path: str, template: str) -> None:
    assert path_template(path) == template


@given(st.text())
def test_a_template_has_as_many_segments_as_its_path(path: str) -> None:
    assert path_template(path).count("/") == path.count("/")


@pytest.mark.parametrize(
    ("pathname", "url", "screen", "path"),
    [
        ("/a", "https://x.example/b", "Home", "/a"),
        (None, "https://x.example/b?c=1#d", "Home", "/b"),
        (None, "https://x.example", None, "/"),
        (None, "http://[::1", None, "/"),
        (7, None, "Home", "Home"),
        (None, None, None, None),
    ],
)
def test_the_page_is_the_path_or_the_screen(
    pathname: object, url: object, screen: object, path: str | None
) -> None:
    assert page_path(pathname, url, screen) == path


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T12:30:00Z",
        "2026-03-01T14:30:00+02:00",
        "2026-03-01 12:30:00.000",
        "20260301T1230",
    ],
)
def test_the_same_moment_is_read_in_every_way_it_is_written(text: str) -> None:
    assert parse_timestamp(text) == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@given(st.text() | st.none() | st.integers() | st.datetimes(timezones=st.timezones()).map(str))
def test_any_value_is_a_moment_in_utc_or_none(value: object) -> None:
    moment = parse_timestamp(value)
    assert moment is None or moment.tzinfo is UTC


@given(
    st.datetimes(datetime(1, 2, 1), datetime(9999, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([15, 20, 30, 60]),
)
def test_a_window_holds_its_moment_and_begins_on_its_grid(moment: datetime, minutes: int) -> None:
    start = window_start(moment, timedelta(minutes=minutes))
    assert start <= moment < start + timedelta(minutes=minutes)
    assert (start.minute % minutes, start.second, start.microsecond) == (0, 0, 0)


def test_custom_properties_are_those_without_a_dollar_that_say_something() -> None:
    found = custom_properties({"$os": "Linux", "sku": 1, "li_fat_id": None, "title": "T", "": 2})
    assert found is not None
    assert json.loads(found) == {"sku": 1, "": 2}
    assert custom_properties({"$os": "Linux", "utm_term": None}) is None


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.text(max_size=3_000) | st.integers() | st.floats(allow_nan=False) | st.booleans(),
            lambda children: st.lists(children, max_size=3),
            max_leaves=5,
        ),
        max_size=12,
    )
)
def test_custom_properties_are_small_json_without_nul(properties: dict[str, object]) -> None:
    found = custom_properties(properties)
    if found is not None:
        assert len(found) <= MAX_BYTES
        assert "\0" not in json.dumps(json.loads(found), ensure_ascii=False)


def test_what_does_not_fit_is_left_out_and_the_rest_stays() -> None:
    found = custom_properties({"big": ["x" * 9_000], "long": "y" * 9_000, "small": 1})
    assert found is not None
    assert json.loads(found) == {"long": "y" * 1_000, "small": 1}


def test_a_backslash_and_u0000_that_somebody_typed_stays_as_typed() -> None:
    typed = json.dumps({"a": "\\u0000", "b": "\0"}).encode()
    assert json.loads(clean_json(typed)) == {"a": "\\u0000", "b": "�"}


texts = st.none() | st.text(max_size=5)
inputs = st.builds(EnrichmentInput, st.text(max_size=5), texts, texts, texts, texts)


@given(inputs, inputs)
def test_two_inputs_have_one_key_only_if_they_are_equal(
    one: EnrichmentInput, other: EnrichmentInput
) -> None:
    assert (input_key(one) == input_key(other)) == (one == other)


def test_a_missing_value_is_not_an_empty_one_and_values_do_not_run_together() -> None:
    keys = {
        input_key(EnrichmentInput("ab", "c", None, None, None)),
        input_key(EnrichmentInput("a", "bc", None, None, None)),
        input_key(EnrichmentInput("abc", "", None, None, None)),
        input_key(EnrichmentInput("abc", None, None, None, None)),
    }
    assert len(keys) == 4
