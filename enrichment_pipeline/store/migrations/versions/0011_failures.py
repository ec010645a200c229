"""What failed and has not succeeded since: runs, checks, sensors, for the alerts; and since when
nobody is seen at work on what a process has in hand.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column."""
    op.execute(
        """
        CREATE TABLE failure (
            kind text NOT NULL,
            subject text NOT NULL,
            part text NOT NULL,
            since timestamptz NOT NULL,
            failed_at timestamptz NOT NULL,
            message text NOT NULL,
            run_id text,
            event_id bigint,
            PRIMARY KEY (kind, subject, part)
        );
        COMMENT ON TABLE failure IS
            'What failed and has not succeeded since: runs, checks, sensors, the file of rules; '
            'for the alerts.';

        ALTER TABLE work_in_hand ADD COLUMN seen_unlocked boolean NOT NULL DEFAULT false;
        """
    )


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP TABLE failure; ALTER TABLE work_in_hand DROP COLUMN seen_unlocked")
