"""What failed and has not succeeded since: runs, checks, sensors, for the alerts.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
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
        """
    )


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP TABLE failure")
