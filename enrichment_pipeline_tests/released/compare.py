"""What a release promised and the code of now does not hold, in one sentence each."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_UNRELEASED = re.compile(r"^## \[Unreleased\]$(.*?)(?=^## |\Z)", re.M | re.S)
_ANNOUNCING = re.compile(r"^### (?:Changed|Removed)$(.*?)(?=^### |\Z)", re.M | re.S)
_QUOTED = re.compile(r"`([^`]+)`")


def broken_promises(
    version: str, released: Mapping[str, Any], now: Mapping[str, Any], changelog: str
) -> list[str]:
    """One sentence for each thing that a version had and that is gone or has changed, unless the
    changelog announces it."""
    announced = announcements(changelog)
    return [
        f"{' › '.join(place)} {what.format(version)}: bring it back, or announce it in "
        f"CHANGELOG.md under Changed or Removed, as `{place[-1]}`"
        for place, what in _differences(released, now, ())
        if not announced.intersection(place)
    ]


def announcements(changelog: str) -> set[str]:
    """What the changelog quotes where it says what the next version changes and removes."""
    found = _UNRELEASED.search(changelog)
    sections = _ANNOUNCING.findall(found[1]) if found else []
    return {quoted for section in sections for quoted in _QUOTED.findall(section)}


def _differences(
    before: Any, now: Any, place: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(before, Mapping):
        for key, inner in before.items():
            if not isinstance(now, Mapping) or key not in now:
                yield (*place, key), "was public in {} and is gone"
            else:
                yield from _differences(inner, now[key], (*place, key))
    elif isinstance(before, list):
        for one in before:
            if not isinstance(now, list) or one not in now:
                yield (*place, str(one)), "was public in {} and is gone"
    elif before != now:
        yield place, f"was {_shown(before)} in {{}} and is {_shown(now)}"


def _shown(value: object) -> str:
    return (str(value) or "nothing").replace("{", "{{").replace("}", "}}")
