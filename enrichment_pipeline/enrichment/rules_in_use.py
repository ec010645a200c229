"""The rules under which a process enriches: those of the file as it is now.

A changed file is read again before the next enrichment. A file that cannot be read is recorded for
the alerts; a process that has read it before keeps the rules it read.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from enrichment_pipeline.classification import Rules, RulesFileError, load_rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.monitoring.failures import (
    RULES,
    Failure,
    clear_failures,
    note_failures,
)

Stamp = tuple[int, int, int] | None

logger = logging.getLogger(__name__)


def stamp_of(file: Path | None) -> Stamp:
    """A stamp that differs when the file has changed; None if there is no file."""
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None


class RulesInUse:
    """The rules of a file (None: the built-in ones), read again when the file has changed."""

    def __init__(self, file: Path | None, rules: Rules | None = None) -> None:
        self._file = file
        self._rules = rules
        self._stamp = stamp_of(file) if rules else None
        self._is_noted = False

    def now(self, store: Store, load: Callable[[Path | None], Rules] = load_rules) -> Rules:
        """The current rules.

        Raises:
            RulesFileError: the file cannot be read, and this process has never read it.
        """
        if self._file is None:
            return load(None)
        stamp = stamp_of(self._file)
        if self._rules and stamp == self._stamp and self._is_noted:
            return self._rules
        try:
            self._rules = load(self._file)
        except RulesFileError as error:
            self._note(store, str(error))
            if self._rules is None:
                raise
            if stamp != self._stamp:
                logger.warning("%s; the rules of before stay in use", error)
        else:
            self._note(store, None)
        self._stamp, self._is_noted = stamp, True
        return self._rules

    def _note(self, store: Store, error: str | None) -> None:
        now = datetime.now(UTC)
        with store.transaction() as connection:
            if error is None:
                clear_failures(connection, RULES, str(self._file))
            else:
                note_failures(connection, [Failure(RULES, str(self._file), "", now, now, error)])
