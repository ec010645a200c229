"""The custom properties of an event (those without `$`), small and safe enough for `jsonb`.

The payload keeps the whole event; this is the part for queries in SQL.
"""

from collections.abc import Mapping

import msgspec

from enrichment_pipeline.events.text import clean_json

MAX_BYTES = 8_192
MAX_STRING_LENGTH = 1_000

# Without `$`, but PostHog's own: they have columns of their own, or do not describe the user.
_NOT_CUSTOM = frozenset({"distinct_id", "title", "token"})

_NO_NOTES: Mapping[str, str] = {}

_encode = msgspec.json.Encoder().encode


def custom_properties(
    properties: Mapping[str, object], notes: Mapping[str, str] = _NO_NOTES
) -> bytes | None:
    """The custom properties as JSON that `jsonb` accepts, or None if there are none.

    Nulls are left out (posthog-js sends some twenty campaign parameters as null), strings are cut
    at 1,000 characters, and properties that would make the JSON larger than 8 KB are left out.
    `notes` are our own, about the whole event: they come first, and so are kept.
    """
    custom: dict[str, object] = {
        name: value
        for name, value in properties.items()
        # A slice, because startswith takes three times as long, for some eighty names an event.
        if value is not None and name[:1] != "$" and name not in _NOT_CUSTOM
    }
    if notes:
        custom = {**notes, **custom}
    if not custom:
        return None
    encoded = _encode(custom)
    if len(encoded) > MAX_BYTES:
        encoded = _encode(_cut(custom))
    return clean_json(encoded)


def _cut(custom: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    room = MAX_BYTES - len("{}")
    for name, value in custom.items():
        short = value[:MAX_STRING_LENGTH] if isinstance(value, str) else value
        size = len(_encode({name: short}))
        if size <= room:
            kept[name] = short
            room -= size
    return kept
