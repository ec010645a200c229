"""(b) Enriching stored events, cold and warm, against (c) a bare INSERT … SELECT, the limit, and
(d) one row at a time with the ORM, what a database-as-queue prototype does."""

from functools import partial

from sqlalchemy import text

from benchmarks import orm_queue
from benchmarks.measure import Rate, Report, timed
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import CLAIM_EVENTS, enrich_due
from enrichment_pipeline.store.database.engine import Store

LIMIT = "(c) bare INSERT … SELECT, the limit"
ORM = "(d) ORM, one row at a time, SKIP LOCKED"
WARM = "(b) enrichment, warm"
COLD = "(b) enrichment, cold"

_COLUMNS = """occurred_at, uuid, project, batch_id, event, event_type, action_type, distinct_id,
    session_id, path, path_template, title, element_tag, element_label, description, properties,
    device, rules_version, enriched_at, touch, tab"""


def measure(report: Report, store: Store, rules: Rules, rounds: int, payloads: list[bytes]) -> None:
    """Measure all forms in turn, on the events that are in the store."""
    with store.transaction() as connection:
        events = int(connection.execute(text("SELECT count(*) FROM raw_event")).scalar_one())
    cold, limit, warm = [], [], []
    for number in range(rounds):
        reset(store, forget=True)
        cold.append(timed(lambda: enrich_all(store, rules, events), events))
        if not number:
            _copy_result(store)
        chunks = _chunks(store)
        reset(store)
        limit.append(timed(partial(_bare, store, chunks), events))
        reset(store)
        warm.append(timed(lambda: enrich_all(store, rules, events), events))
    orm = [orm_queue.measure(store, payloads) for _ in range(rounds)]
    report.add(Rate(LIMIT, events, limit))
    report.add(Rate(WARM, events, warm, against=LIMIT, target=0.85))
    report.add(Rate(COLD, events, cold, against=LIMIT, target=0.5))
    report.add(Rate(ORM, orm_queue.EVENTS, orm))
    report.add(Rate("(b) enrichment, warm, again", events, warm, against=ORM, target=100))


def reset(store: Store, *, forget: bool = False) -> None:
    """Make everything due again; with `forget`, forget what the rules said of the inputs too."""
    with store.transaction() as connection:
        connection.execute(text("TRUNCATE enriched_event"))
        connection.execute(text("UPDATE raw_batch SET state = 'pending', enriched_count = 0"))
        if forget:
            connection.execute(text("TRUNCATE enrichment_output"))
    # What the last round left to be written would be written during the next.
    with store.engine.connect() as connection:
        connection.execute(text("CHECKPOINT"))


def enrich_all(store: Store, rules: Rules, events: int) -> None:
    """Enrich what is due, which must be so many events."""
    report = enrich_due(store, rules)
    assert report.events == events, report


def _copy_result(store: Store) -> None:
    """The finished rows in a plain table: the limit reads them, and has nothing to work out."""
    with store.transaction() as connection:
        connection.execute(text("DROP TABLE IF EXISTS bench_finished"))
        connection.execute(text("CREATE TABLE bench_finished AS SELECT * FROM enriched_event"))
        connection.execute(text("CREATE INDEX ON bench_finished (batch_id)"))
        connection.execute(text("ANALYZE bench_finished"))


def _chunks(store: Store) -> list[list[int]]:
    """The batches, in groups as large as those that the enrichment claims."""
    with store.transaction() as connection:
        batches = connection.execute(
            text("SELECT id, event_count FROM raw_batch ORDER BY window_start, id")
        ).all()
    chunks: list[list[int]] = [[]]
    size = 0
    for batch, count in batches:
        if size >= CLAIM_EVENTS:
            chunks.append([])
            size = 0
        chunks[-1].append(batch)
        size += count
    return chunks


def _bare(store: Store, chunks: list[list[int]]) -> None:
    statement = text(
        f"INSERT INTO enriched_event ({_COLUMNS}) SELECT {_COLUMNS} FROM bench_finished "
        "WHERE batch_id = ANY(CAST(:batches AS bigint[]))"
    )
    for chunk in chunks:
        with store.transaction() as connection:
            connection.execute(statement, {"batches": chunk})
