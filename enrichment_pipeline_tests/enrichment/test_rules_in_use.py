"""The file of rules, changed and broken while a process enriches."""

from pathlib import Path

import pytest

from enrichment_pipeline.alerts.evaluation import evaluate
from enrichment_pipeline.classification import RulesFileError, load_rules
from enrichment_pipeline.enrichment.rules_in_use import RulesInUse
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.wording import command

GOOD = "events:\n  bought: {event_type: custom, action_type: submit}\n"
OTHER = "events:\n  bought: {event_type: custom, action_type: view}\n"
BROKEN = "events:\n  bought: {event_type: custom, action_type: dance}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of rules."""
    return tmp_path / "rules.yaml"


def test_a_file_that_is_changed_is_used_at_once(store: Store, file: Path) -> None:
    file.write_text(GOOD)
    in_use = RulesInUse(file, load_rules(file))
    assert in_use.now(store).classify("bought", None).action_type == "submit"
    file.write_text(OTHER)
    assert in_use.now(store).classify("bought", None).action_type == "view"
    assert in_use.now(store).version == load_rules(file).version


def test_a_file_that_breaks_leaves_the_last_good_rules_in_use_and_is_reported_by_its_line(
    store: Store, settings: Settings, file: Path
) -> None:
    file.write_text(GOOD)
    in_use = RulesInUse(file)
    good = in_use.now(store)
    file.write_text(BROKEN)
    for _ in range(2):
        assert in_use.now(store) is good
    [message] = evaluate(store, settings, [])
    assert (message.kind, message.title) == ("broken_rules", "The rules cannot be read")
    assert f"{file}:2: " in message.text
    assert message.commands == [command("rules check")]
    file.unlink()
    assert in_use.now(store) is good, "a file that is gone is one that cannot be read"
    file.write_text(OTHER)
    assert in_use.now(store).version == load_rules(file).version
    assert [message.status for message in evaluate(store, settings, [])] == ["closed"]


def test_a_process_that_never_could_read_the_file_says_where_it_is_wrong(
    store: Store, file: Path
) -> None:
    file.write_text(BROKEN)
    in_use = RulesInUse(file)
    for _ in range(2):
        with pytest.raises(RulesFileError, match=f"{file}:2: "):
            in_use.now(store)
    file.write_text(GOOD)
    assert in_use.now(store).version == load_rules(file).version


def test_without_a_file_the_rules_are_the_built_in_ones(store: Store) -> None:
    assert RulesInUse(None).now(store).version == load_rules().version
