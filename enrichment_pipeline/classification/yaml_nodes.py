"""YAML as nodes with their line numbers, so that every refusal can name the line.

Reading YAML and checking its structure belong here; the contents of a rules file to `rules_file`.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import NoReturn

import yaml

from enrichment_pipeline.wording import UserError

_SHOWN = Repr()
_SHOWN.maxstring = 60
_TEXT_TAG = "tag:yaml.org,2002:str"
_NOTHING_TAG = "tag:yaml.org,2002:null"


class RulesFileError(UserError, ValueError):
    """A rules file that cannot be used; one line, `path:line: reason; what to do`."""


def read_yaml(path: Path) -> yaml.Node | None:
    """The root of the YAML file at `path`; None if it is empty.

    Raises:
        RulesFileError: the file cannot be read, or is not YAML.
    """
    text = _read_text(path)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RulesFileError(
            f"{path}:{line}: holds the control character U+{error.character:04X}; remove it"
        ) from error
    loader.name = str(path)  # marks carry it, and `refuse` reads it from there
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = (mark.line if mark else loader.line) + 1
        raise RulesFileError(f"{path}:{line}: not valid YAML: {_problem(error)}") from error
    # PyYAML does not catch the error of `chr` for an escape like "\UFFFFFFFF".
    except (ValueError, OverflowError) as error:
        raise RulesFileError(
            f"{path}:{loader.line + 1}: not valid YAML: no such character; correct the \\U escape"
        ) from error
    except RecursionError as error:
        raise RulesFileError(
            f"{path}:{loader.line + 1}: nested too deeply; a rules file has four levels at most"
        ) from error


def refuse(node: yaml.Node, reason: str) -> NoReturn:
    """Raise a `RulesFileError` that names the line of `node`."""
    mark = node.start_mark
    raise RulesFileError(f"{mark.name}:{mark.line + 1}: {reason}")


def entries(node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """The nodes of key and value by key, for a mapping with any keys.

    Raises:
        RulesFileError: not a mapping, a key that is not text, or the same key twice.
    """
    if node.tag == _NOTHING_TAG:
        return {}
    if not isinstance(node, yaml.MappingNode):
        refuse(node, f"{what} must be a mapping, but is {_kind(node)}; write `key: value` pairs")
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key_node, value in node.value:
        key = text(key_node, f"a key of {what}")
        if key in found:
            first = found[key][0].start_mark.line + 1
            refuse(key_node, f"{shown(key)} is already on line {first}; keep one of the two")
        found[key] = (key_node, value)
    return found


def fields(node: yaml.Node, what: str, known: Iterable[str]) -> dict[str, yaml.Node]:
    """The nodes of values by key, for a mapping whose keys are `known`.

    Raises:
        RulesFileError: as `entries`, or an unknown key.
    """
    names = list(known)
    found = entries(node, what)
    for key, (key_node, _) in found.items():
        if key not in names:
            refuse(key_node, f"unknown key {shown(key)} in {what}; {choices(key, names)}")
    return {key: value for key, (_, value) in found.items()}


def items(node: yaml.Node, what: str) -> list[yaml.Node]:
    """The nodes of a list.

    Raises:
        RulesFileError: not a list.
    """
    if node.tag == _NOTHING_TAG:
        return []
    if not isinstance(node, yaml.SequenceNode):
        refuse(node, f"{what} must be a list, but is {_kind(node)}; write it as [a, b]")
    return list(node.value)


def text(node: yaml.Node, what: str) -> str:
    """The text of a node, which must not be empty.

    Raises:
        RulesFileError: not text, or only spaces.
    """
    if not isinstance(node, yaml.ScalarNode) or node.tag != _TEXT_TAG:
        hint = "put it in quotes" if isinstance(node, yaml.ScalarNode) else "write a text"
        refuse(node, f"{what} must be text, but is {_kind(node)}; {hint}")
    if not node.value.strip():
        refuse(node, f"{what} is empty; write a text or remove it")
    # JSON, which is valid YAML too, writes 😀 as two escapes; PyYAML leaves them as two half
    # characters, which no event's name has.
    halves = str(node.value).encode("utf-16", "surrogatepass")
    return halves.decode("utf-16", "surrogatepass")


def choices(given: str, known: list[str]) -> str:
    """The valid choices in place of `given`, for the end of a message."""
    near = get_close_matches(given, known, n=1)
    nearest = f"did you mean {near[0]}? " if near else ""
    return f"{nearest}it may be {', '.join(known)}"


def shown(value: str) -> str:
    """`value` in quotes, on one line and short enough for a message."""
    return _SHOWN.repr(value)


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RulesFileError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RulesFileError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from error


def _problem(error: yaml.MarkedYAMLError) -> str:
    parts = (error.context, error.problem)
    return ", ".join(part for part in parts if part) + "; correct the line, or quote the text"


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    kinds = {_TEXT_TAG: "text", _NOTHING_TAG: "nothing"}
    return kinds.get(node.tag, f"{node.tag.rpartition(':')[2]} {shown(str(node.value))}")
