"""The rules version: the same for rules that say the same, another for rules that do not."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.classification import load_rules, rules
from enrichment_pipeline.classification.rules import Rules

ADDITIONS = """
event_types: [conversion]
events:
  Order Completed: {event_type: conversion, action_type: submit}
  $my_event: {event_type: custom, action_type: view}
patterns:
  - {contains: [upgrade, trial], event_type: conversion, action_type: click}
  - {contains: [swipe], action_type: navigate}
"""
SAME = {
    "comments and layout": """
# mine
event_types:
  - conversion   # a word

events:
  "Order Completed":
    event_type: 'conversion'
    action_type: submit
  $my_event: {action_type: view, event_type: custom}
patterns:
  - contains:
      - upgrade
      - trial
    event_type: conversion
    action_type: click
  - {contains: [swipe], action_type: navigate, event_type: custom}
""",
    "order of sections and events": """
patterns:
  - {contains: [upgrade, trial], event_type: conversion, action_type: click}
  - {contains: [swipe], action_type: navigate}
events:
  $my_event: {event_type: custom, action_type: view}
  Order Completed: {event_type: conversion, action_type: submit}
event_types: [conversion]
""",
    "order and case of texts": ADDITIONS.replace("[upgrade, trial]", "[Trial, UPGRADE]"),
    "one pattern written as two": ADDITIONS.replace(
        "[upgrade, trial]",
        "[upgrade], event_type: conversion, action_type: click}\n  - {contains: [trial]",
    ),
    "a word that no rule uses": ADDITIONS + "action_types: [upgrade]\n",
    "a built-in rule said again": ADDITIONS.replace(
        "events:\n", "events:\n  $pageview: {event_type: pageview, action_type: view}\n", 1
    ),
}
DIFFERENT = {
    "another action": ADDITIONS.replace("submit", "click"),
    "another type": ADDITIONS.replace(
        "{event_type: conversion, action_type: s", "{event_type: custom, action_type: s"
    ),
    "case of a name": ADDITIONS.replace("Order Completed", "order completed"),
    "another text": ADDITIONS.replace("trial", "trials"),
    "order of patterns": """
event_types: [conversion]
events:
  Order Completed: {event_type: conversion, action_type: submit}
  $my_event: {event_type: custom, action_type: view}
patterns:
  - {contains: [swipe], action_type: navigate}
  - {contains: [upgrade, trial], event_type: conversion, action_type: click}
""",
    "nothing added": "",
}


def version(folder: Path, content: str, name: str = "rules.yaml") -> str:
    path = folder / name
    path.write_text(content)
    return load_rules(path).version


@pytest.mark.parametrize("content", SAME.values(), ids=SAME.keys())
def test_rules_that_say_the_same_have_the_same_version(tmp_path: Path, content: str) -> None:
    assert version(tmp_path, content, "mine.yml") == version(tmp_path, ADDITIONS)


@pytest.mark.parametrize("content", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_rules_that_say_something_else_have_another_version(tmp_path: Path, content: str) -> None:
    assert version(tmp_path, content) != version(tmp_path, ADDITIONS)


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "events:\npatterns:\nevent_types: []"])
def test_a_file_that_adds_nothing_has_the_version_of_the_built_in_rules(
    tmp_path: Path, content: str
) -> None:
    assert version(tmp_path, content) == load_rules().version


def test_exact_autocapture_of_the_user_changes_the_version_though_its_answer_stays(
    tmp_path: Path,
) -> None:
    content = "events: {$autocapture: {event_type: click, action_type: click}}"

    assert version(tmp_path, content) != load_rules().version


def test_other_semantics_of_the_code_change_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = version(tmp_path, ADDITIONS)

    monkeypatch.setattr(rules, "SEMANTICS", rules.SEMANTICS + 1)

    assert version(tmp_path, ADDITIONS) != before


@pytest.mark.slow
def test_the_version_is_the_same_in_every_process() -> None:
    code = "from enrichment_pipeline.classification import load_rules; print(load_rules().version)"
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]

    printed = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env
        ).stdout.strip()
        for env in environments
    }

    assert printed == {load_rules().version}
    assert re.fullmatch("[0-9a-f]{16}", load_rules().version)


def test_rules_cannot_be_changed_under_their_version() -> None:
    built_in = load_rules()

    with pytest.raises(AttributeError):
        built_in.version = "mine"  # type: ignore[misc]
    with pytest.raises(TypeError):
        built_in.events["x"] = built_in.with_dollar  # type: ignore[index]
    with pytest.raises(TypeError):
        built_in.sub_types["$autocapture"]["x"] = built_in.with_dollar  # type: ignore[index]


ANSWERS = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["custom", "click"]),
        "action_type": st.sampled_from(["click", "view"]),
    }
)
# JSON leaves U+007F as it is, which YAML refuses. A key of YAML has at most 1,024 characters; JSON
# takes up to twelve for one.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), min_size=1, max_size=80)
EVENTS = st.dictionaries(NAMES.filter(str.strip), ANSWERS, max_size=4)


@given(events=EVENTS, order=st.randoms(use_true_random=False))
@pytest.mark.slow
def test_no_order_and_no_notation_of_events_changes_the_version(
    tmp_path_factory: pytest.TempPathFactory, events: dict[str, dict[str, str]], order: object
) -> None:
    folder = tmp_path_factory.getbasetemp()
    names = list(events)
    order.shuffle(names)  # type: ignore[attr-defined]
    shuffled = {name: events[name] for name in names}

    as_yaml = version(folder, yaml.safe_dump({"events": events}))
    as_json = version(folder, json.dumps({"events": shuffled}))

    assert as_yaml == as_json


@given(EVENTS, EVENTS)
def test_the_same_version_means_the_same_answers(
    first: dict[str, dict[str, str]], second: dict[str, dict[str, str]]
) -> None:
    one, other = _with_events(first), _with_events(second)

    if one.version == other.version:
        assert all(one.classify(n, None) == other.classify(n, None) for n in {*first, *second})
    else:
        assert one.events != other.events


def _with_events(events: dict[str, dict[str, str]]) -> Rules:
    built_in = load_rules()
    return Rules(
        event_types=built_in.event_types,
        action_types=built_in.action_types,
        events={name: rules.EventClassification(**answer) for name, answer in events.items()},
        sub_types={},
        patterns=built_in.patterns,
        without_dollar=built_in.without_dollar,
        with_dollar=built_in.with_dollar,
        not_a_string=built_in.not_a_string,
    )
