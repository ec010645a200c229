"""One set of secrets, in every place in which an event can hold one, and what of it is found in
what leaves the pipeline.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from sqlalchemy import text

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import (
    Arrival,
    RejectedEvent,
    RejectionReason,
    parse_event,
)
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

SECRETS = {
    "jane@corp.example": ["jane", "corp.example"],
    "+49 151 23456789": ["23456789"],
    "4111 1111 1111 1111": ["1111 1111", "1111%201111", "11111111"],
    "DE89370400440532013000": ["DE8937", "44053201"],
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln": ["eyJhbGci"],
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc": ["sk_live_4e", "sk live 4e"],
    "https://jo:hunter2@db.example/x?key=topsecret": ["hunter2", "topsecret"],
    "pwd=opensesame": ["opensesame"],
    "password: swordfish": ["swordfish"],
    "4242,4242,4242,4242": ["4242,4242", "42424242", "4242%2C4242"],
    "aws_secret_access_key=abcdEFGH/ijkl": ["abcdEFGH", "ijkl"],
}
"""What somebody may have typed, and what of it must be read nowhere."""

# Long enough not to turn up in some id or time by chance.
BY_NAME = {
    "pwd": "opensesame",
    "otp": "483920175",
    "surname": "Featherstonehaugh",
    "pin": "774152093",
}
_NEVER = [*(piece for pieces in SECRETS.values() for piece in pieces), *BY_NAME.values()]
JANE = next(iter(SECRETS))


def events() -> Iterable[bytes]:
    """Each secret in each place in which an event can hold one."""
    for number, secret in enumerate(SECRETS):
        session = {NAME: f"s{number}", "title": f"Inbox of {secret}"}
        places: list[tuple[str, dict[str, object]]] = [
            (f"Chat with {secret}", {}),
            (f"$chat {secret}", {}),
            ("$pageview", {"$pathname": f"/u/{secret}/edit"}),
            ("$pageview", {"$pathname": f"/u/{quote(secret, safe='')}"}),
            ("$pageview", {"$pathname": f"/u/{quote(quote(secret, safe=''), safe='')}/x"}),
            ("$screen", {"$screen_name": f"Chat {secret}", "$pathname": ""}),
            ("$autocapture", {"$event_type": "change", "$el_text": f"Write to {secret}"}),
            ("$autocapture", {"$elements_chain": f'a:attr__aria-label="Call {secret}"'}),
            ("$autocapture", {"$elements_chain": f'{secret}:text="x"'}),
            ("order placed", {"sku": f"of {secret}", secret: 1, **BY_NAME}),
            ("payment failed", {"reason": secret}),
            ("$exception", {"$exception_type": secret, "$exception_message": f"no {secret}"}),
            ("survey sent", {"$survey_name": secret}),
            ("seen", {"$browser": secret, "$os": secret, "$device_type": secret}),
            ("of a session", {NAME: secret}),
            ("ping", {}),
        ]
        for second, (name, properties) in enumerate(places):
            at = NOON + timedelta(minutes=2 * number, seconds=5 * second)
            yield make_event(name, at, distinct_id=secret, properties=session | properties)
    yield make_event("without a session", NOON, distinct_id=JANE)


def fill(store: Store, rules: Rules) -> None:
    """Let the store have all of them, their sessions, and dead letters that quote them."""
    take_in(store, rules, list(events()))
    build_day(store, NOON.date(), is_whole=True)
    rejected = [
        RejectedEvent(
            payload=make_event(f"Chat with {secret}", NOON),
            project="default",
            reason=RejectionReason.REFUSED_BY_STORE,
            message=f"refused: {secret}",
            occurred_at=NOON,
            event=f"Chat with {secret}",
        )
        for secret in SECRETS
    ]
    load_events(store, [], rejected, "test")


# As of a constraint of somebody's own, that is no error of the data for PostgreSQL.
_REFUSING = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'refused %', NEW.distinct_id; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def take_in_only(store: Store) -> None:
    """Events that are not enriched yet."""
    one = make_event("Chat", NOON, distinct_id=" ".join(SECRETS))
    load_events(store, [parse_event(one, "default", Arrival(NOON))], [], "test")


def refuse(store: Store, table: str) -> None:
    """Let PostgreSQL refuse each row of this table, with an error that quotes it."""
    with store.transaction() as connection:
        connection.execute(text(_REFUSING.format(table=table)))


def store_of_dead(store: Store) -> None:
    """A batch that has failed for good, with an error that quotes its event."""
    refuse(store, "enriched_event")
    take_in_only(store)
    for _ in range(4):
        enrich_due(store, load_rules())
        with store.transaction() as connection:
            connection.execute(text("UPDATE raw_batch SET due_at = now() WHERE state = 'pending'"))
    with store.transaction() as connection:
        found = connection.execute(text("SELECT message FROM dead_letter WHERE kind = 'batch'"))
        assert "jane@corp" in str(found.all())


def leaks(found: object) -> list[str]:
    """The pieces of secrets in this, with what stands around them."""
    written = (
        found if isinstance(found, str) else json.dumps(found, default=str, ensure_ascii=False)
    )
    # Digits of a uuid or of a moment can be those of a secret.
    written = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|:\d\d\.\d{3,6}", "", written)
    return [written[max(0, written.index(one) - 80) :][:120] for one in _NEVER if one in written]
