"""Make `posthog_js_sample.jsonl` from recorded requests of posthog-js.

    python -m enrichment_pipeline.ingest.sample.from_requests REQUESTS.jsonl SAMPLE.jsonl

REQUESTS holds one HTTP request a line: an object with `path` and the decoded `body`. Written are
the events of all requests to `/e/` and `/i/v0/e/`, one a line, with every key and value as sent.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

_CAPTURE_PATHS = frozenset({"/e", "/i/v0/e"})


class _Body(msgspec.Struct):
    batch: list[msgspec.Raw]


class _Request(msgspec.Struct):
    path: str
    body: msgspec.Raw


def captured_events(lines: list[bytes]) -> Iterator[bytes]:
    """The events that recorded requests carried, compact, in the order in which they were sent."""
    for line in lines:
        request = msgspec.json.decode(line, type=_Request)
        if request.path.partition("?")[0].rstrip("/") in _CAPTURE_PATHS:
            for event in msgspec.json.decode(request.body, type=_Body).batch:
                yield msgspec.json.format(bytes(event), indent=-1)


def main(arguments: list[str]) -> None:
    """Convert one file into another, as the module's docstring says."""
    if len(arguments) != 2:
        sys.exit("usage: python -m enrichment_pipeline.ingest.sample.from_requests REQUESTS SAMPLE")
    requests, sample = (Path(argument) for argument in arguments)
    events = captured_events(requests.read_bytes().splitlines())
    sample.write_bytes(b"".join(event + b"\n" for event in events))


if __name__ == "__main__":
    main(sys.argv[1:])
