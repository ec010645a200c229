"""Keeping what a model answered in a file, so that a run goes on where it was stopped and answers
can be scored again without the model.

How a model is asked belongs to `asking`.
"""

import hashlib
import json
from pathlib import Path


class KeptError(RuntimeError):
    """A file is of something else: one line of what, where, what to do."""


class KeptAnswers:
    """Answers by what was asked of whom; one JSON object a line."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            OSError: the file cannot be read.
            KeptError: the file is of something else.
        """
        self._path = path
        self._texts: dict[str, str] = {}
        if path.exists():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                try:
                    one = json.loads(line)
                    self._texts[one["asked"]] = one["answered"]
                except (ValueError, LookupError, TypeError) as error:
                    raise KeptError(
                        f"{path}, line {number}: not an answer that was kept; name another file"
                    ) from error

    def get(self, model: str, *prompt: str) -> str | None:
        """What this model answered to this; None where it was not asked."""
        return self._texts.get(_key(model, prompt))

    def keep(self, text: str, model: str, *prompt: str) -> None:
        """Add an answer, at once."""
        key = _key(model, prompt)
        self._texts[key] = text
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"asked": key, "answered": text}, ensure_ascii=False) + "\n")


def _key(model: str, prompt: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join((model, *prompt)).encode()).hexdigest()
