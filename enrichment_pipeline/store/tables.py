"""The tables, as SQLAlchemy sees them.

Their columns and what each means belong here. Queries belong to the module of their subject;
how the tables came to be belongs to `migrations`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _moment(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    default = func.now() if now else None
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


raw_batch = Table(
    "raw_batch",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _moment("window_start"),
    Column("source", Text, nullable=False),
    # pending: due at `due_at`; enriched: finished; dead: will not be tried again by itself.
    Column("state", Text, nullable=False),
    # accepted = enriched + dead + pending holds for each batch, and so for each window.
    Column("event_count", Integer, nullable=False),
    Column("enriched_count", Integer, nullable=False, server_default=text("0")),
    Column("dead_count", Integer, nullable=False, server_default=text("0")),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    # A migration of old events, which waits behind what happens now.
    Column("historical", Boolean, nullable=False, server_default=text("false")),
    _moment("due_at"),
    Column("last_error", Text),
    _moment("created_at", now=True),
    _moment("finished_at", nullable=True),
    CheckConstraint("state IN ('pending', 'enriched', 'dead')", name="raw_batch_state"),
    CheckConstraint("enriched_count + dead_count <= event_count", name="raw_batch_counts"),
    Index("raw_batch_window", "window_start"),
    Index(
        "raw_batch_pending",
        "historical",
        "window_start",
        "id",
        postgresql_where=text("state = 'pending'"),
    ),
    comment="The events of one window that one commit brought in: the queue, and the outbox.",
)

event_key = Table(
    "event_key",
    metadata,
    Column("project", Text, primary_key=True),
    Column("uuid", Uuid, primary_key=True),
    Column("batch_id", BigInteger, nullable=False),
    comment="Every event ever accepted, once. Apart from raw_event, because a unique index on a "
    "table partitioned by time cannot see the same uuid in another partition.",
)

raw_event = Table(
    "raw_event",
    metadata,
    Column("batch_id", BigInteger, nullable=False),
    Column("project", Text, nullable=False),
    Column("uuid", Uuid, nullable=False),
    _moment("occurred_at"),
    Column("event", Text, nullable=False),
    Column("distinct_id", Text, nullable=False),
    Column("session_id", Text),
    Column("path", Text),
    Column("title", Text),
    Column("properties", JSONB),
    Column("input_key", Uuid, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index("raw_event_batch", "batch_id"),
    postgresql_partition_by="RANGE (occurred_at)",
    comment="PostHog's events exactly as they arrived (payload: zstd of the JSON), and their hot "
    "fields. The source of truth.",
)

enrichment_input = Table(
    "enrichment_input",
    metadata,
    Column("input_key", Uuid, primary_key=True),
    Column("event", Text, nullable=False),
    Column("sub_type", Text),
    Column("path_template", Text),
    Column("elements_chain", Text),
    Column("element_text", Text),
    comment="The distinct inputs of the rules, under the key that raw_event carries.",
)

enrichment_output = Table(
    "enrichment_output",
    metadata,
    Column("version", Text, primary_key=True),
    Column("input_key", Uuid, primary_key=True),
    Column("event_type", Text, nullable=False),
    Column("action_type", Text, nullable=False),
    Column("path_template", Text),
    Column("element_tag", Text),
    Column("element_label", Text),
    Column("description", Text, nullable=False),
    comment="What a version of the rules said of each input; enrichment joins it.",
)

enriched_event = Table(
    "enriched_event",
    metadata,
    # Time first: rows of one window lie together in the index, so that writing them stays cheap
    # however large the table is.
    _moment("occurred_at"),
    Column("uuid", Uuid, nullable=False),
    Column("project", Text, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("action_type", Text, nullable=False),
    Column("distinct_id", Text, nullable=False),
    Column("session_id", Text),
    Column("path", Text),
    Column("path_template", Text),
    Column("title", Text),
    Column("element_tag", Text),
    Column("element_label", Text),
    Column("description", Text, nullable=False),
    Column("properties", JSONB),
    Column("rules_version", Text, nullable=False),
    _moment("enriched_at"),
    Index("enriched_event_once", "occurred_at", "uuid", "project", unique=True),
    Index(
        "enriched_event_session",
        "session_id",
        "occurred_at",
        postgresql_where=text("session_id IS NOT NULL"),
    ),
    postgresql_partition_by="RANGE (occurred_at)",
    comment="One row for one raw event: what the user did, for people and language models.",
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    # event: one event, refused at the door or by the rules; batch: a whole batch that kept failing.
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("batch_id", BigInteger, nullable=False),
    _moment("window_start"),
    Column("event_count", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("project", Text),
    Column("event", Text),
    Column("reason_code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("traceback", Text),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("rules_version", Text),
    _moment("first_failed_at", now=True),
    _moment("last_failed_at", now=True),
    Column("payload", LargeBinary),
    # By the sender's clock; first_failed_at says when it arrived. A replay needs both to tell the
    # event's own time.
    _moment("sent_at", nullable=True),
    CheckConstraint("kind IN ('event', 'batch')", name="dead_letter_kind"),
    CheckConstraint(
        "state IN ('open', 'replaying', 'resolved', 'discarded', 'parked')",
        name="dead_letter_state",
    ),
    Index("dead_letter_window", "window_start"),
    Index(
        "dead_letter_open",
        "reason_code",
        "window_start",
        postgresql_where=text("state IN ('open', 'replaying', 'parked')"),
    ),
    comment="Events and batches that will not be tried again by themselves.",
)

store_setting = Table(
    "store_setting",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="What the store itself must remember: partition_start, window_minutes.",
)

pulled_file = Table(
    "pulled_file",
    metadata,
    Column("url", Text, primary_key=True),
    # Its checksum as the file system knows it, else size and time of change.
    Column("version", Text, nullable=False),
    _moment("pulled_at"),
    Column("accepted", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    comment="The files of the pulled folder that were read to their end, and what was in them.",
)

pull_position = Table(
    "pull_position",
    metadata,
    # Which PostHog, and which of its projects.
    Column("source", Text, primary_key=True),
    Column("window_start", DateTime(timezone=True), primary_key=True),
    # When it was last asked for from its start.
    _moment("began_at"),
    # The last event that is in the store, by the order of the pages; NULL: none yet.
    _moment("after_timestamp", nullable=True),
    Column("after_uuid", Text),
    # When the window, which was over, had been read to its end; NULL: there is more to come.
    _moment("finished_at", nullable=True),
    comment="How far each window has been pulled from the query API.",
)

READABLE = tuple(metadata.tables)
"""What the reading role may read."""

PARTITIONED = (raw_event.name, enriched_event.name)
"""The tables with a partition for each UTC day of `occurred_at`."""
