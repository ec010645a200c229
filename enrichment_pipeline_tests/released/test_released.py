"""The last release's interface, and a store as it made it, with the code of now."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from packaging.version import Version
from psycopg import sql

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.databases import database_url
from enrichment_pipeline_tests.released.__main__ import HERE, program
from enrichment_pipeline_tests.released.compare import broken_promises
from enrichment_pipeline_tests.released.interface import PROJECT, interface, keys_of
from enrichment_pipeline_tests.released.json_keys import json_keys

CHANGELOG = PROJECT.with_name("CHANGELOG.md").read_text(encoding="utf-8")
RELEASES = sorted((file.stem for file in HERE.glob("*.json")), key=Version)
LAST = RELEASES[-1]
PROMISED: dict[str, Any] = json.loads((HERE / f"{LAST}.json").read_text(encoding="utf-8"))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def broken(now: dict[str, Any]) -> str:
    """What is not as the last release had it, of what there is now."""
    promised = {name: PROMISED[name] for name in now if name != "schema"}
    return "\n".join(broken_promises(LAST, promised, now, CHANGELOG))


@pytest.mark.slow
def test_what_the_last_release_had_is_there_and_as_it_was() -> None:
    assert not (found := broken(interface())), f"\n{found}"


@pytest.mark.slow
def test_json_of_every_command_has_the_keys_that_it_had(
    store: Store, rules: Rules, tmp_path: Path
) -> None:
    assert not (found := broken({"keys of --json": json_keys(store, rules, tmp_path)})), (
        f"\n{found}"
    )


@pytest.fixture(params=RELEASES)
def old_database(
    request: pytest.FixtureRequest, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """DATABASE_URL names a store that a release has made, with three events in it."""
    name = f"released_{uuid4().hex[:12]}"
    with psycopg.connect(database_url(server, "postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = database_url(server, name)
        restoring = [program("psql"), "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", url]
        restoring += ["--file", HERE / f"{request.param}.sql"]
        subprocess.run(restoring, check=True, stdout=subprocess.DEVNULL)
        monkeypatch.setenv("DATABASE_URL", url)
        yield
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        admin.execute(drop)


def said(*arguments: str) -> Any:
    """What a command says as JSON."""
    called = call(*arguments, "--json")
    assert called.returncode == 0, called.stderr
    return json.loads(called.stdout)


@pytest.mark.slow
@pytest.mark.usefixtures("old_database")
def test_a_store_of_every_release_is_migrated_and_goes_on(rules: Rules, tmp_path: Path) -> None:
    said("migrate")
    assert said("migrate", "--check")["before"] == said("migrate", "--check")["newest"]
    before = said("status", "--verify", "--all")["total"]
    assert (before["accepted"], before["balances"]) == (3, True)

    file = tmp_path / "more.jsonl"
    file.write_bytes(make_event(at=NOON, properties={"$session_id": "s"}))
    assert said("import", str(file))["accepted"] == 1
    with opened_store(load_settings()) as store:
        enrich_due(store, rules)
    said("sessions", "build")
    after = said("status", "--verify", "--all")["total"]
    assert (after["accepted"], after["enriched"], after["balances"]) == (4, 3, True)
    assert [one["events"] for one in said("sessions", "list")] == [3]
    # It is no JSON, and stays none.
    assert json.loads(call("dead-letters", "replay", "--all", "--json").stdout)["failed"] == 1


OLD = {"commands": {"export": {"options": {"--format": {"values": ["csv"]}}, "needs": ""}}}


def changed(**fields: Any) -> dict[str, Any]:
    return {"commands": {"export": OLD["commands"]["export"] | fields}}


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ({"commands": {}}, "commands › export was public in 0.1.0 and is gone"),
        (changed(options={}), "commands › export › options › --format was public in 0.1.0 and is"),
        (changed(options={"--format": {"values": []}}), "--format › values › csv was public in"),
        (changed(needs="--to"), "commands › export › needs was nothing in 0.1.0 and is --to: "),
    ],
)
def test_what_is_gone_or_changed_is_one_sentence(now: dict[str, Any], sentence: str) -> None:
    [said] = broken_promises("0.1.0", OLD, now, "")
    assert sentence in said
    assert "announce it in CHANGELOG.md" in said


def test_what_is_added_breaks_nothing() -> None:
    option = {"values": ["csv", "orc"], "default": "csv"}
    assert not broken_promises("0.1.0", OLD, changed(options={"--format": option, "--x": {}}), "")


@pytest.mark.parametrize(
    ("section", "announced"), [("Removed", True), ("Changed", True), ("Added", False)]
)
def test_what_the_changelog_announces_may_go(section: str, *, announced: bool) -> None:
    entry = f"### {section}\n\n- `--format` of `export`: by the name of the file.\n"
    changelog = f"# Changelog\n\n## [Unreleased]\n\n{entry}\n## [0.1.0]\n"
    assert broken_promises("0.1.0", OLD, changed(options={}), changelog) == [] or not announced
    # What an earlier release announced is done.
    late = f"# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n\n{entry}"
    assert len(broken_promises("0.1.0", OLD, changed(options={}), late)) == 1


def test_keys_are_those_of_all_elements_and_no_data() -> None:
    document = {"rows": [{"a": 1}, {"b": {"c": 2}}], "$pageview": 3, "/pricing": 4}
    assert keys_of(document) == {"rows": {"a": {}, "b": {"c": {}}}}
