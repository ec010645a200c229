"""Pages: the path on which an event happened, and its template without ids.

Masking private data in a URL does not belong here.
"""

import re
from functools import lru_cache
from urllib.parse import urlsplit

MAX_PATH_LENGTH = 1_024

_ID_SEGMENT = re.compile(
    r"""
    \d+                                             # 8231
    | [0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}   # a UUID
    | (?=[a-f]*\d)[0-9a-f]{8,}                      # 5f2a9c1e, a hash or an ObjectId
    | (?=[^\d]*\d)(?=[^a-z]*[a-z])[0-9a-z_]{20,}    # a long token of letters and digits
    | [^/@]+(?:@|%(?:25)*40)[^/@]+\.[^/@]+          # an e-mail address
    """,
    re.VERBOSE | re.IGNORECASE,
)


def page_path(pathname: object, url: object, screen: object) -> str | None:
    """The path of the page: `$pathname`, else the path of `$current_url`, else `$screen_name`."""
    if isinstance(pathname, str) and pathname:
        return pathname
    if isinstance(url, str) and url:
        try:
            path = urlsplit(url).path
        except ValueError:  # urlsplit refuses a broken IPv6 host: http://[::1
            path = ""
        return path or "/"
    return screen if isinstance(screen, str) and screen else None


@lru_cache(maxsize=8_192)
def path_template(path: str) -> str:
    """`path` with `:id` in place of each id segment: `/users/8231/edit` → `/users/:id/edit`."""
    return "/".join(
        ":id" if segment and _ID_SEGMENT.fullmatch(segment) else segment
        for segment in path.split("/")
    )
