"""A number for each session, by which people and models name it (`s12`).

Frozen, as 0001 is.
"""

from alembic import op

from enrichment_pipeline.store.migrations import online

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


# What somebody builds meanwhile has none: it gets one at the end, or when it is built again.
_NUMBER = f"""
UPDATE session_timeline SET number = numbered.number
FROM (
    SELECT project, session_id, nextval('session_number') AS number
    FROM (
        SELECT project, session_id FROM session_timeline WHERE number IS NULL
        ORDER BY day, started_at, project, session_id LIMIT {online.BATCH}
        FOR UPDATE SKIP LOCKED
    ) next_ones
) numbered
WHERE numbered.project = session_timeline.project
    AND numbered.session_id = session_timeline.session_id
    AND session_timeline.number IS NULL
"""


def upgrade() -> None:
    """Number the sessions that there are in the order of time."""
    online.execute("CREATE SEQUENCE IF NOT EXISTS session_number")
    online.add_columns("session_timeline", number="bigint")
    online.in_batches(_NUMBER)
    online.create_index("session_timeline_number", "session_timeline (number)", unique=True)


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE session_timeline DROP COLUMN number; DROP SEQUENCE session_number")
