"""`up` and `demo` while they run: what they say first, and what they say and do about the store."""

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.cli import demo, up
from enrichment_pipeline.cli.services import Services
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreUnavailableError
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.outage import begin_outage, end_outage

_TURNS = 3


class Steps(threading.Event):
    """Asks to stop when all steps are done; some readings of the store come before each."""

    def __init__(self, *steps: Callable[[], None]) -> None:
        super().__init__()
        self._steps = list(steps)
        self._turns = 0

    def wait(self, timeout: float | None = None) -> bool:
        self._turns += 1
        if self._turns % _TURNS:
            return False
        if not self._steps:
            return True
        self._steps.pop(0)()
        return False


@pytest.mark.parametrize("command", [up.up, demo.demo], ids=["up", "demo"])
def test_what_to_do_next_is_said_and_a_dead_letter_that_comes_while_all_runs(
    store: Store,
    rules: Rules,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: Callable[[], None],
) -> None:
    said_before: list[str] = []

    def quarantine() -> None:
        said_before.append(capsys.readouterr().out)
        broken = RejectedEvent("demo", RejectionReason.INVALID_JSON, "why", b"{", datetime.now(UTC))
        load_events(store, [], [broken], "api")

    @contextmanager
    def nothing_started(_: Settings) -> Iterator[tuple[Services, Store]]:
        yield Services(tmp_path / "logs", {}, Steps(quarantine)), store

    for module in (up, demo):
        monkeypatch.setattr(module, "running", nothing_started)
        monkeypatch.setattr(module, "wait_until", lambda *_: enrich_due(store, rules))
    monkeypatch.setattr(up, "_READ_SECONDS", 0)
    command()
    [first] = said_before
    assert "phc_local" in first
    assert "http://127.0.0.1:8000" in first
    assert "http://127.0.0.1:3000" in first
    if command is demo.demo:
        assert '<script src="http://127.0.0.1:8000/static/array.js">' in first
        assert "PostHog's CDN" in first
        assert "enrichment-pipeline sql" in first
    else:
        assert "enrichment-pipeline import FILE" in first
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "1 dead letter (invalid_json), see: " in line
    assert "dead-letters list" in line


def test_an_outage_of_the_store_is_reported_once_and_ends_nothing(
    store: Store,
    server: EmbeddedPostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(up, "_READ_SECONDS", 0)
    steps = Steps(lambda: begin_outage(server, store), lambda: end_outage(server, store))
    up.watch(Services(tmp_path / "logs", {}, steps), store)
    said = capsys.readouterr()
    assert said.err.count("PostgreSQL does not answer") == 1
    assert said.out.count("PostgreSQL answers again") == 1


def test_whatever_else_postgresql_says_ends_nothing_either(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def rename(name: str, other: str) -> None:
        with store.transaction() as connection:
            connection.execute(text(f"ALTER TABLE {name} RENAME TO {other}"))

    monkeypatch.setattr(up, "_READ_SECONDS", 0)
    steps = Steps(lambda: rename("dead_letter", "away"), lambda: rename("away", "dead_letter"))
    up.watch(Services(tmp_path / "logs", {}, steps), store)
    said = capsys.readouterr()
    assert said.err.count('relation "dead_letter" does not exist') == 1
    assert said.out.count("PostgreSQL answers again") == 1


def test_an_embedded_server_that_cannot_be_started_again_is_an_outage_too(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> None:
        raise StoreUnavailableError("no room")

    monkeypatch.setattr(up, "_READ_SECONDS", 0)
    monkeypatch.setattr(Store, "transaction", lambda _: failing())
    up.watch(Services(tmp_path / "logs", {}, Steps()), store)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "a folder with room"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv/home"), "that can be written"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/lib/dagster.yaml"), ""),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_room_is_advised_only_where_there_is_none(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError,
    advice: str,
) -> None:
    def failing(_: Path) -> Path:
        raise error

    monkeypatch.setattr("enrichment_pipeline.orchestration.instance.prepare_home", failing)
    ports = {"ui_port": free_port(), "api_port": free_port()}
    with pytest.raises(typer.Exit), up.running(settings.model_copy(update=ports)):
        pass
    said = " ".join(capsys.readouterr().err.split())
    assert str(error.strerror) in said
    assert str(error.filename or settings.home.resolve()) in said
    assert ("ENRICHMENT_HOME" in said) == bool(advice)
    assert advice in said
