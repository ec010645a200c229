"""Indexes by which retention finds the keys of a batch, and forgetting the events that still have
an input: without them both read the whole store.

Frozen, as 0001 is.
"""

from alembic import op

from enrichment_pipeline.store.migrations import online

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    online.create_index("event_key_batch", "event_key (batch_id)")
    online.create_index("raw_event_input", "raw_event (input_key)")


def downgrade() -> None:
    """Drop them."""
    op.execute(
        """
        DROP INDEX event_key_batch;
        DROP INDEX raw_event_input;
        """
    )
