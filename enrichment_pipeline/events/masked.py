"""The one way out for text that strangers wrote: masked, then harmless, then short.

Whatever leaves for models, files, Dagster, people who are alerted, and logs goes through here. What
is private is recognized by `privacy`, what is harmful in a prompt by `safe_text`.
"""

import re
import traceback
from collections.abc import Set
from urllib.parse import unquote

from enrichment_pipeline.events.allowed import NOTHING, Private
from enrichment_pipeline.events.privacy import is_known_secret, mask, without_torn_end
from enrichment_pipeline.events.safe_text import safe_path, safe_text, safe_word

_MAX_LINE = 500
_MAX_ID = 80
# Of an escape of an escape: `%2540`.
_MOST_ESCAPES = 3
# Of PostHog's SDKs, of other senders that take care, and of events that name no session.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}(?:@\d{8}T\d{6}Z)?")


def masked_text(
    text: str, limit: int, unmasked: Set[Private] = NOTHING, cut_at: int | None = None
) -> str:
    """Text on one line of at most `limit` characters.

    Args:
        text: as it was sent.
        limit: in characters.
        unmasked: the kinds of private things that its project lets models see.
        cut_at: the length at which it was cut before. Half an address would not be recognized, so
            what may have been cut goes.
    """
    whole = text if cut_at is None or len(text) < cut_at else without_torn_end(text)
    return safe_text(mask(whole, unmasked), limit)


def masked_word(text: str, limit: int, unmasked: Set[Private] = NOTHING) -> str:
    """A name as one word, which may stand outside of quotes."""
    return safe_word(mask(text, unmasked), limit)


def masked_path(path: str, limit: int, unmasked: Set[Private] = NOTHING) -> str:
    """A path, or the name of a screen."""
    segments = [_masked_segment(segment, unmasked) for segment in path.split("/")]
    return safe_path(mask("/".join(segments), unmasked), limit)


def _masked_segment(segment: str, unmasked: Set[Private]) -> str:
    """A segment as it is; without its percent-escapes, where these hide something private."""
    plain = segment
    for _ in range(_MOST_ESCAPES):
        if "%" not in plain:
            break
        plain = unquote(plain)
    masked = plain if plain == segment else mask(plain, unmasked)
    return segment if masked == plain else masked


def masked_line(text: str) -> str:
    """A line of a log or a message that may quote what somebody sent."""
    return masked_text(text, _MAX_LINE)


def masked_id(identity: str) -> str:
    """The id of a session, by which it can be found; one that is no id but a secret, or text of
    somebody's, is masked, and in quotes."""
    if _PLAIN_ID.fullmatch(identity) and not is_known_secret(identity):
        return identity
    return f'"{masked_text(identity, _MAX_ID)}"'


def masked_traceback(error: BaseException) -> str:
    """The traceback of an error, each line masked: PostgreSQL's errors quote the row at fault."""
    written = "".join(traceback.format_exception(error))
    return "\n".join(mask(line) for line in written.splitlines())
