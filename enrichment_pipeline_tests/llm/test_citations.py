"""Citations of sessions and lines in the answers of models."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.citations import check_citations
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.mcp_asking import NOON, ask, text_of
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in, visit


@pytest.fixture
def built(store: Store, rules: Rules) -> Store:
    """A session of a buyer (s1, p1) and one of a visitor (s2, p2)."""
    click = {
        NAME: "buys",
        "$event_type": "click",
        "$pathname": "/checkout",
        "$el_text": "Pay now",
        "$elements_chain": 'button:text="Pay now"',
    }
    clicks = (30, 33, 36)
    take_in(
        store,
        rules,
        [
            *visit("buys", NOON, "/", "/checkout", person="ann"),
            *[
                make_event("$autocapture", at, distinct_id="ann", properties=click)
                for at in (NOON + timedelta(seconds=second) for second in clicks)
            ],
            make_event(
                "order_placed",
                NOON + timedelta(seconds=50),
                distinct_id="ann",
                properties={NAME: "buys", "$pathname": "/checkout"},
            ),
            *visit("visits", NOON + timedelta(minutes=5), "/", "/pricing", person="bob"),
        ],
    )
    build_day(store, NOON.date(), is_whole=True)
    return store


def verdicts(store: Store, text: str) -> list[tuple[str, str]]:
    with store.transaction() as connection:
        return [(one.cited, one.verdict) for one in check_citations(connection, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('They clicked "Pay now" (s1:30).', [("s1:30", "ok")]),
        ("They clicked “pay  NOW” [s1:30], and were on /checkout.", [("s1:30", "ok")]),
        ('They clicked "Pay later" (s1:30).', [("s1:30", "does not say so")]),
        ('They clicked "Pay now" (s1:10).', [("s1:10", "does not say so")]),
        ('They clicked "Pay now" (s1:10-30).', [("s1:10-30", "ok")]),
        ("Nothing is there (s1:31).", [("s1:31", "no such line")]),
        ("Two saw /pricing: s2, s1.", [("s2", "ok"), ("s1", "ok")]),
        ("Somebody saw /pricing (s1).", [("s1", "does not say so")]),
        (
            "p1 paid, p2 did not; p9 is nobody.",
            [("p1", "exists"), ("p2", "exists"), ("p9", "no such person")],
        ),
        ('"Pay now" is in s7. s1 ends there.', [("s7", "no such session"), ("s1", "ok")]),
        ("They paid 900 dollars (s1).", [("s1", "exists")]),
        ('They clicked "Pay now" × 7 (s1:30).', [("s1:30", "does not say so")]),
        ('They clicked "Pay now" × 3 (s1:30).', [("s1:30", "ok")]),
        ("They did it: order placed × 2, s1:50.", [("s1:50", "exists")]),
        (
            'They came to /pricing (s2:10).\nThen "Pay now" was clicked (s1:30, s1:0).',
            [("s2:10", "ok"), ("s1:30", "ok"), ("s1:0", "ok")],
        ),
        ("The mp3 of S1, v1.s1, /s1 and s01 cite nothing.", []),
    ],
)
def test_a_citation_is_right_if_it_exists_and_says_what_is_quoted(
    built: Store, text: str, expected: list[tuple[str, str]]
) -> None:
    assert verdicts(built, text) == expected


def test_the_command_says_what_is_cited_and_ends_with_1_if_something_is_wrong(
    built: Store, tmp_path: Path
) -> None:
    answer = tmp_path / "answer.txt"
    answer.write_text('They clicked "Pay now" (s1:30).')
    right = call("cite", "check", str(answer))
    assert right.returncode == 0
    assert (
        right.stdout
        == 's1:30  ok\n    30 click button "Pay now" on /checkout × 3\n1 citation, none wrong.\n'
    )
    answer.write_text('They clicked "Pay never" (s1:30) and left (s1:77).')
    wrong = call("cite", "check", str(answer))
    assert wrong.returncode == 1
    assert "s1:30  does not say so: Pay never" in wrong.stdout
    assert "2 citations of 2 wrong" in wrong.stderr
    as_json = json.loads(call("cite", "check", str(answer), "--json").stdout)
    assert [one["verdict"] for one in as_json] == ["does not say so", "no such line"]
    answer.write_text("Nothing is cited.")
    assert call("cite", "check", str(answer)).stdout == "No citation.\n"
    absent = call("cite", "check", str(tmp_path / "absent.txt"))
    assert absent.returncode != 0
    assert absent.stderr.count("\n") == 1
    assert built


def test_a_model_can_check_its_answer(built: Store) -> None:
    text = 'They clicked "Pay now" (s1:30), and "Refund" of jane@corp.example (s2:0).'
    said = text_of(asyncio.run(ask(built, "check_citations", text=text)))
    assert said.splitlines() == [
        's1:30 does not say so: Refund; it says: 30 click button "Pay now" on /checkout × 3',
        "s2:0 does not say so: Refund; it says: 0 view /",
    ]
    said = text_of(asyncio.run(ask(built, "check_citations", text="s1:36, s1:36 and s1.")))
    assert said.splitlines() == [
        's1:36 no such line; the nearest is: 30 click button "Pay now" on /checkout × 3',
        "s1 exists",
    ]
    assert text_of(asyncio.run(ask(built, "check_citations", text="none"))).startswith(
        "no citation"
    )
