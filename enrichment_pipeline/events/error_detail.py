"""What an event says of an error: its type, its whole message, where in the code, which release.

For events that report errors: PostHog's `$exception` and `$ai_…`, and custom ones. Masked, and safe
in a prompt. Which events report errors belongs to `llm.signals`; the short form in a sentence to
`detail`.
"""

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple
from urllib.parse import urlsplit

from enrichment_pipeline.events.allowed import NOTHING, Private
from enrichment_pipeline.events.masked import masked_text

_MAX_TYPE = 80
_MAX_MESSAGE = 1_000
_MAX_PLACE = 160
_MAX_RELEASE = 60
# What custom events call the message.
_MESSAGES = ("error_message", "error", "message", "reason", "description", "error_code", "code")
# Of the SDKs for servers and pages, then of those for phones, then of teams.
_RELEASES = ("$release_id", "$app_version", "release", "app_version", "version")


class ErrorDetail(NamedTuple):
    """An error, as an event reports it; masked."""

    type: str
    """`TypeError`; of a custom event, its name."""
    message: str
    """Whole, up to 1,000 characters; empty where there is none."""
    place: str | None
    """The innermost frame of the sender's own code: `pay (/static/checkout.js:12)`."""
    release: str | None


def error_detail(
    event: str, properties: Mapping[str, object], allowed: Set[Private] = NOTHING
) -> ErrorDetail | None:
    """The error that an event reports; None for a step of an AI trace that went well."""
    if event.startswith("$ai_") and properties.get("$ai_is_error") not in (True, "true"):
        return None
    exceptions = _objects(properties.get("$exception_list"))
    kind: object = event
    message = _first(properties, ("$ai_error", *_MESSAGES))
    if event == "$exception":
        # The one that was caught; its causes follow.
        first: Mapping[str, object] = exceptions[0] if exceptions else {}
        kind = first.get("type") or properties.get("$exception_type") or "Error"
        message = first.get("value") or properties.get("$exception_message")
    release = _first(properties, _RELEASES)
    # What developers wrote is shown where no free text is.
    of_code = allowed - {Private.NO_TEXT}
    return ErrorDetail(
        type=masked_text(_text(kind), _MAX_TYPE, of_code),
        message=masked_text(_text(message), _MAX_MESSAGE, allowed),
        place=_place(exceptions, of_code),
        release=masked_text(_text(release), _MAX_RELEASE, of_code) or None,
    )


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _first(properties: Mapping[str, object], names: Sequence[str]) -> object:
    return next((found for name in names if _text(found := properties.get(name))), None)


def _objects(value: object) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _place(exceptions: Sequence[Mapping[str, object]], allowed: Set[Private]) -> str | None:
    # Of each exception the innermost frame comes last.
    frames = [frame for one in exceptions for frame in reversed(_frames_of(one))]
    own = (frame for frame in frames if frame.get("in_app") is True)
    frame = next(own, frames[0] if frames else None)
    if frame is None:
        return None
    file, line = _file(_text(frame.get("filename"))), frame.get("lineno")
    where = f"{file}:{line}" if file and isinstance(line, int) else file
    function = _text(frame.get("function"))
    written = f"{function} ({where})" if function and where else function or where
    return masked_text(written, _MAX_PLACE, allowed) or None


def _file(name: str) -> str:
    """The path of a script, without its host and query."""
    try:
        return urlsplit(name).path
    except ValueError:  # http://[::1
        return ""


def _frames_of(exception: Mapping[str, object]) -> list[Mapping[str, object]]:
    trace = exception.get("stacktrace")
    return _objects(trace.get("frames")) if isinstance(trace, dict) else []
