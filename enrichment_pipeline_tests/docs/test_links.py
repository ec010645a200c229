"""Every link of the documentation leads to a file, a heading or an image that is there."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PROJECT = Path(__file__).parents[2]
GLOBS = ("*.md", "*/*.md", "docs/**/*.md", "examples/*/*.md")
PAGES = sorted({page for pattern in GLOBS for page in PROJECT.glob(pattern)})
FENCED = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)(?!`).*?\1", re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]*)\)")
HEADING = re.compile(r"^#+ (.*?)(?: \{#([\w-]+)\})?$", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([\w-]+)">')


def links(page: Path) -> list[str]:
    """What a page links to, outside of code."""
    text = INLINE_CODE.sub("`code`", FENCED.sub("", page.read_text(encoding="utf-8")))
    return LINK.findall(text)


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading; the site's is the same, see `zensical.toml`."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    found = [given or slug(title) for title, given in HEADING.findall(text)]
    assert len(found) == len(set(found)), f"{page}: two headings with one anchor"
    return frozenset((*found, *ANCHOR.findall(text)))


def dead(page: Path, root: Path = PROJECT) -> Iterator[str]:
    """The links of a page to what is not there."""
    for link in links(page):
        url = urlsplit(link)
        if url.scheme:
            continue
        target = (page.parent / url.path).resolve() if url.path else page
        if not target.exists():
            yield f"{link}: no such file"
        elif not target.is_relative_to(root):
            yield f"{link}: is outside of the project"
        elif url.fragment and (target.suffix != ".md" or url.fragment not in anchors(target)):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_no_link_is_dead(page: Path) -> None:
    assert list(dead(page)) == []


def test_dead_links_are_found_and_those_in_code_are_none(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# What `due_windows` does, and (why)\n[a](gone.md) `[b](gone.md)` [c](#gone)\n"
        "![d](gone.png) [e](#what-due_windows-does-and-why)\n```\n[f](gone.md)\n```\n"
    )
    assert [problem.split(":")[0] for problem in dead(page, tmp_path)] == [
        "gone.md",
        "#gone",
        "gone.png",
    ]


def test_every_picture_of_the_docs_is_shown_on_a_page() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in links(page)
        if "images/" in link
    }
    assert set((PROJECT / "docs" / "images").iterdir()) == shown
