"""The page of the reason codes of dead letters: what was wrong, and what helps."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from enrichment_pipeline.enrichment.attempts import TRANSIENT, FailureReason
from enrichment_pipeline.events.raw_event import RejectionReason
from reference.markdown import code, page, said, table

INTRODUCTION = """\
Why an event or a batch is a dead letter: the column `dead_letter.reason_code`, and `--reason` of `dead-letters list`,
`replay`, `discard` and `export`. [Dead letters](../how-to/dead_letters.md) says what to do about them."""

_AT_INGESTION = """\
## At ingestion

In import, pull and API alike. The event is not in `raw_event`. It counts in the window of its own time, where that is
usable, else of its arrival."""

_IN_ENRICHMENT = """\
## In enrichment

The event is in `raw_event`, and replaying it enriches it. *Transient*: the sensor `transient_letters` of Dagster, which
is off by default, replays it automatically."""

_SENDER = "nothing, for this text: the sender must mend it"

REJECTIONS: Mapping[RejectionReason, tuple[str, str]] = {
    RejectionReason.INVALID_JSON: (
        "not valid JSON: cut off, NaN, a number of thousands of digits",
        f"{_SENDER}. What an older release refused for broken characters (half an emoji) comes in "
        "by a replay",
    ),
    RejectionReason.NOT_AN_OBJECT: ("valid JSON, but no object", _SENDER),
    RejectionReason.TOO_LARGE: ("more than 1,000,000 bytes", _SENDER),
    RejectionReason.TOO_DEEP: ("nested more than 500 levels deep", _SENDER),
    RejectionReason.MISSING_EVENT_NAME: ("it has no name", _SENDER),
    RejectionReason.INVALID_EVENT_NAME: ("its name is no string", _SENDER),
    RejectionReason.MISSING_DISTINCT_ID: (
        "no distinct_id, neither at the top nor in the properties",
        _SENDER,
    ),
    RejectionReason.INVALID_PROPERTIES: ("its properties are no object", _SENDER),
    RejectionReason.INVALID_UUID: (
        "its uuid is malformed (an empty one means none)",
        _SENDER,
    ),
    RejectionReason.INVALID_TIMESTAMP: (
        "of an imported, pulled or forwarded event: its time cannot be read, and it has no other "
        "([Time](api.md#time))",
        "import the line again with a time that can be read; of older releases, from the API: a "
        "replay lets it in under its arrival",
    ),
    RejectionReason.BEFORE_FIRST_PARTITION: (
        "older than the partitions, in a version before; no event is refused for that any more",
        "replay",
    ),
    RejectionReason.TIMESTAMP_TOO_OLD: (
        "there would be more than 100,000 windows, the most that Dagster recommends (11 years of "
        "hours)",
        "longer windows, in a new store",
    ),
    RejectionReason.REFUSED_BY_STORE: (
        "PostgreSQL refused it for what is in it, or our own code failed for it while its "
        "neighbours went through",
        "replay after a release that mends it",
    ),
}

FAILURES: Mapping[FailureReason, tuple[str, str]] = {
    FailureReason.RAISED: (
        "the code raised for this event, while its neighbours went through",
        "event",
    ),
    FailureReason.TIMED_OUT: (
        "it took longer than 10 s in the [sandbox](../how-to/dead_letters.md#the-sandbox)",
        "event",
    ),
    FailureReason.OUT_OF_MEMORY: ("it needed more than 512 MB there", "event"),
    FailureReason.CRASHED: ("it killed the sandbox's process", "event"),
    FailureReason.REFUSED: (
        "PostgreSQL refused the enriched event for what is in it",
        "event",
    ),
    FailureReason.FAILED: (
        "the batch failed four times, or counts more or fewer events than it has",
        "batch",
    ),
    FailureReason.CRASHED_BATCH: ("of older versions: a process had died with it", "batch"),
}


def reasons_page() -> str:
    """The page, as Markdown."""
    refused = table(
        ("`reason_code`", "what was wrong", "what helps"),
        ((code(reason), *_words(REJECTIONS, reason)) for reason in RejectionReason),
    )
    failed = table(
        ("`reason_code`", "what happened", "kind", "transient"),
        (
            (code(reason), *_words(FAILURES, reason), "yes" if reason in TRANSIENT else "")
            for reason in FailureReason
        ),
    )
    return page("Reason codes", INTRODUCTION, _AT_INGESTION, refused, _IN_ENRICHMENT, failed)


def _words(of: Mapping[Any, tuple[str, str]], reason: StrEnum) -> tuple[str, str]:
    what, more = of.get(reason, ("", ""))
    return said(what, f"the reason {reason}", "reference/reasons.py"), more
