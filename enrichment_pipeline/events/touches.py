"""Which control an event of the page is about, and what was done to it, as a few short words.

Signals need it: whether a form was filled in depends on what a field is, not on what a sentence
calls it. Naming an element for people belongs to `elements`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from enrichment_pipeline.events.elements import Element, parse_chain
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.events.words import words_of

_EVENTS = frozenset({"$autocapture", "$rageclick", "$dead_click"})
# By `$event_type`, where that is no click; also those of phones.
_ACTS = {
    **dict.fromkeys(("change", "toggle", "value_change"), "change"),
    **dict.fromkeys(("swipe", "scroll", "pan", "pinch", "rotation"), "gesture"),
    **dict.fromkeys(("copy", "cut", "paste"), "gesture"),
    "submit": "submit",
}

TYPED = "text"
SEARCH = "search"
CHOICE = "choice"
SELECT = "select"
LABEL = "label"
SUBMIT = "submit"
SEND = "send"
NEXT = "next"
REPEAT = "repeat"
SURFACE = "surface"
AWAY = "away"
BUTTON = "button"
PLAIN = "plain"
FORM = "form"
UNKNOWN = "unknown"


class Touch(NamedTuple):
    """What was touched, and how."""

    act: str
    """`click`, `change`, `submit`, or `gesture`: any other."""
    kind: str
    """`text` (typed into), `search` (typed into, to find or filter), `choice` (checkbox, radio
    button, slider, colour, …), `select`, `label`; `submit` (sends its form), `send` (another button
    whose name says that it sends), `next` (goes to the next step), `repeat` (is pressed several
    times on purpose: stepper, carousel, keypad, …), `surface` (a canvas, a film), `away` (opens
    something outside of the page), `button` (any other button, link, tab, …); `plain` (no control),
    `form`, `unknown`."""
    element: str
    """The same for the same element of a page; a label has that of its field."""
    form: str | None = None
    """The same for the same form of a page; with a `-` in front if the form has no name of its own.
    With a `~` in front, outside of a form, the same for what stands close together; None for what
    stands alone."""

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


@lru_cache(maxsize=8_192)
def read_touch(written: str | None) -> Touch | None:
    """The control of a column; None if the event has none, or is of an older version."""
    parts = written.split(" ") if written else []
    return Touch(*parts) if len(parts) in (3, 4) else None


_TAGS = frozenset({"a", "button", "input", "label", "option", "select", "summary", "textarea"})
_ROLES = {
    **dict.fromkeys(("button", "link", "tab", "menuitem", "option", "treeitem"), BUTTON),
    **dict.fromkeys(("checkbox", "radio", "switch", "slider", "menuitemcheckbox"), CHOICE),
    **dict.fromkeys(("menuitemradio", "gridcell"), CHOICE),
    **dict.fromkeys(("spinbutton", "scrollbar"), REPEAT),
    "textbox": TYPED,
    "searchbox": SEARCH,
    "combobox": SELECT,
    "listbox": SELECT,
}
_TYPES = {
    **dict.fromkeys(("text", "email", "password", "tel", "url", "number", ""), TYPED),
    **dict.fromkeys(("submit", "image"), SUBMIT),
    **dict.fromkeys(("button", "reset"), BUTTON),
    "search": SEARCH,
}
# What posthog-js calls no rage, and what else is pressed again and again. Drawn surfaces get clicks
# at any place.
_SURFACES = frozenset({"canvas", "video", "audio", "embed", "object"})

# Names of elements, classes and labels are compared by whole words.


def _set(*words: str) -> frozenset[str]:
    return frozenset(" ".join(words).split())


_FIND = _set(
    "search searchbar searchbox searchfield searchform searchinput searchterm finder lookup",
    "filter filters filtering filterable typeahead autocomplete autosuggest navsearch",
    "suche suchen suchbegriff recherche rechercher chercher buscar busca busqueda búsqueda cerca",
    "ricerca zoek zoeken szukaj sök søg søk hae ara поиск найти искать 検索 搜索 搜尋 查找 검색",
    "filtern filtre filtres filtrer filtro filtros filtrar filtra filtrer фильтр 絞り込み 筛选",
)
_EXACT_NAMES = ("attr__name", "attr__id", "attr__aria-label", "attr__placeholder")
_FIND_AS_NAME = frozenset({"q", "s", "query", "find", "keyword", "keywords", "term"})
_ADJUSTS = _set(
    "color colour colorpicker swatch range slider radio checkbox switch rating stepper",
)
# posthog-js sends no type of a radio button; Bootstrap has classes for it.
_CLASSES_OF_CHOICES = frozenset({"form-check-input", "custom-control-input", "btn-check"})
_ADJUSTS_AS_NAME = _set("volume brightness contrast opacity qty quantity menge cantidad page")
_SENDS = _set(
    "send submit save continue proceed register subscribe pay order buy checkout apply confirm",
    "create update post publish join book reserve request done finish login signin signup",
    "authorize donate reply comment invite upload verify",
    "senden absenden speichern weiter registrieren bestellen kaufen bezahlen bestätigen anmelden",
    "envoyer enregistrer continuer inscrire payer commander acheter valider confirmer connexion",
    "enviar guardar continuar registrarse pagar comprar confirmar salvar finalizar entrar",
    "invia salva continua acquista conferma registrati accedi verzenden opslaan verder",
    "wyślij zapisz отправить сохранить продолжить оформить купить войти оплатить",
    "送信 登録 保存 購入 確認 提交 保存 注册 登录 购买 支付 확인 저장 제출 등록",
)
_SEND_PHRASES = ("sign up", "sign in", "log in", "check out", "get started", "place order")
# posthog-js leaves out what has one of these words too.
_NEXT = _set(
    "next nächste nächster nächstes nächsten suivant suivante siguiente próximo próxima avanti",
    "successivo volgende następny nästa neste næste seuraava sonraki",
    "далее следующий 次へ 下一步 下一页 다음",
)
_PREVIOUS = _set(
    "previous prev vorherige vorheriger vorheriges vorherigen précédent précédente anterior",
    "precedente",
    "vorige poprzedni föregående forrige назад предыдущий 前へ 上一页 上一步 이전 戻る",
)
_AGAIN = _set(
    "plus minus increase decrease increment decrement incrementer decrementer",
    "zoom undo redo forward rewind skip louder quieter lauter leiser bigger smaller newer older",
    "faster slower",
    "backspace carousel stepper spinner pager pagination paginate paginator keypad numpad dialpad",
    "pinpad keyboard slick swiper splide glide flickity arrow arrows chevron quantity qty",
    "erhöhen verringern augmenter diminuer aumentar disminuir reducir",
    "slide slider spin roll dice scroll shuffle",
)
_BESIDE_AGAIN = _set(
    "menge quantité cantidad quantità antal",
    "by one in out up down left right to the a item page image photo 10 15 30 s",
)
_AROUND = _set(
    "stepper spinner pager pagination paginate paginator keypad numpad dialpad pinpad keyboard",
    "calculator carousel slick swiper splide glide flickity slider quantity qty counter zoom",
    "piano drum player game board calendar datepicker",
)
# Signs of steppers, carousels and calculators; the last ones are a minus, dashes, arrows.
_SIGNS = frozenset(
    "+-<>=*#/.,\u2212\u2013\u2012\u2190\u2191\u2192\u2193\u2039\u203a\xab\xbb\xd7\xf7\u25b6\u25c0\u25b2\u25bc"
    "\u276f\u276e\u23f5\u23f4\u23ed\u23ee\u23e9\u23ea\u232b"
)
_CLOSE = frozenset("xX")
_FORM_WORDS = _set(
    "form signup register registration login signin checkout contact payment billing shipping",
    "address subscribe newsletter modal dialog wizard",
)
_FORM_PARTS = _set(
    "container wrapper card box panel section view content body inner root sign up in"
)
_WHOLE_PAGE = frozenset({"html", "body", "main"})
_GROUP = 3
_FAR = 4
"""So many ancestors say what a control without a word is part of."""


def touch_of(inputs: EnrichmentInput) -> Touch | None:
    """What an event of the page touched; None for other events."""
    if inputs.event not in _EVENTS:
        return None
    is_click = inputs.event != "$autocapture"
    act = "click" if is_click else _ACTS.get(inputs.sub_type or "", "click")
    return _touch(act, inputs.elements_chain or "", inputs.element_text or "")


# As `controls.name_element`.
@lru_cache(maxsize=256)
def _touch(act: str, elements_chain: str, element_text: str) -> Touch:
    chain = parse_chain(elements_chain)
    if not chain:
        return Touch(act, UNKNOWN, _digest([element_text]))
    at = next((at for at, one in enumerate(chain) if _is_control(one)), 0)
    where = next((at for at, one in enumerate(chain) if one.tag == "form"), None)
    form = _group_key(chain, at) if where is None else _form_key(chain[where:])
    if act == "submit":
        return Touch(act, FORM, form or _element_key(chain, 0), form)
    kind = _kind(chain, at, None if where is None else chain[where])
    return Touch(act, kind, _element_key(chain, at), form)


def _is_control(element: Element) -> bool:
    get = element.attributes.get
    return (
        element.tag in _TAGS
        or element.tag in _SURFACES
        or get("attr__role", "").lower() in _ROLES
        or get("attr__contenteditable") in ("", "true", "plaintext-only")
    )


def _kind(chain: Sequence[Element], at: int, form: Element | None) -> str:
    control = chain[at]
    if _is_sorter(control):
        return REPEAT
    if not _is_control(control):
        return PLAIN
    if control.tag == "label":
        return LABEL
    if control.tag in _SURFACES:
        return SURFACE
    role = _ROLES.get(control.attributes.get("attr__role", "").lower())
    kind = _kind_of_tag(control, form) or role or TYPED
    if kind in (TYPED, SELECT, SEARCH):
        return _kind_of_field(kind, chain, at, form)
    if kind in (CHOICE, REPEAT, AWAY):
        return kind
    return _kind_of_button(kind, chain, at)


def _is_sorter(element: Element) -> bool:
    """Whether it is the head of a column, which sorts in one direction and then in the other."""
    is_head = element.tag == "th" or element.attributes.get("attr__role") == "columnheader"
    return is_head or "attr__aria-sort" in element.attributes


def _kind_of_tag(control: Element, form: Element | None) -> str | None:
    get = control.attributes.get
    if control.tag == "select":
        return SELECT
    if control.tag == "textarea":
        return TYPED
    if control.tag == "input":
        role = _ROLES.get(get("attr__role", "").lower())
        return role or _TYPES.get(get("attr__type", "").lower(), CHOICE)
    if control.tag == "button":
        is_submit = get("attr__type", "submit").lower() == "submit"
        role = _ROLES.get(get("attr__role", "").lower())
        return role if role == CHOICE else SUBMIT if form is not None and is_submit else BUTTON
    if control.tag == "a":
        return _kind_of_link(control)
    return BUTTON if control.tag in _TAGS else None


def _kind_of_link(link: Element) -> str:
    get = link.attributes.get
    address = (get("attr__href") or get("href") or "").strip().lower()
    scheme = address.partition(":")[0]
    leaves = scheme in ("mailto", "tel", "sms", "callto", "facetime", "whatsapp", "data", "blob")
    is_away = leaves or get("attr__target") == "_blank" or "attr__download" in link.attributes
    return AWAY if is_away else BUTTON


def _leads_elsewhere(link: Element) -> bool:
    address = link.attributes.get("attr__href") or link.attributes.get("href") or ""
    return link.tag == "a" and not address.startswith(("#", "javascript:")) and address != ""


def _kind_of_field(kind: str, chain: Sequence[Element], at: int, form: Element | None) -> str:
    control = chain[at]
    if kind == SELECT or control.tag == "textarea":
        return kind
    own = _words_of(control)
    near = own.union(*(_words_of(one) for one in chain[at + 1 : at + 1 + _FAR]))
    names = {control.attributes.get(name, "").casefold() for name in _EXACT_NAMES}
    # The words of a label, but not those of all that stands around a field.
    labels = [one for one in chain[at + 1 : at + 1 + _FAR] if one.tag == "label"]
    near = near.union(*(words_of(one.attributes.get("text", "")) for one in labels))
    if (
        kind == SEARCH
        or _FIND & near
        or not _FIND_AS_NAME.isdisjoint(names)
        or (form and _is_search(form))
    ):
        return SEARCH
    classes = control.attributes.get("attr__class", "").split()
    if not _CLASSES_OF_CHOICES.isdisjoint(classes):
        return CHOICE
    return CHOICE if _ADJUSTS & own or _ADJUSTS_AS_NAME & names else kind


def _is_search(form: Element) -> bool:
    return bool(_FIND & _words_of(form))


def _kind_of_button(kind: str, chain: Sequence[Element], at: int) -> str:
    label = _label(chain[: at + 1])
    words = frozenset(words_of(label))
    if _NEXT & words:
        return NEXT
    if _PREVIOUS & words or (_AGAIN & words and words <= _AGAIN | _BESIDE_AGAIN):
        return REPEAT
    if label and (set(label) <= _SIGNS or label.isdecimal() or _is_key(label)):
        return REPEAT
    if not label and _is_part_of_repeated(chain, at):
        return REPEAT
    if kind == SUBMIT:
        return SUBMIT
    if _leads_elsewhere(chain[at]):
        return kind
    folded = label.casefold()
    sends = _SENDS & words or any(phrase in folded for phrase in _SEND_PHRASES)
    return SEND if sends else kind


def _is_key(label: str) -> bool:
    return len(label) == 1 and label.isalpha() and label not in _CLOSE


def _is_part_of_repeated(chain: Sequence[Element], at: int) -> bool:
    own = _words_of(chain[at]).union(*(_words_of(one) for one in chain[:at]))
    around = (_words_of(one) for one in chain[at + 1 : at + 1 + _FAR])
    return bool((_AGAIN | _NEXT | _PREVIOUS) & own or any(_AROUND & words for words in around))


def _label(elements: Iterable[Element]) -> str:
    """The first text, or name for people, among these elements, the innermost first."""
    for element in elements:
        get = element.attributes.get
        for name in ("text", "attr__aria-label", "attr__title", "attr__alt", "attr__value"):
            if found := get(name, "").strip():
                return found
    return ""


_NAMES = (
    *("attr__id", "attr__name", "attr__aria-label", "attr__class", "attr__placeholder"),
    *("attr__role", "attr__data-testid", "attr__data-test", "attr__action", "attr__title"),
)


def _words_of(element: Element) -> frozenset[str]:
    get = element.attributes.get
    return frozenset(words_of(" ".join([get(name, "") for name in _NAMES])))


def _element_key(chain: Sequence[Element], at: int) -> str:
    """A label and its field have one key: the id that the label names, or the label's place."""
    control = chain[at]
    if control.tag == "label":
        named = control.attributes.get("attr__for")
        return _digest([f"#{named}"]) if named else _place(chain[at:])
    if control.tag in ("input", "select", "textarea"):
        for outer, element in enumerate(chain[at + 1 : at + 1 + _FAR], start=at + 1):
            if element.tag == "label":
                return _element_key(chain, outer)
    own = control.attributes.get("attr__id")
    return _digest([f"#{own}"]) if own else _place(chain[at:])


def _form_key(chain: Sequence[Element]) -> str:
    """Its own name, or that of what it stands in: its place may move while it is filled in, and
    its classes change."""
    get = chain[0].attributes.get
    if name := get("attr__id") or get("attr__name") or get("attr__action"):
        return _digest([name])
    return "-" + _digest(f"{one.tag}#{one.attributes.get('attr__id', '')}" for one in chain)


def _group_key(chain: Sequence[Element], at: int) -> str | None:
    """Many pages have fields that belong together without a form around them."""
    named = next((at for at, one in enumerate(chain) if _is_like_form(one)), None)
    if named is not None:
        return _form_key(chain[named:])
    inner = [one for one in chain if one.tag not in _WHOLE_PAGE]
    outer = min(at + _GROUP, len(inner) - 1)
    return f"~{_place(inner[outer:])}" if outer > at else None


def _is_like_form(element: Element) -> bool:
    get = element.attributes.get
    if element.tag in ("fieldset", "dialog") or get("attr__role") in ("form", "dialog"):
        return True
    names = f"{get('attr__class', '')} {get('attr__id', '')}".split()
    return any(
        not _FORM_WORDS.isdisjoint(words) and words <= _FORM_WORDS | _FORM_PARTS
        for words in (frozenset(words_of(name)) for name in names)
    )


def _place(chain: Sequence[Element]) -> str:
    return _digest(
        f"{one.tag}{one.attributes.get('nth-child') or one.attributes.get('nth_child') or ''}"
        for one in chain
    )


def _digest(parts: Iterable[str]) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()
