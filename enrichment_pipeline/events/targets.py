"""Where a link leads, if a person would say so: it leaves the site, or downloads a file.

A link within the site needs no word: the next page says where it led.
"""

import re
from functools import lru_cache
from urllib.parse import urlsplit

_NOWHERE = frozenset({"javascript", "data", "blob", "about", "file", "vbscript"})
_BY_SCHEME = {"mailto": "e-mail", "tel": "phone"}
_FILE = re.compile(
    r"\.(?:pdf|zip|t?gz|tar|bz2|xz|7z|rar|csv|tsv|xlsx?|xlsm|ods|docx?|odt|rtf|txt|pptx?|odp|epub"
    r"|mobi|dmg|pkg|exe|msi|apk|ipa|deb|rpm|appimage|iso|jar|mp3|m4a|wav|flac|ogg|mp4|mov|avi|mkv"
    r"|webm|ics|vcf|dwg|stl|psd|parquet|torrent)\Z",
    re.IGNORECASE,
)


def target_of(href: str | None, *, is_download: bool, is_named: bool) -> str | None:
    """The host or the path to which a link leads, or what it opens; None if nobody would say it.

    Args:
        href: as the page has it; a link within the site has no host.
        is_download: whether the page says that it downloads.
        is_named: whether the link has a name; without one, its target is all there is to say.
    """
    href = (href or "").strip()
    try:
        parts = urlsplit(href)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:  # urlsplit refuses a broken IPv6 host: http://[::1
        return None
    scheme = parts.scheme.lower()
    if scheme in _NOWHERE:
        return None
    if scheme not in {"", "http", "https"}:
        return _BY_SCHEME.get(scheme, scheme)
    is_file = is_download or bool(_FILE.search(parts.path))
    if is_file or (not host and not is_named):
        return f"{host}{parts.path}" or None
    return host or None


def within_site(chain: str, host: object) -> str:
    """A chain in which the links to `host`, on whose page it was captured, have no host."""
    if not isinstance(host, str) or f"//{host}" not in chain:
        return chain
    return _link_to(host).sub(_without_host, chain)


@lru_cache(maxsize=1_024)
def _link_to(host: str) -> re.Pattern[str]:
    return re.compile(rf'((?:href|action)=")(?:https?:)?//{re.escape(host)}(?=([/"?#]))')


def _without_host(found: re.Match[str]) -> str:
    return found[1] if found[2] == "/" else f"{found[1]}/"
