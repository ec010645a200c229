"""What an event says of an error, as SDKs send it."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.events.allowed import Private
from enrichment_pipeline.events.error_detail import ErrorDetail, error_detail

# posthog-js 1.449.2: the innermost frame comes last, the cause after what was caught.
OF_A_PAGE: Mapping[str, object] = {
    "$exception_list": [
        {
            "type": "TypeError",
            "value": "Cannot read properties of null (reading 'foo')",
            "stacktrace": {
                "type": "raw",
                "frames": [
                    {
                        "filename": "https://shop.example/static/main.js?v=3",
                        "function": "onClick",
                        "in_app": True,
                        "lineno": 370,
                        "colno": 30,
                    },
                    {
                        "filename": "https://shop.example/static/cart.js",
                        "function": "Cart.pay",
                        "in_app": True,
                        "lineno": 12,
                    },
                    {"filename": "https://cdn.example/react.js", "function": "x", "in_app": False},
                ],
            },
        },
        {"type": "Error", "value": "the cause", "stacktrace": {"type": "raw", "frames": []}},
    ],
    "$release_id": "web-4.2.0",
}
# posthog-python 7.91.
OF_A_SERVER: Mapping[str, object] = {
    "$exception_list": [
        {
            "type": "ValueError",
            "module": "shop.orders",
            "value": "no stock for ann@example.com",
            "stacktrace": {
                "type": "raw",
                "frames": [
                    {
                        "filename": "shop/orders.py",
                        "abs_path": "/srv/shop/orders.py",
                        "function": "place",
                        "lineno": 88,
                        "in_app": True,
                    }
                ],
            },
        }
    ]
}


@pytest.mark.parametrize(
    ("event", "properties", "expected"),
    [
        (
            "$exception",
            OF_A_PAGE,
            ErrorDetail(
                "TypeError",
                "Cannot read properties of null (reading 'foo')",
                "Cart.pay (/static/cart.js:12)",
                "web-4.2.0",
            ),
        ),
        (
            "$exception",
            OF_A_SERVER,
            ErrorDetail("ValueError", "no stock for (email)", "place (shop/orders.py:88)", None),
        ),
        (
            "$exception",
            {"$exception_type": "Error", "$exception_message": "old form"},
            ErrorDetail("Error", "old form", None, None),
        ),
        ("$exception", {"$exception_list": "no list"}, ErrorDetail("Error", "", None, None)),
        (
            "$ai_generation",
            {"$ai_is_error": True, "$ai_error": "Rate limit reached", "$app_version": "7.1"},
            ErrorDetail("$ai_generation", "Rate limit reached", None, "7.1"),
        ),
        (
            "payment failed",
            {"reason": "card declined", "release": "2026.11"},
            ErrorDetail("payment failed", "card declined", None, "2026.11"),
        ),
        ("payment failed", {}, ErrorDetail("payment failed", "", None, None)),
    ],
)
def test_type_message_place_and_release_are_found(
    event: str, properties: Mapping[str, object], expected: ErrorDetail
) -> None:
    assert error_detail(event, properties) == expected


def test_a_step_of_ai_that_went_well_is_no_error() -> None:
    assert error_detail("$ai_generation", {"$ai_is_error": False, "$ai_error": None}) is None


def test_a_long_message_is_whole() -> None:
    message = "a word and " * 60
    found = error_detail("$exception", {"$exception_message": message})
    assert found is not None
    assert found.message == message.strip()


def test_what_a_project_allows_is_shown() -> None:
    found = error_detail("$exception", OF_A_SERVER, frozenset({Private.EMAIL}))
    assert found is not None
    assert found.message == "no stock for ann@example.com"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, JSON, JSON)
def test_whatever_a_client_sends_is_no_fault_of_ours(
    exceptions: object, trace: object, frame: object
) -> None:
    for found in (exceptions, [exceptions], [{"value": exceptions, "stacktrace": trace}]):
        assert error_detail("$exception", {"$exception_list": found})
    frames = [{"filename": frame, "function": trace, "lineno": exceptions, "in_app": True}]
    listed = [{"type": frame, "stacktrace": {"frames": frames}}]
    detail = error_detail("$exception", {"$exception_list": listed, "$release_id": trace})
    assert detail is not None
    assert "\n" not in json.dumps(detail, ensure_ascii=False)
