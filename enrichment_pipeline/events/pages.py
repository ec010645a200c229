"""Pages: the path on which an event happened, and its template: readable, and without ids.

Masking private data in a URL does not belong here.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes, urlsplit

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


# `/posts/2026/11/27`: the day of a post is no id. Each part is one only after the one before it.
_YEAR = r"(?:19|20)\d\d"
_MONTH, _DAY = r"0?[1-9]|1[0-2]", r"0?[1-9]|[12]\d|3[01]"
_PARTS_OF_DATE = tuple(re.compile(part) for part in (_YEAR, _MONTH, _DAY))
_DATE = re.compile(rf"{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")

# These would be read as another path if they were not escaped.
_SYNTAX = frozenset("/?#%")


def page_path(
    pathname: object, url: object, screen: object, queries: Sequence[str] = ()
) -> str | None:
    """The path of the page: `$pathname`, else the path of `$current_url`, else `$screen_name`; with
    the fragment of the URL if that is a route (`/#/users/5`), and with those parameters of its
    query that are part of pages (`/page=billing`)."""
    route = ""
    if isinstance(url, str) and url:
        route = _hash_route(url) if "#" in url else ""
        if queries and "?" in url:
            route += _query_route(url, queries)
        if not (isinstance(pathname, str) and pathname):
            pathname = _path_of(url)
    if isinstance(pathname, str) and pathname:
        is_doubled = pathname.endswith("/") and route.startswith("/")
        return pathname + route[is_doubled:]
    return screen if isinstance(screen, str) and screen else None


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path or "/"
    except ValueError:  # urlsplit refuses a broken IPv6 host: http://[::1
        return "/"


def _hash_route(url: str) -> str:
    """The route in the fragment of a URL, with its mark; empty if it names a place in the page, or
    hands something over (`#access_token=…`)."""
    fragment = url.partition("#")[2]
    if not fragment.startswith(("/", "!")):
        return ""
    route = re.split("[?&#]", fragment, maxsplit=1)[0]
    return f"#{route}" if "=" not in route and route.strip("!/") else ""


def _query_route(url: str, queries: Sequence[str]) -> str:
    """The parameters of a URL that are part of its page, as segments: a query would be masked."""
    behind = re.split("[?#&]", url)[1:]
    given = dict(part.split("=", 1) for part in reversed(behind) if "=" in part)
    found = ((name, given.get(name, "").replace("/", "%2F")) for name in queries)
    return "".join(f"/{name}={value}" for name, value in found if value)


@lru_cache(maxsize=8_192)
def path_template(path: str) -> str:
    """`path` with `:id` in place of each id segment (`/users/8231/edit` → `/users/:id/edit`), and
    with letters in place of their percent-escapes (`/men%C3%BC` → `/menü`)."""
    kept: list[str] = []
    part = 0
    for segment in path.split("/"):
        is_date = bool(part and _PARTS_OF_DATE[part].fullmatch(segment))
        is_year = not is_date and bool(_PARTS_OF_DATE[0].fullmatch(segment))
        part = part + 1 if is_date else int(is_year)
        part %= len(_PARTS_OF_DATE)
        is_word = is_date or is_year or not segment or bool(_DATE.fullmatch(segment))
        kept.append(segment if is_word else _readable(segment))
    return "/".join(kept)


def _readable(segment: str) -> str:
    plain = _decoded(segment) if "%" in segment else segment
    if _ID_SEGMENT.fullmatch(segment) or _ID_SEGMENT.fullmatch(plain):
        return ":id"
    name, equals, value = plain.rpartition("=")
    return f"{name}=:id" if equals and _ID_SEGMENT.fullmatch(value) else plain


def _decoded(segment: str) -> str:
    """A segment with its characters as they are seen; what is not UTF-8 stays as it is."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return segment
    return "".join(one if _is_seen(one) else quote(one, safe="") for one in text)


def _is_seen(character: str) -> bool:
    return character.isprintable() and character not in _SYNTAX and not character.isspace()
