"""How many events of a window were pulled, and how many PostHog counts.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Windows that are settled already were never counted."""
    op.execute(
        """
        ALTER TABLE pull_position
            ADD COLUMN events_read bigint NOT NULL DEFAULT 0,
            ADD COLUMN events_counted bigint;
        CREATE INDEX pull_position_differs ON pull_position (window_start)
            WHERE events_counted <> events_read;
        """
    )


def downgrade() -> None:
    """Forget the counts."""
    op.execute(
        """
        DROP INDEX pull_position_differs;
        ALTER TABLE pull_position DROP COLUMN events_read, DROP COLUMN events_counted;
        """
    )
