"""The recorded events as shapes: which keys posthog-js sends with what, to be filled in anew.

Who does what when belongs to those who fill them: the demo's sample and the benchmarks' generator.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

Shape = Mapping[str, Any]
"""A recorded event as decoded JSON, not to be changed."""


@cache
def recorded_shapes() -> Mapping[str, Shape]:
    """The first recorded event of each kind, by name: `$pageview`, …; `$autocapture:submit`, …."""
    shapes: dict[str, Shape] = {}
    data = files(__package__).joinpath("posthog_js_sample.jsonl").read_bytes()
    for line in data.splitlines():
        event = _neutral(msgspec.json.decode(line))
        name, kind = event["event"], event["properties"].get("$event_type")
        shapes.setdefault(f"{name}:{kind}" if name == "$autocapture" else name, event)
    return shapes


def _neutral(event: dict[str, Any]) -> dict[str, Any]:
    """The event without what holds only for the person who was recorded."""
    properties = event["properties"]
    properties.pop("$user_id", None)
    properties["$is_identified"] = False
    # It was a headless browser, which posthog-js reports as a bot.
    del properties["$browser_type"]
    agent = properties["$raw_user_agent"]
    properties["$raw_user_agent"] = agent.replace("HeadlessChrome", "Chrome")
    return event


def filled(
    shape: Shape, uuid: str, moment: datetime, properties: Mapping[str, object], name: str = ""
) -> dict[str, Any]:
    """A new event as posthog-js would send it: `shape` with these `properties` laid over its own.

    `moment` is in UTC. A `name` makes another event of the same shape. What `$set_once` repeats of
    the properties is repeated from the new ones.
    """
    new = {**shape["properties"], "$time": moment.timestamp(), **properties}
    event = {**shape, "uuid": uuid, "event": name or shape["event"], "properties": new}
    if "$set_once" in shape:
        event["$set_once"] = {key: _initial(key, new) for key in shape["$set_once"]}
    event["timestamp"] = browser_time(moment)
    return event


def browser_time(moment: datetime) -> str:
    """A moment in UTC as JavaScript writes it: `2026-11-23T07:23:45.781Z`."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _initial(key: str, properties: Mapping[str, object]) -> object:
    """`$initial_host` has the value of `$host`, and `$initial_utm_term` that of `utm_term`."""
    plain = key.removeprefix("$initial_")
    return properties.get(key, properties.get(f"${plain}", properties.get(plain)))
