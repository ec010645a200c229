"""The errors that users ran into: the command and the tool of the MCP server."""

import asyncio
import json
from datetime import timedelta

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.mcp_asking import NOON, ask, text_of
from enrichment_pipeline_tests.llm.stored_sessions import take_in


def _exception(minutes: int, value: str, who: str, page: str, **properties: object) -> bytes:
    frames = [{"filename": "/static/cart.js", "function": "pay", "lineno": 12, "in_app": True}]
    return make_event(
        "$exception",
        NOON + timedelta(minutes=minutes),
        distinct_id=who,
        properties={
            "$session_id": f"of-{who}-{minutes}",
            "$pathname": page,
            "$browser": "Firefox",
            "$device_type": "Desktop",
            "$exception_list": [
                {"type": "TypeError", "value": value, "stacktrace": {"frames": frames}}
            ],
            **properties,
        },
    )


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    take_in(
        store,
        rules,
        [
            _exception(0, "order 41 of ann@example.com is gone", "ann", "/cart"),
            _exception(1, "order 42 of bob@example.com is gone", "bob", "/cart"),
            _exception(
                2, "order 43 of bob@example.com is gone", "bob", "/pay", **{"$release_id": "9"}
            ),
            _exception(3, "no network", "bob", "/pay"),
            make_event(
                "payment_failed", NOON, distinct_id="ann", properties={"reason": "declined"}
            ),
            make_event("$pageview", NOON, distinct_id="ann"),
        ],
    )
    return store


@pytest.mark.usefixtures("filled")
def test_errors_that_differ_in_numbers_and_masks_alone_are_one_line() -> None:
    first, *others = json.loads(call("errors", "--json").stdout)
    assert first["message"] == "order 43 of (email) is gone"
    assert first["value"] == "TypeError"
    assert first["place"] == "pay (/static/cart.js:12)"
    assert (first["errors"], first["sessions"], first["people"]) == (3, 3, 2)
    assert first["pages"] == ["/cart", "/pay"]
    assert first["releases"] == ["9"]
    assert first["browsers"] == ["Desktop, Firefox"]
    assert first["session_ids"] == ["of-bob-2", "of-bob-1", "of-ann-0"]
    assert first["first_seen"] == "2026-03-02T12:00:00+00:00"
    assert first["last_seen"] == "2026-03-02T12:02:00+00:00"
    assert {(one["value"], one["message"]) for one in others} == {
        ("TypeError", "no network"),
        ("payment_failed", "declined"),
    }


@pytest.mark.usefixtures("filled")
def test_errors_are_counted_by_page_and_release_and_searched() -> None:
    by_page = json.loads(call("errors", "--by", "page", "--json").stdout)
    assert {one["value"]: one["errors"] for one in by_page} == {
        "/cart": 2,
        "/pay": 2,
        "/pricing": 1,
    }
    by_release = json.loads(call("errors", "--by", "release", "--json").stdout)
    assert {one["value"]: one["errors"] for one in by_release} == {"unknown": 4, "9": 1}
    found = json.loads(call("errors", "--contains", "typeerror: NO net", "--json").stdout)
    assert [one["errors"] for one in found] == [1]
    assert json.loads(call("errors", "--from", "2026-03-03", "--json").stdout) == []
    assert "No such error" in call("errors", "--project", "other").stdout


@pytest.mark.usefixtures("filled")
def test_errors_are_shown_to_people() -> None:
    shown = call("errors").stdout
    assert shown.startswith("5 errors of 3 kinds:\n3  TypeError  3 sessions, 2 people  2026-03-02")
    assert '    "order 43 of (email) is gone"\n    pay (/static/cart.js:12), /cart, /pay' in shown
    assert "example.com" not in shown
    wrong = call("errors", "--by", "colour")
    assert wrong.returncode != 0
    assert "--by 'colour' is none; there are message, page, browser, release" in wrong.stderr


def test_a_model_gets_the_same(filled: Store) -> None:
    answer = text_of(asyncio.run(ask(filled, "errors")))
    assert answer.startswith("5 errors of 3 kinds\nvalue|errors|sessions|people|message|")
    assert (
        'TypeError|3|3|2|"order 43 of (email) is gone"|pay (/static/cart.js:12)|/cart,/pay'
        in answer
    )
    nothing = text_of(asyncio.run(ask(filled, "errors", contains="no such thing")))
    assert nothing.startswith("nothing found from 2026-02-23 12:03:01")


def test_what_is_forgotten_is_gone_from_the_errors(filled: Store) -> None:
    assert call("forget", "bob", "--yes").returncode == 0
    assert {one["errors"] for one in json.loads(call("errors", "--json").stdout)} == {1}
    assert filled
