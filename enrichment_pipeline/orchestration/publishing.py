"""Publishing to Dagster what no asset returned: materializations and checks of windows, and what
is broken now. An op does so, or a sensor without any run.

What there is to publish is read by `windows`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeAlias

import dagster as dg

from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.orchestration.checks import nothing_is_dead
from enrichment_pipeline.orchestration.keys import DEAD_LETTER, ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.metadata import accepted_metadata, broken_metadata
from enrichment_pipeline.orchestration.partitions import partition_key
from enrichment_pipeline.orchestration.windows import Outcome, Shown
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.summary import BrokenNow
from enrichment_pipeline.store.queue.changes import (
    Consumer,
    append_changes_at_end,
    lock_windows,
    remove_changes,
)
from enrichment_pipeline.store.windows.books import large_windows

Event: TypeAlias = dg.AssetMaterialization | dg.AssetCheckEvaluation
Publish: TypeAlias = Callable[[Event], None]
"""As `DagsterInstance.report_runless_asset_event`."""


@contextmanager
def seen_by_a_run(store: Store, windows: list[datetime], *, counts_all: bool) -> Iterator[Shown]:
    """In the block, a run publishes these windows to Dagster, after waiting for other processes;
    when it ends well, their changes count as seen, and no other process publishes them meanwhile.

    Unless it `counts_all`, large windows keep their changes: a run that enriches some events of
    millions does not count the others, `changed_windows` does so once.
    """
    with store.transaction() as connection:
        lock_windows(connection, windows, wait=True)
        large = [] if counts_all else large_windows(connection, windows)
        small = [window for window in windows if window not in large]
        remove_changes(connection, Consumer.WINDOWS, small)
        yield Shown(small, large)


@contextmanager
def seen_by_sensor(store: Store, windows: list[datetime]) -> Iterator[Shown]:
    """As `seen_by_a_run`, for those windows that no other process publishes now. Large ones that
    are still filling are to be counted when they are over."""
    still_open = window_start(datetime.now(UTC), store.window)
    with store.transaction() as connection:
        locked = lock_windows(connection, windows, wait=False)
        large = large_windows(connection, [one for one in locked if one >= still_open])
        remove_changes(connection, Consumer.WINDOWS, locked)
        append_changes_at_end(connection, large, store.window)
        yield Shown([window for window in locked if window not in large], large)


def publish_windows(publish: Publish, outcome: Outcome, rules_version: str) -> None:
    """Publish a materialization of each finished window, the newest last, and the checks."""
    found = {row.window_start: row for row in outcome.books}
    tags = code_version_tags(rules_version)
    for window, metadata in sorted(outcome.finished.items()):
        key = partition_key(window)
        if window in found:
            accepted = accepted_metadata(found[window])
            publish(dg.AssetMaterialization(RAW_EVENTS, partition=key, metadata=accepted))
        publish(
            dg.AssetMaterialization(ENRICHED_EVENTS, partition=key, metadata=metadata, tags=tags)
        )
    for result in outcome.checks:
        publish(evaluation(ENRICHED_EVENTS, result))


def publish_of_failing_run(
    instance: dg.DagsterInstance, materializations: Iterable[dg.AssetMaterialization]
) -> None:
    """Publish what is finished, where the run is about to fail for the rest. Not as events of the
    run: "re-execute from asset failure" passes over an asset of which the run materialized any."""
    for materialization in materializations:
        instance.report_runless_asset_event(materialization)


def publish_broken(publish: Publish, broken: BrokenNow) -> None:
    """Publish what is broken now, and its check."""
    publish(
        dg.AssetMaterialization(
            DEAD_LETTER, metadata=broken_metadata(broken), tags=DEAD_LETTER_TAGS
        )
    )
    publish(evaluation(DEAD_LETTER, nothing_is_dead(broken)))


def code_version_tags(rules_version: str) -> dict[str, str]:
    """The tags of a materialization of `enriched_events` under these rules."""
    return _provenance(rules_version, RAW_EVENTS)


def _provenance(code_version: str, source: dg.AssetKey) -> dict[str, str]:
    """The tags that Dagster writes with an asset's own materialization, for logged ones: the code
    version and the input. Without the input Dagster takes the source for a dependency that came
    later, and calls the asset stale."""
    name = source.to_user_string()
    return {
        "dagster/code_version": code_version,
        f"dagster/input_data_version/{name}": "",
        f"dagster/input_event_pointer/{name}": "NULL",
    }


DEAD_LETTER_TAGS: Mapping[str, str] = _provenance("", ENRICHED_EVENTS)
"""The tags of a materialization of `dead_letter`: it shows what is broken now, and no newer window
makes it stale."""


def evaluated(
    asset: dg.AssetKey, checks: Iterable[str], results: Iterable[dg.AssetCheckResult]
) -> Iterator[dg.Output[None] | dg.AssetCheckEvaluation]:
    """What an asset yields for its checks, of which some may have no result: events. Dagster would
    relate results to the latest materialization of the asset, and warn of a "data version mismatch"
    where another run, or a sensor, made that."""
    for check in checks:
        spec = dg.AssetCheckSpec(check, asset=asset)
        yield dg.Output(None, output_name=spec.get_python_identifier())
    for result in results:
        yield evaluation(asset, result)


def evaluation(asset: dg.AssetKey, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """The outcome of a check of this asset, as an event of its own."""
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=str(result.check_name),
        passed=result.passed,
        severity=result.severity,
        metadata=result.metadata,
    )
