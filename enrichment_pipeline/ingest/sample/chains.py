"""Writing elements chains the way posthog-js does; reading them belongs to `events.elements`."""

from collections.abc import Mapping


def chain_element(
    tag: str, text: str | None = None, attributes: Mapping[str, str] | None = None, nth: int = 1
) -> str:
    """One element of a chain: `tag.class:attr__id="x"attr_id="x"nth-child="1"…text="Buy"`.

    `attributes` are those of the HTML element. Classes and keys come sorted, and a quote inside a
    value is escaped, as posthog-js 1.449 was seen to do.
    """
    attributes = attributes or {}
    keys = {f"attr__{name}": value for name, value in attributes.items()}
    if "id" in attributes:
        keys["attr_id"] = attributes["id"]
    if "href" in attributes:
        keys["href"] = attributes["href"]
    keys |= {"nth-child": str(nth), "nth-of-type": "1"}
    if text is not None:
        keys["text"] = text
    name = ".".join([tag, *sorted(attributes.get("class", "").split())])
    return f"{name}:" + "".join(f'{key}="{_escaped(keys[key])}"' for key in sorted(keys))


def _escaped(value: str) -> str:
    return value.replace('"', '\\"')
