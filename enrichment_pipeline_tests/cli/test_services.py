"""Processes of ours: how they end, whatever they or we do."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from enrichment_pipeline.cli.services import (
    ServiceError,
    Services,
    Stopping,
    port_is_free,
    url_host,
)
from enrichment_pipeline_tests.conftest import free_port

_SECONDS = 30

# Ignores what it is asked, has a child that does too, and writes the child's id to a named pipe.
_STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1], "w") as pipe:
    pipe.write(str(child.pid))
child.wait()
"""

_KILLED = """
import sys
from pathlib import Path
from enrichment_pipeline.cli.services import Services
with Services(Path(sys.argv[1]), {}) as services:
    services.start("sleeper", ["sh", "-c", "echo $$ > $1; exec sleep 600", "sh", sys.argv[2]])
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    """What is done on a signal belongs to the process that runs the tests."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_process_that_does_not_stop_in_time_is_killed_with_its_children(tmp_path: Path) -> None:
    named_pipe = tmp_path / "pipe"
    os.mkfifo(named_pipe)
    killed: list[str] = []
    with Services(tmp_path / "logs", {}) as services:
        services.start(
            "stubborn",
            [sys.executable, "-c", _STUBBORN, str(named_pipe)],
            stopping=Stopping(patience_seconds=0.2, after_kill=lambda: killed.append("stubborn")),
        )
        stubborn = services.processes["stubborn"]
        child = psutil.Process(int(named_pipe.read_text()))
    assert stubborn.returncode == -signal.SIGKILL
    assert killed == ["stubborn"]
    assert psutil.wait_procs([child], timeout=_SECONDS)[1] == []


@pytest.mark.slow
def test_a_file_where_we_were_started_is_no_module_of_what_we_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with Services(tmp_path / "logs", {}) as services:
        services.start("importer", [sys.executable, "-m", "dagster", "--version"])
        assert services.processes["importer"].wait(_SECONDS) == 0


@pytest.mark.slow
def test_what_we_started_ends_when_we_are_killed(tmp_path: Path) -> None:
    named_pipe = tmp_path / "pipe"
    os.mkfifo(named_pipe)
    command = [sys.executable, "-c", _KILLED, str(tmp_path), str(named_pipe)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as us:
        sleeper = psutil.Process(int(named_pipe.read_text()))
        us.kill()
        assert psutil.wait_procs([sleeper], timeout=_SECONDS)[1] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_us_to_stop_and_interrupts_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Services(tmp_path / "logs", {}) as services:
        threading.Timer(0, os.kill, (os.getpid(), number)).start()
        assert services.stopping.wait(_SECONDS)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_port_is_free_until_somebody_listens_on_it(host: str) -> None:
    port = free_port()
    assert port_is_free(host, port)
    family = socket.getaddrinfo(host, port)[0][0]
    with socket.create_server((host, port), family=family):
        assert not port_is_free(host, port)


def test_an_address_of_ipv6_stands_in_brackets_in_a_url() -> None:
    assert (url_host("::1"), url_host("127.0.0.1")) == ("[::1]", "127.0.0.1")


def test_an_error_in_the_block_stops_all(tmp_path: Path) -> None:
    sleepers = []

    def fail() -> None:
        with Services(tmp_path / "logs", {}) as services:
            services.start("sleeper", ["sleep", "600"])
            sleepers.extend(services.processes.values())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    [sleeper] = sleepers
    assert sleeper.returncode == -signal.SIGINT


def test_a_log_goes_on_where_the_last_start_ended(tmp_path: Path) -> None:
    services = Services(tmp_path / "logs", {"WORD": "said"})
    for _ in range(2):
        with services:
            services.start("speaker", ["sh", "-c", "echo $WORD; echo complained >&2"])
            services.processes["speaker"].wait()
    assert services.log_of("speaker").read_text() == "said\ncomplained\n" * 2


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def revived(services: Services, clock: Clock, seconds: float) -> list[str]:
    """What is said once the process has ended and so much time has passed since."""
    for process in services.processes.values():
        process.wait(_SECONDS)
    lines = list(services.revive())
    clock.now += seconds
    return lines + list(services.revive())


def test_a_service_that_ends_is_started_again_after_a_wait_that_grows(tmp_path: Path) -> None:
    clock, cleaned = Clock(), threading.Semaphore(0)
    with Services(tmp_path / "logs", {}, clock=clock) as services:
        services.start("short", ["sh", "-c", "exit 3"], before_again=cleaned.release)
        first = services.processes["short"].pid
        lines = revived(services, clock, 0.5)
        assert lines == [
            f"short ended with 3; it is started again in 1 s: see {services.log_of('short')}"
        ]
        assert revived(services, clock, 0.6)[-1] == "short is started again"
        assert cleaned.acquire(blocking=False)
        assert services.processes["short"].pid != first
        assert "in 2 s" in revived(services, clock, 2)[0]


def test_what_can_wait_leaves_the_processors_to_the_others_also_when_it_is_started_again(
    tmp_path: Path,
) -> None:
    clock = Clock()
    sleep = ["sleep", "600"]
    with Services(tmp_path / "logs", {}, clock=clock) as services:
        services.start("urgent", sleep)
        services.start("patient", sleep, can_wait=True)

        def niceness(name: str) -> int:
            return psutil.Process(services.processes[name].pid).nice()

        assert (niceness("urgent"), niceness("patient")) == (os.nice(0), os.nice(0) + 10)
        services.processes["patient"].kill()
        services.processes["patient"].wait(_SECONDS)
        list(services.revive())
        clock.now += 1
        assert list(services.revive()) == ["patient is started again"]
        assert niceness("patient") == os.nice(0) + 10
        # Linux shares out the processors among sessions first, whatever the priorities within.
        sessions = {os.getsid(process.pid) for process in services.processes.values()}
        assert sessions == {os.getsid(0)}


def test_a_service_that_ends_again_and_again_ends_everything(tmp_path: Path) -> None:
    clock = Clock()
    with Services(tmp_path / "logs", {}, clock=clock) as services:
        services.start("short", ["false"])
        for _ in range(5):
            revived(services, clock, 31)
        with pytest.raises(ServiceError, match="for the 6th time in a row"):
            revived(services, clock, 31)


def test_a_service_that_was_well_for_a_minute_ends_for_the_first_time(tmp_path: Path) -> None:
    clock = Clock()
    with Services(tmp_path / "logs", {}, clock=clock) as services:
        services.start("short", ["false"])
        for _ in range(10):
            services.processes["short"].wait(_SECONDS)
            clock.now += 61
            assert "in 1 s" in next(iter(services.revive()))
            clock.now += 1
            assert list(services.revive()) == ["short is started again"]


def test_signals_that_come_while_others_are_heeded_hold_nothing_up(tmp_path: Path) -> None:
    with Services(tmp_path / "logs", {}) as services:
        heed = signal.getsignal(signal.SIGTERM)
        assert callable(heed)

        real = os.write
        nested: list[int] = []

        def write(fd: int, data: bytes) -> int:
            if not nested:
                nested.append(fd)
                heed(signal.SIGTERM, None)
            return real(fd, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "write", write)
            heed(signal.SIGINT, None)
        assert nested
        assert services.stopping.wait(_SECONDS)


_FINISHING = "trap 'read line < $1; exit 7' INT; echo ready > $1; while :; do sleep 0.1; done"
_DEAF = "trap '' INT; echo ready > $1; sleep 600"


@pytest.mark.parametrize("idle_first", [True, False])
def test_what_is_idle_is_killed_once_it_was_asked_to_stop_and_all_else_is_waited_for(
    tmp_path: Path, *, idle_first: bool
) -> None:
    named_pipe = tmp_path / "pipe"
    os.mkfifo(named_pipe)
    asked: list[int] = []

    def is_idle(process: int) -> bool:
        if not asked:
            threading.Thread(target=named_pipe.write_text, args=["go\n"]).start()
        asked.append(process)
        return True

    killed: list[str] = []
    stopping = Stopping(is_idle=is_idle, after_kill=lambda: killed.append("idle"))
    scripts = {"busy": _FINISHING, "idle": _DEAF}
    with Services(tmp_path / "logs", {}) as services:
        for name in sorted(scripts, reverse=idle_first):
            command = ["bash", "-c", scripts[name], "bash", str(named_pipe)]
            services.start(name, command, stopping=stopping if name == "idle" else Stopping())
            assert named_pipe.read_text() == "ready\n"
        busy, idle = services.processes["busy"], services.processes["idle"]
    assert (idle.returncode, busy.returncode) == (-signal.SIGKILL, 7)
    assert set(asked) == {idle.pid}
    assert killed == [], "nothing was lost"


def test_a_service_is_asked_to_stop_once_those_have_ended_that_it_outlives(tmp_path: Path) -> None:
    named_pipe = tmp_path / "pipe"
    os.mkfifo(named_pipe)
    order: list[str] = []

    def is_idle(process: int) -> bool:
        order.append("server" if process == server.pid else "user")
        if order == ["user"]:
            threading.Thread(target=named_pipe.write_text, args=["go\n"]).start()
        return process == server.pid

    with Services(tmp_path / "logs", {}) as services:
        for name, script, outlives in (("server", _DEAF, ["user"]), ("user", _FINISHING, [])):
            command = ["bash", "-c", script, "bash", str(named_pipe)]
            services.start(name, command, stopping=Stopping(outlives, is_idle))
            assert named_pipe.read_text() == "ready\n"
        server, user = services.processes["server"], services.processes["user"]
    assert user.returncode == 7
    assert order == [*["user"] * (len(order) - 1), "server"]
