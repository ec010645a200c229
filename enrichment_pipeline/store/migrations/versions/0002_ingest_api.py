"""For the ingest API: historical batches behind live ones, and the sender's clock of letters.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.execute(
        """
        ALTER TABLE raw_batch ADD COLUMN historical boolean NOT NULL DEFAULT false;
        DROP INDEX raw_batch_pending;
        CREATE INDEX raw_batch_pending ON raw_batch (historical, window_start, id)
            WHERE state = 'pending';
        ALTER TABLE dead_letter ADD COLUMN sent_at timestamptz;
        """
    )


def downgrade() -> None:
    """Remove the columns."""
    op.execute(
        """
        ALTER TABLE dead_letter DROP COLUMN sent_at;
        DROP INDEX raw_batch_pending;
        CREATE INDEX raw_batch_pending ON raw_batch (window_start, id) WHERE state = 'pending';
        ALTER TABLE raw_batch DROP COLUMN historical;
        """
    )
