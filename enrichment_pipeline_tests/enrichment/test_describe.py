"""One sentence for what a user did."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enrichment_pipeline.classification import EventClassification, Rules
from enrichment_pipeline.enrichment.derive import derive
from enrichment_pipeline.enrichment.describe import MAX_LENGTH, describe
from enrichment_pipeline.events.elements import ElementName, name_element
from enrichment_pipeline.events.inputs import EnrichmentInput

BUTTON = 'button.buy:text="Buy now";body:nth-child="1"'
LONG_PAGE = "/" + "a" * 100

EXAMPLES = [
    ("$pageview", None, "/pricing", None, "Viewed /pricing"),
    ("$pageview", None, None, None, "Viewed a page"),
    ("$pageleave", None, "/pricing", None, "Left /pricing"),
    ("$autocapture", "click", "/pricing", BUTTON, 'Clicked button "Buy now" on /pricing'),
    ("$autocapture", None, "/pricing", BUTTON, 'Clicked button "Buy now" on /pricing'),
    ("$autocapture", "submit", "/join", 'form:attr__id="join"', 'Submitted form "join" on /join'),
    ("$autocapture", "change", "/join", 'input:attr__name="mail"', 'Changed field "mail" on /join'),
    ("$autocapture", "change", "/", 'textarea:attr__name="note"', 'Changed field "note" on /'),
    ("$autocapture", "click", "/", 'a:text="Docs"', 'Clicked link "Docs" on /'),
    ("$autocapture", "click", "/", "img:", "Clicked image on /"),
    ("$autocapture", "click", "/", None, "Clicked an element on /"),
    ("$autocapture", "click", None, BUTTON, 'Clicked button "Buy now"'),
    ("$rageclick", None, "/pricing", BUTTON, 'Rage-clicked button "Buy now" on /pricing'),
    ("product_clicked", None, "/products/:id", None, "product clicked on /products/:id"),
    ("Product Clicked", None, None, None, "Product Clicked"),
    ("$identify", None, "/signup", None, "$identify on /signup"),
    ("$feature_flag_called", None, None, None, "$feature_flag_called"),
    ("order_completed", None, LONG_PAGE + "/" + LONG_PAGE, None, "order completed"),
    ("$pageview", None, LONG_PAGE * 2, None, f"Viewed {LONG_PAGE * 2}"[:MAX_LENGTH]),
]  # fmt: skip

words = st.none() | st.text(max_size=200)


@pytest.mark.parametrize(("event", "sub_type", "page", "chain", "sentence"), EXAMPLES)
def test_an_event_is_told_in_one_sentence(
    event: str,
    sub_type: str | None,
    page: str | None,
    chain: str | None,
    sentence: str,
    rules: Rules,
) -> None:
    assert (
        derive(EnrichmentInput(event, sub_type, page, chain, None), rules).description == sentence
    )


def test_the_text_of_the_element_names_it_best(rules: Rules) -> None:
    inputs = EnrichmentInput("$autocapture", "click", "/pricing", BUTTON, "Buy it")
    assert derive(inputs, rules).description == 'Clicked button "Buy it" on /pricing'


def test_a_type_of_a_users_own_rules_is_told_by_the_name_of_the_event() -> None:
    inputs = EnrichmentInput("$screen", None, "/home", None, None)
    own = EventClassification("screen", "show")
    assert describe(inputs, own, name_element(None, None)) == "$screen on /home"


@given(
    st.sampled_from(["$pageview", "$pageleave", "$autocapture", "$rageclick"])
    | st.text(min_size=1),
    words,
    words,
    words,
    words,
)
@example("$autocapture", "click", "/" + "p" * 70, None, "label " * 20)
def test_a_sentence_is_never_empty_and_never_longer_than_promised(
    rules: Rules,
    event: str,
    sub_type: str | None,
    page: str | None,
    chain: str | None,
    element_text: str | None,
) -> None:
    output = derive(EnrichmentInput(event, sub_type, page, chain, element_text), rules)
    assert 0 < len(output.description) <= MAX_LENGTH


@given(
    st.sampled_from(["a", "button", "svg", None]),
    st.none() | st.text(min_size=1, max_size=90),
    st.text(min_size=1, max_size=200),
)
def test_the_page_is_left_out_before_anything_is_cut(
    tag: str | None, label: str | None, page: str
) -> None:
    inputs = EnrichmentInput("$autocapture", "click", page, None, None)
    click = EventClassification("click", "click")
    sentence = describe(inputs, click, ElementName(tag, label))
    without_page = describe(inputs._replace(path_template=None), click, ElementName(tag, label))
    assert sentence in (without_page, f"{without_page} on {page}")
