"""Rules of the user's own: what they add, and how a bad file is refused."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.classification import Rules, RulesFileError, load_rules

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "rules.md"


def guide_block(language: str) -> str:
    """The fenced block of the guide in `language`, of which it has one."""
    (block,) = re.findall(f"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return str(block)


def load(folder: Path, content: str | bytes) -> Rules:
    path = folder / "rules.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_rules(path)


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(RulesFileError) as caught:
        load(folder, content)
    return str(caught.value).replace(str(folder / "rules.yaml"), "rules.yaml")


@pytest.mark.parametrize(
    ("event_name", "answer"),
    [
        ("Order Completed", ("conversion", "submit")),
        ("order completed", ("custom", "submit")),
        ("$my_event", ("custom", "view")),
        ("$my_event2", ("unknown", "unknown")),
        ("404", ("navigation", "view")),
        ("Upgrade Clicked", ("conversion", "upgrade")),
        ("Trial Ended", ("conversion", "upgrade")),
        ("Card SWIPED", ("custom", "navigate")),
        ("$upgrade", ("unknown", "unknown")),
        ("Product Clicked", ("custom", "click")),
        ("$pageview", ("pageview", "view")),
    ],
)
def test_the_example_of_the_guide_adds_to_the_built_in_rules(
    tmp_path: Path, event_name: str, answer: tuple[str, str]
) -> None:
    rules = load(tmp_path, guide_block("yaml"))

    assert rules.classify(event_name, None) == answer
    assert rules.event_types == (*load_rules().event_types, "conversion")
    assert rules.action_types == (*load_rules().action_types, "upgrade")


def test_a_pattern_may_hold_a_dollar_that_is_not_in_front_of_a_name(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        """
event_types: [conversion]
patterns:
  - {contains: ["US$ ", "$5 off", "_$"], event_type: conversion, action_type: change}
""",
    )

    for name in ("us$ purchase completed", "Used $5 OFF", "paid_in_$"):
        assert rules.classify(name, None) == ("conversion", "change")
    assert rules.classify("$5 off", None) == ("unknown", "unknown")


def test_an_exact_name_of_the_user_wins_over_a_built_in_one_and_its_sub_types(
    tmp_path: Path,
) -> None:
    rules = load(
        tmp_path,
        """
events:
  $pageview: {event_type: navigation, action_type: view}
  $autocapture: {event_type: custom, action_type: view}
""",
    )

    assert rules.classify("$pageview", None) == ("navigation", "view")
    assert rules.classify("$autocapture", "submit") == ("custom", "view")


def test_an_exact_name_of_the_user_wins_over_their_patterns(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        """
patterns: [{contains: [order], action_type: submit}]
events: {order viewed: {event_type: custom, action_type: view}}
""",
    )

    assert rules.classify("order viewed", None) == ("custom", "view")
    assert rules.classify("Order viewed", None) == ("custom", "submit")


def test_patterns_of_the_user_are_tried_in_the_order_of_the_file(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        """
patterns:
  - {contains: [reopen], action_type: change}
  - {contains: [open, close], action_type: view}
""",
    )

    assert rules.classify("Ticket Reopened", None) == ("custom", "change")
    assert rules.classify("Ticket closed, reopened", None) == ("custom", "change")
    assert rules.classify("Ticket opened", None) == ("custom", "view")


def test_a_built_in_word_may_be_declared_again(tmp_path: Path) -> None:
    assert load(tmp_path, "event_types: [click]").event_types == load_rules().event_types


def test_a_file_with_a_signature_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    content = "\ufeffevents:\r\n  $a: {event_type: click, action_type: click}\r\n"

    assert load(tmp_path, content).classify("$a", None) == ("click", "click")


def test_a_character_that_json_writes_as_two_escapes_is_one(tmp_path: Path) -> None:
    content = json.dumps({"events": {"😀": {"event_type": "click", "action_type": "view"}}})

    assert "\\ud83d\\ude00" in content
    assert load(tmp_path, content).classify("😀", None) == ("click", "view")


def test_the_built_in_rules_are_made_once() -> None:
    assert load_rules() is load_rules()


REFUSED: list[tuple[str | bytes, str]] = [
    (
        "events: [a\nb: c",
        "2: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got ':';"
        " correct the line, or quote the text",
    ),
    (
        'events:\n  "\\UFFFFFFFF": x',
        "2: not valid YAML: no such character; correct the \\U escape",
    ),
    ("# a\n\x01", "2: holds the control character U+0001; remove it"),
    (b"# a\n# \xff", "2: not UTF-8; save the file as UTF-8"),
    ("\n" + "[" * 1_000, "2: nested too deeply; a rules file has four levels at most"),
    (
        "\n- events",
        "2: the rules file must be a mapping, but is a list; write `key: value` pairs",
    ),
    (
        "\nevent: {}",
        "2: unknown key 'event' in the rules file; did you mean events? it may be events,"
        " patterns, event_types, action_types",
    ),
    (
        "events:\n  a: {event_type: click, action_type: click}\n"
        "  b: {event_type: click, action_type: click}\n"
        '  "a": {event_type: click, action_type: view}',
        "4: 'a' is already on line 2; keep one of the two",
    ),
    (
        "events:\n  404: {event_type: click, action_type: click}",
        "2: a key of events must be text, but is int '404'; put it in quotes",
    ),
    (
        "events:\n  '': {event_type: click, action_type: click}",
        "2: a key of events is empty; write a text or remove it",
    ),
    (
        "events:\n  a:\n    event_type: click\n    acton_type: click",
        "4: unknown key 'acton_type' in 'a'; did you mean action_type? it may be event_type,"
        " action_type",
    ),
    (
        "events:\n\n  a: {action_type: click}",
        "3: 'a' has no event_type; add event_type: …",
    ),
    (
        "events:\n  a:\n    event_type: click",
        "2: 'a' has no action_type; add action_type: …",
    ),
    (
        "events:\n  a:\n    event_type: clik\n    action_type: click",
        "3: unknown event_type 'clik'; did you mean click? it may be pageview, navigation, click,"
        " custom, unknown, or declare it under event_types",
    ),
    (
        "events:\n  a:\n    event_type: click\n    action_type:\n      upgrade",
        "5: unknown action_type 'upgrade'; it may be view, leave, rage_click, click, submit,"
        " change, navigate, unknown, or declare it under action_types",
    ),
    (
        "events:\n  a:\n    event_type: [click]\n    action_type: click",
        "3: event_type must be text, but is a list; write a text",
    ),
    (
        "patterns:\n  contains: [a]",
        "2: patterns must be a list, but is a mapping; write it as [a, b]",
    ),
    (
        "patterns:\n  - {contains: [a], action_type: click}\n  - {action_type: click}",
        "3: a pattern contains no text; add contains: [text, …]",
    ),
    (
        "patterns:\n  - contains: a\n    action_type: click",
        "2: contains must be a list, but is text; write it as [a, b]",
    ),
    (
        "patterns:\n  - {contains: [a]}",
        "2: a pattern has no action_type; add action_type: …",
    ),
    (
        "patterns:\n  - contains:\n      - a\n      - ' '\n    action_type: click",
        "4: a text of contains is empty; write a text or remove it",
    ),
    (
        "patterns:\n  - contains: [a, $b]\n    action_type: click",
        "2: the pattern '$b' would match no name that begins so, since those match exactly; list"
        " the names under events",
    ),
    (
        "patterns:\n  - {contains: [plan], action_type: click}\n"
        "  - {contains: [Plans], action_type: view}",
        "3: the pattern 'Plans' would match nothing, since 'plan' on line 2 takes its names; move"
        " it before that one, or remove it",
    ),
    ("event_types:\n  - a\n  - a", "3: 'a' is already on line 2; keep one of the two"),
    (
        'action_types:\n  - "a\\0"',
        "2: 'a\\x00' in action_types has spaces around it or characters that cannot be printed;"
        " remove them",
    ),
]


@pytest.mark.parametrize(("content", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
@pytest.mark.slow
def test_a_bad_file_is_refused_with_its_line_and_the_reason(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    assert refusal(tmp_path, content) == f"rules.yaml:{reason}"


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        ("events:\n  a: b: c", 2, "mapping values are not allowed here"),
        ("\tevents: {}", 1, "cannot start any token"),
        ("events: {}\n---\nevents: {}", 2, "another document"),
        ("events:\n  $a: *b", 2, "undefined alias 'b'"),
        ("events: {}\npatterns: []\nevents: {}", 3, "'events' is already on line 1"),
        (
            "events:\n  a: &a {event_type: click, action_type: click}\n  <<: *a",
            3,
            "put it in quotes",
        ),
        ("events:\n  yes: {event_type: click, action_type: click}", 2, "is bool 'yes'"),
        ("events:\n  a:\n  b: {event_type: click, action_type: click}", 2, "has no event_type"),
        ("events: &a\n  a: *a", 2, "unknown key 'a' in 'a'"),
        ("event_types:\n  - 1", 2, "must be text, but is int '1'"),
        ("event_types: conversion", 1, "must be a list, but is text"),
        ("action_types:\n  - ' a'", 2, "has spaces around it"),
        ("fallbacks: {}", 1, "unknown key 'fallbacks'"),
        ("events: !!python/name:os.system x", 1, "events must be a mapping"),
    ],
)
def test_other_bad_files_are_refused_with_their_line_too(
    tmp_path: Path, content: str, line: int, part: str
) -> None:
    message = refusal(tmp_path, content)

    assert message.startswith(f"rules.yaml:{line}: ")
    assert part in message


def test_a_file_that_cannot_be_read_is_refused_with_its_path(tmp_path: Path) -> None:
    missing = tmp_path / "rules.yaml"

    with pytest.raises(RulesFileError) as caught:
        load_rules(missing)
    with pytest.raises(RulesFileError, match="Is a directory"):
        load_rules(tmp_path)

    assert str(caught.value) == (
        f"{missing}: cannot be read (No such file or directory); check the path and its permissions"
    )


def test_the_guide_lists_every_refusal_and_no_other() -> None:
    unreadable = (
        "rules.yaml: cannot be read (No such file or directory); check the path and its permissions"
    )

    listed = guide_block("text").splitlines()

    assert listed == [unreadable, *(f"rules.yaml:{reason}" for _, reason in REFUSED)]


WORDS = ["events", "patterns", "event_types", "contains", "event_type", "action_type", "click"]
MARKS = [
    *"{}[]'\"#|>%1é\t\0\u2028",
    ": ",
    "\n",
    "\n  ",
    "- ",
    ", ",
    "&a ",
    "*a",
    "!t ",
    "$x",
    "\\U",
]
YAML_PIECES = st.lists(st.sampled_from([*WORDS, *MARKS, "<<", "---\n"]), max_size=20).map("".join)


@given(YAML_PIECES.map(str.encode) | st.binary())
def test_any_file_is_taken_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any-{os.getpid()}.yaml"
    path.write_bytes(content)

    try:
        rules = load_rules(path)
    except RulesFileError as error:
        assert re.fullmatch(re.escape(str(path)) + r":\d+: .+; .+", str(error))
    else:
        assert rules.classify("$pageview", None).event_type in rules.event_types
