"""The processes of one machine: started together, watched, started again, and stopped together.

`up` decides which processes there are; this module starts each so that it never outlives us,
restarts one that ends unexpectedly, and stops all.
"""

import errno
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0

_POLL_SECONDS = 0.1

_NICENESS = 10
"""Of a process that can wait, beside ours."""

MOST_ENDS = 5
"""Ends of a service in a row; once more, and everything is stopped."""

WELL_SECONDS = 60.0
"""After so long a run, the count of ends in a row begins anew."""


class Asked:
    """Whether we were asked to stop: an event that a signal handler may set.

    `threading.Event` holds a lock while it is set: when two signals came at once, the second
    handler waited for ever for the lock of the first.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def set(self) -> None:
        """Set the event."""
        with suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> bool:
        """Wait for the event for at most `seconds`; returns whether it is set."""
        return bool(select.select([self._read], [], [], seconds)[0])

    def is_set(self) -> bool:
        """Whether the event is set."""
        return self.wait(0)

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)


class ServiceError(Exception):
    """A service cannot run; the message is one line that names it and its log file."""


@dataclass(frozen=True)
class Stopping:
    """How a service is stopped."""

    outlives: Sequence[str] = ()
    """The services that have to end before this one is asked to."""
    is_idle: Callable[[int], bool] = lambda _: False
    """Whether the process with this id, once asked to stop, may be killed without any loss."""
    patience_seconds: float = 60
    """Seconds that a process may take to stop before it is killed; the API gives requests 30 and
    queued events 10."""
    after_kill: Callable[[], None] = lambda: None
    """Called after a process that was not idle was killed."""


_STOPPING = Stopping()


@dataclass
class _Service:
    """A process, and what is needed to start it again."""

    name: str
    command: Sequence[str]
    can_wait: bool
    before_again: Callable[[], None]
    after_again: Callable[[], bool]
    stopping: Stopping
    process: subprocess.Popen[bytes]
    started_at: float
    ends: int = 0
    """Ends in a row."""
    is_ready: bool = True
    """Whether `after_again` is done."""
    again_at: float | None = None
    """When the process will be started again, if it has ended."""
    asked_at: float | None = None
    """When the process was asked to stop, if it was."""

    @property
    def ended(self) -> str | None:
        """How the process ended, if it did."""
        code = self.process.poll()
        if code is None:
            return None
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        return f"{self.name} {how}"


@dataclass
class Services:
    """The processes of one `up`. Leaving the block always stops them."""

    log_folder: Path
    environment: Mapping[str, str]
    stopping: Asked = field(default_factory=Asked)
    """Set once we are asked to stop, by Ctrl-C or SIGTERM."""
    clock: Callable[[], float] = time.monotonic
    _services: dict[str, _Service] = field(default_factory=dict)

    @property
    def processes(self) -> dict[str, subprocess.Popen[bytes]]:
        """The processes, by the names of their services."""
        return {service.name: service.process for service in self._services.values()}

    def __enter__(self) -> "Services":
        self.log_folder.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def start(
        self,
        name: str,
        command: Sequence[str],
        before_again: Callable[[], None] = lambda: None,
        after_again: Callable[[], bool] = lambda: True,
        stopping: Stopping = _STOPPING,
        *,
        can_wait: bool = False,
    ) -> None:
        """Start a process; its output goes to its log file. One that `can_wait` leaves the
        processors to the others.

        `before_again` is called each time before a restart; `after_again` is called after it,
        repeatedly until it returns true.
        """
        process = self._started(name, command, can_wait=can_wait)
        self._services[name] = _Service(
            name, command, can_wait, before_again, after_again, stopping, process, self.clock()
        )

    def _started(
        self, name: str, command: Sequence[str], *, can_wait: bool
    ) -> subprocess.Popen[bytes]:
        with self.log_of(name).open("ab") as log:
            process = subprocess.Popen(
                [*_ending_with_us(), *command],
                # A file in the working folder, such as click.py, must not shadow a module.
                env={**os.environ, "PYTHONSAFEPATH": "1", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches only us; we stop the services in order. No session for each: Linux
                # gives all sessions alike of the processors, whatever the priorities within.
                process_group=0,
            )
        if can_wait:
            os.setpriority(os.PRIO_PROCESS, process.pid, os.nice(0) + _NICENESS)
        return process

    def log_of(self, name: str) -> Path:
        """The log file of a service."""
        return self.log_folder / f"{name}.log"

    def check(self) -> None:
        """Raise ServiceError where a process has ended unexpectedly."""
        for service in self._services.values():
            if ended := service.ended:
                raise ServiceError(f"{ended}: see {self.log_of(service.name)}")

    def revive(self) -> Iterator[str]:
        """Restart the services that have ended, each after a growing wait; to be called repeatedly.
        Yields a line for each service that has ended, and for each that is restarted.

        Raises:
            ServiceError: a service ends again and again.
        """
        for service in self._services.values():
            if service.again_at is None:
                if ended := service.ended:
                    yield f"{ended}; {self._plan(service, ended)}"
                elif not service.is_ready:
                    service.is_ready = service.after_again()
            elif self.clock() >= service.again_at:
                service.before_again()
                service.process = self._started(
                    service.name, service.command, can_wait=service.can_wait
                )
                service.started_at, service.again_at = self.clock(), None
                service.is_ready = False
                yield f"{service.name} is started again"

    def _plan(self, service: _Service, ended: str) -> str:
        log = self.log_of(service.name)
        now = self.clock()
        is_first = now - service.started_at >= WELL_SECONDS
        service.ends = 1 if is_first else service.ends + 1
        # Children that the service left behind are useless, and hold its ports and sockets.
        _kill_group(service.process)
        if service.ends > MOST_ENDS:
            raise ServiceError(f"{ended}, for the {service.ends}th time in a row: see {log}")
        wait = min(FIRST_WAIT_SECONDS * 2 ** (service.ends - 1), LONGEST_WAIT_SECONDS)
        service.again_at = now + wait
        return f"it is started again in {wait:g} s: see {log}"

    def stop(self) -> None:
        """Stop all processes; an idle process, or one that does not stop in time, is killed with
        its children."""
        while left := [one for one in self._services.values() if one.process.poll() is None]:
            names = {service.name for service in left}
            for service in left:
                if names.isdisjoint(service.stopping.outlives):
                    self._end(service)
            with suppress(subprocess.TimeoutExpired):
                left[-1].process.wait(_POLL_SECONDS)
        self._services.clear()

    def _end(self, service: _Service) -> None:
        """Ask a process to stop, or kill it if nothing would be lost or it has had its time."""
        process, stopping = service.process, service.stopping
        if service.asked_at is None:
            service.asked_at = self.clock()
            process.send_signal(signal.SIGINT)
        if stopping.is_idle(process.pid):
            _kill_group(process)
        elif self.clock() - service.asked_at > stopping.patience_seconds:
            _kill_group(process)
            process.wait()
            stopping.after_kill()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _ending_with_us() -> list[str]:
    """A command prefix that makes Linux end a process when we are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def why_not_listen(host: str, port: int, variable: str, others: Sequence[int] = ()) -> str | None:
    """Why we cannot listen on this address, and what to do, in one line; None where we can.

    `variable` sets the port; our other services listen on the ports `others`.
    """
    error = _refusal(host, port)
    if isinstance(error, socket.gaierror) or (error and error.errno == errno.EADDRNOTAVAIL):
        return f"ENRICHMENT_HOST={host!r} is no address of this machine: {error.strerror}"
    if error is None and port not in others:
        return None
    free = (one for one in range(port + 1, 65_536) if one not in others and port_is_free(host, one))
    choose = f"choose another: {variable}={next(free, port)}"
    if port in others:
        return f"port {port} is set for two services at once; {choose}"
    if error and error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; end what listens there, or {choose}"
    return f"port {port} cannot be listened on: {error.strerror if error else ''}; {choose}"


def port_is_free(host: str, port: int) -> bool:
    """Whether this port is free to listen on."""
    return _refusal(host, port) is None


def _refusal(host: str, port: int) -> OSError | None:
    """The error of listening on this address; None where that works."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return error
    refusals = [_bind(family, kind, address) for family, kind, _, _, address in addresses]
    # localhost may resolve to an IPv6 address although this machine has no IPv6.
    absent = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
    serious = [refusal for refusal in refusals if refusal and refusal.errno not in absent]
    return next(iter(serious), None if None in refusals else refusals[0])


def _bind(family: int, kind: int, address: tuple[Any, ...]) -> OSError | None:
    try:
        with closing(socket.socket(family, kind)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def url_host(host: str) -> str:
    """A host as URLs write it: an IPv6 address stands in brackets."""
    return f"[{host}]" if ":" in host else host
