"""A made-up web application with thousands of pages and elements, for generated traffic.

Here belongs what there is to visit, how popular it is, and what its URLs and elements look like.
Who visits it when belongs to `generate`.
"""

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from enrichment_pipeline.ingest.sample.chains import chain_element

HOST = "app.example"

_PAGES = 2_000
_OWN_ELEMENTS = 2
_SHARED_ELEMENTS = 12
ELEMENTS_OF_A_PAGE = _OWN_ELEMENTS + _SHARED_ELEMENTS
_CUSTOM_NAMES = 300
CUSTOM_NAMES_OF_A_PAGE = 3


def _words(text: str) -> list[str]:
    return text.split()


_SECTIONS = ("docs", "blog", "products", "projects", "settings", "help", "reports", "teams")
_WORDS = _words(
    "account alert archive audience billing board budget calendar campaign catalogue channel chart "
    "client cohort contract customer dashboard delivery export feature filter folder forecast goal "
    "history import inbox invoice label license member message metric order payment pipeline plan "
    "policy profile quota receipt refund release report role schedule segment survey task template "
    "ticket timeline token tour trial usage video webhook workspace"
)
_VERBS = _words(
    "created opened viewed deleted shared exported clicked selected submitted completed finished "
    "started applied archived renamed"
)
_LABELS = ("Save", "Open", "Delete", "Share", "Export", "Edit", "Add", "Show more of", "Compare")
_CLASSES = _words(
    "flex items-center gap-2 px-4 py-2 rounded-md text-sm font-medium btn btn-primary "
    "btn-secondary card grid col-span-2 shadow-sm border hover:bg-accent w-full mt-4 mb-2 truncate"
)
_TAGS = ("button", "a", "button", "a", "div", "span", "input", "select", "form")
_KINDS = {"input": "change", "select": "change", "form": "submit"}


class Element(NamedTuple):
    """Something to act on: `kind` is the `$event_type` (click, change, submit) of acting on it."""

    kind: str
    text: str | None
    chain: str


class Page(NamedTuple):
    """A page with the elements and the custom events that occur on it, the likeliest first."""

    path: str
    title: str
    elements: Sequence[Element]
    custom_names: Sequence[str]


def zipf(count: int) -> Sequence[float]:
    """Cumulative weights for `random.choices`: the n-th thing is n times as rare as the first."""
    return list(accumulate(1 / rank for rank in range(1, count + 1)))


def make_website(rng: random.Random) -> list[Page]:
    """The pages of a website, the most popular first; about 4,000 elements and 300 custom names."""
    names = [f"{noun}_{verb}" for noun in _WORDS for verb in _VERBS]
    custom_names = rng.sample(names, _CUSTOM_NAMES)
    popularity = zipf(_CUSTOM_NAMES)
    navigation = [_element(rng, "a", ["nav", "header"]) for _ in range(_SHARED_ELEMENTS)]
    pages = []
    for number in range(_PAGES):
        own = [_element(rng, rng.choice(_TAGS), ["section", "main"]) for _ in range(_OWN_ELEMENTS)]
        page_names = rng.choices(custom_names, cum_weights=popularity, k=CUSTOM_NAMES_OF_A_PAGE)
        pages.append(_page(rng, number, [*own, *navigation], page_names))
    return pages


def unique_url(rng: random.Random, path: str) -> tuple[str, str]:
    """A path and a URL that occur once: ids in the path, or a query behind `path`."""
    token = f"{rng.getrandbits(64):016x}"
    if rng.random() < 0.5:
        path = f"/users/{rng.randrange(10**6)}/orders/{token}"
        return path, f"https://{HOST}{path}"
    return path, f"https://{HOST}{path}?q={rng.choice(_WORDS)}&ref={token}"


def _page(
    rng: random.Random, number: int, elements: Sequence[Element], custom_names: Sequence[str]
) -> Page:
    section = rng.choice(_SECTIONS)
    first, second = rng.sample(_WORDS, 2)
    path = f"/{section}/{first}-{second}-p{number}"
    return Page(path, f"{first} {second}".capitalize(), elements, custom_names)


def _element(rng: random.Random, tag: str, landmarks: Sequence[str]) -> Element:
    kind = _KINDS.get(tag, "click")
    name = f"{rng.choice(_WORDS)}-{rng.choice(_WORDS)}-{rng.randrange(1000)}"
    attributes = {"class": _classes(rng), "data-attr": name}
    if tag == "a":
        attributes["href"] = f"/{name.replace('-', '/')}"
    if rng.random() < 0.4:
        attributes["id"] = name
    text = f"{rng.choice(_LABELS)} {rng.choice(_WORDS)}" if kind == "click" else None
    chain = [chain_element(tag, text, attributes, rng.randrange(1, 9))]
    if rng.random() < 0.5:
        chain.append(chain_element("div", None, {"class": _classes(rng)}, rng.randrange(1, 5)))
    chain += [chain_element(landmark) for landmark in (*landmarks, "body")]
    return Element(kind, text, ";".join(chain))


def _classes(rng: random.Random) -> str:
    return " ".join(rng.sample(_CLASSES, rng.randrange(1, 5)))
