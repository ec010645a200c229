"""The page of the alerts: when each kind is opened, and when it ends."""

from collections.abc import Mapping
from typing import NamedTuple

from enrichment_pipeline.alerts.conditions import Kind
from reference.markdown import MissingWordsError, code, page, table

INTRODUCTION = """\
Everything that people are notified of. [Alerts](../how-to/alerts.md) says where messages go, what *grows* and *lasts*
mean, and what the webhook gets. `enrichment-pipeline alerts list` shows what is open."""


class AlertWords(NamedTuple):
    """What is said of a kind of alert; Markdown."""

    when: str
    keys: tuple[str, ...]
    again: str
    all_clear: str
    facts: str


_WINDOWS = (
    "`windows` (how many), `first_window`, `last_window`, `window_starts` (at most 100), each in "
    "UTC as `2026-03-01T12:00`"
)
_PARTS = (
    "`subject` (asset, job, check, file), `parts` (how many partitions), `first_part`, "
    "`last_part`, `run` (the newest), `error`"
)
GROWS_AND_LASTS = "grows, lasts"
LASTS = "lasts"

ALERTS: Mapping[Kind, AlertWords] = {
    Kind.DEAD_LETTERS: AlertWords(
        "the first dead letter of an event, for each reason and window",
        ("dead_letters/REASON/WINDOW",),
        GROWS_AND_LASTS,
        "none is open, being replayed or exhausted",
        f"`reason`, `letters`, {_WINDOWS}",
    ),
    Kind.FAILED_WINDOW: AlertWords(
        "a window holds a dead batch",
        ("failed_window/WINDOW",),
        GROWS_AND_LASTS,
        "it holds none",
        "`batches`, `events`, `reasons`, and the windows",
    ),
    Kind.REPLAYS_EXHAUSTED: AlertWords(
        "a replay failed so often that letters are exhausted, for each reason",
        ("replay_parked/REASON",),
        GROWS_AND_LASTS,
        "none is exhausted",
        "`reason`, `letters`, and the windows",
    ),
    Kind.SILENT_INGEST: AlertWords(
        "no event for `ENRICHMENT_ALERT_SILENCE_MINUTES`, where some came in the 24 hours before",
        ("silent_ingest",),
        LASTS,
        "an event arrives",
        "`last_event`",
    ),
    Kind.STALLED_QUEUE: AlertWords(
        "the oldest event that is due has waited for `ENRICHMENT_ALERT_QUEUE_MINUTES`",
        ("stalled_queue",),
        GROWS_AND_LASTS,
        "the oldest has waited for less than half of that",
        "`batches`, `events`, `oldest` (when it came due)",
    ),
    Kind.SENSOR_STOPPED: AlertWords(
        "Dagster's sensor `due_windows` has not ticked without an error for "
        "`ENRICHMENT_ALERT_SENSOR_MINUTES`; or another sensor of ours, or the schedule of the "
        "pull, while `due_windows` ticks",
        ("sensor_stopped", "sensor_stopped/NAME"),
        LASTS,
        "it ticks",
        "`sensor`, `last_tick`, `error` (of its ticks, where they fail; else null)",
    ),
    Kind.FAILED_RUN: AlertWords(
        "a run of Dagster failed, whatever it is a run of: our jobs and assets, and those that "
        "you add",
        ("failed_run/ASSET", "failed_run/JOB"),
        GROWS_AND_LASTS,
        "each partition that it did not make is materialized; for a job of a schedule, and one "
        "that makes no asset: a later run succeeds",
        _PARTS,
    ),
    Kind.FAILED_CHECK: AlertWords(
        "an asset check is red (an error; a warning is none)",
        ("failed_check/ASSET/CHECK",),
        GROWS_AND_LASTS,
        "it passes; `books_balance`: the books of each window that was out of balance do balance",
        _PARTS,
    ),
    Kind.BROKEN_RULES: AlertWords(
        "the file of rules cannot be read: which line, and why",
        ("broken_rules/FILE",),
        LASTS,
        "it can be read",
        _PARTS,
    ),
    Kind.STORE_DOWN: AlertWords(
        "PostgreSQL has not answered for a minute",
        ("store_down",),
        LASTS,
        "it answers",
        "`error`",
    ),
    Kind.PULL_DIFFERENCE: AlertWords(
        "of a completely pulled window, PostHog counts another number of events than the pull "
        "could read, twice in a row",
        ("pull_difference",),
        GROWS_AND_LASTS,
        "it was pulled again, and agrees",
        "`windows`, `first_window`, `last_window`, `differences` (at most 100: `window`, "
        "`pulled`, `posthog`)",
    ),
}


def alerts_page() -> str:
    """The page, as Markdown."""
    if missing := set(Kind) - set(ALERTS):
        raise MissingWordsError(f"{sorted(missing)} have no words; they belong in {__file__}")
    kinds = table(
        ("kind", "when", "key", "notified again", "all-clear"),
        (
            (code(kind), one.when, ", ".join(map(code, one.keys)), one.again, one.all_clear)
            for kind, one in ALERTS.items()
        ),
    )
    facts = table(
        ("kind", "`facts` of the webhook"),
        ((code(kind), one.facts) for kind, one in ALERTS.items()),
    )
    return page("Kinds of alerts", INTRODUCTION, kinds, "## Facts", facts)
