"""What one event is: the table of the built-in rules, and that nothing makes it raise."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline import EventClassification, classify_event
from enrichment_pipeline.classification import load_rules

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.lists(
    st.sampled_from(
        [
            "$",
            "$pageview",
            "$autocapture",
            "CLICK",
            "Choose",
            "complete",
            "oPen",
            "view",
            " ",
            "ﬁnish",
        ]
    ),
    max_size=4,
).map("".join) | st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("event_name", "properties", "event_type", "action_type"),
    [
        ("$pageview", {}, "pageview", "view"),
        ("$pageleave", {}, "navigation", "leave"),
        ("$rageclick", {}, "click", "rage_click"),
        ("$rageclick", {"$event_type": "submit"}, "click", "rage_click"),
        ("$autocapture", {"$event_type": "click"}, "click", "click"),
        ("$autocapture", {"$event_type": "submit"}, "click", "submit"),
        ("$autocapture", {"$event_type": "change"}, "click", "change"),
        ("$autocapture", {}, "click", "click"),
        ("$autocapture", {"$event_type": "touch"}, "click", "click"),
        ("button_click", {}, "custom", "click"),
        ("plan select", {}, "custom", "click"),
        ("choose_size", {}, "custom", "click"),
        ("form_submit", {}, "custom", "submit"),
        ("order complete", {}, "custom", "submit"),
        ("tour_finish", {}, "custom", "submit"),
        ("plan_upgrade_started", {}, "custom", "navigate"),
        ("Application opened", {}, "custom", "navigate"),
        ("cart view", {}, "custom", "navigate"),
        ("navigate_home", {}, "custom", "navigate"),
        ("signup", {}, "custom", "click"),
        ("$identify", {}, "unknown", "unknown"),
        ("$web_vitals", {}, "unknown", "unknown"),
    ],
)
def test_each_row_of_the_table_holds(
    event_name: str, properties: object, event_type: str, action_type: str
) -> None:
    answer = classify_event(event_name, properties)

    assert answer == EventClassification(event_type=event_type, action_type=action_type)


@pytest.mark.parametrize(
    ("event_name", "action_type"),
    [
        ("Product Clicked", "click"),
        ("SELECT AND SUBMIT", "click"),
        ("submit clicked", "click"),
        ("view completed", "submit"),
        ("Started and finished", "submit"),
    ],
)
def test_heuristics_are_tried_in_order_and_without_regard_to_case(
    event_name: str, action_type: str
) -> None:
    assert classify_event(event_name, {}) == ("custom", action_type)


@pytest.mark.parametrize(
    "event_name", ["$PageView", "$pageview ", "$", "$pageview\0", "$$heatmap", "$click", "$ click"]
)
def test_a_name_with_dollar_in_front_matches_exactly_or_is_unknown(event_name: str) -> None:
    assert classify_event(event_name, {"$event_type": "click"}) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("event_name", "action_type"),
    [
        ("paid_in_$", "click"),
        ("US$ purchase completed", "submit"),
        ("Price $ started", "navigate"),
        (" $pageview", "navigate"),
        ("pageview$", "navigate"),
        ("\ufeff$pageleave", "click"),
    ],
)
def test_a_name_with_dollar_elsewhere_is_custom(event_name: str, action_type: str) -> None:
    assert classify_event(event_name, {}) == ("custom", action_type)


@pytest.mark.parametrize(
    ("event_name", "action_type"),
    [
        ("ﬁnish", "click"),
        ("\u017felect submit", "submit"),
        ("clic\u212a on start", "click"),
        ("CHOO\u017fE view", "navigate"),
        ("FİNISH OPEN", "navigate"),
    ],
)
def test_letters_are_compared_in_lower_case_and_not_folded(
    event_name: str, action_type: str
) -> None:
    assert classify_event(event_name, {}) == ("custom", action_type)


@pytest.mark.parametrize(
    "sub_type", [None, "", "Submit", " submit", 0, True, 1.5, ["submit"], {"submit": 1}]
)
def test_a_sub_type_that_is_not_exactly_one_of_the_three_counts_as_a_click(
    sub_type: object,
) -> None:
    assert classify_event("$autocapture", {"$event_type": sub_type}) == ("click", "click")


@pytest.mark.parametrize("properties", [None, 0, True, "submit", ["$event_type"], '{"a": 1}'])
def test_properties_that_are_no_mapping_count_as_none(properties: object) -> None:
    assert classify_event("$autocapture", properties) == ("click", "click")


@pytest.mark.parametrize("event_name", [None, 1, 1.5, True, [], ["$pageview"], {}, {"a": 1}])
def test_a_name_that_is_no_text_is_unknown(event_name: object) -> None:
    assert classify_event(event_name, {"$event_type": "click"}) == ("unknown", "unknown")


def test_the_empty_name_is_a_name_with_no_dollar() -> None:
    assert classify_event("", {}) == ("custom", "click")


@given(JSON | NAMES, JSON | st.fixed_dictionaries({"$event_type": JSON}))
@pytest.mark.slow
def test_whatever_json_carries_is_classified_within_the_vocabulary(
    event_name: object, properties: object
) -> None:
    rules = load_rules()

    event_type, action_type = classify_event(event_name, properties)

    assert event_type in rules.event_types
    assert action_type in rules.action_types


@given(NAMES)
def test_any_text_is_classified_as_the_table_says(event_name: str) -> None:
    assert classify_event(event_name, {}) == _by_the_table(event_name)


def test_importing_the_package_does_not_wait_for_pandas() -> None:
    code = "import sys, enrichment_pipeline; print(sorted({'pandas', 'numpy'} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    assert loaded.stdout.strip() == b"[]"


def _by_the_table(name: str) -> tuple[str, str]:
    """The table once more, in code instead of data."""
    exact = {
        "$pageview": ("pageview", "view"),
        "$pageleave": ("navigation", "leave"),
        "$rageclick": ("click", "rage_click"),
        "$autocapture": ("click", "click"),
    }
    if name[:1] == "$":
        return exact.get(name, ("unknown", "unknown"))
    folded = name.lower()
    if any(word in folded for word in ("click", "select", "choose")):
        return ("custom", "click")
    if any(word in folded for word in ("submit", "complete", "finish")):
        return ("custom", "submit")
    if any(word in folded for word in ("start", "open", "view", "navigate")):
        return ("custom", "navigate")
    return ("custom", "click")
