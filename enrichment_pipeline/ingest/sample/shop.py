"""The shop that the demo's people visit: its pages, what can be done there, and their ways through.

Data, and the few words to write it down. Who goes which way when belongs to `sample`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from enrichment_pipeline.ingest.sample.chains import chain_element


class Act(NamedTuple):
    """Something a person does on a page: which recorded shape it has, and what is its own."""

    shape: str
    properties: Mapping[str, object]
    name: str = ""
    """Name of the event where it is not the shape's."""
    hasty: bool = False
    """Whether the next act follows at once, as the clicks of somebody do who is annoyed."""


class Visit(NamedTuple):
    """A page that is opened, what is done there in this order, and that is then left."""

    path: str
    title: str
    acts: tuple[Act, ...] = ()


_BODY = chain_element("body", nth=2)
_MAIN = chain_element("main", attributes={"id": "content"}, nth=2)
_NAV = chain_element("nav", attributes={"class": "top-nav"}, nth=1)


def _on_element(shape: str, chain: list[str], text: str | None) -> Act:
    properties: dict[str, object] = {"$elements_chain": ";".join([*chain, _BODY])}
    if text is not None:
        properties["$el_text"] = text
    return Act(shape, properties)


def _button(text: str, name: str, shape: str = "$autocapture:click") -> Act:
    attributes = {"class": "btn primary", "data-attr": name, "id": name}
    return _on_element(shape, [chain_element("button", text, attributes, 3), _MAIN], text)


def _link(text: str, href: str) -> Act:
    link = chain_element("a", text, {"href": href, "class": "nav-link"})
    return _on_element("$autocapture:click", [link, _NAV], text)


def _field(tag: str, name: str, form: str) -> Act:
    chain = [chain_element(tag, attributes={"id": name, "name": name}), _form(form), _MAIN]
    return _on_element("$autocapture:change", chain, None)


def _submit(form: str) -> Act:
    return _on_element("$autocapture:submit", [_form(form), _MAIN], None)


def _form(name: str) -> str:
    return chain_element("form", attributes={"id": name, "aria-label": f"{name} form"}, nth=4)


def _event(name: str, **properties: object) -> Act:
    return Act("plan_upgrade_started", properties, name)


IDENTIFY = Act("$identify", {})
_VITALS = _event("$web_vitals", **{"$web_vitals_LCP_value": 1184.5, "$web_vitals_CLS_value": 0.02})
_FLAG = _event(
    "$feature_flag_called",
    **{"$feature_flag": "new-checkout", "$feature_flag_response": "control"},
)

_HOME = Visit("/", "Shop", (_VITALS, _link("Products", "/products")))
_PRODUCTS = Visit("/products", "All products", (_event("product_clicked", sku=7),))
_LAMP = Visit(
    "/products/desk-lamp",
    "Desk lamp",
    (
        _event("gallery_opened", images=4),
        _field("select", "colour", "options"),
        _button("Add to cart", "add-to-cart"),
        _event("product_added", sku=7, price=39.5),
    ),
)
_CHAIR = Visit(
    "/products/office-chair",
    "Office chair",
    (
        _button("Show in 3D", "show-3d")._replace(hasty=True),
        _button("Show in 3D", "show-3d")._replace(hasty=True),
        _button("Show in 3D", "show-3d", "$rageclick"),
    ),
)
_CART = Visit("/cart", "Your cart", (_event("coupon_applied", code="WELCOME"),))
_CHECKOUT = Visit(
    "/checkout",
    "Checkout",
    (
        _FLAG,
        _event("checkout_started", items=1),
        _field("input", "email", "checkout"),
        _field("input", "address", "checkout"),
        _button("Pay now", "pay-now"),
        _submit("checkout"),
        _event("checkout_completed", total=39.5, currency="EUR"),
    ),
)
_PRICING = Visit(
    "/pricing",
    "Pricing",
    (
        _VITALS,
        _button("Monthly", "toggle-monthly"),
        _event("plan_selected", plan="pro"),
        _event("plan_upgrade_started", plan="pro"),
    ),
)
_SIGN_UP = Visit(
    "/signup",
    "Create your account",
    (
        _field("input", "email", "signup"),
        _field("select", "plan", "signup"),
        _submit("signup"),
        IDENTIFY,
        _event("signup_submitted", plan="pro"),
    ),
)
_ORDERS = Visit(
    "/account/orders/10482",
    "Order 10482",
    (_event("order_viewed", order=10482), _button("Download invoice", "download-invoice")),
)
_GUIDE = Visit(
    "/docs/getting-started",
    "Getting started",
    (_link("Pricing", "/pricing"), _event("video_finished", seconds=95)),
)

WAYS: tuple[tuple[Visit, ...], ...] = (
    (_HOME, _PRODUCTS, _LAMP, _CART, _CHECKOUT, _ORDERS),
    (_HOME, _PRODUCTS, _CHAIR, _LAMP, _CART),
    (_GUIDE, _PRICING, _SIGN_UP, _HOME, _PRODUCTS),
    (_HOME, _PRODUCTS, _LAMP, _CHAIR, _PRODUCTS, _GUIDE),
    (_HOME, _ORDERS, _PRODUCTS, _LAMP, _CART, _CHECKOUT),
)
"""The ways through the shop that sessions take, in turn."""
