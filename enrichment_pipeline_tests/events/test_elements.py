"""The elements chain."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.events.controls import name_element
from enrichment_pipeline.events.elements import chain_from_list, parse_chain

BUTTON = 'button.btn.primary:attr__class="btn primary"attr__id="buy"nth-child="3"text="Buy now"'


def test_a_chain_is_read_element_by_element() -> None:
    first, second = parse_chain(f'{BUTTON};body:nth-child="2"')
    assert first.tag == "button"
    assert first.attributes["text"] == "Buy now"
    assert (second.tag, second.attributes) == ("body", {"nth-child": "2"})


def test_quotes_semicolons_colons_and_backslashes_in_a_text_are_text() -> None:
    text = 'say "hi"; a:b="c".d \\ end'
    chain = chain_from_list([{"tag_name": "p", "text": text}, {"tag_name": "body"}])
    assert chain is not None
    assert [element.tag for element in parse_chain(chain)] == ["p", "body"]
    assert parse_chain(chain)[0].attributes == {"text": text}


CLASSES = ["btn", "w-1.5", "hover:bg-x", "data-[state=open]:flex", "[&>a]:p-1", "[a:'b;c']"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"tag_name": st.from_regex(r"[a-z][a-z0-9-]*", fullmatch=True)},
            optional={
                "text": st.text(),
                "attr__name": st.text(),
                "attr__x-on:click.prevent": st.text(),
                "href": st.text(),
                "classes": st.lists(st.sampled_from(CLASSES) | st.text()),
            },
        ),
        min_size=1,
        max_size=4,
    )
)
@pytest.mark.slow
def test_every_list_of_elements_survives_the_way_through_a_chain(
    elements: list[dict[str, str]],
) -> None:
    chain = chain_from_list(elements)
    assert chain is not None
    for element in elements:
        element.pop("classes", None)
    read = [{"tag_name": element.tag, **element.attributes} for element in parse_chain(chain)]
    assert read == elements


@pytest.mark.parametrize(
    "classes",
    [
        ".hover:bg-blue.p-1",
        ".a:x.data-[state=open]:bg-a",
        ".data-[state=open]:bg-a.dark:b.w-1.5",
        ".[&>a]:p-1.before:content-['']",
    ],
)
def test_colons_and_equals_signs_in_class_names_do_not_hide_the_attributes(classes: str) -> None:
    chain = f'button{classes}:attr__aria-label="Buy; now"attr__class="x"nth-child="1";body'
    button, body = parse_chain(chain)
    assert button.attributes == {
        "attr__aria-label": "Buy; now",
        "attr__class": "x",
        "nth-child": "1",
    }
    assert body.tag == "body"


def test_an_element_of_classes_alone_does_not_borrow_the_attributes_of_the_next() -> None:
    span, button = parse_chain('span.md:flex;button:text="Buy"')
    assert (span.tag, span.attributes) == ("span", {})
    assert button.attributes == {"text": "Buy"}


def test_names_that_no_chain_can_hold_cost_themselves_alone() -> None:
    element = {"tag_name": "p", "": "1", "=b": "2", 'c"': "3", "d;": "4", "text": "T"}
    chain = chain_from_list([element, {"tag_name": "body"}])
    assert chain == 'p:text="T";body:'


def test_a_backslash_that_escapes_nothing_is_part_of_the_text() -> None:
    (element,) = parse_chain(r'p:text="C:\temp \"x\" \\"')
    assert element.attributes == {"text": 'C:\\temp "x" \\'}


def test_a_chain_that_was_cut_off_in_a_text_ends_before_it() -> None:
    (element,) = parse_chain('a:attr__id="go"text="Read on; div:text=')
    assert (element.tag, element.attributes) == ("a", {"attr__id": "go"})


@pytest.mark.parametrize("part", ["a:;", "a:b", ";", ":", ".", 'a:"', 'a:b="', '="', '\\"'])
def test_no_chain_takes_long(part: str) -> None:
    chain = part * 10_000
    started = time.process_time()
    for start in ("", 'a:x="'):
        parse_chain(start + chain)
    # In milliseconds; read in quadratic time, the worst of them takes several seconds.
    assert time.process_time() - started < 2


@given(st.text(alphabet=st.sampled_from('ab.:;="\\ \n') | st.characters()))
def test_no_text_is_too_broken_to_be_read_as_a_chain(chain: str) -> None:
    parse_chain(chain)
    name_element(chain, None)


@given(
    st.none()
    | st.text()
    | st.lists(st.none() | st.integers() | st.dictionaries(st.text(), st.text() | st.integers()))
)
def test_whatever_stands_where_the_elements_should_is_no_error(elements: object) -> None:
    chain_from_list(elements)
