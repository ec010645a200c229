"""Two people can share a session, on a device on which nobody logs out: both are found.

Sessions of before have none until they are built again.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and the index of the few sessions that have any."""
    op.execute(
        """
        ALTER TABLE session_timeline ADD COLUMN others text[];
        CREATE INDEX session_timeline_others ON session_timeline USING gin (others)
            WHERE others IS NOT NULL
        """
    )


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE session_timeline DROP COLUMN others")
