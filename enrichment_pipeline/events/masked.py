"""The only way out for text of strangers: masked, then made harmless, then shortened.

All text for models, files, Dagster, alerts and logs goes through here. Private data are recognized
by `privacy`, text that is harmful in a prompt by `safe_text`.
"""

import re
import traceback
from collections.abc import Iterable, Set
from urllib.parse import unquote

from enrichment_pipeline.events.allowed import NOTHING, Private
from enrichment_pipeline.events.privacy import is_known_secret, mask, without_torn_end
from enrichment_pipeline.events.safe_text import safe_path, safe_text, safe_word

_MAX_LINE = 500
_MAX_ID = 80
_MAX_NAME = 200
_MAX_LIST = 200
# For an escape of an escape: `%2540`.
_MOST_ESCAPES = 3
# Ids of PostHog's SDKs, of other careful senders, and of sessions without an id of their own.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}(?:@\d{8}T\d{6}Z)?")


def masked_text(
    text: str,
    limit: int,
    allowed: Set[Private] = NOTHING,
    cut_at: int | None = None,
    about: str = "",
) -> str:
    """Free text on one line of at most `limit` characters; nothing if its project shows none.

    Args:
        text: as it was sent.
        limit: in characters.
        allowed: the kinds of private data that its project allows models to see.
        cut_at: the length at which it was cut before. Half an address would not be recognized, so
            a word that may have been cut is removed.
        about: the name of what it says: the number of an order is not private.
    """
    if Private.NO_TEXT in allowed:
        return ""
    whole = text if cut_at is None or len(text) < cut_at else without_torn_end(text)
    return safe_text(mask(whole, allowed, about), limit)


def masked_word(text: str, limit: int, allowed: Set[Private] = NOTHING) -> str:
    """A name as one word, which may stand outside of quotes."""
    return safe_word(mask(text, allowed), limit)


def masked_path(path: str, limit: int, allowed: Set[Private] = NOTHING) -> str:
    """A path, or the name of a screen."""
    segments = [_masked_segment(segment, allowed) for segment in path.split("/")]
    return safe_path(mask("/".join(segments), allowed), limit)


def _masked_segment(segment: str, allowed: Set[Private]) -> str:
    """A segment as it is; without its percent-escapes if they hide private data."""
    plain = segment
    for _ in range(_MOST_ESCAPES):
        if "%" not in plain:
            break
        plain = unquote(plain)
    masked = plain if plain == segment else mask(plain, allowed)
    return segment if masked == plain else masked


def masked_name(name: str) -> str:
    """The name of an event as it was sent, so that a rule can have it; one that holds private data
    as `masked_text`."""
    return name if mask(name) == name else masked_text(name, _MAX_NAME)


def masked_list(names: Iterable[str]) -> str:
    """Names of columns or keys, in a message: somebody's file may have addresses for keys."""
    return masked_text(", ".join(names), _MAX_LIST)


def masked_line(text: str) -> str:
    """A line of a log or a message that may quote a sender's text."""
    return masked_text(text, _MAX_LINE)


def masked_id(identity: str) -> str:
    """The id of a session, as it can be searched for; an id that looks like a secret or like free
    text is masked and quoted."""
    if _PLAIN_ID.fullmatch(identity) and not is_known_secret(identity):
        return identity
    return f'"{masked_text(identity, _MAX_ID)}"'


def masked_traceback(error: BaseException) -> str:
    """The traceback of an error, each line masked: PostgreSQL's errors quote the row at fault."""
    written = "".join(traceback.format_exception(error))
    return "\n".join(mask(line) for line in written.splitlines())
