"""Rules of a user's own rename what events are; what is shown of a session stays what happened."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.re_enrich import re_enrich
from enrichment_pipeline.ingest.sample.sample import sample_events
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.llm.sessions import timeline_of
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import HOUR, make_event
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

OWN = {"event_type": "conversion", "action_type": "upgrade"}
OTHERS = {
    "words of the user's own": OWN,
    "another's words": {"event_type": "navigation", "action_type": "leave"},
    "what a view is called": {"event_type": "pageview", "action_type": "view"},
    "what nobody knows": {"event_type": "unknown", "action_type": "unknown"},
    "what a form is called": {"event_type": "click", "action_type": "submit"},
}


def renaming(folder: Path, names: Iterable[str], to: dict[str, str]) -> Rules:
    """Rules that call everything of these names something else."""
    file = folder / "rules.yaml"
    words = {"event_types": ["conversion"], "action_types": ["upgrade"]}
    file.write_text(yaml.safe_dump({**words, "events": {name: dict(to) for name in names}}))
    return load_rules(file)


def everything_shown(store: Store) -> dict[str, list[object]]:
    """Of each session: its timeline as it is asked for, and its row in the table."""
    found: dict[str, list[object]] = {}
    with store.transaction() as connection:
        days = connection.execute(
            text("SELECT DISTINCT (occurred_at AT TIME ZONE 'UTC')::date FROM enriched_event")
        ).scalars()
    for day in days:
        build_day(store, day, is_whole=True)
    with store.transaction() as connection:
        rows = connection.execute(
            text(
                "SELECT session_id, outline, signals, timeline, entry, pages FROM session_timeline"
            )
        ).all()
        for row in rows:
            now = render(timeline_of(connection, row.session_id), "json")
            found[row.session_id] = [now, *row[1:]]
    return found


@pytest.mark.parametrize("to", OTHERS.values(), ids=OTHERS)
@pytest.mark.slow
def test_renaming_every_event_changes_nothing_that_is_shown(
    store: Store, rules: Rules, tmp_path: Path, to: dict[str, str]
) -> None:
    sample = list(sample_events(NOON))
    take_in(store, rules, sample)
    before = everything_shown(store)
    assert any("rage_click" in row[2] for row in before.values())  # type: ignore[operator]

    own = renaming(tmp_path, {json.loads(event)["event"] for event in sample}, to)
    re_enrich(store, own, [NOON - HOUR * hours for hours in range(24)])

    with store.transaction() as connection:
        kinds = connection.execute(text("SELECT DISTINCT event_type FROM enriched_event"))
        assert list(kinds.scalars()) == [to["event_type"]]
    assert everything_shown(store) == before


def test_whoever_buys_under_rules_of_their_own_is_no_abandoner(
    store: Store, tmp_path: Path
) -> None:
    def at(seconds: float, name: str, **properties: object) -> bytes:
        given = {NAME: "one", "$pathname": "/checkout", **properties}
        return make_event(name, NOON + timedelta(seconds=seconds), properties=given)

    field = {"$event_type": "change", "$elements_chain": 'input:attr__name="email"'}
    own = renaming(tmp_path, ["checkout started", "orderCompleted", "$pageview"], OWN)
    take_in(
        store,
        own,
        [
            at(0, "$pageview"),
            at(1, "checkout started"),
            at(2, "$autocapture", **field),
            at(9, "orderCompleted"),
        ],
    )

    with store.transaction() as connection:
        timeline = timeline_of(connection, "one")

    assert timeline.signals == []
    assert timeline.outline == "/checkout; checkout started, orderCompleted"


def test_a_long_name_in_quotes_is_not_taken_for_something_sent(store: Store, rules: Rules) -> None:
    long = "the visitor has looked at all of the plans that there are"
    take_in(
        store,
        rules,
        [
            make_event(
                "$autocapture",
                NOON,
                properties={NAME: "one", "$pathname": "/plans", "$event_type": "change"},
            ),
            make_event(long, NOON + timedelta(seconds=3), properties={NAME: "one"}),
        ],
    )

    with store.transaction() as connection:
        timeline = timeline_of(connection, "one")

    assert [signal.kind for signal in timeline.signals] == ["form_not_sent"]
