"""Rules files: the built-in rules, and a user's additions.

What a file may contain and what is refused belongs here; the effect of the rules, to `rules`.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from enrichment_pipeline.classification.rules import EventClassification, Rules
from enrichment_pipeline.classification.yaml_nodes import (
    choices,
    entries,
    fields,
    items,
    read_yaml,
    refuse,
    shown,
    text,
)

_BUILT_IN_FILE = Path(__file__).with_name("default_rules.yaml")
SECTIONS = ("events", "patterns", "event_types", "action_types")
_DEFAULT_EVENT_TYPE = "custom"
_NAME_OF_POSTHOGS = re.compile(r"\$+[^\W\d]")

Patterns = tuple[tuple[str, EventClassification], ...]


class _Vocabulary(NamedTuple):
    event_types: tuple[str, ...]
    action_types: tuple[str, ...]


def load_rules(path: Path | None = None) -> Rules:
    """The built-in rules, with the additions of the user's file at `path`.

    Raises:
        RulesFileError: the file is refused; one line with the path, the line, the reason and what
            to do.
    """
    built_in = _built_in_rules()
    root = None if path is None else read_yaml(path)
    if root is None:
        return built_in
    sections = fields(root, "the rules file", SECTIONS)
    vocabulary = _vocabulary(sections, _Vocabulary(built_in.event_types, built_in.action_types))
    events = _events(sections, vocabulary)
    return Rules(
        event_types=vocabulary.event_types,
        action_types=vocabulary.action_types,
        events={**built_in.events, **events},
        # A user's exact name has priority over everything, so over the sub-types of that name.
        sub_types={name: by for name, by in built_in.sub_types.items() if name not in events},
        patterns=_patterns(sections, vocabulary) + built_in.patterns,
        without_dollar=built_in.without_dollar,
        with_dollar=built_in.with_dollar,
        not_a_string=built_in.not_a_string,
    )


@cache
def _built_in_rules() -> Rules:
    root = read_yaml(_BUILT_IN_FILE)
    if root is None:
        raise ValueError(f"{_BUILT_IN_FILE} is empty; install the package again")
    sections = fields(root, "the built-in rules", (*SECTIONS, "sub_types", "fallbacks"))
    vocabulary = _vocabulary(sections, _Vocabulary((), ()))
    return Rules(
        event_types=vocabulary.event_types,
        action_types=vocabulary.action_types,
        events=_events(sections, vocabulary),
        sub_types={
            name: _classifications(by, name, vocabulary)
            for name, (_, by) in entries(sections["sub_types"], "sub_types").items()
        },
        patterns=_patterns(sections, vocabulary),
        **_classifications(sections["fallbacks"], "fallbacks", vocabulary),
    )


def _vocabulary(sections: Mapping[str, yaml.Node], known: _Vocabulary) -> _Vocabulary:
    return _Vocabulary(
        _words(sections, "event_types", known.event_types),
        _words(sections, "action_types", known.action_types),
    )


def _words(
    sections: Mapping[str, yaml.Node], section: str, known: tuple[str, ...]
) -> tuple[str, ...]:
    """The words already known and those that the section declares."""
    declared: dict[str, yaml.Node] = {}
    for node in items(sections[section], section) if section in sections else []:
        word = text(node, f"a word of {section}")
        # They are stored in a database column, which refuses NUL and half a surrogate pair.
        if not word.isprintable() or word != word.strip():
            refuse(
                node,
                f"{shown(word)} in {section} has spaces around it or characters that cannot be"
                " printed; remove them",
            )
        if word in declared:
            first = declared[word].start_mark.line + 1
            refuse(node, f"{shown(word)} is already on line {first}; keep one of the two")
        declared[word] = node
    return tuple(dict.fromkeys((*known, *declared)))


def _events(
    sections: Mapping[str, yaml.Node], vocabulary: _Vocabulary
) -> dict[str, EventClassification]:
    if "events" not in sections:
        return {}
    return _classifications(sections["events"], "events", vocabulary)


def _classifications(
    node: yaml.Node, what: str, vocabulary: _Vocabulary
) -> dict[str, EventClassification]:
    found = {}
    for name, (key_node, value) in entries(node, what).items():
        given = fields(value, shown(name), EventClassification._fields)
        if "event_type" not in given:
            refuse(key_node, f"{shown(name)} has no event_type; add event_type: …")
        found[name] = _classification(key_node, shown(name), given, vocabulary)
    return found


def _patterns(sections: Mapping[str, yaml.Node], vocabulary: _Vocabulary) -> Patterns:
    found: list[tuple[str, EventClassification]] = []
    lines: dict[str, int] = {}
    for node in items(sections["patterns"], "patterns") if "patterns" in sections else []:
        given = fields(node, "a pattern", ("contains", *EventClassification._fields))
        texts = items(given["contains"], "contains") if "contains" in given else []
        if not texts:
            refuse(node, "a pattern contains no text; add contains: [text, …]")
        classification = _classification(node, "a pattern", given, vocabulary)
        found += [(_pattern_text(text_node, lines), classification) for text_node in texts]
    return tuple(found)


def _pattern_text(node: yaml.Node, lines: dict[str, int]) -> str:
    """The text of a pattern, in lower case; it is added to `lines`, which holds the earlier
    texts."""
    given = text(node, "a text of contains")
    # `$5 off` may be part of a user's own name.
    if _NAME_OF_POSTHOGS.match(given):
        refuse(
            node,
            f"the pattern {shown(given)} would match no name that begins so, since those match"
            " exactly; list the names under events",
        )
    lower = given.lower()
    for earlier, line in lines.items():
        if earlier in lower:
            refuse(
                node,
                f"the pattern {shown(given)} would match nothing, since {shown(earlier)} on line"
                f" {line} takes its names; move it before that one, or remove it",
            )
    lines[lower] = node.start_mark.line + 1
    return lower


def _classification(
    node: yaml.Node, what: str, given: Mapping[str, yaml.Node], vocabulary: _Vocabulary
) -> EventClassification:
    if "action_type" not in given:
        refuse(node, f"{what} has no action_type; add action_type: …")
    event_type = _DEFAULT_EVENT_TYPE
    if "event_type" in given:
        event_type = _word(given["event_type"], "event_type", vocabulary.event_types)
    action_type = _word(given["action_type"], "action_type", vocabulary.action_types)
    return EventClassification(event_type, action_type)


def _word(node: yaml.Node, field: str, known: tuple[str, ...]) -> str:
    word = text(node, field)
    if word not in known:
        refuse(
            node,
            f"unknown {field} {shown(word)}; {choices(word, list(known))},"
            f" or declare it under {field}s",
        )
    return word
