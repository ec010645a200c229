"""Two weeks of a shop in which something broke on the last day, for questions about it.

On the last day the payment fails on iPhones. The button "Sort" of /search does nothing on any day.
The server reports orders without a session id, as posthog-node does.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in

FIRST = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 14
LAST = FIRST + timedelta(days=DAYS - 1)
SESSIONS_A_DAY = 40
ERROR = "The payment provider did not answer"
SHOPPER = "daily-shopper"

_IPHONE = {"$browser": "Mobile Safari", "$os": "iOS", "$device_type": "Mobile", "$device": "iPhone"}
_WINDOWS = {"$browser": "Chrome", "$os": "Windows", "$device_type": "Desktop"}


def fill_two_weeks(store: Store, rules: Rules) -> None:
    """Take it in, enrich it and build its sessions."""
    take_in(store, rules, [event for day in range(DAYS) for event in _day(day)], "shop")
    for day in range(DAYS):
        build_day(store, (FIRST + timedelta(days=day)).date(), is_whole=True)


def _day(day: int) -> Iterator[bytes]:
    rng = random.Random(day)
    for number in range(SESSIONS_A_DAY):
        start = FIRST + timedelta(days=day, hours=8, minutes=15 * number)
        # One person comes every day, the others every fifth day or so.
        person = f"user-{(day * SESSIONS_A_DAY + number) % 203}" if number else SHOPPER
        yield from _Visit(rng, start, person).happens(is_broken=day == DAYS - 1)


class _Visit:
    def __init__(self, rng: random.Random, start: datetime, person: str) -> None:
        self._rng = rng
        self._now = start
        self._person = person
        self._session = str(UUID(int=rng.getrandbits(128), version=4))
        self._is_phone = rng.random() < 0.4
        self._page = "/"
        self._made: list[bytes] = []

    def happens(self, *, is_broken: bool) -> list[bytes]:
        self._view("/")
        self._view("/search" if self._rng.random() < 0.3 else "/products")
        if self._page == "/search" and self._rng.random() < 0.7:
            self._click("Sort")
            self._send("$dead_click", **_button("Sort"))
        self._view("/products/desk-lamp")
        if self._rng.random() < 0.7:
            self._buy(is_broken=is_broken and self._is_phone)
        return self._made

    def _buy(self, *, is_broken: bool) -> None:
        self._click("Add to cart")
        self._view("/cart")
        self._view("/checkout")
        self._send("$autocapture", **_field("email"))
        self._send("$autocapture", **_field("card number"))
        if self._rng.random() < 0.15:
            return
        self._click("Pay now")
        if not is_broken:
            self._report("order_placed", total=39.5)
            return
        thrown = {"type": "PaymentError", "value": ERROR}
        self._send("$exception", **{"$exception_list": [thrown]})
        for _ in range(4):
            self._click("Pay now", seconds=0.5)

    def _view(self, page: str) -> None:
        self._page = page
        self._send("$pageview")

    def _click(self, label: str, seconds: float | None = None) -> None:
        self._send("$autocapture", seconds, **_button(label))

    def _send(self, event: str, seconds: float | None = None, **properties: Any) -> None:
        self._now += timedelta(seconds=self._rng.uniform(3, 30) if seconds is None else seconds)
        of_browser = {
            "$session_id": self._session,
            "$pathname": self._page,
            "$current_url": f"https://shop.example{self._page}",
            **(_IPHONE if self._is_phone else _WINDOWS),
        }
        self._add(event, {**of_browser, **properties})

    def _report(self, event: str, **properties: Any) -> None:
        self._now += timedelta(seconds=1)
        self._add(
            event, {"$lib": "posthog-node", "$current_url": None, "$pathname": None, **properties}
        )

    def _add(self, event: str, properties: dict[str, Any]) -> None:
        made = make_event(event, self._now, distinct_id=self._person, properties=properties)
        self._made.append(made)


def _button(label: str) -> dict[str, str]:
    chain = f'button.btn:attr__class="btn"nth-child="1"nth-of-type="1"text="{label}"'
    return {"$event_type": "click", "$el_text": label, "$elements_chain": chain}


def _field(name: str) -> dict[str, str]:
    field = f'input:attr__aria-label="{name}"attr__name="{name}"nth-child="1"nth-of-type="1"'
    form = 'form:attr__id="checkout"nth-child="1"nth-of-type="1"'
    return {"$event_type": "change", "$elements_chain": f"{field};{form}"}
