"""The code servers that `up` starts: their commands, and what they leave behind when they end.

Starting and stopping processes belongs to `services`, Dagster's runs to `orchestration.instance`.
"""

import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from enrichment_pipeline.cli.console import print_error
from enrichment_pipeline.store.database.errors import first_line
from enrichment_pipeline.wording import counted

_KNOWN_AFTER_SECONDS = 30


def code_server(socket: Path, module: str, *, reloads: bool) -> Sequence[str]:
    """The command of a code server; one that can load its code again has a second process."""
    kind = ("code-server", "start") if reloads else ("api", "grpc", "--lazy-load-user-code")
    place = ("--socket", str(socket), "--module-name", module)
    return [sys.executable, "-m", "dagster", *kind, *place]


class CodeServer:
    """What a code server leaves behind when it ends: its socket, and its runs, which nothing else
    would end. The runs are ended once the server is back: Dagster starts them again, and before
    that would find no server and give them up."""

    def __init__(self, dagster_home: Path, location: str, socket: Path) -> None:
        self._dagster_home = dagster_home
        self._location = location
        self._socket = socket
        self._left: dict[str, datetime] = {}
        self._there_since: float | None = None

    def clean_up(self) -> None:
        """Called after the code server has ended, before it is started again."""
        self._socket.unlink(missing_ok=True)
        self._there_since = None
        self._find_runs()

    def end_lost_runs(self) -> bool:
        """End the server's runs, once it is back and Dagster knows; returns whether it is done."""
        if not self._socket.exists():
            return False
        self._there_since = self._there_since or time.monotonic()
        if time.monotonic() - self._there_since < _KNOWN_AFTER_SECONDS:
            return False
        self._end_runs("ended with it")
        return True

    def interrupt(self) -> None:
        """End the server's runs: it was killed, because everything is stopped."""
        self._find_runs()
        self._end_runs("stopped part-way")

    def _find_runs(self) -> None:
        from enrichment_pipeline.orchestration import instance

        try:
            self._left |= instance.running_runs(self._dagster_home, self._location)
        except Exception as error:  # noqa: BLE001  whatever it is, the code server is to run again
            # The sensor gives up runs that have given no sign for a quarter of an hour.
            print_error(f"the runs of {self._location} could not be found: {first_line(error)}")

    def _end_runs(self, how: str) -> None:
        from enrichment_pipeline.orchestration import instance

        try:
            ended = instance.end_runs(self._dagster_home, self._left)
        except Exception as error:  # noqa: BLE001  as above
            print_error(f"the runs of {self._location} could not be ended: {first_line(error)}")
            return
        self._left = {}
        if ended.again:
            runs = counted(ended.again, "run")
            print_error(f"{runs} of {self._location} {how}, and will be started again")
        if ended.given_up:
            runs = counted(len(ended.given_up), "run")
            print_error(
                f"{runs} of {self._location} {how} once too often: materialize the failed "
                f"partitions again in Dagster (the first run: {ended.given_up[0]})"
            )
