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
        ("/people/jo%40example.com/edit", "/people/:id/edit"),
        ("/people/jo%2540example.com", "/people/:id"),
        ("/docs/getting-started", "/docs/getting-started"),
        ("/products/desk-lamp", "/products/desk-lamp"),
        ("/deadbeef", "/deadbeef"),
        ("/v2/pricing", "/v2/pricing"),
        # Dates stay, and what stands beside them does not.
        ("/posts/2026/11/27/x", "/posts/2026/11/27/x"),
        ("/posts/2026/11/27/8231", "/posts/2026/11/27/:id"),
        ("/archive/2026", "/archive/2026"),
        ("/archive/2026/1/", "/archive/2026/1/"),
        ("/archive/2026/13/27", "/archive/:id/:id".replace(":id", "2026", 1) + "/:id"),
        ("/log/20261127", "/log/20261127"),
        ("/log/20269999", "/log/:id"),
        ("/day/2026-11-27", "/day/2026-11-27"),
        ("/users/11/27", "/users/:id/:id"),
        ("/users/3026/11", "/users/:id/:id"),
        # Hash routes.
        ("/#/users/5/edit", "/#/users/:id/edit"),
        ("/app#!/inbox/8231", "/app#!/inbox/:id"),
        # Percent-escapes are letters, but for those that would make another path of it.
        ("/caf%C3%A9/men%c3%bc", "/café/menü"),
        ("/%E5%95%86%E5%93%81/%E4%B8%80%E8%A6%A7", "/商品/一覧"),
        ("/a%2Fb%3Fc%23d%25e", "/a%2Fb%3Fc%23d%25e"),
        ("/my%20page%0A%E2%80%AE", "/my%20page%0A%E2%80%AE"),
        ("/caf%E9/x%ZZ/%", "/caf%E9/x%25ZZ/%25"),
        ("/people/ann%2Bx%40shop.example", "/people/:id"),
        ("/orders/%38231", "/orders/:id"),
        ("/index.php/page=order/id=8231", "/index.php/page=order/id=:id"),
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
        ("/", "https://x.example/#/users/5/edit", None, "/#/users/5/edit"),
        ("/", "https://x.example/#!/inbox", None, "/#!/inbox"),
        ("/", "https://x.example/#!inbox", None, "/#!inbox"),
        (None, "https://x.example/app/?a=b#/inbox?tab=2", None, "/app/#/inbox"),
        ("/", "https://x.example/#/inbox#top", None, "/#/inbox"),
        # A place in the page, and what is handed over.
        ("/docs", "https://x.example/docs#section", None, "/docs"),
        ("/docs", "https://x.example/docs#a/b", None, "/docs"),
        ("/docs", "https://x.example/docs#:~:text=/a", None, "/docs"),
        ("/", "https://x.example/#/", None, "/"),
        ("/", "https://x.example/#!", None, "/"),
        ("/", "https://x.example/#access_token=x", None, "/"),
        ("/", "https://x.example/#/access_token=x&state=/a", None, "/"),
        ("/", "https://x.example/#/id;token=x", None, "/"),
        (None, None, None, None),
    ],
)
def test_the_page_is_the_path_or_the_screen(
    pathname: object, url: object, screen: object, path: str | None
) -> None:
    assert page_path(pathname, url, screen) == path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://x.example/?page=billing&x=1", "/page=billing"),
        ("https://x.example/index.php?x=1&tab=a%20b&page=u", "/index.php/page=u/tab=a%20b"),
        ("https://x.example/app?page=a/b#x", "/app/page=a%2Fb"),
        ("https://x.example/?page=&tab", "/"),
        ("https://x.example/#/list?page=2", "/#/list/page=2"),
        ("https://x.example/a?x=page", "/a"),
    ],
)
def test_parameters_that_a_project_names_are_part_of_its_pages(url: str, path: str) -> None:
    assert page_path(None, url, None, ("page", "tab")) == path


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


@pytest.mark.parametrize(
    "text",
    [
        # The epoch: seconds, milliseconds, microseconds, nanoseconds, as a number and as text.
        *(1772368200, 1772368200.0, 1772368200000, "1772368200", "1772368200000", "1772368200.0"),
        *("1772368200000000", "1772368200000000000", "1.7723682E9", "1.772368200e+09"),
        # RFC 2822, HTTP, JavaScript's Date, C's asctime, Java, Go, Ruby.
        *("Sun, 01 Mar 2026 13:30:00 +0100", "Sun, 01 Mar 2026 12:30:00 GMT"),
        "1 Mar 2026 07:30:00 EST",
        "Sun Mar 01 2026 13:30:00 GMT+0100 (Mitteleuropäische Normalzeit)",
        "Sun Mar 01 2026 12:30:00 GMT+0000 (Coordinated Universal Time)",
        *("Sun Mar  1 12:30:00 2026", "2026-03-01T13:30:00+01:00[Europe/Berlin]"),
        *("2026-03-01 12:30:00 +0000 UTC", "2026-03-01 12:30:00.000000000 +0000 UTC m=+0.5"),
        *("2026-03-01 13:30:00 +0100", "2026-03-01T12:30:00+00:00Z"),
        # BigQuery, Snowflake, Redshift, Databricks, SQL Server, ClickHouse, and people.
        *("2026-03-01 12:30:00 UTC", "2026-03-01 12:30:00.000000 UTC"),
        *("2026-03-01 04:30:00.000 -0800", "Sun, 01 Mar 2026 04:30:00 -0800"),
        *("2026-03-01 12:30:00+00", "2026-03-01T12:30:00.000+0000"),
        *("2026-03-01 12:30:00.0000000 +00:00", "2026-03-01 12:30:00.000"),
        *("20260301T123000Z", "20260301123000", "2026/03/01 12:30:00", "2026-3-1 12:30"),
        *("2026-03-01t12:30:00z", "2026-03-01T12:30:00z", "2026-03-01  12:30 utc"),
        *("3/1/2026, 12:30:00 PM", "03/01/2026 12:30", "Mar 1, 2026 12:30 PM"),
        "march 1 2026 12:30:00 gmt",
    ],
)
def test_a_time_is_read_in_every_form_that_posthog_and_warehouses_write(text: object) -> None:
    assert parse_timestamp(text) == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_milliseconds_that_look_like_a_time_of_long_ago_are_milliseconds() -> None:
    moment = datetime(2024, 3, 22, 15, 26, 41, 234_000, tzinfo=UTC)
    assert parse_timestamp("1711121201234") == parse_timestamp(1711121201234) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("12:30", "March 2026", "2026", "12", "Sunday", "1 March", "6:15pm", "2026-03"),
        *("Sun Mar 01 13:30:00 CET 2026", "2026-03-01 12:30 Europe/Berlin", "2026-03-01 12:30 XYZ"),
        *("28/11/2026", "28/11/2026 12:30", "01.03.2026 12:30", "01-03-2026", "2026-03-01 12:30 a"),
        *(
            "1711121201234"[:11],
            "1711121201234567890123",
            "2026-03-01T12:30:00 01:00",
            "2026-02-30",
            "2026-13-01",
            "yesterday",
            "nan",
            "inf",
        ),
        *(
            12,
            0,
            -1,
            1e300,
            float("nan"),
            True,
            202603011230,
            [],
            {},
            "1" * 30,
            "9" * 4000,
            "1.5e400",
            "2026-03-01T13:30:00+01:00Z",
        ),
    ],
)
def test_what_is_no_whole_time_or_could_be_two_is_none(text: object) -> None:
    assert parse_timestamp(text) is None


_PIECES = (
    *("2026", "03", "1", "12:30", "12:30:00", "T", "Z", "-", "/", ".", ",", ":", "+01:00", "-0800"),
    *("GMT", "CET", "AM", "p", "Nov", "Sat", "nd", "of", "00", "1e5", "inf", "٣", "½", "\0", "("),
    *(")", "[", "]", "m=", "W", "1772366400", " "),
)


@given(
    st.text()
    | st.none()
    | st.integers()
    | st.floats()
    | st.datetimes(timezones=st.timezones()).map(str)
    | st.lists(st.sampled_from(_PIECES), max_size=9).map("".join)
    | st.lists(st.sampled_from(_PIECES), max_size=9).map(" ".join)
)
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
@pytest.mark.slow
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
@pytest.mark.slow
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
