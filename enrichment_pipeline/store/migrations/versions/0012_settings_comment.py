"""What the store remembers is the length of its windows.

An older store keeps the start of its partitions: a process of a version before, that has it open,
reads that with each commit, and goes on while it is replaced.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_COMMENT = "COMMENT ON TABLE store_setting IS 'What the store itself must remember: {}.'"


def upgrade() -> None:
    """Say what is in the table."""
    op.execute(_COMMENT.format("window_minutes"))


def downgrade() -> None:
    """Say what was in it."""
    op.execute(_COMMENT.format("partition_start, window_minutes"))
