"""The assets: `raw_events` → `enriched_events` → `dead_letter`.

Here they are declared and told apart by what they do when something fails; the work itself is in
`windows` and in the rooms below.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

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
from enrichment_pipeline.orchestration.metadata import broken_metadata
from enrichment_pipeline.orchestration.partitions import partition_key, windows_of
from enrichment_pipeline.orchestration.pulling import pull_for_run, raw_metadata, unpulled
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.windows import (
    Metadata,
    Outcome,
    enrich_windows,
    failure_message,
    remember_covered,
    remember_told,
    run_name,
)
from enrichment_pipeline.store.claims import reopen_dead
from enrichment_pipeline.store.dead_letters import broken_now

RAW_EVENTS = dg.AssetKey("raw_events")
ENRICHED_EVENTS = dg.AssetKey("enriched_events")
DEAD_LETTER = dg.AssetKey("dead_letter")

LAUNCHED_BY_SENSOR = "enrichment/launched_by_sensor"
"""Tag of the runs that the sensor launched; the others were asked for by a person."""

_GROUP = "events"

# Rides out a short outage of the store. Data and code that fail are counted by the store's own
# attempts, never here.
RETRY_OUTAGES = dg.RetryPolicy(
    max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
_MAX_RETRIES_OF_A_BATCH = 3


class EnrichmentConfig(dg.Config):
    """How to materialize `enriched_events`."""

    re_enrich: bool = Field(
        False,
        description="Enrich again what was enriched before, under the rules of now. Otherwise "
        "only what is due is, and what is finished stays as it is.",
    )


def build_assets(
    partitions: dg.PartitionsDefinition[str], rules_version: str | None = None
) -> list[dg.AssetsDefinition]:
    """The assets, over these partitions; what was enriched under other rules than `rules_version`
    is marked as stale by Dagster."""

    @dg.asset(
        key=RAW_EVENTS,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=_GROUP,
        kinds={"postgres"},
        retry_policy=RETRY_OUTAGES,
        description="PostHog's events as they arrived, by the hour in which they happened. "
        "Materializing it pulls from the sources that are set, if any. Table `raw_event`.",
    )
    def raw_events(
        context: dg.AssetExecutionContext, pipeline: Pipeline
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:
        yield from _pull(context, pipeline, windows_of(context.partition_keys))

    @dg.asset(
        key=ENRICHED_EVENTS,
        code_version=rules_version,
        deps=[RAW_EVENTS],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
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
    def enriched_events(
        context: dg.AssetExecutionContext, config: EnrichmentConfig, pipeline: Pipeline
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:
        windows = windows_of(context.partition_keys)
        if LAUNCHED_BY_SENSOR not in context.run.tags and not context.retry_number:
            with pipeline.store.transaction() as connection:
                reopened = reopen_dead(connection, windows)
            context.log.info(f"{reopened} dead batches are due again")
        worker = run_name(context.run.run_id)
        outcome = enrich_windows(pipeline.store, pipeline.rules, windows, worker)
        if config.re_enrich:
            changes = re_enrich(pipeline.store, pipeline.rules, windows)
            context.log.info(changes.summary)
            outcome.tell_changes(changes)
        for failure in outcome.report.failures:
            context.log.warning(failure)
        if outcome.dead or outcome.waiting_until:
            # Yielded, not logged: what is logged is lost when the asset raises.
            tags = code_version_tags(pipeline.rules.version)
            yield from _materializations(ENRICHED_EVENTS, outcome.finished, tags)
            remember_told(pipeline.store, outcome)
            raise _unfinished(outcome)
        for window, metadata in outcome.finished.items():
            context.add_asset_metadata(metadata, partition_key=partition_key(window))
        remember_covered(pipeline.store, windows)
        remember_told(pipeline.store, outcome)
        yield dg.MaterializeResult(check_results=outcome.checks)

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
        description="What is broken now: failed windows, open dead letters, and the way out. "
        "Table `dead_letter`.",
    )
    def dead_letter(pipeline: Pipeline) -> dg.MaterializeResult:
        with pipeline.store.transaction() as connection:
            broken = broken_now(connection)
        return dg.MaterializeResult(
            metadata=broken_metadata(broken), check_results=[nothing_is_dead(broken)]
        )

    return [raw_events, enriched_events, dead_letter]


def _pull(
    context: dg.AssetExecutionContext, pipeline: Pipeline, windows: Sequence[datetime]
) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:
    """Pull for the windows, where a source is set, and show what lies in them now."""
    report: PullReport | None = None
    # The sensor's runs are about what has arrived, however that was.
    if pipeline.settings.pulls and LAUNCHED_BY_SENSOR not in context.run.tags:
        report = PullReport()
        try:
            pull_for_run(context, pipeline, windows, report)
        except PullError as error:
            # Yielded, not logged: what is logged is lost when the asset raises.
            finished = raw_metadata(pipeline, [*report.windows], report)
            yield from _materializations(RAW_EVENTS, finished)
            raise unpulled(error) from error
    for window, metadata in raw_metadata(pipeline, windows, report).items():
        context.add_asset_metadata(metadata, partition_key=partition_key(window))
    yield dg.MaterializeResult()


def _materializations(
    asset: dg.AssetKey,
    finished: Mapping[datetime, Metadata],
    tags: Mapping[str, str] | None = None,
) -> Iterator[dg.AssetMaterialization]:
    for window, metadata in finished.items():
        yield dg.AssetMaterialization(
            asset, partition=partition_key(window), metadata=metadata, tags=tags
        )


def code_version_tags(rules_version: str) -> dict[str, str]:
    """What Dagster writes with the materialization of an asset by itself, for those that are
    logged: under which rules, and from what. Without the input it takes `raw_events` for a
    dependency that came later, and calls the window stale."""
    raw_events = RAW_EVENTS.to_user_string()
    return {
        "dagster/code_version": rules_version,
        f"dagster/input_data_version/{raw_events}": "",
        f"dagster/input_event_pointer/{raw_events}": "NULL",
    }


def _unfinished(outcome: Outcome) -> dg.RetryRequested | dg.Failure:
    """What to raise for windows that are not finished."""
    if outcome.waiting_until is not None:
        # The batches say when they come due again; Dagster only calls again.
        wait = (outcome.waiting_until - datetime.now(UTC)).total_seconds()
        return dg.RetryRequested(
            max_retries=_MAX_RETRIES_OF_A_BATCH, seconds_to_wait=max(wait, 0.1)
        )
    return dg.Failure(failure_message(outcome.dead), allow_retries=False)
