"""For language models: what differs from event to event in a sentence, who is who, and sessions.

Frozen, as 0001 is.
"""

from alembic import op

from enrichment_pipeline.store.migrations import online

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns (empty for what is there, so that no row is written) and make the tables."""
    online.add_columns("raw_event", detail="text", device="text")
    online.add_columns("enriched_event", device="text")
    online.add_columns("enrichment_input", unmasked="text")
    online.create_index("enriched_event_person", "enriched_event (distinct_id)")
    op.execute(
        """
        CREATE TABLE person (
            project text NOT NULL,
            distinct_id text NOT NULL,
            person_id uuid NOT NULL,
            is_identified boolean NOT NULL,
            joined_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (project, distinct_id)
        );
        CREATE INDEX person_ids ON person (project, person_id);
        COMMENT ON TABLE person IS
            'Which distinct_ids are one person; an id that is not here is a person of its own.';

        INSERT INTO store_setting (name, value) VALUES ('pseudonym_key', gen_random_uuid()::text);

        CREATE TABLE session_timeline (
            project text NOT NULL,
            session_id text NOT NULL,
            day date NOT NULL,
            distinct_id text NOT NULL,
            started_at timestamptz NOT NULL,
            ended_at timestamptz NOT NULL,
            events integer NOT NULL,
            pages integer NOT NULL,
            entry text,
            exit text,
            device text,
            outline text NOT NULL,
            signals text[] NOT NULL,
            timeline text NOT NULL,
            built_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (project, session_id)
        );
        CREATE INDEX session_timeline_day ON session_timeline (day, started_at);
        CREATE INDEX session_timeline_person ON session_timeline (project, distinct_id);
        COMMENT ON TABLE session_timeline IS
            'What happened in each session, for people and language models; day: UTC, of '
            'its start.';

        CREATE TABLE session_day (
            day date PRIMARY KEY,
            built_until timestamptz NOT NULL,
            enriched bigint NOT NULL
        );
        COMMENT ON TABLE session_day IS
            'Of each day, how many enriched events its sessions were told from last; '
            '-1: to do anew.';
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.execute(
        """
        DROP TABLE session_day;
        DROP TABLE session_timeline;
        DROP TABLE person;
        DELETE FROM store_setting WHERE name = 'pseudonym_key';
        DROP INDEX enriched_event_person;
        ALTER TABLE enrichment_input DROP COLUMN unmasked;
        ALTER TABLE enriched_event DROP COLUMN device;
        ALTER TABLE raw_event DROP COLUMN detail, DROP COLUMN device;
        """
    )
