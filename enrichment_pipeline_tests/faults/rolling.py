"""`make rolling OLD=commit`: an old version and this one at work together, while this one migrates
the store. Both take events in and enrich; then the old worker leaves.

The old version is that of a commit of this repository, run with the packages of this environment.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from sqlalchemy import text

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, connect_store
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.faults.stage import Load, accounts
from enrichment_pipeline_tests.processes import await_port
from enrichment_pipeline_tests.versions import UnknownCommitError, unpack

_HERE = Path(__file__).parents[2]
_TOGETHER_SECONDS = 10.0
_ALONE_SECONDS = 4.0
_STOP_SECONDS = 30.0
_REST_SECONDS = 60.0
_COMMAND = (
    "import sys; from enrichment_pipeline.cli.main import run; "
    "sys.argv = ['enrichment-pipeline', '{}']; run()"
)
_API = _COMMAND.format("api")
_WORKER = "from enrichment_pipeline_tests.faults.worker import main; main()"

console = Console(width=160)


class _HasStore(NamedTuple):
    store: Store


def main(old: Annotated[str, typer.Argument(help="Commit of the old version.")]) -> None:
    """Upgrade under load. Ends with 1 where an event was lost or doubled.

    Example: python -m enrichment_pipeline_tests.faults.rolling HEAD~20
    """
    with tempfile.TemporaryDirectory(prefix="rolling-", ignore_cleanup_errors=True) as folder:
        home, tree = Path(folder) / "home", Path(folder) / "old"
        home.mkdir()
        try:
            unpack(_HERE, old, tree)
        except UnknownCommitError as error:
            sys.exit(str(error))
        with EmbeddedPostgres(home) as server:
            address = server.address
            url = f"postgresql://{address.user}@/enrichment?host={address.host}&port={address.port}"
            _upgrade({"DATABASE_URL": url, "ENRICHMENT_HOME": str(home)}, tree)


def _upgrade(environment: Mapping[str, str], old: Path) -> None:
    port, new_port = free_port(), free_port()
    with (
        _running(old, _API, environment, port) as api,
        _running(old, _WORKER, environment) as worker,
    ):
        await_port(port)
        store = connect_store(Settings(database_url=environment["DATABASE_URL"]))
        version = _ask(store, "SELECT version_num FROM alembic_version")
        with Load(port) as load:
            time.sleep(_ALONE_SECONDS)
            _migrate(environment)
            with (
                _running(_HERE, _API, environment, new_port),
                _running(_HERE, _WORKER, environment),
            ):
                await_port(new_port)
                with Load(new_port) as new_load:
                    time.sleep(_TOGETHER_SECONDS)
                    worker.terminate()
                    worker.wait(_STOP_SECONDS)
                    time.sleep(_ALONE_SECONDS)
                load.pause()
                assert api.poll() is None, "the old API has ended"
                _await_rest(store, load.acknowledged | new_load.acknowledged)
        found = accounts(_HasStore(store), load.acknowledged | new_load.acknowledged)
        now = _ask(store, "SELECT version_num FROM alembic_version")
        console.print(f"schema {version} → {now}: {found}", highlight=False)
        store.close()
    if found.lost or found.doubled or not found.balances:
        raise typer.Exit(1)


def _migrate(environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-c", _COMMAND.format("migrate")]
    subprocess.run(command, env={**os.environ, **environment}, cwd=_HERE, check=True)


def _await_rest(store: Store, acknowledged: set[str]) -> None:
    deadline = time.monotonic() + _REST_SECONDS
    while accounts(_HasStore(store), acknowledged).lost and time.monotonic() < deadline:
        time.sleep(0.2)


def _ask(store: Store, statement: str) -> object:
    with store.transaction() as connection:
        return connection.execute(text(statement)).scalar_one()


@contextmanager
def _running(
    tree: Path, code: str, environment: Mapping[str, str], port: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the version that lies there; ended at the end of the block."""
    variables = {**os.environ, **environment, "PYTHONPATH": str(tree)}
    if port:
        variables["ENRICHMENT_API_PORT"] = str(port)
    with (Path(environment["ENRICHMENT_HOME"]) / "rolling.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=variables, cwd=tree, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


if __name__ == "__main__":
    typer.run(main)
