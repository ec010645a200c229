"""The few forms of Markdown that the pages use, read alike by GitHub and by the site."""

import re
from collections.abc import Iterable, Sequence

WIDTH = 120


class MissingWordsError(Exception):
    """Something has no words; the message says what, and where they belong."""


def said(words: str | None, what: str, where: str) -> str:
    """The words of something, in one line.

    Raises:
        MissingWordsError: there are none.
    """
    line = " ".join((words or "").split())
    if not line:
        raise MissingWordsError(f"{what} has no words; they belong in {where}")
    return line


def plain(text: str) -> str:
    """Text in which nothing is taken for HTML or for the end of a table's cell, outside of code."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")


def code(text: str) -> str:
    """Text as code, also in a table."""
    return f"`{text}`".replace("|", "\\|")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are Markdown in which `|` is escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(title: str, introduction: str, *parts: str) -> str:
    """A page, with the line that says who wrote it."""
    made = "<!-- Made from the code by `make reference`; changes here are lost. -->"
    return "\n\n".join([f"# {title}", made, introduction, *parts]) + "\n"
