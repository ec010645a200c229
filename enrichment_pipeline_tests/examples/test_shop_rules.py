"""`examples/shop_rules`: the rules are good, and what they change is what the README says."""

import json
from datetime import UTC, datetime

from enrichment_pipeline import classify_event
from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.examples import EXAMPLES
from enrichment_pipeline_tests.llm.stored_sessions import take_in

FILE = EXAMPLES / "shop_rules" / "rules.yaml"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_rules_say_what_happens_in_a_shop() -> None:
    rules = load_rules(FILE)
    found = {
        name: classify_event(name, {}, rules=rules)[:2]
        for name in ("order_placed", "Wishlist opened", "Refund requested", "search_started")
    }
    assert found == {
        "order_placed": ("conversion", "buy"),
        "Wishlist opened": ("shopping", "add"),
        "Refund requested": ("conversion", "give_back"),
        # As without a file.
        "search_started": ("custom", "navigate"),
    }


def test_check_and_diff_say_what_the_readme_shows(store: Store, rules: Rules) -> None:
    readme = (FILE.parent / "README.md").read_text()
    checked = call("rules", "check", str(FILE), "--json")
    assert checked.returncode == 0, checked.stderr
    version = json.loads(checked.stdout)["rules_version"]
    assert version == load_rules(FILE).version
    assert version in readme

    names = ["coupon_applied", "order_placed", "order_placed", "search_started"]
    take_in(store, rules, [make_event(name, NOON) for name in names])
    changes = json.loads(call("rules", "diff", str(FILE), "--json").stdout)["changes"]
    assert {one["event"]: one["events"] for one in changes} == {
        "coupon_applied": 1,
        "order_placed": 2,
    }
    shown = call("rules", "diff", str(FILE)).stdout
    for name in ("coupon_applied", "order_placed"):
        [line] = [line for line in shown.splitlines() if f" of {name}: " in line]
        change = line.partition(f" of {name}: ")[2].partition(";")[0]
        assert f"of {name}: {change};" in readme
