"""The tab of a browser in which an event happened.

What a timeline says of tabs belongs to `llm.tabs`.
"""

from zlib import crc32

_NUMBERS = 2**15


def tab_of(window_id: object) -> int | None:
    """A number that stands for the tab: below 32,768, from the `$window_id` that posthog-js gives
    each tab. Two tabs of one session have the same number once in 32,768 times."""
    if not isinstance(window_id, str) or not window_id:
        return None
    return crc32(window_id.encode(errors="replace")) % _NUMBERS
