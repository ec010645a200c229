"""Two people can share a session, on a device on which nobody logs out: both are found.

Sessions of before have none until they are built again.

Frozen, as 0001 is.
"""

from alembic import op

from enrichment_pipeline.store.migrations import online

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and the index of the few sessions that have any."""
    online.add_columns("session_timeline", others="text[]")
    online.create_index(
        "session_timeline_others", "session_timeline USING gin (others) WHERE others IS NOT NULL"
    )


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE session_timeline DROP COLUMN others")
