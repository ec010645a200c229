"""Taking events in, enriching them, building their sessions, as the tests here need it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import Arrival, parse_event
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import make_event

NAME = "$session_id"


def visit(
    session: str | None, at: datetime, *paths: str, seconds: float = 10, person: str = "user-1"
) -> list[bytes]:
    """Page views, one after the other."""
    return [
        make_event(
            "$pageview",
            at + timedelta(seconds=seconds * number),
            distinct_id=person,
            properties={"$pathname": path} | ({NAME: session} if session else {}),
        )
        for number, path in enumerate(paths)
    ]


def take_in(
    store: Store, rules: Rules, payloads: Sequence[bytes], project: str = "default"
) -> None:
    """Load and enrich events."""
    events = [
        parse_event(payload, project, Arrival(datetime.fromisoformat("2027-01-01T00:00:00Z")))
        for payload in payloads
    ]
    load_events(store, events, [], "test")
    enrich_due(store, rules)


def sessions_of(store: Store) -> dict[str, tuple[str, int, str]]:
    """Of each session in the table: its day, its events, its outline."""
    with store.transaction() as connection:
        rows = connection.execute(
            text("SELECT session_id, day, events, outline FROM session_timeline")
        ).all()
    return {row.session_id: (str(row.day), row.events, row.outline) for row in rows}
