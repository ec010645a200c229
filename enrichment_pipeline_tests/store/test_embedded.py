"""The embedded PostgreSQL with real servers, and real processes that use it and are killed."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.store.database import embedded_server
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres, EmbeddedPostgresError
from enrichment_pipeline.store.database.embedded_server import (
    ServerFiles,
    check_owner,
    failure_reason,
    make_socket_folder,
    user_wrapper,
)

pytestmark = pytest.mark.slow

_USER = """
import sys
from pathlib import Path
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print("ready", flush=True)
sys.stdin.read()
"""
_SECONDS = 60
# Root stands in for an ordinary user who can still read wherever the tests are checked out.
_ORDINARY = [
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
]
_AS_ORDINARY_USER = _ORDINARY if os.geteuid() == 0 else []

User = subprocess.Popen[str]
StartUser = Callable[..., User]


@pytest.fixture(scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose server has been made and stopped."""
    home = tmp_path_factory.mktemp("made")
    with EmbeddedPostgres(home):
        pass
    _await_end(home)
    return home


@pytest.fixture
def home(made_home: Path) -> Iterator[Path]:
    """A stopped server that the tests use one after the other."""
    yield made_home
    _await_end(made_home)


@pytest.fixture
def own_home(made_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A stopped server for a test that spoils it."""
    copy = tmp_path / "home"
    _copy(made_home, copy)
    yield copy
    _await_end(copy)


@pytest.fixture
def start_user(tmp_path: Path) -> Iterator[StartUser]:
    """Starts processes that use a server; those that still do at the end are killed."""
    users: list[User] = []
    homes: list[Path] = []

    def start(home: Path, *wrapper: str) -> User:
        command = [*wrapper, sys.executable, "-c", _USER, str(home)]
        pipe = subprocess.PIPE
        user = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        users.append(user)
        homes.append(home)
        return user

    yield start
    for user in users:
        user.kill()
        user.communicate()
    for home in homes:
        _await_end(home)


def _copy(home: Path, copy: Path) -> None:
    # With its owners, which shutil does not copy.
    subprocess.run(["/bin/cp", "-a", home, copy], check=True)


def _is_ready(user: User) -> bool:
    assert user.stdout is not None
    return user.stdout.readline() == "ready\n"


def _server(home: Path) -> psutil.Process:
    lock_file = ServerFiles.of(home).data / "postmaster.pid"
    return psutil.Process(int(lock_file.read_text().splitlines()[0]))


def _supervisor(home: Path) -> psutil.Process:
    return psutil.Process(_server(home).ppid())


def _await(*processes: psutil.Process) -> None:
    _await_condition(lambda: not any(_runs(process) for process in processes))


def _await_condition(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline
        # No event says so of another process's lock, or of the end of one that is not our child
        # and that the first process of a container does not reap.
        time.sleep(0.01)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _await_end(home: Path) -> None:
    """Wait until no supervisor uses the server's files any more."""
    _await_condition(lambda: not _is_locked(ServerFiles.of(home).supervisor_lock))


def _is_locked(path: Path) -> bool:
    """Whether a process holds an exclusive lock on `path`."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _kill(*processes: psutil.Process) -> None:
    # Stopped first: a server that has lost its supervisor would end cleanly before its turn comes.
    for process in processes:
        process.suspend()
    for process in processes:
        process.kill()
    _await(*processes)


def _connect(home: Path) -> psycopg.Connection:
    address = EmbeddedPostgres(home).address
    return psycopg.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        dbname="postgres",
        autocommit=True,
    )


def _ask(home: Path, query: str) -> object:
    with _connect(home) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _keep_42(home: Path) -> None:
    with _connect(home) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")


def _log(home: Path) -> str:
    return ServerFiles.of(home).log.read_text()


def _starts(home: Path) -> int:
    return _log(home).count("starting PostgreSQL")


def _refusal(home: Path) -> str:
    """The message of a start that must fail: one line, and nothing left running."""
    server = EmbeddedPostgres(home)
    with pytest.raises(EmbeddedPostgresError) as raised:
        server.start()
    message = str(raised.value)
    assert message.splitlines() == [message]
    return message


def test_a_user_who_is_not_root_makes_and_starts_it(tmp_path: Path, start_user: StartUser) -> None:
    assert _is_ready(start_user(tmp_path / "home", *_AS_ORDINARY_USER))

    server = _server(tmp_path / "home")
    assert server.uids().effective == _supervisor(tmp_path / "home").uids().effective != 0


def test_the_server_listens_on_a_private_socket_and_no_tcp_port(home: Path) -> None:
    with EmbeddedPostgres(home) as embedded:
        assert _server(home).net_connections("inet") == []
        folder = Path(embedded.address.host).stat()
        assert (folder.st_uid, folder.st_mode & 0o777) == (os.geteuid(), 0o700)


def test_letters_beyond_ascii_have_their_case(home: Path) -> None:
    with EmbeddedPostgres(home):
        assert _ask(home, "SELECT lower('ÄÖÉŁЖ')") == "äöéłж"
        assert _ask(home, "SELECT 'ÜBER' ILIKE 'über'") is True
        assert _ask(home, "SHOW server_encoding") == "UTF8"


def test_a_setting_given_at_the_start_counts(home: Path) -> None:
    with EmbeddedPostgres(home, {"work_mem": "7MB", "TimeZone": "Asia/Tokyo"}):
        assert _ask(home, "SHOW work_mem") == "7MB"
        assert _ask(home, "SHOW TimeZone") == "Asia/Tokyo"
        assert _ask(home, "SHOW fsync") == "on"


def test_the_server_starts_by_itself_and_keeps_its_data_over_a_stop(home: Path) -> None:
    with EmbeddedPostgres(home):
        _keep_42(home)
    _await_end(home)

    with EmbeddedPostgres(home):
        assert _ask(home, "SELECT n FROM kept") == 42


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_stops_cleanly_when_its_only_user_is_ended(
    home: Path, start_user: StartUser, number: signal.Signals
) -> None:
    user = start_user(home)
    assert _is_ready(user)
    server, supervisor = _server(home), _supervisor(home)

    user.send_signal(number)

    _await(psutil.Process(user.pid), server, supervisor)
    assert _log(home).rstrip().endswith("database system is shut down")


def test_sigterm_to_the_supervisor_stops_the_server_cleanly(home: Path) -> None:
    with EmbeddedPostgres(home):
        server, supervisor = _server(home), _supervisor(home)

        supervisor.terminate()

        _await(server, supervisor)
    assert _log(home).rstrip().endswith("database system is shut down")
    # Removed by the supervisor when the server is gone: it did not die before it.
    assert not ServerFiles.of(home).socket_folder.exists()


def test_the_server_ends_when_its_supervisor_is_killed(home: Path) -> None:
    with EmbeddedPostgres(home):
        server = _server(home)

        _kill(_supervisor(home))

        _await(server)


def test_after_sigkill_of_everything_the_next_start_is_clean(
    home: Path, start_user: StartUser
) -> None:
    user = start_user(home)
    assert _is_ready(user)
    _keep_42(home)

    _kill(psutil.Process(user.pid), _supervisor(home), _server(home))

    with EmbeddedPostgres(home):
        assert _ask(home, "SELECT n FROM kept") == 42


def test_a_living_user_gets_a_new_server_when_the_old_one_died(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        first = _server(home)
        _kill(first)

        server.start()

        assert _ask(home, "SELECT 1") == 1
        assert _server(home) != first


def test_a_query_that_outlives_a_killed_server_does_not_stop_the_next_start(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        busy = _connect(home)
        backend = psutil.Process(busy.info.backend_pid)
        # A backend notices the death of its server when it waits, and a loop never does. On a busy
        # machine it counts as running before it has read what to do: so it is to have run a while.
        spent = backend.cpu_times().user
        busy.pgconn.send_query(b"DO 'BEGIN LOOP END LOOP; END'")
        _await_condition(lambda: backend.cpu_times().user > spent + 0.05)
        _kill(_server(home))
        assert _runs(backend)

        server.start()

        assert _ask(home, "SELECT 1") == 1
        assert not _runs(backend)
        busy.close()


def test_a_server_left_without_a_supervisor_is_replaced(home: Path) -> None:
    with EmbeddedPostgres(home):
        command = _server(home).cmdline()
    _await_end(home)
    wrapper = user_wrapper()
    make_socket_folder(ServerFiles.of(home).socket_folder)
    with subprocess.Popen([*wrapper, *command], stderr=subprocess.PIPE, text=True) as left_over:
        assert left_over.stderr is not None
        assert any("ready to accept connections" in line for line in left_over.stderr)

        with EmbeddedPostgres(home):
            left_over.communicate(timeout=_SECONDS)
            assert _ask(home, "SELECT 1") == 1
            assert _server(home).pid != left_over.pid


def test_a_lock_file_that_names_a_living_stranger_is_no_obstacle(
    tmp_path: Path, start_user: StartUser
) -> None:
    home = tmp_path / "home"
    user = start_user(home, *_AS_ORDINARY_USER)
    assert _is_ready(user)
    files = ServerFiles.of(home)
    _kill(psutil.Process(user.pid), _supervisor(home), _server(home))
    stranger_command = [*_AS_ORDINARY_USER, sys.executable, "-c", "print('ready'); input()"]
    with subprocess.Popen(
        [*stranger_command[:-2], "-u", *stranger_command[-2:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as stranger:
        assert _is_ready(stranger)
        for lock_file in (files.data / "postmaster.pid", _socket_lock(home)):
            _, _, rest = lock_file.read_text().partition("\n")
            lock_file.write_text(f"{stranger.pid}\n{rest}")

        assert _is_ready(start_user(home, *_AS_ORDINARY_USER))

        assert stranger.poll() is None
        stranger.kill()


def _socket_lock(home: Path) -> Path:
    # As the server says: the folder may depend on its user.
    folder = (ServerFiles.of(home).data / "postmaster.pid").read_text().splitlines()[4]
    return Path(folder) / ".s.PGSQL.5432.lock"


def test_a_second_process_keeps_the_server_when_ctrl_c_ends_the_one_who_started_it(
    home: Path, start_user: StartUser
) -> None:
    starts = _starts(home)
    first = start_user(home)
    assert _is_ready(first)
    server = _server(home)
    with EmbeddedPostgres(home):
        os.killpg(first.pid, signal.SIGINT)  # as the terminal does
        first.communicate()

        assert _ask(home, "SELECT 1 FROM pg_sleep(0.5)") == 1  # longer than a supervisor waits
    _await(server)
    assert _starts(home) == starts + 1


def test_processes_that_start_at_once_get_one_server(home: Path, start_user: StartUser) -> None:
    starts = _starts(home)
    users = [start_user(home) for _ in range(3)]

    assert [_is_ready(user) for user in users] == [True] * 3

    assert _starts(home) == starts + 1


def test_a_user_who_comes_while_the_server_stops_gets_a_new_one(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.start()
    first = _server(home)
    # A client in a transaction would not delay it; a stopped process does, until it goes on.
    first.suspend()
    server.stop_using()
    supervisor = first.parent()
    assert supervisor is not None
    _await_condition(lambda: _is_locked(ServerFiles.of(home).users_lock))
    with subprocess.Popen(
        [sys.executable, "-c", _USER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as user:
        first.resume()

        assert _is_ready(user)
        assert _server(home).pid != first.pid
        user.communicate()


@pytest.mark.parametrize("name", ["a" * 150, "a, 'b' \"c\" \\d %41 é"])
def test_any_path_can_be_a_home(made_home: Path, tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    _copy(made_home, home)

    with EmbeddedPostgres(home) as server:
        supervisor = _supervisor(home)
        folder = Path(server.address.host)
        assert home not in folder.parents
        assert _ask(home, "SELECT 1") == 1

    _await(supervisor)
    assert not folder.exists()


def test_a_socket_folder_that_others_can_open_is_refused(made_home: Path, tmp_path: Path) -> None:
    home = tmp_path / ("a" * 150)
    _copy(made_home, home)
    folder = ServerFiles.of(home).socket_folder
    assert home not in folder.parents
    folder.mkdir()
    folder.chmod(0o755)

    refusal = _refusal(home)

    folder.rmdir()
    assert refusal.startswith(f"{folder} must be a folder that only the user")


def test_an_interrupted_initdb_leaves_nothing_behind(home: Path) -> None:
    half_made = ServerFiles.of(home).root / "data.new-1"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")

    with EmbeddedPostgres(home):
        assert not half_made.exists()


def test_a_large_log_is_put_aside_at_the_start(own_home: Path) -> None:
    log = ServerFiles.of(own_home).log
    with log.open("ab") as file:
        file.truncate(10_000_001)

    with EmbeddedPostgres(own_home):
        assert log.stat().st_size < 10_000
        assert log.with_suffix(".1").stat().st_size == 10_000_001


def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    refusal = _refusal(file / "home")

    assert f"Not a directory: '{file}" in refusal
    assert "ENRICHMENT_HOME" in refusal


def test_a_full_disk_is_one_clear_line(own_home: Path) -> None:
    (ServerFiles.of(own_home).data / "postmaster.opts").unlink()
    (ServerFiles.of(own_home).data / "postmaster.opts").symlink_to("/dev/full")

    refusal = _refusal(own_home)

    assert 'could not write file "postmaster.opts": No space left on device' in refusal
    assert "free some space" in refusal


def test_data_of_another_major_version_are_one_clear_line(own_home: Path) -> None:
    (ServerFiles.of(own_home).data / "PG_VERSION").write_text("17\n")

    refusal = _refusal(own_home)

    assert "was initialized by PostgreSQL version 17" in refusal
    assert f"Move {ServerFiles.of(own_home).data} away to begin afresh" in refusal


def test_a_setting_that_does_not_exist_is_one_clear_line(home: Path) -> None:
    server = EmbeddedPostgres(home, {"no_such_setting": "1"})
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        server.start()


def test_data_of_another_user_are_refused() -> None:
    # The root folder is never the server's: root has it run by nobody.
    with pytest.raises(EmbeddedPostgresError, match="run as the user who made it"):
        check_owner(Path("/"))


@pytest.mark.parametrize(
    ("limit", "buffers"), [(512, "131072kB"), (4_096, "262144kB"), (1_000_000, None)]
)
def test_the_server_takes_a_share_of_the_memory_that_its_container_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, buffers: str | None
) -> None:
    def shared() -> str:
        command = embedded_server.server_command(ServerFiles.of(tmp_path), [], [])
        [found] = [one for one in command if one.startswith("shared_buffers=")]
        return found.removeprefix("shared_buffers=")

    file = tmp_path / "memory.max"
    monkeypatch.setattr(embedded_server, "_CONTAINER_MEMORY", file)
    without_container = shared()
    file.write_text("max\n")
    assert shared() == without_container
    file.write_text(f"{limit * 1024**2}\n")
    assert shared() == (buffers or without_container)


def test_the_reason_of_a_failure_is_its_last_complaint_with_detail_and_hint() -> None:
    output = """2026-01-01 00:00:00.000 UTC [7] LOG:  starting PostgreSQL
2026-01-01 00:00:00.000 UTC [7] FATAL:  lock file "postmaster.pid" is empty
2026-01-01 00:00:00.000 UTC [7] HINT:  Either another server is starting, or it crashed.
2026-01-01 00:00:00.000 UTC [8] FATAL:  the database system is starting up
2026-01-01 00:00:00.000 UTC [7] LOG:  database system is shut down
"""

    reason = failure_reason(output)

    assert reason == (
        'lock file "postmaster.pid" is empty. Either another server is starting, or it crashed'
    )


@given(st.text() | st.lists(st.sampled_from(["FATAL:  ", "HINT: ", "a", "\n", "\r"])).map("".join))
def test_the_reason_of_a_failure_is_always_one_line_that_says_something(output: str) -> None:
    assert len(failure_reason(output).splitlines()) == 1
