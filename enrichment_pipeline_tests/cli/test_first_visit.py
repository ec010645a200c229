"""What somebody reads who has never seen the pipeline: hints, refusals, and how soon they come."""

import json
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.cli.console import print_table, waiting
from enrichment_pipeline.cli.services import why_not_listen
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import free_port, make_event, raw_events
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit

PROGRAM = Path(sys.executable).with_name("enrichment-pipeline")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

HEAVY = {
    *("alembic", "apprise", "celery", "dagster", "fsspec", "httpx", "kombu", "matplotlib", "mcp"),
    *("numpy", "pandas", "psutil", "pyarrow", "pydantic_settings", "sqlglot", "starlette"),
    "uvicorn",
}

READING = (
    ("status",),
    ("sql", "SELECT 1"),
    ("show", "7"),
    ("sessions", "list"),
    ("sessions", "build"),
    ("timeline", "one"),
    ("dead-letters", "list"),
    ("dead-letters", "show", "7"),
    ("dead-letters", "export"),
    ("dead-letters", "replay", "--all", "--yes"),
    ("dead-letters", "discard", "--all", "--yes", "--because", "x"),
    ("alerts", "list"),
    ("rules", "diff"),
    ("rules", "unmatched"),
    ("backfill", "--failed"),
    ("forget", "somebody", "--yes"),
    ("export", "events", "out"),
)


def test_what_is_waited_for_is_a_line_where_nothing_can_move(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with waiting("Starting Dagster …"):
        assert capsys.readouterr().out == "Starting Dagster …\n"


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_command_that_takes_nothing_in_makes_no_store(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    result = call(*arguments)
    assert result.returncode == 1
    assert not list(tmp_path.iterdir())
    assert f"there is no store in {tmp_path / '.enrichment'}" in result.stderr
    assert result.stderr.splitlines()[0].endswith("enrichment-pipeline up")
    assert len(result.stderr.splitlines()) == 1


def test_a_command_that_takes_nothing_in_makes_no_database(store: Store) -> None:
    url = store.engine.url.set(database="nobody_made_it", drivername="postgresql")
    result = call("status", DATABASE_URL=url.render_as_string())
    assert result.returncode == 1
    assert (
        "there is no store in the database nobody_made_it, which is empty or does not exist"
        in result.stderr
    )
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url.render_as_string())


def test_an_empty_database_is_left_empty(store: Store) -> None:
    assert store.engine.url.database is not None
    url = make_url(str(store.engine.url)).set(database="template1", drivername="postgresql")
    result = call("status", DATABASE_URL=url.render_as_string())
    assert result.returncode == 1
    assert "there is no store in the database template1" in result.stderr
    with psycopg.connect(url.render_as_string()) as connection:
        assert connection.execute("SELECT to_regclass('raw_event')").fetchone() == (None,)


@pytest.mark.slow
def test_a_hint_names_a_command_that_works_as_it_was_called(tmp_path: Path) -> None:
    (tmp_path / "venv").symlink_to(PROGRAM.parents[1])
    typed = f"venv/bin/{PROGRAM.name}"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    result = subprocess.run(
        [typed, "status"], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    hint = result.stderr.rpartition(": ")[2].split()
    assert hint == [typed, "up"]
    assert Path(hint[0]).is_file()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ENRICHMENT_UI_PROT", "did you mean ENRICHMENT_UI_PORT?"),
        ("ENRICHMENT_RETENTION_DAY", "did you mean ENRICHMENT_RETENTION_DAYS?"),
        ("ENRICMENT_API_PORT", "did you mean ENRICHMENT_API_PORT?"),
        ("enrichment_windowminutes", "did you mean ENRICHMENT_WINDOW_MINUTES?"),
        ("DATABSE_URL", "did you mean DATABASE_URL?"),
        ("ENRICHMENT_COLOUR_OF_THE_SKY", "config` shows them all"),
        ("ENRICHMENT_PARTITION_START", "a window is a partition as soon as it has events"),
    ],
)
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_variable_that_is_no_setting_is_named_with_the_nearest_that_is(
    where: str, name: str, near: str, tmp_path: Path
) -> None:
    if where == ".env":
        (tmp_path / ".env").write_text(f"{name}=7\n")
        result = call("config")
    else:
        result = call("config", **{name: "7"})
    assert result.returncode == 0
    [line] = result.stderr.splitlines()
    assert line.startswith(f"warning: {name} is no setting, and is ignored; ")
    assert near in line


def test_settings_and_variables_of_others_are_no_mistakes(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("enrichment_ui_port=3005\nPOSTGRES_URL=x\n")
    result = call("config", "--json", ENRICHMENT_API_PORT="8005", ENRICHMENT_BROKER_URL="")
    assert result.stderr == ""
    values = {row["variable"]: row["value"] for row in json.loads(result.stdout)}
    assert (values["ENRICHMENT_UI_PORT"], values["ENRICHMENT_API_PORT"]) == ("3005", "8005")


def test_the_version_is_said() -> None:
    assert call("--version").stdout == "enrichment-pipeline 0.1.0\n"


def imported_by(*arguments: str) -> set[str]:
    """The modules that a process of its own has imported by the end of a command."""
    code = """
import sys
from enrichment_pipeline.cli.main import run
try:
    run()
finally:
    print(*sys.modules, file=sys.stderr)
"""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(result.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("status", "--help"), ("sql", "SELECT 1"), ("show", "--help"), ("config",)],
    ids=" ".join,
)
@pytest.mark.usefixtures("database")
@pytest.mark.slow
def test_what_is_asked_often_waits_for_no_module_that_it_does_not_use(
    arguments: tuple[str, ...],
) -> None:
    assert not imported_by(*arguments) & HEAVY


def test_the_help_waits_for_no_module_that_it_does_not_use() -> None:
    modules = imported_by("--help")
    assert not modules & {*HEAVY, "psycopg", "pydantic", "sqlalchemy"}
    assert not {name for name in modules if name.startswith("enrichment_pipeline.store")}


def test_sessions_that_a_filter_does_not_find_are_not_said_to_come(
    store: Store, rules: Rules
) -> None:
    assert "No sessions yet." in call("sessions", "list", "--contains", "zzz").stdout
    take_in(store, rules, visit("one", NOON, "/", "/a"))
    assert "No sessions yet." in call("sessions", "list").stdout
    call("sessions", "build")
    result = call("sessions", "list", "--contains", "zzz")
    assert result.stdout == "No session is like that.\n"


def test_what_is_no_text_is_shown_as_json(store: Store, rules: Rules) -> None:
    order = make_event("order_placed", NOON, properties={"sku": "é'1", "gift": True, "n": None})
    take_in(store, rules, [order])
    [found] = json.loads(call("sql", "SELECT uuid FROM raw_event", "--json").stdout)
    shown = call("show", found["uuid"]).stdout
    assert '"sku": "é\'1"' in shown
    assert "'sku'" not in shown
    assert "None" not in shown
    asked = call("sql", "SELECT properties, ARRAY['a'], true, '\\x0f'::bytea FROM enriched_event")
    assert '["a"]' in asked.stdout
    assert "true" in asked.stdout
    assert r"\x0f" in asked.stdout


def test_a_cell_with_times_in_it_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("said",), [({"at": NOON},)])
    assert '{"at": "2026-03-02T12:00:00+00:00"}' in capsys.readouterr().out


def test_one_port_for_two_services_is_one_line_that_names_the_variable(tmp_path: Path) -> None:
    port = str(free_port())
    result = call("up", ENRICHMENT_UI_PORT=port, ENRICHMENT_API_PORT=port)
    assert result.returncode == 1
    assert f"port {port} is set for two services at once" in result.stderr
    assert "ENRICHMENT_UI_PORT=" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / ".enrichment" / "postgres").exists()


def test_the_port_that_is_advised_is_free_and_not_that_of_another_service() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        why = why_not_listen("127.0.0.1", port, "ENRICHMENT_UI_PORT", [port + 1])
        assert why is not None
        advised = int(why.rpartition("=")[2])
        assert f"port {port} is in use" in why
        assert advised > port + 1
        assert why_not_listen("127.0.0.1", advised, "X") is None


@pytest.mark.parametrize("host", ["192.0.2.7", "nowhere.invalid"])
def test_a_host_that_is_not_ours_is_named_by_its_variable(host: str) -> None:
    result = call("up", ENRICHMENT_HOST=host, ENRICHMENT_PROJECT_TOKENS="phc_a=shop")
    assert result.returncode == 1
    assert f"ENRICHMENT_HOST='{host}' is no address of this machine" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_single_things_are_counted_in_the_singular(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(1, NOON), [], "test")
    enrich_due(store, rules)
    assert "all 1 window " in call("status").stdout
    call("sessions", "build")
    assert "  1 event  " in call("sessions", "list").stdout
    broken = RejectedEvent("default", RejectionReason.INVALID_JSON, "not JSON", b"{", NOON)
    load_events(store, [], [broken], "test")
    result = call("backfill", "--from", "2026-03-02", "--dry-run").stdout
    assert "1 window with 2 events would be processed again." in result


def test_a_letter_of_the_year_1_is_not_said_to_need_an_older_import(
    store: Store, rules: Rules
) -> None:
    event = make_event(at=datetime(1, 1, 1, tzinfo=UTC))
    broken = RejectedEvent(
        "default", RejectionReason.BEFORE_FIRST_PARTITION, "too early", event, NOON
    )
    load_events(store, [], [broken], "test")
    assert call("dead-letters", "replay", "1", "--json").returncode == 1
    [letter] = json.loads(call("dead-letters", "list", "--json").stdout)["letters"]
    assert "the oldest that can be kept" in letter["message"]
    assert "import" not in letter["message"]
