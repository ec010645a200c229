"""The pages that are made from the code are up to date, and nothing that they list lacks words."""

from collections.abc import Callable

import pytest
from prometheus_client import Counter

from enrichment_pipeline.cli import main
from enrichment_pipeline.enrichment.attempts import FailureReason
from enrichment_pipeline.events.raw_event import RejectionReason
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.meanings import MEANINGS
from enrichment_pipeline.store.database.tables import metadata
from reference import alerts, commands, metrics, reasons, routes, tables, tools
from reference import settings as settings_page
from reference.__main__ import FOLDER, PAGES
from reference.markdown import MissingWordsError, plain, table

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    kept = (FOLDER / name).read_text(encoding="utf-8")
    assert kept == PAGES[name](), f"docs/reference/{name} is older than the code: make reference"


def test_every_command_setting_metric_reason_table_tool_and_route_is_on_its_page() -> None:
    made = {name: make() for name, make in PAGES.items()}
    for command in commands.every_command():
        assert f"\n## {command}\n" in made["commands.md"]
    for reason in (*RejectionReason, *FailureReason):
        assert f"| `{reason}` |" in made["reasons.md"]
    for kind in alerts.Kind:
        assert f"| `{kind}` |" in made["alerts.md"]
    for name in metadata.tables:
        assert f"\n## {name}\n" in made["tables.md"]
    for tool in tools.every_tool():
        assert f"\n## {tool.name}\n" in made["tools.md"]
    assert made["settings.md"].count("\n| `") == len(Settings.model_fields)
    assert made["metrics.md"].count("\n| `") == len(metrics.every_metric())
    assert routes.every_tag() == set(routes._TAGS)


def test_no_words_are_of_a_column_that_there_is_not() -> None:
    columns = {name: set(one.columns.keys()) for name, one in metadata.tables.items()}
    assert {name: set(words) for name, words in MEANINGS.items()} == columns


def without_a_column(patch: Patch) -> None:
    patch.setitem(MEANINGS, "person", {})  # type: ignore[arg-type]


def without_a_table(patch: Patch) -> None:
    patch.setattr(metadata.tables["person"], "comment", None)


def without_a_setting(patch: Patch) -> None:
    patch.setattr(Settings.model_fields["host"], "description", " ")


def without_a_rejection(patch: Patch) -> None:
    patch.delitem(reasons.REJECTIONS, RejectionReason.TOO_DEEP)  # type: ignore[arg-type]


def without_a_failure(patch: Patch) -> None:
    patch.delitem(reasons.FAILURES, FailureReason.FAILED)  # type: ignore[arg-type]


def without_an_alert(patch: Patch) -> None:
    patch.delitem(alerts.ALERTS, alerts.Kind.STORE_DOWN)  # type: ignore[arg-type]


def without_a_metric(patch: Patch) -> None:
    patch.setattr(metrics, "every_metric", lambda: [Counter("mute", "", registry=None)])


def without_a_command(patch: Patch) -> None:
    _with_silent(patch, lambda one: setattr(one, "help", None))


def without_an_option(patch: Patch) -> None:
    _with_silent(patch, lambda one: setattr(one.params[0], "help", None))


def _with_silent(patch: Patch, silenced: Callable[[object], None]) -> None:
    one = main._loaded("count")
    silenced(one)
    patch.setattr(commands, "every_command", lambda: {"count": one})


def without_a_route(patch: Patch) -> None:
    mute = {"tags": ["v0"], "summary": "", "responses": {}}
    patch.setattr(routes, "description", lambda: {"paths": {"/mute": {"get": mute}}})


@pytest.mark.parametrize(
    ("silence", "make"),
    [
        (without_a_column, tables.tables_page),
        (without_a_table, tables.tables_page),
        (without_a_setting, settings_page.settings_page),
        (without_a_rejection, reasons.reasons_page),
        (without_a_failure, reasons.reasons_page),
        (without_an_alert, alerts.alerts_page),
        (without_a_metric, metrics.metrics_page),
        (without_a_command, commands.commands_page),
        (without_an_option, commands.commands_page),
        (without_a_route, routes.routes_page),
    ],
)
def test_what_has_no_words_is_refused_by_its_name(
    silence: Callable[[Patch], None], make: Callable[[], str], monkeypatch: Patch
) -> None:
    silence(monkeypatch)
    with pytest.raises(MissingWordsError, match="no words; they belong in"):
        make()


def test_text_in_a_table_stays_in_its_cell_and_is_no_html() -> None:
    assert plain("a | b <c> `<d>` *e*") == "a \\| b &lt;c> `<d>` \\*e\\*"
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
