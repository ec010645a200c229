"""Asset checks: what makes an asset yellow or red, decided from figures that the callers read."""

from collections.abc import Iterable, Sequence

import dagster as dg

from enrichment_pipeline.orchestration.partitions import partition_key
from enrichment_pipeline.store.dead_letters.summary import BrokenNow
from enrichment_pipeline.store.windows.books import WindowBooks

BOOKS_BALANCE = "books_balance"
FEW_UNKNOWN = "few_unknown"
NOTHING_IS_DEAD = "nothing_is_dead"

MOST_UNKNOWN = 0.2
"""Share of events of unknown type above which the rules should be checked."""

_MOST_NAMED = 20


def books_balance(
    kept: Iterable[WindowBooks], counted: Sequence[WindowBooks]
) -> dg.AssetCheckResult:
    """Check that every accepted event is enriched, dead or pending: by the counts of the batches
    (`kept`) and, of the windows that are `counted`, row by row."""
    by_batch = {books.window_start: books for books in kept}
    every = by_batch | {books.window_start: books for books in counted}
    wrong = [
        books
        for window, books in sorted(every.items())
        if not books.balances or books != by_batch.get(window, books)
    ]
    metadata: dict[str, int | str] = {
        "windows": len(every),
        "counted_row_by_row": len(counted),
        "accepted": sum(books.accepted for books in every.values()),
        "enriched": sum(books.enriched for books in every.values()),
        "dead": sum(books.dead for books in every.values()),
        "pending": sum(books.pending for books in every.values()),
    }
    if wrong:
        metadata["out_of_balance"] = ", ".join(
            partition_key(books.window_start) for books in wrong[:_MOST_NAMED]
        )
    return dg.AssetCheckResult(
        check_name=BOOKS_BALANCE,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
    )


def few_unknown(events: int, unknown: int) -> dg.AssetCheckResult:
    """Check that not too many events are of unknown type; otherwise rules are missing."""
    share = unknown / events if events else 0.0
    return dg.AssetCheckResult(
        check_name=FEW_UNKNOWN,
        passed=share <= MOST_UNKNOWN,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "events": events,
            "unknown": unknown,
            "unknown_share": round(share, 3),
            "unknown_share_allowed": MOST_UNKNOWN,
        },
    )


def nothing_is_dead(broken: BrokenNow) -> dg.AssetCheckResult:
    """Check that no window has failed (an error) and no dead letter is open (a warning)."""
    failed = broken.failed_windows > 0
    return dg.AssetCheckResult(
        check_name=NOTHING_IS_DEAD,
        passed=not broken.letters,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        metadata={"dead_letters": broken.letters, "failed_windows": broken.failed_windows},
    )
