"""Steps and filters as people and models write them: `event=order placed`, `page=/checkout`."""

import re

from enrichment_pipeline.events.masked import masked_line
from enrichment_pipeline.store.analytics.selection import Step
from enrichment_pipeline.wording import UserError

HOW = (
    "event=NAME, page=/PATH (page=/PATH* for all that begin so), touched=LABEL, did=SENTENCE, "
    "device=DEVICE or signal=KIND, as shown; several of one act joined by &: "
    "touched=Save & page=/settings"
)
"""How a step is written."""

_PART = re.compile(rf"(?P<kind>{'|'.join(Step._fields)})\s*=\s*(?P<value>.*)", re.DOTALL)
# A label may contain an ampersand.
_AND = re.compile(rf"\s*&\s*(?=(?:{'|'.join(Step._fields)})\s*=)")


def parse_step(written: str) -> Step:
    """A step; without a kind, a text that begins with a slash is a page and any other an event.

    Raises:
        UserError: it says nothing, or two things of one kind.
    """
    found: dict[str, str] = {}
    for part in _AND.split(written.strip()):
        kind, value = _kind_and_value(part)
        if not value or kind in found:
            raise UserError(f'"{masked_line(written)}" is no step: write {HOW}')
        found[kind] = value
    return Step(**found)


def _kind_and_value(part: str) -> tuple[str, str]:
    if written := _PART.fullmatch(part):
        return written["kind"], written["value"].strip()
    return ("page" if part.startswith("/") else "event"), part


def write_step(step: Step) -> str:
    """A step as it can be written."""
    return " & ".join(f"{kind}={value}" for kind, value in step._asdict().items() if value)
