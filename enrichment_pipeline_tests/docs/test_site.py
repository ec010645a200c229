"""The site that `make docs` builds: whole, by itself, and with what models read."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from enrichment_pipeline_tests.docs.building import PROJECT, build
from reference.for_models import every_page

_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Seen(HTMLParser):
    """What a page loads, what it links to, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.anchors.add(given.get("id") or "")
        if url := given.get(_LOADED.get(tag, "")):
            self.loads.append(url)
        if tag == "a" and (link := given.get("href")):
            self.links.append(link)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built."""
    return build(tmp_path_factory.mktemp("site"))


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    pages = {str(one.relative_to(PROJECT / "docs")) for one in PROJECT.glob("docs/**/*.md")}
    assert [one.path for one in every_page() if one.path not in pages] == []
    assert pages == {one.path for one in every_page()}


@pytest.mark.slow
def test_no_page_of_the_site_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = [url for url in Seen(page).loads if urlsplit(url).netloc]
        assert loaded == [], page
    for style in site.rglob("*.css"):
        urls = re.findall(r"""url\(["']?([^)"']*)""", style.read_text(encoding="utf-8"))
        assert [url for url in urls if urlsplit(url).netloc] == []


@pytest.mark.slow
def test_every_link_and_picture_within_the_site_is_there(site: Path) -> None:
    seen = {page: Seen(page) for page in site.rglob("*.html")}
    dead = []
    for page, one in seen.items():
        for link in (*one.links, *one.loads):
            url = urlsplit(link)
            if url.scheme or url.netloc or page.name == "404.html":
                continue
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            found = seen[target].anchors if target in seen else set()
            if not target.exists() or (url.fragment and url.fragment not in found):
                dead.append((page.name, link))
    assert dead == []


@pytest.mark.slow
def test_models_get_a_list_of_the_pages_and_each_page_as_markdown(site: Path) -> None:
    listed = (site / "llms.txt").read_text(encoding="utf-8")
    assert listed.startswith("# enrichment_pipeline\n\n> PostHog events in")
    whole = (site / "llms-full.txt").read_text(encoding="utf-8")
    for page in every_page():
        assert f"- [{page.title}]({page.path}): " in listed
        assert (site / page.path).read_text(encoding="utf-8") == page.text
        assert page.text.strip() in whole
