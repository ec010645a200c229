"""Enriching finished events again under the current rules, and reporting what changed.

Due batches belong to `path`; nothing becomes due here, and unchanged events are not touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.derive import output_version
from enrichment_pipeline.enrichment.deriving import derive_missing
from enrichment_pipeline.enrichment.path import CLAIM_EVENTS
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.changes import append_changes
from enrichment_pipeline.store.queue.claims import Batch, enriched_batches
from enrichment_pipeline.store.queue.enriched import expect_many, missing_inputs
from enrichment_pipeline.store.queue.rewriting import Change, rewrite_enriched
from enrichment_pipeline.wording import counted


@dataclass
class Changes:
    """The changes made by re-enriching."""

    rules_version: str
    events: int = 0
    """Events whose result differs; for all others only the rules version is new."""
    changes: list[Change] = field(default_factory=list)
    """By window, event name, old result and new result."""

    @property
    def summary(self) -> str:
        """One line."""
        names = len({change.event for change in self.changes})
        return (
            f"re-enriched under rules version {self.rules_version}: "
            f"{counted(self.events, 'event')} of {counted(names, 'name')} changed"
        )


def re_enrich(store: Store, rules: Rules, windows: Sequence[datetime]) -> Changes:
    """Enrich the finished batches of these windows again.

    An event that cannot be enriched under the current rules keeps its row.
    """
    changes = Changes(rules.version)
    with store.transaction() as connection:
        batches = enriched_batches(connection, windows)
    for group in _groups(batches):
        for change in _rewrite(store, rules, group):
            changes.changes.append(change)
            changes.events += change.events
    return changes


def _groups(batches: Sequence[Batch]) -> list[list[Batch]]:
    groups: list[list[Batch]] = []
    events = CLAIM_EVENTS
    for batch in batches:
        if events + batch.due_count > CLAIM_EVENTS:
            groups.append([])
            events = 0
        groups[-1].append(batch)
        events += batch.due_count
    return groups


def _rewrite(store: Store, rules: Rules, batches: Sequence[Batch]) -> list[Change]:
    version = output_version(rules)
    with store.transaction() as connection:
        expect_many(connection, sum(batch.due_count for batch in batches))
        keys = missing_inputs(connection, batches, store.window, version)
        derive_missing(store, keys, rules)
        changes = rewrite_enriched(connection, batches, store.window, version, rules.version)
        append_changes(connection, [change.window_start for change in changes])
        return changes
