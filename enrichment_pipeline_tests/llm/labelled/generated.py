"""Sessions of people who do not exist, from a seed: who does what is known, and so is what somebody
who watches would name.

Some parts are for tuning (`dev`); the sites, words and habits of the others (`held`) were written
at the same time and never looked at while the detector was made.
"""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from enrichment_pipeline.ingest.sample.chains import chain_element


class Made(NamedTuple):
    """An event: seconds after the start, name, `$event_type`, page, elements chain."""

    at: float
    event: str
    sub_type: str | None
    page: str
    chain: str


class Labelled(NamedTuple):
    """A session, and the signals that are in it."""

    name: str
    part: str
    signals: frozenset[str]
    events: list[Made]


class Kit(NamedTuple):
    """How a site writes its pages."""

    form: str
    """Attributes of forms: `id`, `class`, `action`; empty: there are no forms."""
    field_class: str
    ids: bool
    """Whether fields have ids and names, or those of a machine."""
    button: str
    """`button` or `div`."""
    depth: int
    labels: tuple[tuple[str, ...], ...]
    """Words for: fields, senders, others, search fields, next, choices."""


_ENGLISH = (
    ("email", "full_name", "street", "city", "phone", "message", "company", "card holder"),
    ("Sign up", "Send message", "Place order", "Save", "Continue", "Subscribe"),
    ("Show details", "Add to cart", "Compare", "Learn more", "Show in 3D", "Apply", "Export"),
    ("Search", "search products", "Filter by name", "q"),
    ("Next", "Next slide", "Previous", "+", "\u2212", "\u203a", "3"),
    ("In stock", "Red", "Remember me", "Dark mode", "Select all", "Newsletter"),
)
_GERMAN = (
    ("vorname", "nachname", "strasse", "ort", "telefon", "nachricht", "firma", "iban"),
    ("Absenden", "Jetzt bestellen", "Speichern", "Weiter", "Registrieren"),
    ("Mehr erfahren", "In den Warenkorb", "Vergleichen", "Herunterladen", "Anzeigen"),
    ("Suchen", "Suchbegriff", "Filtern", "suche"),
    ("Weiter zum n\u00e4chsten Bild", "Vorheriges", "+", "-", "\u276f", "7", "Lauter"),
    ("Auf Lager", "Rot", "Angemeldet bleiben", "Dunkel", "Alle", "AGB"),
)
_FRENCH = (
    ("prenom", "nom", "adresse", "ville", "telephone", "message", "societe", "titulaire"),
    ("Envoyer", "Commander", "Enregistrer", "S'inscrire", "Valider"),
    ("En savoir plus", "Ajouter au panier", "Comparer", "T\u00e9l\u00e9charger", "Afficher"),
    ("Rechercher", "recherche", "Filtrer", "Filtre par nom"),
    ("Suivant", "Pr\u00e9c\u00e9dent", "+", "\u2013", "\u00bb", "0", "Augmenter"),
    ("En stock", "Rouge", "Se souvenir", "Sombre", "Tout", "CGV"),
)
_KITS = {
    "dev": (
        Kit("id", "form-control", True, "button", 4, _ENGLISH),
        Kit("class", "input", False, "button", 7, _ENGLISH),
        Kit("", "field-input", True, "button", 5, _ENGLISH),
        Kit("action", "form-control", True, "button", 3, _GERMAN),
    ),
    "held": (
        Kit("id", "mat-input-element", False, "button", 9, _FRENCH),
        Kit("", "px-3 py-2 border", False, "div", 6, _GERMAN),
        Kit("class", "ant-input", True, "button", 8, _ENGLISH),
        Kit("none", "el-input__inner", False, "button", 5, _FRENCH),
    ),
}
_FAILURES = {
    "dev": (
        *("Coupon Denied", "request_timed_out", "order_rejected", "paymentFailed", "API Error"),
        *("card_declined", "login_failed", "upload error shown", "checkout_validation_failed"),
        *("app_crashed", "invalid_password_entered", "error_message_viewed"),
    ),
    "held": (
        *("Transaction Rejected", "loginTimeout", "voucher_invalid", "sync.failure"),
        *("Payment was declined", "page not found", "CheckoutCrashed", "import_errored"),
        *("request aborted", "network_error_occurred", "access_denied", "save_unsuccessful_error"),
    ),
}
_NO_FAILURES = {
    "dev": (
        *("crash_course_started", "0 errors found", "no_errors", "cookies_declined", "failover"),
        *("error_log_opened", "view_errors", "trial_and_error_read", "offer_rejected"),
        *("crash_test_viewed", "errors_tab_clicked", "error_report_exported", "failsafe_enabled"),
    ),
    "held": (
        *("crash_landing_game_won", "zero failures", "consent_denied", "notification_rejected"),
        *("error_rate_viewed", "open error dashboard", "without_errors_finished", "faillist"),
        *("invite_declined", "failed_jobs_retried", "error_resolved", "exception_list_viewed"),
    ),
}
_DONE = {
    "dev": ("signup_completed", "order placed", "message_sent", "Subscription Purchased"),
    "held": ("form_submitted", "checkoutFinished", "booking confirmed", "account_created"),
}
_HARMLESS = ("product_viewed", "video_played", "tab_opened", "menu_opened", "faq_read")
_PAGES = ("/", "/products", "/cart", "/account", "/help", "/pricing", "/contact", "/checkout")


class _Writer:
    """Writes one session."""

    def __init__(self, kit: Kit, part: str, rng: random.Random) -> None:
        self.kit, self.part, self.rng = kit, part, rng
        self.events: list[Made] = []
        self.at = 0.0
        self.page = "/"
        self._around = [
            chain_element("div", attributes={"class": f"w{level}"}, nth=rng.randrange(1, 9))
            for level in range(kit.depth)
        ]
        self._body = chain_element("body", nth=2)

    def wait(self, least: float = 1.0, most: float = 12.0) -> None:
        self.at += self.rng.uniform(least, most)

    def say(self, event: str, sub_type: str | None = None, chain: str = "", off: float = 0) -> None:
        self.events.append(Made(self.at + off, event, sub_type, self.page, chain))

    def view(self, page: str | None = None) -> None:
        self.page = page or self.rng.choice([one for one in _PAGES if one != self.page])
        self.say("$pageview")
        self.wait()

    def chain(self, *inner: str, form: str = "") -> str:
        return ";".join([*inner, *([form] if form else []), *self._around, self._body])

    def form(self, name: str) -> str:
        kit = self.kit.form
        if not kit:
            return ""
        given = {"id": {"id": name}, "class": {"class": f"{name}-form"}, "none": {}}
        return chain_element("form", attributes=given.get(kit, {"action": f"/{name}"}), nth=3)

    def words(self, which: int) -> str:
        return self.rng.choice(self.kit.labels[which])

    def field(self, name: str, form: str, number: int = 1, tag: str = "input") -> str:
        own = {"id": name, "name": name} if self.kit.ids else {"id": f":r{number}:"}
        own["class"] = self.kit.field_class
        field = chain_element(tag, attributes=own, nth=1)
        wrapper = chain_element("div", attributes={"class": "row"}, nth=number)
        return self.chain(field, wrapper, form=form)

    def button(self, text: str, form: str = "", **attributes: str) -> str:
        if self.kit.button == "div":
            attributes = {"role": "button", "tabindex": "0", **attributes}
        return self.chain(
            chain_element(self.kit.button, text, attributes, self.rng.randrange(1, 9)), form=form
        )

    def type_into(self, chain: str) -> None:
        if self.rng.random() < 0.7:
            self.say("$autocapture", "click", chain)
            self.wait(1.5, 6)
        self.say("$autocapture", "change", chain)
        self.wait(0.4, 5)

    def press(self, chain: str) -> None:
        self.say("$autocapture", "click", chain)
        self.wait(0.3, 4)

    def hammer(self, chain: str, times: int, rage_at: int | None = 3) -> None:
        for number in range(1, times + 1):
            self.say("$autocapture", "click", chain)
            if number == rage_at:
                self.say("$rageclick", "click", chain, off=self.rng.uniform(-0.3, 0.3))
            self.at += self.rng.uniform(0.12, 0.45)
        self.wait()

    def dead(self, chain: str) -> None:
        self.say("$autocapture", "click", chain)
        # Sent later, in another request: its time is corrected by another delay.
        self.say("$dead_click", "click", chain, off=self.rng.uniform(-2.5, 2.5))
        self.wait(4, 9)

    def tick(self, text: str, number: int, *, is_radio: bool = False) -> None:
        own = {"id": f"c{number}", "name": f"c{number}"}
        if not is_radio:
            own["type"] = "checkbox"
        box = self.chain(chain_element("input", attributes=own, nth=1))
        if self.rng.random() < 0.6:
            label = chain_element("label", text, {"for": f"c{number}"}, 2)
            self.say("$autocapture", "click", self.chain(label))
            self.at += 0.004
        self.say("$autocapture", "click", box)
        self.at += 0.003
        self.say("$autocapture", "change", box)
        self.wait(0.8, 4)


Deed = Callable[[_Writer], None]


def _fill(to: _Writer, name: str, fields: int) -> str:
    form = to.form(name)
    names = to.rng.sample(to.kit.labels[0], fields)
    for number, one in enumerate(names, start=1):
        to.type_into(to.field(one, form, number))
    return form


def _sends_a_form(to: _Writer) -> None:
    form = _fill(to, to.rng.choice(("signup", "contact", "checkout")), to.rng.randrange(2, 5))
    to.press(to.button(to.words(1), form, type="submit"))
    if form:
        to.say("$autocapture", "submit", to.chain(form))
    if to.rng.random() < 0.5:
        to.view()


def _is_done_without_submit(to: _Writer) -> None:
    _fill(to, "order", 2)
    to.say(to.rng.choice(_DONE[to.part]))
    to.wait()


def _signs_in(to: _Writer) -> None:
    _fill(to, "login", 2)
    to.say("$identify")
    to.wait()


def _leaves_a_form(to: _Writer) -> None:
    _fill(to, to.rng.choice(("signup", "contact", "checkout")), to.rng.randrange(2, 5))
    to.view()


def _fails_validation(to: _Writer) -> None:
    form = _fill(to, "contact", 2)
    if form:
        to.press(to.button(to.words(1), form, type="submit"))
    to.view()


def _searches(to: _Writer) -> None:
    word = to.words(3)
    field = chain_element("input", attributes={"aria-label": word, "class": to.kit.field_class})
    to.type_into(to.chain(field, chain_element("div"), form=to.form("header")))
    if to.rng.random() < 0.5:
        to.view("/products")


def _filters(to: _Writer) -> None:
    box = chain_element("div", attributes={"class": "filters"}, nth=2)
    for number in (1, 2):
        field = chain_element("input", attributes={"class": to.kit.field_class}, nth=number)
        to.type_into(to.chain(field, chain_element("div", nth=number), box))
    to.tick(to.words(5), 1)


def _ticks(to: _Writer) -> None:
    for number in range(to.rng.randrange(2, 6)):
        to.tick(to.words(5), number)


def _chooses(to: _Writer) -> None:
    for number in range(3):
        to.tick(to.words(5), number, is_radio=True)


def _selects(to: _Writer) -> None:
    select = to.chain(chain_element("select", attributes={"name": "sort"}, nth=2))
    to.press(select)
    to.say("$autocapture", "change", select)
    to.wait()


def _writes_a_note(to: _Writer) -> None:
    note = chain_element("textarea", attributes={"class": "note"}, nth=1)
    to.type_into(to.chain(note))


def _goes_on_quickly(to: _Writer) -> None:
    text = to.words(4)
    to.hammer(to.button(text, type="button"), to.rng.randrange(4, 9))


def _slides_with_an_icon(to: _Writer) -> None:
    icon = chain_element("i", attributes={"class": "fa fa-chevron-right"})
    arrow = chain_element(to.kit.button, "", {"class": "slick-arrow", "role": "button"}, 2)
    to.hammer(to.chain(icon, arrow), 5)


def _selects_text(to: _Writer) -> None:
    field = to.field(to.words(0), to.form("contact"), 1)
    to.hammer(field, to.rng.randrange(3, 6))


def _rages(to: _Writer) -> None:
    to.hammer(to.button(to.words(2), type="button"), to.rng.randrange(4, 10))


def _rages_slowly(to: _Writer) -> None:
    """Four clicks within three seconds, which posthog-js does not report."""
    chain = to.button(to.words(2), type="button")
    for _ in range(5):
        to.say("$autocapture", "click", chain)
        to.at += to.rng.uniform(0.5, 0.72)
    to.wait()


def _rages_on_what_is_dead(to: _Writer) -> None:
    chain = to.button(to.words(2), type="button")
    start = to.at
    to.hammer(chain, 6)
    to.events.append(Made(start + to.rng.uniform(-1, 2), "$dead_click", "click", to.page, chain))


def _clicks_what_is_dead(to: _Writer) -> None:
    to.dead(to.button(to.words(2), type="button"))


def _clicks_a_dead_picture(to: _Writer) -> None:
    to.dead(to.chain(chain_element("img", attributes={"alt": "Offer"}, nth=1)))


def _opens_what_is_native(to: _Writer) -> None:
    chain = to.rng.choice(
        (
            to.chain(chain_element("select", attributes={"name": "country"}, nth=2)),
            to.chain(chain_element("a", "Mail us", {"href": "mailto:a@shop.example"})),
            to.chain(chain_element("a", "Docs", {"href": "/docs", "target": "_blank"})),
            to.chain(chain_element("input", attributes={"id": "when", "name": "when"}, nth=2)),
            to.chain(chain_element("input", attributes={"type": "checkbox", "id": "x"}, nth=2)),
        )
    )
    to.dead(chain)


def _copies(to: _Writer) -> None:
    chain = to.button("Copy link", type="button")
    to.say("$autocapture", "click", chain)
    to.say("$dead_click", "click", chain, off=to.rng.uniform(-1, 1))
    to.at += 0.6
    to.say("link_copied")
    to.wait(4, 9)


def _fails(to: _Writer) -> None:
    to.press(to.button(to.words(2), type="button"))
    to.say(to.rng.choice(_FAILURES[to.part]))
    to.wait()


def _throws(to: _Writer) -> None:
    to.say("$exception")
    to.wait()


def _does_not_fail(to: _Writer) -> None:
    to.say(to.rng.choice(_NO_FAILURES[to.part]))
    to.wait()


def _browses(to: _Writer) -> None:
    to.view()
    to.press(to.button(to.words(2), type="button"))
    to.say(to.rng.choice(_HARMLESS))
    to.wait()


_DEEDS: tuple[tuple[Deed, frozenset[str]], ...] = tuple(
    (deed, frozenset(signals))
    for deed, *signals in (
        *((_sends_a_form,), (_is_done_without_submit,), (_signs_in,), (_searches,), (_filters,)),
        *((_ticks,), (_chooses,), (_selects,), (_writes_a_note,), (_goes_on_quickly,)),
        *((_slides_with_an_icon,), (_selects_text,), (_opens_what_is_native,), (_copies,)),
        *((_does_not_fail,), (_browses,), (_browses,)),
        (_leaves_a_form, "form_not_sent"),
        (_leaves_a_form, "form_not_sent"),
        (_fails_validation, "form_not_sent"),
        (_rages, "rage_click"),
        (_rages_slowly, "rage_click"),
        (_rages_on_what_is_dead, "rage_click", "dead_click"),
        (_clicks_what_is_dead, "dead_click"),
        (_clicks_a_dead_picture, "dead_click"),
        (_fails, "error"),
        (_fails, "error"),
        (_throws, "error"),
    )
)


def generated_sessions(seed: int = 20_261_129) -> Iterator[Labelled]:
    """The sessions, always the same."""
    for part, count in (("dev", 80), ("held", 56)):
        rng = random.Random(f"{seed} {part}")
        for number in range(count):
            kit = _KITS[part][number % len(_KITS[part])]
            writer = _Writer(kit, part, rng)
            writer.view("/")
            # Each deed is on a page of its own, so that what one leaves open stays open.
            first = _DEEDS[number % len(_DEEDS)]
            chosen = [first, *rng.sample(_DEEDS, rng.randrange(1, 4))]
            pages = rng.sample(_PAGES[1:], len(chosen))
            signals: set[str] = set()
            # What ends a form somewhere else ends it here too, so it comes first.
            chosen.sort(key=lambda deed: deed[0] in (_leaves_a_form, _fails_validation))
            for (deed, found), page in zip(chosen, pages, strict=True):
                writer.view(page)
                writer.view(page)
                deed(writer)
                signals |= found
            writer.wait()
            writer.view(rng.choice(pages))
            yield Labelled(f"{part} {number}", part, frozenset(signals), sorted(writer.events))
