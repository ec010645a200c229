"""`enrichment-pipeline up`: the whole pipeline on this machine, until Ctrl-C."""

import errno
import fcntl
import hashlib
import http.client
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from enrichment_pipeline.alerts.channels import channels
from enrichment_pipeline.classification import RulesFileError, load_rules
from enrichment_pipeline.cli.api import api_url, check_api_port, pages_line
from enrichment_pipeline.cli.code_servers import CodeServer, code_server
from enrichment_pipeline.cli.console import fail, out, print_error, print_warning, say, waiting
from enrichment_pipeline.cli.services import (
    ServiceError,
    Services,
    Stopping,
    url_host,
    why_not_listen,
)
from enrichment_pipeline.cli.worker import QueueName, broker_of
from enrichment_pipeline.enrichment.rules_in_use import stamp_of
from enrichment_pipeline.ingest.api.tokens import ProjectTokens
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.store.database.errors import driver_error, first_line, is_store_failure
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, count_letters_by
from enrichment_pipeline.wording import command, counted

_READY_SECONDS = 180
_TURN_SECONDS = 0.5
_READ_SECONDS = 5
_DAEMON = "enrichment_pipeline.orchestration.daemon"
_TICK_SECONDS = 1
_RUN_SECONDS = 2
"""What a run under way is given to end, when everything is stopped."""


def up() -> None:
    """Start everything: PostgreSQL (where DATABASE_URL names none), the API that takes events,
    Dagster's webserver and daemon, and with BROKER_URL two workers.

    Keeps running until Ctrl-C, which stops everything it started.

    Example: [bold]ENRICHMENT_UI_PORT=3001 enrichment-pipeline up[/]
    """
    settings = load_settings()
    with running(settings) as (services, store):
        token = ProjectTokens(settings).first
        say(f"API:     {api_url(settings)}   (api_host of PostHog's SDKs; token: {token})")
        say(pages_line(settings))
        say(f"Dagster: {ui_url(settings)}")
        say("Next:    send events there, or import some, in another terminal:")
        say(f"         {command('import FILE')}")
        say(f"         {command('status')}")
        say("Ctrl-C stops everything.")
        watch(services, store)


def ui_url(settings: Settings) -> str:
    """The URL of Dagster's UI."""
    return f"http://{url_host(settings.host)}:{settings.ui_port}"


@contextmanager
def running(settings: Settings) -> Iterator[tuple[Services, Store]]:
    """The store and all services, ready; stopped at the end of the block."""
    home = settings.home.resolve()
    load_rules(settings.rules_file)
    ProjectTokens(settings)
    channels(settings)
    broker_of(settings)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _only_one(home):
            _check_ports(settings)
            with (
                opened_store(settings) as store,
                Services(home / "logs", _environment(settings, home)) as services,
            ):
                _start(services, settings, home, alone=store.embedded is not None)
                yield services, store
    except ServiceError as error:
        fail(str(error))
    except OSError as error:
        fail(_why(error, home))


def _why(error: OSError, home: Path) -> str:
    """What cannot be read or written, and, for a path in the home, what to do."""
    line = f"{error.filename or home}: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"{line}; set ENRICHMENT_HOME to a folder with room"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"{line}; set ENRICHMENT_HOME to a folder that can be written"
    return line


def _check_ports(settings: Settings) -> None:
    check_api_port(settings)
    taken = [settings.api_port]
    if why := why_not_listen(settings.host, settings.ui_port, "ENRICHMENT_UI_PORT", taken):
        fail(why)


def watch(
    services: Services,
    store: Store,
    on_turn: Callable[[], None] = lambda: None,
) -> None:
    """Return when we are asked to stop. Meanwhile, restart services that have ended, report new
    dead letters and an unreachable PostgreSQL, and call `on_turn` every second or so.

    Raises:
        ServiceError: a service ends again and again.
    """
    seen, rules = _Seen(store), _RulesFile(store.settings)
    seen.read()
    read_at = time.monotonic()
    while not services.stopping.wait(_TURN_SECONDS):
        for line in services.revive():
            print_error(line)
        on_turn()
        if time.monotonic() - read_at < _READ_SECONDS:
            continue
        read_at = time.monotonic()
        seen.read()
        rules.check()
    out.print("Stopping …")


@dataclass
class _Seen:
    """What was read from the store last. An outage ends nothing: our services wait as we do."""

    store: Store
    letters: Counter[str] = field(default_factory=Counter)
    """Open dead letters, by reason."""
    is_away: bool = False

    def read(self) -> None:
        """Report new dead letters; report once that PostgreSQL does not respond, and once that it
        does again."""
        try:
            with self.store.transaction() as connection:
                found = count_letters_by(connection, LetterFilter(), "reason_code")
        except Exception as error:
            # No error of PostgreSQL is a reason to end everything that we started.
            if not is_store_failure(error) and driver_error(error) is None:
                raise
            if not self.is_away:
                print_error(f"PostgreSQL does not answer: {first_line(error)}")
            self.is_away = True
            return
        if self.is_away:
            out.print("PostgreSQL answers again.")
        self.is_away = False
        self._say_new(Counter({reason: count.letters for reason, count in found.items()}))

    def _say_new(self, letters: Counter[str]) -> None:
        # Not below zero: letters that were resolved must not hide new ones.
        new = letters - self.letters
        self.letters = letters
        if new:
            print_warning(
                f"{counted(new.total(), 'dead letter')} ({', '.join(sorted(new))}), see: "
                f"{command('dead-letters list')}"
            )


class _RulesFile:
    """The rules file as it was read last. Processes that enrich read a changed file by themselves;
    Dagster has to reload it, to show windows that were enriched under other rules as stale."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp = stamp_of(settings.rules_file)

    def check(self) -> None:
        """Report that the file has changed, and whether Dagster has loaded it."""
        stamp = stamp_of(self._settings.rules_file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            version = load_rules(self._settings.rules_file).version
        except RulesFileError as error:
            print_error(f"{error}; nothing is enriched under it")
            return
        out.print(f"The rules have changed: what is enriched from now on is under {version}.")
        from enrichment_pipeline.orchestration.instance import reload_location

        try:
            reload_location(url_host(self._settings.host), self._settings.ui_port)
        except Exception as error:  # noqa: BLE001  of a client; the rules are in use all the same
            print_error(f"reload {ui_url(self._settings)}/locations by hand: {first_line(error)}")


def _environment(settings: Settings, home: Path) -> dict[str, str]:
    return {
        "ENRICHMENT_HOME": str(home),
        "ENRICHMENT_SENSOR_SECONDS": str(settings.sensor_seconds),
        # With a broker, workers enrich what is due.
        "ENRICHMENT_SENSOR_WAITS": str(not settings.broker_url),
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        # So that a backfill waits for a code server that is away, and does not take its assets for
        # gone.
        "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1",
    }


def _start(services: Services, settings: Settings, home: Path, *, alone: bool) -> None:
    # Importing Dagster takes seconds, which the other subcommands should not spend.
    from enrichment_pipeline.orchestration import instance

    dagster_home = instance.prepare_home(home)
    sockets = {location: _socket(home, location) for location in instance.LOCATIONS}
    for socket in sockets.values():
        # The socket of a killed code server would be taken for that of the new one.
        socket.unlink(missing_ok=True)
    workspace = instance.write_workspace(dagster_home, sockets)
    with waiting("Starting Dagster …"):
        instance.prepare_instance(dagster_home, alone=alone)
        for location, module in instance.LOCATIONS.items():
            server = CodeServer(dagster_home, location, sockets[location])
            services.start(
                f"code-server-{location}",
                # When the rules change.
                code_server(sockets[location], module, reloads=location == instance.LOCATION),
                before_again=server.clean_up,
                after_again=server.end_lost_runs,
                # The daemon starts runs.
                stopping=Stopping(
                    ["daemon"], instance.runs_nothing, _RUN_SECONDS, server.interrupt
                ),
                can_wait=True,
            )
        services.start("api", [_program("enrichment-pipeline"), "api"])
        if settings.broker_url:
            for queue in QueueName:
                command = [_program("enrichment-pipeline"), "worker", "--queue", queue]
                services.start(f"worker-{queue}", [*command, "--processes", "1"])
        # A daemon that starts first fails the runs that the last stop left in the queue, and a
        # webserver gives up a location that does not answer soon.
        wait_until(
            services,
            lambda: all(socket.exists() for socket in sockets.values()),
            "a code server",
        )
        services.start(
            "webserver",
            [
                *(sys.executable, "-m", "dagster_webserver", "--workspace", str(workspace)),
                *("--host", settings.host, "--port", str(settings.ui_port)),
            ],
            # This service takes seconds to end, and killing it loses nothing.
            stopping=Stopping(is_idle=lambda _: True),
            can_wait=True,
        )
        wait_until(services, lambda: _shows_the_assets(ui_url(settings)), "the webserver")
        wait_until(services, lambda: _answers(f"{api_url(settings)}/readyz"), "the API")
        # Last: nobody waits for it.
        services.start(
            "daemon",
            [sys.executable, "-m", _DAEMON, "run", "--workspace", str(workspace)],
            # A tick that waits for events ends with the daemon; all else is done in a second.
            stopping=Stopping(patience_seconds=_TICK_SECONDS),
            can_wait=True,
        )


def wait_until(services: Services, is_so: Callable[[], bool], what: str) -> None:
    """Wait until `is_so` returns true; `what` names it for people.

    Raises:
        ServiceError: a service ended, or the wait takes too long.
        KeyboardInterrupt: we were asked to stop.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while not is_so():
        services.check()
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{what} is not ready after {_READY_SECONDS} s: {services.log_folder}"
            )
        if services.stopping.wait(_TURN_SECONDS):
            raise KeyboardInterrupt


# The response comes as soon as the webserver is up, but has no repository before code is loaded.
_LOADED = b'{"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"}'


def _shows_the_assets(url: str) -> bool:
    request = urllib.request.Request(  # noqa: S310  the address is our own
        f"{url}/graphql", _LOADED, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
            answer = json.load(response)
    except (OSError, http.client.HTTPException):
        return False
    return bool(answer["data"]["repositoriesOrError"].get("nodes"))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  as above
            return True
    except (OSError, http.client.HTTPException):
        return False


def _program(name: str) -> str:
    """The path of a program in the Python environment of this process."""
    return str(Path(sys.executable).with_name(name))


def _socket(home: Path, location: str) -> Path:
    """A path for a code server's socket, short enough for one (about 100 characters)."""
    name = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"enrichment-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{location}.sock"


@contextmanager
def _only_one(home: Path) -> Iterator[IO[bytes]]:
    with (home / "up.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(f"the pipeline is running already, with its state in {home}")
        yield lock
