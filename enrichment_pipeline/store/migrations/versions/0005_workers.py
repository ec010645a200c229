"""For workers outside Dagster: what Dagster was told of each window, and how long enrichment takes.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables. An index that 0007 would drop again is not made."""
    op.execute(
        """
        CREATE TABLE told_window (
            window_start timestamptz PRIMARY KEY,
            enriched bigint NOT NULL,
            dead bigint NOT NULL,
            told_at timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE told_window IS
            'What Dagster was told of each window last, so that what workers finish is told too.';

        CREATE TABLE enrichment_latency (
            slot smallint NOT NULL,
            bucket smallint NOT NULL,
            events bigint NOT NULL,
            seconds double precision NOT NULL,
            PRIMARY KEY (slot, bucket)
        );
        COMMENT ON TABLE enrichment_latency IS
            'A histogram of the time from the commit of an event to its enriched row; one for '
            'each slot, so that processes that enrich do not wait for each other.';
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.execute(
        """
        DROP TABLE enrichment_latency;
        DROP TABLE told_window;
        DROP INDEX IF EXISTS raw_batch_finished;
        """
    )
