"""Three questions that an agent is asked, each answered by the tools of MCP: with numbers, with
sessions that can be cited, in three calls and 3,000 tokens at most."""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from mcp import Client

from benchmarks.tokens import count_tokens
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.mcp_server import make_server
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.llm.mcp_asking import text_of
from enrichment_pipeline_tests.llm.two_weeks import ERROR, LAST, SHOPPER, fill_two_weeks

pytestmark = pytest.mark.slow

MOST_CALLS = 3
MOST_TOKENS = 3_000
DAY = {"start": LAST.isoformat(), "end": (LAST + timedelta(days=1)).isoformat()}

WEEK = {"start": (LAST - timedelta(days=6)).isoformat(), "end": DAY["end"]}

Call = tuple[str, dict[str, Any]]


@pytest.fixture
def ask(store: Store, rules: Rules) -> Callable[..., list[str]]:
    """Asks these calls, which answer one question, and checks what they cost."""
    fill_two_weeks(store, rules)
    tokens: list[int] = []

    def asked(*calls: Call) -> list[str]:
        texts = asyncio.run(_asked(store, calls))
        tokens.extend(count_tokens(text) for text in texts)
        assert len(tokens) <= MOST_CALLS
        assert sum(tokens) <= MOST_TOKENS, tokens
        return texts

    return asked


async def _asked(store: Store, calls: Sequence[Call]) -> list[str]:
    async with Client(make_server(store)) as client:
        return [text_of(await client.call_tool(name, arguments)) for name, arguments in calls]


def wrong_citations(store: Store, answer: str) -> list[str]:
    """What the tool finds wrong with the citations of an answer, which has some."""
    [checked] = asyncio.run(_asked(store, [("check_citations", {"text": answer})]))
    assert checked
    return [line for line in checked.splitlines() if not line.endswith((" ok", " exists"))]


def rows_of(table: str) -> list[dict[str, str]]:
    """The rows of an answer, by the names of the columns."""
    lines = [line for line in table.splitlines() if "|" in line]
    names, *rows = [line.split("|") for line in lines]
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_why_did_checkout_drop_yesterday(ask: Callable[..., list[str]], store: Store) -> None:
    steps = ["/checkout", "touched=Pay now", "event=order placed"]
    fell, broke = ask(
        ("funnel", {"steps": steps, **DAY, "compare_to": "previous"}),
        ("errors", DAY),
    )
    _, paid, ordered = rows_of(fell)
    [error] = rows_of(broke)
    assert int(ordered["sessions"]) < int(ordered["sessions_before"]) / 1.5
    assert int(paid["went_no_further"]) == int(error["sessions"]) > 5
    assert error["message"] == f'"{ERROR}"'
    assert error["browsers"] == "Mobile, Mobile Safari on iOS"

    assert f"error: {error['sessions']}" in paid["their_signals"]
    [session, *_] = error["session_ids"].split(",")
    assert session in paid["newest_of_these"].split(",")
    [timeline] = ask(("get_timeline", {"session_id": session}))
    [second] = re.findall(rf'(?m)^! (\d+) error .*"{ERROR}"', timeline)
    answer = (
        f"{ordered['sessions']} sessions ordered, {ordered['sessions_before']} the day before. On "
        f'iPhones the payment failed: "{ERROR}" ({session}:{second}).'
    )
    assert wrong_citations(store, answer) == []


def test_what_did_this_person_do_last_week(ask: Callable[..., list[str]], store: Store) -> None:
    [did] = ask(("person", {"person": SHOPPER, "end": DAY["end"]}))
    assert ": 7 sessions on 7 days, " in did
    assert "order placed" in did
    assert wrong_citations(store, did) == []


def test_which_page_frustrates_most(ask: Callable[..., list[str]], store: Store) -> None:
    [pages] = ask(("count", {"by": "signal_page", **WEEK}))
    first, *_ = rows_of(pages)
    assert first["signal_page"] == "dead_click on /search"
    assert int(first["sessions"]) > 30
    assert wrong_citations(store, f"/search, as in {first['newest_sessions']}") == []
