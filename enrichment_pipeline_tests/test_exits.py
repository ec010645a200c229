"""Whatever leaves the pipeline is masked: every way out, with one set of secrets.

What commands print is in `cli/test_printed`, which also names those that show on purpose what
arrived as it arrived. Exports with what is private (`--with-private`) show it on purpose, too.
"""

import ast
import asyncio
import dataclasses
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import duckdb
import pytest
from mcp import Client
from pydantic import SecretStr
from sqlalchemy import text
from starlette.testclient import TestClient

import enrichment_pipeline
from enrichment_pipeline.alerts.evaluation import evaluate
from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.events.raw_event import Arrival
from enrichment_pipeline.ingest.api.accept import Origin, Submission
from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.ingest.api.writers import CommitError, Writers
from enrichment_pipeline.llm.exporting import FORMATS, Export, Format, count_rows, run_export
from enrichment_pipeline.llm.forms import FORMS
from enrichment_pipeline.llm.http import reading_routes
from enrichment_pipeline.llm.mcp_server import make_server
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.sessions import newest_timeline_of, timeline_of
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import DEAD_LETTER, ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.partitions import add_days, add_windows, partition_key
from enrichment_pipeline.orchestration.session_timelines import SESSIONS_JOB
from enrichment_pipeline.store.analytics.counting import BYS
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.web.pages import Pages
from enrichment_pipeline.workers.handling import handle
from enrichment_pipeline_tests.conftest import HOUR, make_event
from enrichment_pipeline_tests.orchestration.conftest import OF_A_TICK
from enrichment_pipeline_tests.secrets_of_people import (
    NOON,
    SECRETS,
    fill,
    leaks,
    refuse,
    store_of_dead,
    take_in_only,
)
from enrichment_pipeline_tests.web.crawling import crawl


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    """A store with all secrets in it."""
    fill(store, rules)
    return store


def sentences(store: Store, _: Path) -> object:
    return _rows(store, "SELECT description, device FROM enriched_event")


def details(store: Store, _: Path) -> object:
    return _rows(store, "SELECT detail, device FROM raw_event")


def timelines(store: Store, _: Path) -> object:
    ids = [*(f"s{number}" for number in range(len(SECRETS))), *SECRETS]
    with store.transaction() as connection:
        found = [timeline_of(connection, one) for one in ids]
        found += [newest_timeline_of(connection, one) for one in SECRETS]
    budgets = (None, 300, 200)
    return [render(one, form, most) for one in found for form in FORMS for most in budgets]


def table_of_sessions(store: Store, _: Path) -> object:
    return _rows(
        store, "SELECT entry, exit, device, outline, signals, timeline FROM session_timeline"
    )


_ASKED_BY: dict[str, list[object]] = {
    "distinct_id": [*SECRETS],
    "session_id": [f"s{number}" for number in range(len(SECRETS))],
    "person": [*SECRETS],
    "page": ["/u"],
    "contains": ["("],
    "text": [" ".join(f'"{secret}" (s1, p1, s2:0)' for secret in SECRETS)],
    "steps": [["page=/*", "$pageview"]],
    "step": ["page=/*"],
    "against": ["ping"],
    "back": ["ping"],
}
"""What each tool is asked with, by the names of its arguments; its choices are all asked for."""


_WITH = {
    "/v1/funnel": "?step=page=/*&step=$pageview",
    "/v1/paths": "?step=page=/*&max_tokens=8000",
    "/v1/compare": "?step=page=/*&against=ping&max_tokens=8000",
}
"""What a route is asked with that needs something."""


def mcp(store: Store, _: Path) -> object:
    """All tools that the server has."""

    async def answers() -> list[object]:
        async with Client(make_server(store)) as client:
            found: list[object] = []
            for tool in (await client.list_tools()).tools:
                for given in _arguments(tool.input_schema):
                    answer = await client.call_tool(tool.name, given)
                    assert not answer.is_error, (tool.name, given, answer)
                    found.append(answer.model_dump())
            return found

    return asyncio.run(answers())


def _arguments(schema: dict[str, Any]) -> list[dict[str, object]]:
    """With as much as a tool gives; each argument once with each of its values."""
    properties: dict[str, dict[str, Any]] = schema["properties"]
    choices = {
        name: of_one["enum"] if "enum" in of_one else _ASKED_BY.get(name, [])
        for name, of_one in properties.items()
    }
    required = schema.get("required", [])
    unknown = [name for name in required if not choices[name]]
    assert not unknown, f"_ASKED_BY must have values for {unknown}"
    most = {name: of_one["maximum"] for name, of_one in properties.items() if "maximum" in of_one}
    most.pop("offset", None)
    base = most | {name: choices[name][0] for name in required}
    owners = {"session_id", "distinct_id"}
    if owners <= properties.keys() and not required:
        # One of them has to be named.
        base["session_id"] = choices["session_id"][0]
    return [
        {key: value for key, value in base.items() if name not in owners or key not in owners}
        | {name: one}
        for name, values in {**choices, "limit": [base.get("limit")]}.items()
        for one in values
        if one is not None
    ] or [base]


def http(store: Store, _: Path) -> object:
    settings = store.settings.model_copy(update={"read_token": SecretStr("reader")})
    with TestClient(
        create_app(store, settings, parts=Parts(readable=reading_routes(store)))
    ) as client:
        client.headers["Authorization"] = "Bearer reader"
        paths = [path for route in reading_routes(store) for path in _paths(route)]
        paths += [f"/v1/count?by={by}&limit=200&max_tokens=8000" for by in BYS]
        paths = [f"{path}{_WITH.get(path, '')}" for path in paths]
        kinds = ("text/plain", "text/markdown", "application/json")
        answers = [client.get(path, headers={"Accept": kind}) for path in paths for kind in kinds]
        assert {answer.status_code for answer in answers} == {200}
        open_to_all = [client.get(path).text for path in ("/metrics", "/health", "/")]
    return [*(answer.text for answer in answers), *open_to_all]


def pages(store: Store, _: Path) -> object:
    """All pages that lead from one to another, with each choice of each form."""
    site = Pages(store, "reader")
    with TestClient(create_app(store, store.settings, parts=Parts(pages=site))) as client:
        client.headers |= {"Authorization": "Bearer reader", "Accept": "text/html"}
        routes = [one.path for one in site.routes if "GET" in (one.methods or ())]
        asked = [path for route in routes for path in _paths(route)]
        asked += [f"/sessions/{quote(one, safe='')}" for one in SECRETS]
        asked += ["/funnel?step=page=/*&step=$pageview", "/paths?step=$pageview"]
        asked += ["/compare?step=event=payment failed", "/count?where=page=/u*", "/?page=/u*"]
        found = crawl(client, ["/", *asked])
    assert {answer.status_code for answer in found.values()} == {200}, found
    return [answer.text for answer in found.values()]


def _paths(route: str) -> list[str]:
    """A route with each value of what it has in braces."""
    found = re.search(r"{(\w+)[^}]*}", route)
    if not found:
        return [route]
    values = [quote(str(one), safe="") for one in _ASKED_BY[found[1]]]
    return [path for one in values for path in _paths(route.replace(found[0], one))]


def _exports(form: Format) -> Callable[[Store, Path], object]:
    def exported(store: Store, folder: Path) -> object:
        for what in ("events", "timelines"):
            wanted = Export(what, str(folder), form)  # type: ignore[arg-type]
            run_export(store, wanted, list(count_rows(store, wanted)))
        read = {"parquet": "read_parquet", "jsonl": "read_json", "csv": "read_csv"}[form]
        rows = [duckdb.sql(f"SELECT * FROM {read}('{one}')").fetchall() for one in _files(folder)]
        assert sum(map(len, rows)) > len(SECRETS)
        return rows

    return exported


def _files(folder: Path) -> list[Path]:
    return [one for one in folder.rglob("part-*") if one.is_file()]


def dagster(store: Store, _: Path) -> object:
    """What runs of all assets leave in Dagster: metadata, logs, errors; a window FAILED."""
    store_of_dead(store)
    definitions = build_definitions(store.settings)
    with dg.DagsterInstance.ephemeral() as instance:
        add_windows(instance, [NOON])
        add_days(instance, [NOON.date()])
        jobs = definitions.get_repository_def()
        for asset in (RAW_EVENTS, ENRICHED_EVENTS):
            dg.materialize(
                list(definitions.assets or []),
                selection=[asset],
                partition_key=partition_key(NOON),
                instance=instance,
                resources=definitions.resources,
                raise_on_error=False,
                # A person's would take the dead batch in again, and wait.
                tags=OF_A_TICK,
            )
        dg.materialize(
            list(definitions.assets or []),
            selection=[DEAD_LETTER],
            instance=instance,
            resources=definitions.resources,
        )
        jobs.get_job(SESSIONS_JOB).execute_in_process(
            instance=instance, partition_key=str(NOON.date())
        )
        kept = [
            dg.serialize_value(entry)
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id)
        ]
    assert "dead batches, the first is" in str(kept)
    return kept


def alerts(store: Store, _: Path) -> object:
    store_of_dead(store)
    messages = evaluate(store, store.settings, ["one"], datetime.now(UTC) + HOUR)
    assert messages
    return [*(dataclasses.asdict(one) for one in messages), *(one.body for one in messages)]


def logs_of_the_api(store: Store, _: Path) -> object:
    refuse(store, "raw_event")
    secret = make_event("Chat", NOON, distinct_id=" ".join(SECRETS))
    writers = Writers(store, 0)
    submission = Submission(Origin("api"), "default", [secret], Arrival(NOON))
    try:
        with pytest.raises(CommitError) as caught:
            asyncio.run(writers.commit([submission]))
    finally:
        writers.close()
    return str(caught.value)


def logs_of_a_worker(store: Store, _: Path) -> object:
    refuse(store, "enriched_event")
    take_in_only(store)
    handle(store, load_rules(), [], lambda _: None)
    return ""


def _rows(store: Store, statement: str) -> list[list[object]]:
    with store.transaction() as connection:
        rows = [list(row) for row in connection.execute(text(statement))]
    assert rows
    return rows


EXITS: dict[str, Callable[[Store, Path], object]] = {
    "sentences": sentences,
    "details": details,
    "timelines": timelines,
    "table of sessions": table_of_sessions,
    "MCP": mcp,
    "HTTP": http,
    "pages": pages,
    **{f"export as {form}": _exports(form) for form in FORMATS},
    "Dagster": dagster,
    "alerts": alerts,
    "logs of the API": logs_of_the_api,
    "logs of a worker": logs_of_a_worker,
}


@pytest.mark.parametrize("leaving", EXITS.values(), ids=EXITS)
@pytest.mark.slow
def test_no_secret_leaves(
    filled: Store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    leaving: Callable[[Store, Path], object],
) -> None:
    with caplog.at_level(logging.DEBUG, logger="enrichment_pipeline"):
        found = leaving(filled, tmp_path)
    leaked = leaks([found, caplog.text])
    assert not leaked, "\n".join(leaked)


@pytest.mark.slow
def test_one_module_alone_masks_what_leaves() -> None:
    """Who masks by hand forgets a part of it: to make it harmless, or short."""
    package = Path(enrichment_pipeline.__file__).parent
    found = [
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "enrichment_pipeline.events.privacy"
        if any(name.name == "mask" for name in node.names)
    ]
    assert found == ["events/masked.py"]
