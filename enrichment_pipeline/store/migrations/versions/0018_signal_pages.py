"""On which pages the signals of a session are, to be counted. Sessions of before do not say it
until they are built again.

Frozen, as 0001 is.
"""

from alembic import op

from enrichment_pipeline.store.migrations import online

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    online.add_columns("session_timeline", signal_pages="text[]")


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE session_timeline DROP COLUMN signal_pages")
