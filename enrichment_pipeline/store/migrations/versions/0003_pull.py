"""For the pull: which files were read, and how far the windows of the query API were.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.execute(
        """
        CREATE TABLE pulled_file (
            url text PRIMARY KEY,
            version text NOT NULL,
            pulled_at timestamptz NOT NULL,
            accepted bigint NOT NULL,
            duplicates bigint NOT NULL,
            quarantined bigint NOT NULL
        );
        COMMENT ON TABLE pulled_file IS
            'The files of the pulled folder that were read to their end, and what was in them.';
        CREATE TABLE pull_position (
            source text,
            window_start timestamptz,
            began_at timestamptz NOT NULL,
            after_timestamp timestamptz,
            after_uuid text,
            finished_at timestamptz,
            PRIMARY KEY (source, window_start)
        );
        COMMENT ON TABLE pull_position IS
            'How far each window has been pulled from the query API.';
        """
    )


def downgrade() -> None:
    """Remove the tables."""
    op.execute("DROP TABLE pull_position; DROP TABLE pulled_file;")
