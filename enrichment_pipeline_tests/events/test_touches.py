"""What was touched, from the chains of real pages and of libraries."""

import pytest

from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.events.touches import Touch, read_touch, touch_of

FORM = 'form:attr__id="signup"'


def touch(chain: str, sub_type: str = "click", event: str = "$autocapture") -> Touch:
    found = touch_of(EnrichmentInput(event, sub_type, "/", chain, None))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("chain", "kind"),
    [
        ('input:attr__name="email"', "text"),
        ("textarea:", "text"),
        ('div:attr__contenteditable="true"', "text"),
        ('input:attr__type="checkbox"attr__id="x"', "choice"),
        ('input:attr__class="form-check-input"attr__name="plan"', "choice"),
        ('input:attr__name="colour"', "choice"),
        ('div:attr__role="switch"', "choice"),
        ('input:attr__name="quantity"', "choice"),
        ('input:attr__name="q"', "search"),
        ('input:attr__aria-label="Search products"', "search"),
        ('input:nth-child="1";label:text="Search:";div:', "search"),
        ('input:attr__name="x";form:attr__role="search"', "search"),
        ('input:attr__name="max";div:;div:attr__class="price-filter"', "search"),
        ('input:attr__aria-label="Rechercher"', "search"),
        ('input:attr__aria-label="What\'s your name"', "text"),
        ('textarea:attr__name="query"', "text"),
        ('select:attr__name="sort"', "select"),
        ('label:attr__for="x"text="Remember me"', "label"),
        (f'button:text="Sign up";{FORM}', "submit"),
        (f'button:attr__type="button"text="Sign up";{FORM}', "send"),
        (f'button:attr__type="button"text="Show password";{FORM}', "button"),
        ('input:attr__type="submit"attr__value="Send"', "submit"),
        ('a:attr__href="/login"text="Sign in"', "button"),
        ('a:attr__href="#"text="Sign in"', "send"),
        ('a:attr__href="mailto:a@b.example"text="Mail"', "away"),
        ('a:attr__href="/x"attr__target="_blank"text="Docs"', "away"),
        ('button:text="Next"', "next"),
        ('button:attr__aria-label="Next slide"', "next"),
        ('button:text="Weiter zum n\u00e4chsten Bild"', "next"),
        ('button:text="+"', "repeat"),
        ('button:text="\u2212"', "repeat"),
        ('button:text="7"', "repeat"),
        ('button:attr__aria-label="Menge erh\u00f6hen"', "repeat"),
        ('i:attr__class="fa fa-chevron-right";button:', "repeat"),
        ('svg:;button:;div:attr__class="quantity"', "repeat"),
        ('th.sorting:attr__aria-label="Office"', "repeat"),
        ("canvas:", "surface"),
        ('button:text="Learn more"', "button"),
        ('button:text="\u00d7"attr__aria-label="Close"', "repeat"),
        ('button:text="X"', "button"),
        ('i.fa-bell:;a:attr__href="#"', "button"),
        ('span:text="Save";div:attr__role="button"', "send"),
        ('td:text="Invoice"', "plain"),
    ],
)
def test_a_control_is_of_a_kind(chain: str, kind: str) -> None:
    assert touch(chain).kind == kind


def test_a_close_button_is_no_key() -> None:
    assert touch('button:text="\u2715"attr__aria-label="Close"').kind == "button"


def test_what_stands_in_a_control_is_the_control() -> None:
    button = 'button:attr__id="buy"text="Buy"'
    assert touch(f"path:;svg:;{button}") == touch(f"span:;{button}") == touch(button)


def test_a_label_and_its_field_are_one_element() -> None:
    field = 'input:attr__id="terms"attr__type="checkbox"nth-child="1"'
    assert touch('label:attr__for="terms"').element == touch(field).element
    around = 'label:nth-child="4"'
    assert touch(f"{field};{around};div:").element == touch(f"span:;{around};div:").element


def test_a_form_is_known_by_its_name_wherever_it_stands() -> None:
    one = touch(f'input:nth-child="1";{FORM};div:nth-child="2"', "change")
    other = touch('form.was-validated:attr__id="signup";div:nth-child="3"', "submit")
    assert one.form == other.form
    assert (one.act, other.act) == ("change", "submit")


def test_fields_that_stand_together_are_of_one_group_without_a_form() -> None:
    around = 'div:nth-child="3";div:nth-child="1";body:'
    first, second = (
        touch(f'input:attr__id="{name}";div:nth-child="{number}";{around}', "change")
        for number, name in enumerate(["a", "b"])
    )
    assert first.form == second.form
    assert str(first.form).startswith("~")
    assert first.element != second.element
    assert touch('input:attr__id="a";body:', "change").form is None


@pytest.mark.parametrize(
    ("sub_type", "act"),
    [("", "click"), ("touch", "click"), ("toggle", "change"), ("swipe", "gesture"), ("x", "click")],
)
def test_phones_have_words_of_their_own(sub_type: str, act: str) -> None:
    assert touch("button:", sub_type).act == act


def test_an_event_about_a_click_is_a_click() -> None:
    assert touch("button:", "change", "$dead_click").act == "click"


def test_other_events_touch_nothing_and_those_without_a_chain_nothing_known() -> None:
    assert touch_of(EnrichmentInput("$pageview", None, "/", "button:", None)) is None
    assert touch_of(EnrichmentInput("Sent", "change", "/", "button:", None)) is None
    unknown = touch_of(EnrichmentInput("$autocapture", "change", "/", None, None))
    assert unknown
    assert (unknown.act, unknown.kind) == ("change", "unknown")


def test_a_touch_is_read_as_it_was_written() -> None:
    for one in (touch(f"input:;{FORM}", "change"), touch("td:")):
        assert read_touch(str(one)) == one
        assert len(str(one)) <= 40
    assert read_touch(None) is None
    assert read_touch("") is None
