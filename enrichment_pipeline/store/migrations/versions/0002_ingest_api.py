"""For the ingest API: historical batches behind live ones, and the sender's clock of letters.

Frozen, as 0001 is.
"""

from alembic import op

from enrichment_pipeline.store.migrations import online

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    online.add_columns("raw_batch", historical="boolean NOT NULL DEFAULT false")
    online.add_columns("dead_letter", sent_at="timestamptz")
    online.create_index(
        "raw_batch_due", "raw_batch (historical, window_start, id) WHERE state = 'pending'"
    )
    online.execute(
        "DROP INDEX raw_batch_pending; ALTER INDEX raw_batch_due RENAME TO raw_batch_pending",
        "raw_batch",
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
