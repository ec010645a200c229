"""Publishing to Dagster what no asset returned: materializations and checks of windows, and what
is broken now. An op does so, or a sensor without any run.

What there is to publish is read by `windows`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TypeAlias

import dagster as dg

from enrichment_pipeline.orchestration.checks import nothing_is_dead
from enrichment_pipeline.orchestration.keys import DEAD_LETTER, ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.metadata import accepted_metadata, broken_metadata
from enrichment_pipeline.orchestration.partitions import partition_key
from enrichment_pipeline.orchestration.windows import Outcome
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.summary import BrokenNow
from enrichment_pipeline.store.queue.changes import Consumer, lock_windows, remove_changes

Event: TypeAlias = dg.AssetMaterialization | dg.AssetCheckEvaluation
Publish: TypeAlias = Callable[[Event], None]
"""As `DagsterInstance.report_runless_asset_event`."""


@contextmanager
def seen_by_dagster(
    store: Store, windows: list[datetime], *, wait: bool = True
) -> Iterator[list[datetime]]:
    """In the block, publish these windows to Dagster; when it ends well, their changes count as
    seen.

    No other process publishes them meanwhile. Yields the windows: all of them, after waiting for
    other processes, or with `wait` off those that no other process publishes now.
    """
    with store.transaction() as connection:
        locked = lock_windows(connection, windows, wait=wait)
        remove_changes(connection, Consumer.WINDOWS, locked)
        yield locked


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
    asset: dg.AssetKey, results: Iterable[dg.AssetCheckResult]
) -> Iterator[dg.Output[None] | dg.AssetCheckEvaluation]:
    """What an asset yields for its checks: events. Dagster would relate results to the latest
    materialization of the asset, and warn of a "data version mismatch" where another run, or a
    sensor, made that."""
    for result in results:
        spec = dg.AssetCheckSpec(str(result.check_name), asset=asset)
        yield dg.Output(None, output_name=spec.get_python_identifier())
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
