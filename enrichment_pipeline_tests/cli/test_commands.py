"""The commands, as a person types them."""

import io
import json
import re
import socket
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text
from typer.main import get_command
from typer.testing import CliRunner

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.cli import console, main
from enrichment_pipeline.cli.main import app
from enrichment_pipeline.cli.services import ServiceError, Services, Stopping, port_is_free
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import free_port, make_event, raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Called(NamedTuple):
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: str, **variables: str) -> Called:
    """The command, in this process: one of its own takes a second to start."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        for name, value in variables.items():
            patch.setenv(name, value)
        for one in (console.out, console.err):
            patch.setattr(one, "width", 200)
        patch.setattr(sys, "argv", ["enrichment-pipeline", *arguments])
        try:
            main.run()
        except SystemExit as end:
            code = end.code
    return Called(
        int(code or 0) if isinstance(code, int | None) else 1, stdout.getvalue(), stderr.getvalue()
    )


def every_command() -> dict[str, Any]:
    """All commands that are shown, by their names; those in a group by the names of both."""
    found = {}
    for name in get_command(app).commands:
        command = main._loaded(name)
        inner = getattr(command, "commands", {}).items()
        shown = {f"{name} {each}": one for each, one in inner if not one.hidden}
        found |= shown or {name: command}
    return found


def test_importing_enriching_and_asking(store: Store, rules: Rules, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([make_event(at=NOON), make_event(at=NOON), b"broken"]))
    imported = call("import", str(file), "--json")
    assert imported.returncode == 0, imported.stderr
    summary = json.loads(imported.stdout)
    assert (summary["accepted"], summary["quarantined"]) == (2, {"invalid_json": 1})
    assert "accepted 0 · duplicates 3" in call("import", str(file)).stdout

    enrich_due(store, rules)
    asked = call("sql", "SELECT description FROM enriched_event LIMIT 1", "--json")
    assert json.loads(asked.stdout) == [{"description": "Viewed /pricing"}]
    assert "Viewed /pricing" in call("sql", "SELECT description FROM enriched_event").stdout

    books = json.loads(call("status", "--verify", "--json").stdout)["total"]
    assert (books["accepted"], books["enriched"], books["dead"], books["pending"]) == (3, 2, 1, 0)
    assert "2026-03-01 12:00" in call("status").stdout


def test_show_prints_an_event_as_it_arrived_and_what_was_made_of_it(
    store: Store, rules: Rules
) -> None:
    [event] = raw_events(1, NOON)
    broken = RejectedEvent("default", RejectionReason.INVALID_JSON, "not JSON", b'{"a": [b]}', NOON)
    load_events(store, [event], [broken], "test")
    before = json.loads(call("show", str(event.uuid), "--json").stdout)
    enrich_due(store, rules)
    [after] = json.loads(call("show", str(event.uuid), "--json").stdout)
    assert before[0]["payload"] == after["payload"] == json.loads(event.payload)
    assert after["facts"]["description"] == "Viewed /pricing"
    assert "Viewed /pricing" in call("show", str(event.uuid)).stdout
    [letter] = call("sql", "SELECT id FROM dead_letter", "--json").stdout.split("}")[:1]
    shown = call("show", letter.split(":")[1].strip())
    assert '{"a": [b]}' in shown.stdout
    assert "invalid_json" in shown.stdout


@pytest.mark.parametrize("event", ["7", "01a2074a-16f5-75be-ae39-7a682b08770e", "x", "٣"])
@pytest.mark.usefixtures("database")
def test_show_says_in_one_line_what_is_not_there(event: str) -> None:
    result = call("show", event)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert event in result.stderr


def test_books_that_do_not_balance_end_status_with_1(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(2, NOON), [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM enriched_event"))
    result = call("status", "--verify")
    assert result.returncode == 1
    assert "2026-03-01 12:00" in result.stderr


def test_config_shows_every_setting_and_hides_the_password() -> None:
    result = call("config", DATABASE_URL="postgresql://me:secret@db.example/events")
    assert result.returncode == 0
    assert "ENRICHMENT_WINDOW_MINUTES" in result.stdout
    assert "postgresql://me:***@db.example/events" in result.stdout
    assert "secret" not in result.stdout


def test_config_shows_nothing_of_secrets_that_are_no_urls() -> None:
    names = ("READ_TOKEN", "WEBHOOK_SECRET")
    result = call(
        "config", "--json", **{f"ENRICHMENT_{name}": f"secret of {name}" for name in names}
    )
    assert result.returncode == 0, result.stderr
    assert "secret of" not in result.stdout
    values = {row["variable"]: row["value"] for row in json.loads(result.stdout)}
    assert [values[f"ENRICHMENT_{name}"] for name in names] == ["…", "…"]


@pytest.mark.parametrize(
    ("variables", "arguments", "line"),
    [
        ({"ENRICHMENT_WINDOW_MINUTES": "7"}, ["status"], "ENRICHMENT_WINDOW_MINUTES='7'"),
        ({"ENRICHMENT_UI_PORT": "web"}, ["config"], "ENRICHMENT_UI_PORT='web'"),
        ({"ENRICHMENT_UI_PORT": "70000"}, ["config"], "ENRICHMENT_UI_PORT='70000'"),
        ({"ENRICHMENT_WINDOW_MINUTES": "soon"}, ["status"], "ENRICHMENT_WINDOW_MINUTES='soon'"),
        ({"DATABASE_URL": "mysql://x"}, ["status"], "must look like postgresql://"),
        (
            {"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/none"},
            ["status"],
            "DATABASE_URL=postgresql://me:***@127.0.0.1:1/none: no connection",
        ),
        ({"ENRICHMENT_RULES_FILE": "missing.yaml"}, ["up"], "missing.yaml"),
        ({"ENRICHMENT_HOME": "/proc/none"}, ["status"], "ENRICHMENT_HOME"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    variables: dict[str, str], arguments: list[str], line: str
) -> None:
    result = call(*arguments, **variables)
    assert result.returncode == 1
    assert line in result.stderr
    assert "secret" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["import", "missing.jsonl"], "missing.jsonl"),
        (["import", "nowhere://bucket/file"], "nowhere"),
        (["import", "x.jsonl", "--project", "a b"], "--project"),
        (["sql", "DELETE FROM raw_event"], "sql takes one SELECT"),
        (["sql", "SELEKT"], "sql takes one SELECT"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], line: str) -> None:
    result = call(*arguments)
    assert result.returncode == 1
    assert line in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", get_command(app).commands)
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert re.search("Examples?:", result.stdout)


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert not port_is_free("127.0.0.1", int(port))
        home = tmp_path / "home"
        result = call(
            "demo",
            ENRICHMENT_UI_PORT=port,
            ENRICHMENT_API_PORT=str(free_port()),
            ENRICHMENT_HOME=str(home),
        )
    assert result.returncode == 1
    assert f"port {port} is in use" in result.stderr
    assert not (tmp_path / "home" / "postgres").exists()


def test_a_service_that_ends_is_reported_with_its_log_and_the_others_are_stopped(
    tmp_path: Path,
) -> None:
    ignores = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    soon = Stopping(patience_seconds=0.5)
    with Services(tmp_path / "logs", {}) as services:
        services.start(
            "stubborn", [sys.executable, "-c", f"{ignores}signal.pause()"], stopping=soon
        )
        services.start("short", [sys.executable, "-c", "print('why'); raise SystemExit(3)"])
        stubborn, short = services.processes.values()
        short.wait()
        with pytest.raises(ServiceError, match=r"short ended with 3: see .*short.log"):
            services.check()
        assert services.log_of("short").read_text() == "why\n"
    assert stubborn.poll() is not None
