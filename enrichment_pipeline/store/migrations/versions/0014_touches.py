"""Which control an event of the page is about: signals need to know it.

Rows of before have none until they are enriched again.

Frozen, as 0001 is.
"""

from alembic import op

from enrichment_pipeline.store.migrations import online

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    online.add_columns("enrichment_output", touch="text")
    online.add_columns("enriched_event", touch="text")


def downgrade() -> None:
    """Undo it."""
    op.execute(
        """
        ALTER TABLE enriched_event DROP COLUMN touch;
        ALTER TABLE enrichment_output DROP COLUMN touch
        """
    )
