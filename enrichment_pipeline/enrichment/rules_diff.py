"""What other rules would change; nothing is changed here.

Applying the change belongs to `re_enrich`, the queries to `store.queue.rules_diff`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.rules_diff import (
    Kept,
    NameChange,
    Said,
    changes,
    kept,
    sub_types,
)
from enrichment_pipeline.store.reading.as_reader import reading

_SECONDS = 600


@dataclass(frozen=True)
class RulesDiff:
    """The changes that rules would make to enriched events."""

    versions: Counter[str]
    """The rules versions of the enriched events now, and how many events each has."""
    rules_version: str
    """The version of the rules in question."""
    changes: Sequence[NameChange]

    @property
    def events(self) -> int:
        """Events whose result would differ; those without a raw event stay as they are."""
        return sum(change.events - change.without_raw for change in self.changes)

    @property
    def windows(self) -> list[datetime]:
        """The windows that hold such events."""
        return sorted(
            {
                window
                for change in self.changes
                if change.events > change.without_raw
                for window in change.windows
            }
        )


def diff_rules(store: Store, rules: Rules) -> RulesDiff:
    """What these rules would change. Nothing is written: the query's role cannot write."""
    with reading(store, _SECONDS) as connection:
        enriched = kept(connection)
        versions: Counter[str] = Counter()
        for one in enriched:
            versions[one.rules_version] += one.events
        names = _affected_names(enriched, rules)
        said = [
            Said(event, sub_type, *rules.classify(event, sub_type))
            for event, sub_type in _with_none(names, sub_types(connection, names))
        ]
        found = changes(connection, said, store.window) if said else []
    return RulesDiff(versions, rules.version, found)


def _affected_names(enriched: Sequence[Kept], rules: Rules) -> list[str]:
    """The event names whose result may change. A name is left out, without a query for its
    sub-types, if its events have none and already are what the rules say."""
    return sorted(
        {
            one.event
            for one in enriched
            if one.event in rules.sub_types
            or rules.classify(one.event, None) != (one.event_type, one.action_type)
        }
    )


def _with_none(
    names: Sequence[str], found: Sequence[tuple[str, str | None]]
) -> list[tuple[str, str | None]]:
    # An event whose raw event is gone is judged by its name alone.
    return sorted({*found, *((name, None) for name in names)}, key=repr)
