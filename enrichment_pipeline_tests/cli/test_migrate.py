"""`migrate`: what it says, and with which exit status."""

import json
import uuid
from collections.abc import Iterator

import pytest
from psycopg import sql
from typer.testing import CliRunner, Result

from enrichment_pipeline.cli.main import app
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.schema import downgrade
from enrichment_pipeline_tests.databases import database_url, execute


def run_cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture
def empty_database(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    name = f"empty_{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("DATABASE_URL", database_url(server, name))
    yield
    execute(server, sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def test_a_schema_is_checked_and_brought_up_to_date(store: Store) -> None:
    assert run_cli("migrate", "--check").stdout.startswith("The schema is up to date: ")
    with store.transaction() as connection:
        downgrade(connection, "0016")
    checked = run_cli("migrate", "--check")
    assert checked.exit_code == 1
    assert "the schema is 0016, this version needs 0018; run: " in checked.stderr
    refused = run_cli("status")
    assert "this version of enrichment-pipeline needs 0018; run: " in str(refused.exception)
    assert run_cli("migrate").stdout.splitlines() == [
        "0017 is done.",
        "0018 is done.",
        "The schema is 0018 now; before, 0016.",
    ]
    again = json.loads(run_cli("migrate", "--json").stdout)
    assert again == {"before": "0018", "newest": "0018", "checked": False}


@pytest.mark.usefixtures("empty_database")
def test_an_empty_database_is_no_store_to_check_and_gets_its_tables() -> None:
    assert "there is no store" in str(run_cli("migrate", "--check").exception)
    assert "before, there was none" in run_cli("migrate").stdout
    assert run_cli("migrate", "--check").exit_code == 0


@pytest.fixture
def guest(server: EmbeddedPostgres) -> Iterator[str]:
    """A role that may connect, and nothing else."""
    role = sql.Identifier(name := f"guest_{uuid.uuid4().hex[:12]}")
    execute(server, sql.SQL("CREATE ROLE {} LOGIN").format(role))
    yield name
    execute(server, sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize("arguments", [["migrate"], ["import", "-"]])
def test_a_role_that_may_not_make_tables_is_told_what_to_run(
    store: Store, guest: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    url = store.engine.url.set(drivername="postgresql", username=guest)
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    refused = str(run_cli(*arguments).exception)
    assert refused.startswith(f"{guest} may not make what the store needs: ")
    assert refused.endswith(f'; run: ALTER DATABASE "{url.database}" OWNER TO "{guest}"')
