"""(g) What a prototype does: a FastAPI endpoint that inserts each event with the ORM and commits.

python -m benchmarks.orm_api
"""

from typing import Annotated, Any
from uuid import UUID

import uvicorn
from fastapi import Body, FastAPI
from sqlalchemy import Text, Uuid, create_engine
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import connect_store

settings = load_settings()
store = connect_store(settings)
engine = create_engine(store.engine.url)
app = FastAPI()


class Base(DeclarativeBase):
    """The prototype's table."""


class ReceivedEvent(Base):
    """An event as it arrived."""

    __tablename__ = "bench_received_event"
    uuid: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    event: Mapped[str] = mapped_column(Text)
    distinct_id: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, object]] = mapped_column(JSONB)


@app.get("/readyz")
def ready() -> str:
    """For the benchmark to wait for."""
    return "ready"


@app.post("/batch/")
def batch(body: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
    """Insert each event, and commit each."""
    with Session(engine) as session:
        for event in body["batch"]:
            session.add(
                ReceivedEvent(
                    uuid=UUID(event["uuid"]),
                    event=event["event"],
                    distinct_id=event["distinct_id"],
                    payload=event,
                )
            )
            session.commit()
    return {"status": "Ok"}


if __name__ == "__main__":
    Base.metadata.drop_all(store.engine)
    Base.metadata.create_all(store.engine)
    uvicorn.run(app, port=settings.api_port, log_level="error")
