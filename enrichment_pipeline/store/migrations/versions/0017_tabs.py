"""In which tab of a browser an event happened. Rows of before do not say it.

Frozen, as 0001 is.
"""

from alembic import op

from enrichment_pipeline.store.migrations import online

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    online.add_columns("raw_event", tab="smallint")
    online.add_columns("enriched_event", tab="smallint")


def downgrade() -> None:
    """Undo it."""
    op.execute(
        """
        ALTER TABLE enriched_event DROP COLUMN tab;
        ALTER TABLE raw_event DROP COLUMN tab
        """
    )
