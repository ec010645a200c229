"""A number for each session, by which people and models name it (`s12`).

Frozen, as 0001 is.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Number the sessions that there are in the order of time."""
    op.execute(
        """
        CREATE SEQUENCE session_number;
        ALTER TABLE session_timeline ADD COLUMN number bigint;
        UPDATE session_timeline SET number = numbered.number
        FROM (
            SELECT project, session_id,
                row_number() OVER (ORDER BY started_at, project, session_id) AS number
            FROM session_timeline
        ) numbered
        WHERE numbered.project = session_timeline.project
            AND numbered.session_id = session_timeline.session_id;
        SELECT setval('session_number', coalesce(max(number), 0) + 1, false)
        FROM session_timeline;
        CREATE UNIQUE INDEX session_timeline_number ON session_timeline (number)
        """
    )


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE session_timeline DROP COLUMN number; DROP SEQUENCE session_number")
