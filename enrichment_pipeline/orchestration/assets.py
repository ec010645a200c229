"""The assets: `raw_events` → `enriched_events` → `dead_letter`.

This module declares them and decides what each does when something fails; the work itself is in
`windows` and in the packages below.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import dagster as dg
from pydantic import Field

from enrichment_pipeline.enrichment.re_enrich import re_enrich
from enrichment_pipeline.ingest.pull.errors import PullError
from enrichment_pipeline.ingest.pull.pull import PullReport
from enrichment_pipeline.orchestration.checks import (
    BOOKS_BALANCE,
    FEW_UNKNOWN,
    NOTHING_IS_DEAD,
    nothing_is_dead,
)
from enrichment_pipeline.orchestration.keys import DEAD_LETTER, ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.metadata import broken_metadata
from enrichment_pipeline.orchestration.outcomes import ALERTED_OTHERWISE
from enrichment_pipeline.orchestration.partitions import WINDOWS, partition_key, windows_of
from enrichment_pipeline.orchestration.planning import MAX_WINDOWS
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.publishing import (
    DEAD_LETTER_TAGS,
    code_version_tags,
    evaluated,
    evaluation,
    publish_of_failing_run,
    seen_by_a_run,
)
from enrichment_pipeline.orchestration.pulling import (
    pull_for_run,
    raw_metadata,
    remove_empty,
    unpulled,
)
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import is_asked_for, is_scheduled
from enrichment_pipeline.orchestration.windows import (
    Metadata,
    Outcome,
    enrich_for_run,
    failure_message,
    read_windows,
)
from enrichment_pipeline.store.dead_letters.summary import broken_now

_GROUP = "events"

# Rides out a short outage of the store. Data and code that fail are counted by the store's own
# attempts, never here.
RETRY_OUTAGES = dg.RetryPolicy(
    max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
_MAX_RETRIES_OF_A_BATCH = 3

_Yielded: TypeAlias = (
    dg.AssetMaterialization | dg.MaterializeResult | dg.Output[None] | dg.AssetCheckEvaluation
)
"""What an asset that has checks yields."""


IN_PIECES = dg.BackfillPolicy.multi_run(MAX_WINDOWS)
"""Partitions of a backfill in one run. Dagster records each of them before a run starts: it gives
up a run of thousands before the run has begun, and partitions that were green turn red."""


class EnrichmentConfig(dg.Config):
    """How to materialize `enriched_events`."""

    re_enrich: bool = Field(
        False,
        description="Enrich again what was enriched before, under the current rules. Otherwise "
        "only what is due is, and what is finished stays as it is.",
    )


def build_assets(rules_version: str | None = None) -> list[dg.AssetsDefinition]:
    """The assets; Dagster marks windows that were enriched under other rules than `rules_version`
    as stale."""

    @dg.asset(
        key=RAW_EVENTS,
        partitions_def=WINDOWS,
        backfill_policy=IN_PIECES,
        group_name=_GROUP,
        kinds={"postgres"},
        retry_policy=RETRY_OUTAGES,
        description="PostHog's events as they arrived, by the hour in which they happened. "
        "Materializing it pulls from the sources that are set, if any. Table `raw_event`.",
    )
    @keeps_errors_private
    def raw_events(
        context: dg.AssetExecutionContext, pipeline: Pipeline
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:
        yield from _pull(context, pipeline, windows_of(context.partition_keys))

    @dg.asset(
        key=ENRICHED_EVENTS,
        code_version=rules_version,
        deps=[RAW_EVENTS],
        partitions_def=WINDOWS,
        backfill_policy=IN_PIECES,
        group_name=_GROUP,
        kinds={"postgres"},
        retry_policy=RETRY_OUTAGES,
        check_specs=[
            dg.AssetCheckSpec(
                BOOKS_BALANCE,
                asset=ENRICHED_EVENTS,
                description="Every accepted event is enriched, dead or pending.",
            ),
            dg.AssetCheckSpec(
                FEW_UNKNOWN,
                asset=ENRICHED_EVENTS,
                description="The rules know most of the events.",
            ),
        ],
        description="What users did: one row for one raw event, with its event type and action "
        "type. Table `enriched_event`.",
    )
    @keeps_errors_private
    def enriched_events(
        context: dg.AssetExecutionContext, config: EnrichmentConfig, pipeline: Pipeline
    ) -> Iterator[_Yielded]:
        windows = windows_of(context.partition_keys)
        report = enrich_for_run(context, pipeline, windows)
        changes = re_enrich(pipeline.store, pipeline.rules, windows) if config.re_enrich else None
        is_by_hand = is_asked_for(context.instance, context.run)
        with seen_by_a_run(pipeline.store, windows, counts_all=is_by_hand) as shown:
            outcome = read_windows(pipeline.store, shown, report)
            if changes:
                context.log.info(changes.summary)
                outcome.show_changes(changes)
            yield from _shown(context, pipeline, outcome)
        if outcome.dead or outcome.waits is not None:
            raise _unfinished(outcome)

    @dg.asset(
        key=DEAD_LETTER,
        deps=[ENRICHED_EVENTS],
        group_name=_GROUP,
        kinds={"postgres"},
        retry_policy=RETRY_OUTAGES,
        check_specs=[
            dg.AssetCheckSpec(
                NOTHING_IS_DEAD,
                asset=DEAD_LETTER,
                description="No window is failed and no dead letter is open.",
            )
        ],
        description="What is broken now: failed windows, open dead letters, and what to do. "
        "Table `dead_letter`.",
    )
    @keeps_errors_private
    def dead_letter(pipeline: Pipeline) -> Iterator[_Yielded]:
        with pipeline.store.transaction() as connection:
            broken = broken_now(connection)
        yield dg.MaterializeResult(metadata=broken_metadata(broken), tags=DEAD_LETTER_TAGS)
        yield from evaluated(DEAD_LETTER, [NOTHING_IS_DEAD], [nothing_is_dead(broken)])

    return [raw_events, enriched_events, dead_letter]


def _shown(
    context: dg.AssetExecutionContext, pipeline: Pipeline, outcome: Outcome
) -> Iterator[_Yielded]:
    """What Dagster shows of the finished windows. Where other windows are not finished, the asset
    raises, and what was only added to its metadata would be lost."""
    if outcome.dead or outcome.waits is not None:
        tags = code_version_tags(pipeline.rules.version)
        finished = _materializations(ENRICHED_EVENTS, outcome.finished, tags)
        publish_of_failing_run(context.instance, finished)
        # Otherwise Dagster would show the checks as failed too, as if events were lost.
        yield from (evaluation(ENRICHED_EVENTS, result) for result in outcome.checks)
        return
    _add_metadata(context, outcome.finished)
    yield dg.MaterializeResult()
    tags = code_version_tags(pipeline.rules.version)
    yield from _newest_last(ENRICHED_EVENTS, outcome.finished, tags)
    yield from evaluated(ENRICHED_EVENTS, [BOOKS_BALANCE, FEW_UNKNOWN], outcome.checks)


def _add_metadata(context: dg.AssetExecutionContext, finished: Mapping[datetime, Metadata]) -> None:
    """As `context.add_asset_metadata` for each window. That reads the keys of all partitions each
    time: minutes for a run over 500 windows of 10,000."""
    step = context.get_step_execution_context()
    added = step._metadata_accumulator
    for window, metadata in finished.items():
        added = added.with_additional_asset_metadata(
            asset_key=context.asset_key, partition_key=partition_key(window), metadata=metadata
        )
    step._metadata_accumulator = added


def _newest_last(
    asset: dg.AssetKey,
    finished: Mapping[datetime, Metadata],
    tags: Mapping[str, str] | None = None,
) -> Iterator[dg.AssetMaterialization]:
    """The newest window that has events once more: the overview of an asset shows what came last,
    and Dagster materializes the partitions of a range in no order."""
    if len(finished) > 1:
        filled = [window for window in finished if finished[window]["accepted"].value]
        newest = max(filled or finished)
        yield from _materializations(asset, {newest: finished[newest]}, tags)


def _pull(
    context: dg.AssetExecutionContext, pipeline: Pipeline, windows: Sequence[datetime]
) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:
    """Pull for the windows, where a source is set, and show what they hold now."""
    report: PullReport | None = None
    # The sensor's runs enrich what has arrived; they never pull.
    is_of_schedule = is_scheduled(context.instance, context.run)
    if pipeline.settings.pulls and (is_of_schedule or is_asked_for(context.instance, context.run)):
        report = PullReport()
        try:
            pull_for_run(context, pipeline, windows, report)
        except PullError as error:
            finished = raw_metadata(pipeline, [*report.windows], report)
            publish_of_failing_run(context.instance, _materializations(RAW_EVENTS, finished))
            raise unpulled(error) from error
    shown = raw_metadata(pipeline, windows, report)
    _add_metadata(context, shown)
    yield dg.MaterializeResult()
    yield from _newest_last(RAW_EVENTS, shown)
    if is_of_schedule:
        remove_empty(context.instance, pipeline, windows)


def _materializations(
    asset: dg.AssetKey,
    finished: Mapping[datetime, Metadata],
    tags: Mapping[str, str] | None = None,
) -> Iterator[dg.AssetMaterialization]:
    for window, metadata in sorted(finished.items()):
        yield dg.AssetMaterialization(
            asset, partition=partition_key(window), metadata=metadata, tags=tags
        )


def _unfinished(outcome: Outcome) -> dg.RetryRequested | dg.Failure:
    """What to raise for windows that are not finished."""
    if outcome.waits is not None:
        # The batches say when they come due again; Dagster only retries the step.
        return dg.RetryRequested(
            max_retries=_MAX_RETRIES_OF_A_BATCH,
            seconds_to_wait=max(outcome.waits.total_seconds(), 0.1),
        )
    return dg.Failure(
        failure_message(outcome.dead),
        metadata={ALERTED_OTHERWISE: "as failed windows"},
        allow_retries=False,
    )
