"""The tables, as SQLAlchemy sees them.

The columns and their meaning belong here. Queries belong to the module of their subject; the
history of the tables belongs to `migrations`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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
    # pending: due at `due_at`; enriched: finished; dead: not tried again automatically.
    Column("state", Text, nullable=False),
    # accepted = enriched + dead + pending holds for each batch, and so for each window.
    Column("event_count", Integer, nullable=False),
    Column("enriched_count", Integer, nullable=False, server_default=text("0")),
    Column("dead_count", Integer, nullable=False, server_default=text("0")),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    # A migration of old events, which is enriched after live events.
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
    # For retention, which drops the keys of a batch.
    Index("event_key_batch", "batch_id"),
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
    # The part of the sentence that differs from event to event: sku=1. Masked.
    Column("detail", Text),
    Column("device", Text),
    # The tab of the browser: `events.tabs`. NULL in rows of versions before 0017.
    Column("tab", SmallInteger),
    Index("raw_event_batch", "batch_id"),
    # For finding action inputs that no event has any more.
    Index("raw_event_input", "input_key"),
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
    # The kinds of private data that the project allows models to see; NULL: none.
    Column("unmasked", Text),
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
    Column("touch", Text),
    comment="What a version of the rules said of each input; enrichment joins it.",
)

enriched_event = Table(
    "enriched_event",
    metadata,
    # Time first: rows of one window are adjacent in the index, so that writing them stays cheap
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
    Column("device", Text),
    # What was touched, for signals: `events.touches`. NULL in rows of versions before 0014.
    Column("touch", Text),
    Column("tab", SmallInteger),
    Index("enriched_event_once", "occurred_at", "uuid", "project", unique=True),
    Index(
        "enriched_event_session",
        "session_id",
        "occurred_at",
        postgresql_where=text("session_id IS NOT NULL"),
    ),
    Index("enriched_event_person", "distinct_id"),
    postgresql_partition_by="RANGE (occurred_at)",
    comment="One row for one raw event: what the user did, for people and language models.",
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    # event: one event, refused at ingestion or by the rules; batch: a batch that kept failing.
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
    # By the sender's clock; first_failed_at says when the event arrived. A replay needs both to
    # compute the event's own time.
    _moment("sent_at", nullable=True),
    # For an event that is in raw_event and failed later; NULL for one refused at ingestion.
    Column("uuid", Uuid),
    _moment("occurred_at", nullable=True),
    # If it is known; for a person's right to be forgotten.
    Column("distinct_id", Text),
    # Where the last failure was: a run of Dagster, a worker, a command.
    Column("worker", Text),
    # Replays that failed.
    Column("replays", SmallInteger, nullable=False, server_default=text("0")),
    _moment("closed_at", nullable=True),
    # Why it was discarded, or how it was resolved.
    Column("closing_note", Text),
    CheckConstraint("kind IN ('event', 'batch')", name="dead_letter_kind"),
    CheckConstraint(
        "state IN ('open', 'replaying', 'resolved', 'discarded', 'parked')",
        name="dead_letter_state",
    ),
    Index("dead_letter_window", "window_start"),
    Index("dead_letter_batch", "batch_id"),
    Index("dead_letter_replaying", "id", postgresql_where=text("state = 'replaying'")),
    Index(
        "dead_letter_open",
        "reason_code",
        "window_start",
        postgresql_where=text("state IN ('open', 'replaying', 'parked')"),
    ),
    comment="Events and batches that will not be tried again by themselves.",
)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("name", Text, primary_key=True),
    _moment("seen_at"),
    comment="When each part that must not stop was last seen, for the alerts.",
)

failure = Table(
    "failure",
    metadata,
    Column("kind", Text, primary_key=True),
    # The asset, the job, the check, the sensor, the file.
    Column("subject", Text, primary_key=True),
    # A partition of the subject; empty if it has none.
    Column("part", Text, primary_key=True),
    _moment("since"),
    _moment("failed_at"),
    Column("message", Text, nullable=False),
    Column("run_id", Text),
    # In Dagster's event log: only later entries can heal the failure.
    Column("event_id", BigInteger),
    comment="What failed and has not succeeded since: runs, checks, sensors, the file of rules; "
    "for the alerts.",
)

alert = Table(
    "alert",
    metadata,
    # The kind, and the reason and window or the part concerned.
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    _moment("since"),
    _moment("told_at"),
    # The size in the last message: the alert is repeated when it has grown.
    Column("told_count", BigInteger, nullable=False),
    _moment("closed_at", nullable=True),
    CheckConstraint("state IN ('open', 'closed')", name="alert_state"),
    comment="What people have been told of, so that each thing is told once.",
)

alert_message = Table(
    "alert_message",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("alert_key", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("message", JSONB, nullable=False),
    _moment("created_at", now=True),
    _moment("due_at", now=True),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _moment("delivered_at", nullable=True),
    Column("last_error", Text),
    Index("alert_message_waiting", "due_at", postgresql_where=text("delivered_at IS NULL")),
    comment="Messages to each channel; those that are not delivered are tried again.",
)

forgotten = Table(
    "forgotten",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _moment("forgotten_at", now=True),
    Column("project", Text, nullable=False),
    # `events.people.ledger_name`.
    Column("person", Text, nullable=False),
    _moment("window_start"),
    Column("enriched", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    comment="How many events of each window went with a person who was forgotten (person: a keyed "
    "hash of project and distinct_id); the books count them no more.",
)

enriched_change = Table(
    "enriched_change",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    # One of `changes.Consumer`.
    Column("consumer", Text, nullable=False),
    _moment("window_start"),
    Column("batch_ids", ARRAY(BigInteger)),
    Column(
        "changed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
    ),
    Index("enriched_change_window", "consumer", "window_start"),
    comment="What has changed and a consumer has not seen: appended by the transaction that "
    "changes enriched events or dead letters, removed by that of the consumer's work. "
    "batch_ids: NULL is all of the window.",
)

store_setting = Table(
    "store_setting",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="What the store itself must remember: window_minutes.",
)

store_secret = Table(
    "store_secret",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="Keys that the store keeps for itself: nobody is granted it.",
)

pulled_file = Table(
    "pulled_file",
    metadata,
    Column("url", Text, primary_key=True),
    # The file system's checksum, or else size and time of change.
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
    # The address of PostHog and its project.
    Column("source", Text, primary_key=True),
    Column("window_start", DateTime(timezone=True), primary_key=True),
    # When it was last read from its start.
    _moment("began_at"),
    # The last event that is in the store, in the order of the pages; NULL: none yet.
    _moment("after_timestamp", nullable=True),
    Column("after_uuid", Text),
    # When the window, after its end, had been read completely; NULL: more is to come.
    _moment("finished_at", nullable=True),
    # Since it was last read from its start.
    Column("events_read", BigInteger, nullable=False, server_default=text("0")),
    # PostHog's own count of the complete window; NULL: not complete, or read by an older version.
    Column("events_counted", BigInteger),
    Index(
        "pull_position_differs",
        "window_start",
        postgresql_where=text("events_counted <> events_read"),
    ),
    comment="How far each window has been pulled from the query API.",
)

person = Table(
    "person",
    metadata,
    Column("project", Text, primary_key=True),
    Column("distinct_id", Text, primary_key=True),
    Column("person_id", Uuid, nullable=False),
    # True for a person who was identified: two such people are joined only by $merge_dangerously.
    Column("is_identified", Boolean, nullable=False),
    _moment("joined_at", now=True),
    Index("person_ids", "project", "person_id"),
    comment="Which distinct_ids are one person; an id that is not here is a person of its own.",
)

session_timeline = Table(
    "session_timeline",
    metadata,
    Column("project", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    # UTC, of its start.
    Column("day", Date, nullable=False),
    # Of its last event; the table person says who that is.
    Column("distinct_id", Text, nullable=False),
    _moment("started_at"),
    _moment("ended_at"),
    Column("events", Integer, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("entry", Text),
    Column("exit", Text),
    Column("device", Text),
    Column("outline", Text, nullable=False),
    Column("signals", ARRAY(Text), nullable=False),
    Column("timeline", Text, nullable=False),
    _moment("built_at", now=True),
    # Its short name, `s12`. NULL in rows that a version before 0015 has built meanwhile.
    Column("number", BigInteger),
    # A distinct_id of each other person in it; NULL: nobody else.
    Column("others", ARRAY(Text)),
    # `rage_click on /checkout`. NULL in rows that a version before 0018 has built.
    Column("signal_pages", ARRAY(Text)),
    Index("session_timeline_number", "number", unique=True),
    Index("session_timeline_day", "day", "started_at"),
    Index("session_timeline_person", "project", "distinct_id"),
    Index(
        "session_timeline_others",
        "others",
        postgresql_using="gin",
        postgresql_where=text("others IS NOT NULL"),
    ),
    comment="What happened in each session, for people and language models; day: UTC, of its "
    "start.",
)

session_number = Sequence("session_number", metadata=metadata)

READABLE = tuple(name for name in metadata.tables if name != store_secret.name)
"""The tables that the reading role may read: all but the secrets."""

PARTITIONED = (raw_event.name, enriched_event.name)
"""The tables with a partition for each UTC day of `occurred_at`."""
