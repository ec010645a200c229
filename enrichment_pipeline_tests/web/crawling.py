"""Following all links of the pages, and all choices of their forms."""

import re
from collections.abc import Iterable, Iterator
from html import unescape
from urllib.parse import urlsplit

from httpx import Response
from starlette.testclient import TestClient

_MOST = 2_000
_LINK = re.compile(r'<a [^>]*?href="([^"#]+)')
_FORM = re.compile(r'<form [^>]*?action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
_SELECT = re.compile(r'<select [^>]*?name="(\w+)">(.*?)</select>', re.DOTALL)
_OPTION = re.compile(r'<option value="([^"]+)"')


def crawl(client: TestClient, start: Iterable[str]) -> dict[str, Response]:
    """The answers of these pages and of all to which they lead, by path."""
    found: dict[str, Response] = {}
    wanted = list(start)
    while wanted:
        path = wanted.pop()
        if path in found:
            continue
        assert len(found) < _MOST, "the pages lead to ever more pages"
        found[path] = client.get(path)
        wanted += [one for one in leads_to(found[path]) if one not in found]
    return found


def leads_to(answer: Response) -> Iterator[str]:
    """The paths of the links of a page, and of each choice of its forms alone."""
    for link in _LINK.findall(answer.text):
        path = unescape(link)
        assert not urlsplit(path).netloc, path
        yield path
    for action, form in _FORM.findall(answer.text):
        for name, options in _SELECT.findall(form):
            yield from (f"{unescape(action)}?{name}={one}" for one in _OPTION.findall(options))
