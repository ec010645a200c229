"""What a person would write about clicks on real pages.

`real_clicks.jsonl` has what posthog-js 1.449.2 sent from an admin template, an API browser, a page
in ten scripts and one of web components (`pages`), and from component libraries that these rules
were not made for (the other sites): chains, cut where the rest says nothing, and the sentence.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.derive import derive
from enrichment_pipeline.events.inputs import EnrichmentInput

CLICKS: Sequence[dict[str, Any]] = [
    json.loads(line)
    for line in Path(__file__).with_name("real_clicks.jsonl").read_text().splitlines()
]
_INNER_TAG = re.compile(r"(?:Clicked|Changed) (?:svg|path|i|b|span|slot|div|p|use|g|td|li)\b")
_MADE_ID = re.compile(r'"[^"]*(?::r\w*:|headlessui|radix|\b(?:x|rb|cb|q|td|li)\d\b)[^"]*"')


def sentence_of(click: dict[str, Any], rules: Rules) -> str:
    inputs = EnrichmentInput(click["event"], click["type"], None, click["chain"], click["text"])
    return derive(inputs, rules).description


@pytest.mark.parametrize("click", CLICKS, ids=lambda click: click["sentence"])
def test_a_click_reads_as_a_person_would_write_it(rules: Rules, click: dict[str, Any]) -> None:
    assert sentence_of(click, rules) == click["sentence"]


def test_hardly_a_click_on_the_real_pages_is_without_a_name(rules: Rules) -> None:
    sentences = [
        sentence_of(click, rules)
        for click in CLICKS
        if click["site"] == "pages" and click["type"] == "click"
    ]
    assert len(sentences) > 100
    unnamed = [one for one in sentences if not re.search('["→]| in ', one)]
    # A checkbox, a field, a list, a button that say nothing of themselves; the labels beside them
    # are not in their chains.
    assert len(unnamed) <= 0.05 * len(sentences), unnamed


def test_no_sentence_of_a_real_page_has_an_inner_tag_or_the_id_of_a_program(rules: Rules) -> None:
    for sentence in (sentence_of(click, rules) for click in CLICKS):
        assert not _INNER_TAG.match(sentence)
        assert not _MADE_ID.search(sentence)
