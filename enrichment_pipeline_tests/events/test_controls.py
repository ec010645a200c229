"""What a person calls the element that was acted on."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import enrichment_pipeline.ingest.sample
from enrichment_pipeline.events.controls import ElementName, name_element
from enrichment_pipeline.events.made_names import is_made_name, readable, readable_id

SAMPLE = Path(str(enrichment_pipeline.ingest.sample.__file__)).with_name("posthog_js_sample.jsonl")

BUTTON = 'button.btn.primary:attr__class="btn primary"attr__id="buy"nth-child="3"text="Buy now"'


def called(chain: str | None, text: str | None = None) -> tuple[str | None, str | None]:
    """The word and the name of the element of a chain."""
    name = name_element(chain, text)
    return name.word, name.label


@pytest.mark.parametrize(
    ("chain", "text", "name"),
    [
        (BUTTON, "What it says", ("button", "What it says")),
        (BUTTON, None, ("button", "Buy now")),
        (f"svg;span;{BUTTON};a", None, ("button", "Buy now")),
        (f"span;{BUTTON}", "Buy", ("button", "Buy now")),
        (f"span;div;{BUTTON}", "Icon", ("button", "Icon")),
        ('span;button;form:text="F"', None, ("button", None)),
        (None, "Only text", (None, "Only text")),
        (None, None, (None, None)),
        ('p:text="  two \n lines "', None, (None, "two lines")),
        ('p:text="T"attr__aria-label="L"attr__name="n"', None, (None, "T")),
        # The accessible name: what is seen, then what was given, then what the code says.
        ('button:attr__aria-label="Close"text="×"', None, ("button", "Close")),
        ('button:attr__aria-label="Apply credentials"text="OK then"', None, ("button", "OK then")),
        ('i.x;button:attr__title="Copy link"', None, ("button", "Copy link")),
        ('svg:attr__aria-label="Like";button:attr__id="b"', None, ("button", "Like")),
        ('img:attr__alt="Annual report";a:attr__id="dl"', None, ("link", "Annual report")),
        ('input:attr__type="submit"attr__value="Send message"', None, ("button", "Send message")),
        ('input:attr__name="q"attr__placeholder="Find"', None, ("field", "Find")),
        ('input:attr__id="x1";label:text="Search: *"', None, ("field", "Search")),
        ('input:attr__aria-label="Search"attr__name="q"', None, ("field", "Search")),
        ('input:attr_id="q"attr__name="query"', None, ("field", "query")),
        ('input:attr__name="q"', None, ("field", "q")),
        ('select:attr__name="plan"attr_id="p"', None, ("list", "plan")),
        (
            'svg;div:attr__role="button"attr__data-testid="archive-chat"attr__id="rb2"',
            None,
            ("button", "archive chat"),
        ),
        ('button:attr__data-cy="ADD_TO_CART"', None, ("button", "add to cart")),
        ('button:attr__data-test-id="row-8213-removeItem"', None, ("button", "row remove item")),
        ('svg:attr__data-testid="DeleteIcon";button', None, ("button", "delete")),
        (
            'div:attr__data-attr="save-draft"attr__role="button"text="💾"',
            "💾",
            ("button", "save draft"),
        ),
        ('i:attr__class="fa fa-facebook-f";a', None, ("link", "facebook")),
        (
            'i:attr__class="fas fa-bell fa-fw";a:attr__role="button"text="3+"',
            None,
            ("button", "bell"),
        ),
        ('svg:attr__data-icon="trash";button', None, ("button", "trash")),
        ('use:attr__href="/sprite.svg#icon-cart";svg;button', None, ("button", "cart")),
        (
            'span:attr__class="material-icons"text="more_vert";button',
            "more_vert",
            ("button", "more vert"),
        ),
        (
            'span:attr__aria-hidden="true"text="cancel";i:attr__aria-label="Remove"'
            'attr__role="button"attr__class="material-icons"',
            "cancel",
            ("button", "Remove"),
        ),
        ('span:text="north";i:attr__aria-hidden="true";button', "north", ("button", "north")),
        ('span:attr__aria-hidden="true"text="×";a:attr__title="Close"', "×", ("link", "Close")),
        ('button:attr__id="sidebarToggle"', None, ("button", "sidebar toggle")),
        ('button:attr__class="btn close-modal"', None, ("button", "close modal")),
        ('span:text="€ 5";button:attr__data-testid="buy"', "€ 5", ("button", "€ 5")),
        # The word, by role before tag.
        ('a:attr__role="button"text="Menu"', None, ("button", "Menu")),
        ('button:attr__role="tab"text="Profile"', None, ("tab", "Profile")),
        ('div:attr__role="menuitem"text="Rename"', None, ("menu item", "Rename")),
        ('div:attr__role="menuitemcheckbox"text="Grid"', None, ("menu item", "Grid")),
        ('span:attr__role="radio"text="Express"', None, ("radio button", "Express")),
        ('input:attr__type="checkbox"attr__name="terms"', None, ("checkbox", "terms")),
        ('input:attr__class="form-check-input"attr__name="size"', None, ("radio button", "size")),
        ('input:attr__role="switch"attr__aria-label="Wi-Fi"', None, ("switch", "Wi-Fi")),
        ('input:attr__type="search"', None, ("search field", None)),
        ('summary:text="Shipping"', None, ("section", "Shipping")),
        ('div:attr__contenteditable="true"attr__aria-label="Note"', None, ("field", "Note")),
        # No control: never the name of a tag that only the code has.
        ("path;svg;div;body", None, ("image", None)),
        ("i;b;span;slot;div;body", None, (None, None)),
        ('i:attr__class="fa fa-copy";span:attr__title="Copy link"', None, (None, "Copy link")),
        ('td:text="Invoice"', None, ("cell", "Invoice")),
        ('th:attr__tabindex="0"text="Office"', None, ("column heading", "Office")),
        ('h3:attr__id="operations-tag-pet"', None, ("heading", "operations tag pet")),
        ('div:attr_id="menu"', None, (None, "menu")),
        ('div:attr__id="root"', None, (None, None)),
        # Web components: the shell names what is inside.
        ('slot;button;sl-button:attr__label="Settings"', None, ("button", "Settings")),
        ('div;sl-popup;div;div;sl-select:attr__label="Animal"', None, ("list", "Animal")),
        ('slot;label;div;sl-switch:attr__label="Wi-Fi"', None, ("switch", "Wi-Fi")),
        ("span;md-filled-button;body", None, ("button", None)),
        # Phones: React Native and iOS.
        ('Text:text="Pay";Text;View;TouchableOpacity;View', "Pay", ("button", "Pay")),
        ('View;Pressable:attr__testID="pay-now"', None, ("button", "pay now")),
        ('View;Pressable:attr__accessibilityLabel="Close"', None, ("button", "Close")),
        ('pay-button;pay-button:attr__ph-label="pay-button"', None, ("button", "pay button")),
        ('Checkout:attr__ph-label="Checkout"', None, (None, "checkout")),
        ('UIButton:text="Buy";UIView;UIWindow', None, ("button", "Buy")),
        ("UISwitch;UIView", None, ("switch", None)),
        ('UITextField:text="";UIView', None, ("field", None)),
        ('UITabBarButton:text="Home"', None, ("tab", "Home")),
        ('UILabel:text="Row 1";UITableViewCell;UITableView', None, ("item", "Row 1")),
    ],
)
def test_an_element_is_called_as_a_person_calls_it(
    chain: str | None, text: str | None, name: tuple[str | None, str | None]
) -> None:
    assert called(chain, text) == name


def test_an_option_is_part_of_its_list() -> None:
    chain = (
        'slot;div;sl-option:attr__role="option"attr__value="dog";'
        'sl-select:attr__label="Favourite animal"'
    )
    name = name_element(chain, None)
    assert (name.word, name.label, name.group) == ("option", "dog", "Favourite animal")


def test_what_has_no_name_is_placed_by_what_is_around_it() -> None:
    dialog = 'div:attr__role="dialog"attr__aria-label="Cookie settings"'
    assert name_element(f"svg;button;{dialog}", None).group == "Cookie settings"
    assert name_element("svg;button;header;body", None).landmark == "header"
    assert name_element('input;form:attr__action="/a/newsletter"', None).group == "newsletter"
    named = name_element(f'button:text="OK";{dialog}', None)
    assert (named.group, named.landmark) == (None, None)


@pytest.mark.parametrize(
    "made",
    [
        *(":r1:", "«r1»", "_R_1ab_", "radix-:ra:", "radix-«ra»", "radix-trigger"),
        *("x3", "rb2", "cb1", "q2", "td1", "tab2", "input-12", "headlessui-menu-button-7"),
        *("mui-123", "ember1234", "ext-gen1023", "yui_3_17_2_1_145", "react-select-2-input"),
        *("5f2a9c1e44", "01a22248-52eb-7045-a442-c119cd9dde8e", "cdk-overlay-7"),
        *("kjfhRtyQ", "aBcDeFgH", "__BVID__17", "__next", "deadbeef", "btn-xkqz", "user-row-8213"),
        *("button", "form", "input-field"),
    ],
)
def test_an_id_that_a_program_made_is_no_name(made: str) -> None:
    assert readable_id(made) is None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("sidebarToggle", "sidebar toggle"),
        ("checkout_form", "checkout form"),
        ("inputEmail4", "input email"),
        ("größe-wählen", "größe wählen"),
        ("選択", "選択"),
        ("nav", "nav"),
    ],
)
def test_an_id_that_people_made_is_shown_in_words(made: str, words: str) -> None:
    assert readable_id(made) == words


@given(
    st.one_of(
        st.integers(0, 10**6).map(lambda number: f":r{number:x}:"),
        st.uuids().map(str),
        st.integers(0, 10**9).map("x{}".format),
        st.integers(0, 10**9).map("mui-{}".format),
        st.binary(min_size=8, max_size=20).map(bytes.hex),
    )
)
def test_no_form_of_generated_id_names_anything(made: str) -> None:
    for key in ("attr__id", "attr_id", "attr__data-testid"):
        label = name_element(f'button:{key}="{made}"', None).label
        assert label is None or re.fullmatch("[a-f]{3,7}", label), label


def test_names_of_fields_may_be_short_and_numbered_but_not_random() -> None:
    assert not any(map(is_made_name, ("q", "address_1", "user[email]", "iso_a2")))
    assert all(map(is_made_name, (":r1:", "field_8f3a9c1e44", "«r2»")))


def test_what_is_private_in_an_id_does_not_become_words() -> None:
    for words_of in (readable, readable_id):
        assert "ann" not in (words_of("user-ann@shop.example") or "")
    assert readable("card-4111-1111-1111-1111") == "card"


def test_the_state_before_a_click_is_known_where_the_page_says_it() -> None:
    def state(chain: str) -> bool | None:
        return name_element(chain, None).is_checked

    assert state('button:attr__role="checkbox"attr__aria-checked="false"') is False
    assert state('input:attr__type="checkbox"attr__aria-checked="true"') is True
    assert state('input:attr__type="checkbox"attr__checked=""') is None
    assert state('button:attr__aria-checked="true"') is None


pieces = st.sampled_from(
    ["div", "span", "svg", "path", "button", "a", "label", "input", "form", "li", "my-tab", "View"]
)
values = st.sampled_from(["", "x3", ":r1:", "Save", "×", "true", "a b", "menu-item", "button", "q"])
keys = st.sampled_from(
    [
        "text",
        "attr__id",
        "attr__name",
        "attr__role",
        "attr__aria-label",
        "attr__data-testid",
        "attr__class",
        "attr__type",
        "attr__value",
        "attr__href",
        "attr__onclick",
        "attr__for",
    ]
)
elements = st.tuples(pieces, st.dictionaries(keys, values, max_size=4)).map(
    lambda one: f"{one[0]}:" + "".join(f'{key}="{value}"' for key, value in one[1].items())
)


@examples(max_examples=500)
@given(st.lists(elements, min_size=1, max_size=6).map(";".join))
@pytest.mark.slow
def test_no_chain_gives_a_generated_id_or_an_inner_tag(chain: str) -> None:
    name = name_element(chain, None)
    assert name.word not in {"div", "span", "svg", "path", "view"}
    made_of_text = re.search(r'(?:text|aria-label|value|name)="(?:x3|:r1:)"', chain)
    assert made_of_text or name.label not in {"x3", ":r1:"}


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_may_stand_in_a_chain(text: str, value: str) -> None:
    for key in ("text", "attr__data-testid", "attr__class", "attr__id", "attr__href"):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        name = name_element(f'button:{key}="{quoted}"', text)
        assert isinstance(name, ElementName)


def test_every_element_that_posthog_js_recorded_has_a_word_and_a_name() -> None:
    recorded = [json.loads(line)["properties"] for line in SAMPLE.read_text().splitlines()]
    chains = [found["$elements_chain"] for found in recorded if "$elements_chain" in found]
    assert chains
    for chain in chains:
        name = name_element(chain, None)
        assert name.word, chain
        # A form may have no name.
        assert name.label or name.word == "form", chain
