"""The payloads of a scripted session, or of two, as posthog-js, the library of an app or that of a
server would have sent them.

Those of posthog-js are recorded ones (`enrichment_pipeline.ingest.sample`), filled in anew. What
the sessions are belongs to `scripts.yaml`.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from benchmarks.understanding.clients import APP, PHONE, SERVER, stack_of
from benchmarks.understanding.scripts import Script, Step
from enrichment_pipeline.ingest.sample.chains import chain_element
from enrichment_pipeline.ingest.sample.shapes import browser_time, filled, recorded_shapes

_HOST = "shop.example"
_CUSTOM = "plan_upgrade_started"
"""The recorded event whose shape custom events have, and those that were not recorded."""

_PAGES_TO_WANDER = (
    *("products", "products/desks", "products/chairs", "products/lamps", "sale", "blog"),
    *("blog/ten-desks", "guides/standing", "stores/berlin", "stores/lyon", "reviews", "gifts"),
)
_LABELS = ("Details", "Next", "Show more", "Filter", "Compare", "Colours", "Save for later")
_DAY = 86_400.0
_MAIN = chain_element("main", attributes={"id": "content"}, nth=2)
_BODY = chain_element("body", nth=2)


def payloads_of(script: Script, seed: int = 1) -> list[bytes]:
    """The events of a script in the order of time, each as its JSON.

    The seed decides ids, and the seconds that the script leaves open.
    """
    session = _Session(script, seed)
    for step in script.steps:
        session.take(step)
    session.end()
    return [msgspec.json.encode(event) for event in session.events]


class _Session:
    """A session that goes on, step by step."""

    def __init__(self, script: Script, seed: int) -> None:
        # Of its name too: a script more does not change the others.
        self._rng = random.Random(f"{seed} {script.name}")
        self._client = script.client
        self._now = script.start
        self._start = script.start
        self.events: list[dict[str, Any]] = []
        self.page: dict[str, object] = {}
        self._opened = script.start
        device = self._id()
        self._common: dict[str, object] = {"distinct_id": device, "$session_id": self._id()}
        if self._client == "server":
            self._common = {"distinct_id": f"customer-{self._rng.randrange(1000, 9999)}"}
        elif self._client == "app":
            self._common |= APP
        else:
            self._common |= {"$device_id": device, "$window_id": self._id()}
            self._common |= {"$lib_custom_api_host": f"https://{_HOST}", "utm_source": None}
            self._common |= PHONE if self._client == "phone" else {}

    def take(self, step: Step) -> None:
        """Do what a step says."""
        if self.events:
            self._wait(self._rng.uniform(2, 12) if step.wait is None else step.wait)
        _VERBS[step.verb](self, *step.words)

    def view(self, path: str, title: str = "") -> None:
        """Open a page, which leaves the one before."""
        if self.page:
            self.leave()
            self._wait(self._rng.uniform(0.1, 0.4))
        url = f"https://{_HOST}{path}"
        self.page = {"$current_url": url, "$host": _HOST, "$pathname": path}
        self.page["$pageview_id"] = self._id()
        self._common.setdefault("$session_entry_url", url)
        self._common.setdefault("$session_entry_host", _HOST)
        self._common.setdefault("$session_entry_pathname", path)
        self._opened = self._now
        self._send("$pageview", "$pageview", {"title": title or path})

    def leave(self) -> None:
        """Leave the page."""
        seconds = (self._now - self._opened).total_seconds()
        left = {
            "$prev_pageview_id": self.page["$pageview_id"],
            "$prev_pageview_pathname": self.page["$pathname"],
            "$prev_pageview_duration": round(seconds, 3),
        }
        self._send("$pageleave", "$pageleave", left)

    def end(self) -> None:
        """Leave the site; apps and servers do not send that."""
        if "$pageview_id" in self.page:
            self._wait(self._rng.uniform(1, 5))
            self.leave()

    def later(self, days: str) -> None:
        """Come back, so many days after this session ended."""
        self.end()
        self._wait(float(days) * _DAY)
        self._start, self.page = self._now, {}
        entry = ("$session_entry_url", "$session_entry_host", "$session_entry_pathname")
        self._common = {key: value for key, value in self._common.items() if key not in entry}
        self._common |= {key: self._id() for key in ("$session_id", "$window_id")}

    def screen(self, name: str) -> None:
        """Open a screen of an app."""
        self.page = {"$screen_name": name}
        self._send("$screen", _CUSTOM, {})

    def click(self, tag: str, label: str) -> None:
        """Click something once."""
        self._send("$autocapture", "$autocapture:click", _on(tag, label))

    def rage(self, tag: str, label: str) -> None:
        """Click something five times; posthog-js says at the third that this is rage."""
        for number in range(5):
            self.click(tag, label)
            if number == 2:
                self._send("$rageclick", "$rageclick", _on(tag, label))
            self._wait(self._rng.uniform(0.1, 0.3))

    def dead(self, tag: str, label: str) -> None:
        """Click something that does nothing."""
        self.click(tag, label)
        self._send("$dead_click", "$autocapture:click", _on(tag, label))
        self._wait(3)

    def change(self, tag: str, name: str) -> None:
        """Fill in a field."""
        field = chain_element(tag, attributes={"id": name, "name": name})
        chain = ";".join([field, chain_element("form", nth=4), _MAIN, _BODY])
        self._send("$autocapture", "$autocapture:change", {"$elements_chain": chain})

    def submit(self, form: str) -> None:
        """Send a form."""
        attributes = {"id": form, "aria-label": f"{form} form"}
        chain = ";".join([chain_element("form", attributes=attributes, nth=4), _MAIN, _BODY])
        self._send("$autocapture", "$autocapture:submit", {"$elements_chain": chain})

    def event(self, name: str, *pairs: str) -> None:
        """An event of the site's own, with properties."""
        self._send(name, _CUSTOM, {key: _value(value) for key, value in _pairs(pairs)})

    def error(self, kind: str, message: str) -> None:
        """An exception that nobody caught."""
        path = str(self.page.get("$pathname", ""))
        self._send("$exception", _CUSTOM, stack_of(kind, message, f"https://{_HOST}{path}"))

    def identify(self, user: str) -> None:
        """Sign in or up."""
        before = self._common["distinct_id"]
        self._common |= {"distinct_id": user, "$user_id": user, "$is_identified": True}
        self._send("$identify", "$identify", {"$anon_distinct_id": before})

    def beats(self, name: str, seconds: str, times: str) -> None:
        """An event that comes like a clock."""
        for _ in range(int(times)):
            self._wait(float(seconds))
            self._send(name, _CUSTOM, {"visible": True})

    def wander(self, pages: str) -> None:
        """Look at pages of the shop, and click here and there."""
        for _ in range(int(pages)):
            path = self._rng.choice([one for one in _PAGES_TO_WANDER if one not in str(self.page)])
            self.view(f"/{path}", path.capitalize())
            for _ in range(self._rng.randrange(3)):
                self._wait(self._rng.uniform(2, 20))
                self.click("button", self._rng.choice(_LABELS))
            self._wait(self._rng.uniform(2, 20))

    def flag(self, name: str) -> None:
        """A feature flag is looked at."""
        shown = {"$feature_flag": name, "$feature_flag_response": "control"}
        self._send("$feature_flag_called", _CUSTOM, shown)

    def vitals(self) -> None:
        """Page speed is measured."""
        self._send("$web_vitals", _CUSTOM, {"$web_vitals_LCP_value": 1184.5})

    def _wait(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def _send(self, name: str, shape: str, properties: Mapping[str, object]) -> None:
        fields = {**self._common, **self.page, **properties}
        uuid = self._id()
        # Browsers count in milliseconds.
        moment = self._now.replace(microsecond=self._now.microsecond // 1000 * 1000)
        if self._client in {"web", "phone"}:
            fields |= {"$insert_id": uuid.replace("-", "")[:16]}
            fields |= {"$initialization_time": browser_time(self._start)}
            self.events.append(filled(recorded_shapes()[shape], uuid, moment, fields, name))
        else:
            self.events.append(_small_event(self._client, uuid, moment, name, fields))

    def _id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))


def _small_event(
    client: str, uuid: str, moment: datetime, name: str, properties: dict[str, object]
) -> dict[str, Any]:
    """An event as the libraries of apps and servers send them, which say less."""
    distinct_id = properties.pop("distinct_id")
    more = SERVER if client == "server" else {}
    return {
        "event": name,
        "uuid": uuid,
        "distinct_id": distinct_id,
        "timestamp": browser_time(moment),
        "properties": {**more, **properties},
    }


def _on(tag: str, label: str) -> dict[str, object]:
    attributes = {"class": "btn primary", "data-attr": "action"}
    if tag == "a":
        attributes["href"] = "/somewhere"
    chain = [chain_element(tag, label, attributes, 3), _MAIN, _BODY]
    return {"$elements_chain": ";".join(chain), "$el_text": label}


def _pairs(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for word in words:
        key, _, value = word.partition("=")
        yield key, value


def _value(text: str) -> object:
    return float(text) if "." in text and text.replace(".", "").isdigit() else _whole(text)


def _whole(text: str) -> object:
    return int(text) if text.isdigit() else text


_VERBS: Mapping[str, Callable[..., None]] = {
    name: getattr(_Session, name)
    for name in (
        *("view", "screen", "click", "rage", "dead", "change", "submit", "event", "error"),
        *("identify", "beats", "wander", "flag", "vitals", "later"),
    )
}
