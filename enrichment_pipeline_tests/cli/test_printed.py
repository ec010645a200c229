"""What each command prints, and what it says of an error, is masked: with the same set of secrets
as every other way out, see `test_exits`.

Some commands show on purpose what arrived as it arrived: whoever has to find out what is wrong in
an event, or whom to forget, has to see it. `AS_IT_ARRIVED` names them, and why.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from enrichment_pipeline.alerts.evaluation import evaluate
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.cli import demo, up
from enrichment_pipeline.cli.services import Services
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.analytics.counting import BYS
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import Called, call, every_command
from enrichment_pipeline_tests.cli.test_up import Steps
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.secrets_of_people import (
    BY_NAME,
    JANE,
    NOON,
    SECRETS,
    events,
    fill,
    leaks,
    refuse,
    store_of_dead,
)

AS_IT_ARRIVED = {
    "show": "one event or letter whole, to find out what a client has sent",
    "sql": "the tables, for analysts; privacy.md says which columns are as they came",
    "dead-letters list": "the error of a letter quotes what is wrong in its event",
    "dead-letters show": "as `show`",
    "dead-letters export": "letters whole, for other tools, such as to mend and import them again",
    "forget": "the distinct_ids that were asked for, and who may be the same person",
}

OF_NO_EVENT = {
    "config": "settings",
    "migrate": "versions of the schema",
    "dagster-files": "names of files that it has written",
    "alerts test": "channels",
    "rules show": "a rules file",
    "rules check": "a rules file",
    "rules export": "a rules file",
    "api": "its log: see `test_exits`",
    "worker": "its log: see `test_exits`",
    "mcp": "what a model reads: see `test_exits`",
}

_RULES = "events:\n" + "".join(
    f"  {json.dumps(name)}: {{event_type: custom, action_type: submit}}\n"
    for secret in SECRETS
    for name in (f"Chat with {secret}", f"$chat {secret}")
)


def alerts_list(store: Store, _: Path) -> list[Called]:
    store_of_dead(store)
    assert evaluate(store, store.settings, ["one"])
    return [call("alerts", "list", *form) for form in ([], ["--json"], ["--all"])]


def rules_diff(_: Store, folder: Path) -> list[Called]:
    (folder / "rules.yaml").write_text(_RULES)
    said = [call("rules", "diff", str(folder / "rules.yaml"), *form) for form in ([], ["--json"])]
    assert "Chat with (email)" in said[0].stdout
    return said


def rules_unmatched(_: Store, __: Path) -> list[Called]:
    return [call("rules", "unmatched", "--limit", "1000", *form) for form in ([], ["--json"])]


def imported(_: Store, folder: Path) -> list[Called]:
    _files(folder)
    return [call("import", str(folder), *form) for form in ([], ["--json"])]


def pulled(_: Store, folder: Path) -> list[Called]:
    _files(folder)
    return [call("pull", *form, ENRICHMENT_PULL_FOLDER=str(folder)) for form in ([], ["--json"])]


def _files(folder: Path) -> None:
    """Files of events, and others, of each of which a line says what it looks like."""
    named = dict.fromkeys(SECRETS, "x") | BY_NAME
    line = json.dumps(named).encode()
    texts = {
        "events.jsonl": b"\n".join([*events(), make_event(JANE, uuid=JANE), line, b"broken"]),
        "keys.json": json.dumps({"x": named}, indent=2).encode(),
        "lines.jsonl": line,
        "rows.json": json.dumps({"columns": list(named), "results": [list(named)]}).encode(),
        "table.csv": (",".join(f'"{one}"' for one in named) + "\n" + "x," * len(named)).encode(),
        "log.json": "\n".join(f"sent to {secret}" for secret in SECRETS).encode(),
        "cut.json.gz": gzip.compress(b"[" + b",".join(events()))[:-9],
        "open.json": b"[" + line + b", {",
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text)


def services(command: Callable[[], None]) -> Callable[[Store, Path], list[Called]]:
    def ran(store: Store, folder: Path) -> list[Called]:
        @contextmanager
        def nothing_started(_: Settings) -> Iterator[tuple[Services, Store]]:
            yield Services(folder / "logs", {}, Steps(lambda: store_of_dead(store))), store

        with pytest.MonkeyPatch.context() as patch:
            for module in (up, demo):
                patch.setattr(module, "running", nothing_started)
                patch.setattr(module, "_PROJECT", "default", raising=False)
                patch.setattr(module, "wait_until", lambda *_: None)
            patch.setattr(up, "_READ_SECONDS", 0)
            patch.setattr(demo, "_import_sample", lambda _: demo.ImportSummary())
            return [call(command.__name__)]

    return ran


def calls(*wanted: list[str]) -> Callable[[Store, Path], list[Called]]:
    return lambda _store, folder: [
        call(*(str(folder / one) if one.startswith("out") else one for one in words))
        for words in wanted
    ]


def cited(_: Store, folder: Path) -> list[Called]:
    everything = [f"s{number}:{second}" for number in range(1, 9) for second in range(20)]
    (folder / "answer.txt").write_text("\n".join(everything))
    said = [call("cite", "check", str(folder / "answer.txt"), *form) for form in ([], ["--json"])]
    assert "(email)" in said[0].stdout
    return said


PRINTED: dict[str, Callable[[Store, Path], list[Called]]] = {
    "demo": services(demo.demo),
    "up": services(up.up),
    "import": imported,
    "pull": pulled,
    "status": calls(["status"], ["status", "--verify", "--json"]),
    "sessions list": calls(["sessions", "list"], ["sessions", "list", "--json"]),
    "sessions build": calls(
        ["sessions", "build", str(NOON.date()), "--json"], ["sessions", "build"]
    ),
    "timeline": calls(["timeline", "s0"], ["timeline", "--person", JANE], ["timeline", JANE]),
    "person": calls(["person", JANE], ["person", JANE, "--json"]),
    "cite check": cited,
    "errors": calls(["errors", "--limit", "99"], ["errors", "--json"], ["errors", "--by", "page"]),
    "count": calls(
        *(
            ["count", "--by", by, "--limit", "500", *form]
            for by in BYS
            for form in ([], ["--json"])
        ),
        ["count", "--where", f"event={JANE}"],
        ["count", "--where", f"page=/u/{JANE}*"],
    ),
    "funnel": calls(
        ["funnel", "page=/*", "event=nothing at all"],
        ["funnel", "page=/*", "$pageview", "--json"],
        ["funnel", JANE, "/checkout"],
    ),
    "paths": calls(
        ["paths", "page=/*", "--limit", "500"],
        ["paths", "page=/*", "--direction", "before", "--within", "9", "--json"],
        ["paths", JANE],
    ),
    "compare": calls(
        ["compare", "order placed", "--limit", "500"],
        ["compare", "page=/u/*", "--against", "event=ping", "--json"],
        ["compare", JANE],
    ),
    "retention": calls(
        ["retention", "page=/*"],
        ["retention", "page=/u/*", "--back", "ping", "--every", "day", "--json"],
        ["retention", JANE],
    ),
    "export": calls(["export", "events", "out"], ["export", "timelines", "out", "--json"]),
    "dead-letters replay": calls(["dead-letters", "replay", "--all", "--yes"]),
    "dead-letters discard": calls(
        ["dead-letters", "discard", "--all", "--dry-run"],
        ["dead-letters", "discard", "--all", "--yes", "--because", "ours", "--json"],
    ),
    "backfill": calls(
        ["backfill", "--failed", "--dry-run"],
        ["backfill", "--from", "2026-03-01", "--to", "2026-03-03", "--dry-run", "--json"],
    ),
    "rules diff": rules_diff,
    "rules unmatched": rules_unmatched,
    "alerts list": alerts_list,
}


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    """A store with all secrets in it."""
    fill(store, rules)
    return store


def test_every_command_is_here() -> None:
    assert sorted({**PRINTED, **AS_IT_ARRIVED, **OF_NO_EVENT}) == sorted(every_command())


@pytest.mark.parametrize("command", PRINTED)
@pytest.mark.slow
def test_no_command_prints_a_secret(filled: Store, tmp_path: Path, command: str) -> None:
    said = PRINTED[command](filled, tmp_path)
    assert all(one.stdout or one.stderr for one in said)
    leaked = leaks("".join(one.stdout + one.stderr for one in said))
    assert not leaked, "\n".join(leaked)


@pytest.mark.parametrize(
    ("table", "command"),
    [
        ("raw_event", ["import", "events.jsonl"]),
        ("raw_event", ["pull"]),
        ("enriched_event", ["backfill", "--from", "2026-03-01"]),
        ("enriched_event", ["dead-letters", "replay", "--all", "--yes"]),
        ("session_timeline", ["sessions", "build", str(NOON.date())]),
    ],
)
@pytest.mark.slow
def test_no_command_prints_a_secret_when_postgresql_refuses_its_row(
    filled: Store, tmp_path: Path, table: str, command: list[str]
) -> None:
    _files(tmp_path)
    refuse(filled, table)
    said = call(*command, ENRICHMENT_PULL_FOLDER=str(tmp_path))
    assert said.stdout or said.stderr
    assert "Traceback" not in said.stderr
    leaked = leaks(said.stdout + said.stderr)
    assert not leaked, "\n".join(leaked)
