"""(d) The database as a queue, as prototypes do it: one row, one transaction, through the ORM."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, DateTime, Engine, Text, Uuid, create_engine, insert, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.measure import timed
from enrichment_pipeline.classification import classify_event
from enrichment_pipeline.store.database.engine import Store

EVENTS = 2_000


class Base(DeclarativeBase):
    """The prototype's tables."""


class QueuedEvent(Base):
    """An event in the queue."""

    __tablename__ = "bench_queued_event"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    status: Mapped[str] = mapped_column(Text, index=True, default="pending")
    event: Mapped[str] = mapped_column(Text)
    distinct_id: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[dict[str, object]] = mapped_column(JSONB)


class EnrichedEvent(Base):
    """An event that was enriched."""

    __tablename__ = "bench_enriched_event"
    uuid: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    event: Mapped[str] = mapped_column(Text)
    event_type: Mapped[str] = mapped_column(Text)
    action_type: Mapped[str] = mapped_column(Text)
    distinct_id: Mapped[str | None] = mapped_column(Text)
    session_id: Mapped[str | None] = mapped_column(Text)
    path: Mapped[str | None] = mapped_column(Text)
    enriched_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def measure(store: Store, payloads: list[bytes]) -> float:
    """Events a second over the first 2,000 events."""
    events = [msgspec.json.decode(payload) for payload in payloads[:EVENTS]]
    Base.metadata.drop_all(store.engine)
    Base.metadata.create_all(store.engine)
    with store.transaction() as connection:
        connection.execute(
            insert(QueuedEvent),
            [
                {
                    "event": event["event"],
                    "distinct_id": event["distinct_id"],
                    "payload": event,
                    "status": "pending",
                }
                for event in events
            ],
        )
    # An engine as anybody makes one: the store's leaves transactions to others.
    engine = create_engine(store.engine.url)
    rate = timed(lambda: _drain(engine), len(events))
    engine.dispose()
    Base.metadata.drop_all(store.engine)
    return rate


def _drain(engine: Engine) -> None:
    while True:
        with Session(engine) as session, session.begin():
            queued = session.scalars(
                select(QueuedEvent)
                .where(QueuedEvent.status == "pending")
                .order_by(QueuedEvent.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if queued is None:
                return
            enrich(session, queued)


def enrich(session: Session, queued: QueuedEvent) -> None:
    """Write the enriched row of one event, as any peer that goes row by row does."""
    properties = queued.payload["properties"]
    assert isinstance(properties, dict)
    classification = classify_event(queued.event, properties)
    session.add(
        EnrichedEvent(
            uuid=UUID(str(queued.payload["uuid"])),
            event=queued.event,
            event_type=classification.event_type,
            action_type=classification.action_type,
            distinct_id=queued.distinct_id,
            session_id=properties.get("$session_id"),
            path=properties.get("$pathname"),
            enriched_at=datetime.now(UTC),
        )
    )
    queued.status = "done"
