"""The keys of the store in a table of their own, which nobody is granted; the ledger of those who
were forgotten names them by a keyed hash.

Frozen, as 0001 is.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Move the key of the pseudonyms, and hash with a key what was hashed without."""
    op.execute(
        """
        CREATE TABLE store_secret (
            name text PRIMARY KEY,
            value text NOT NULL
        );
        COMMENT ON TABLE store_secret IS
            'Keys that the store keeps for itself: nobody is granted it.';
        REVOKE ALL ON store_secret FROM PUBLIC;

        INSERT INTO store_secret SELECT name, value FROM store_setting WHERE name = 'pseudonym_key';
        DELETE FROM store_setting WHERE name = 'pseudonym_key';
        INSERT INTO store_secret VALUES ('ledger_key', gen_random_uuid()::text);

        UPDATE forgotten SET person = encode(sha256(convert_to(key.value || person, 'UTF8')), 'hex')
        FROM store_secret key WHERE key.name = 'ledger_key';
        COMMENT ON TABLE forgotten IS
            'How many events of each window went with a person who was forgotten (person: a keyed '
            'hash of project and distinct_id); the books count them no more.';
        """
    )


def downgrade() -> None:
    """Move the key back. What was hashed with a key stays so: without it, it names nobody."""
    op.execute(
        """
        INSERT INTO store_setting SELECT name, value FROM store_secret WHERE name = 'pseudonym_key';
        DROP TABLE store_secret;
        COMMENT ON TABLE forgotten IS
            'How many events of each window went with a person who was forgotten (person: SHA-256 '
            'of project and distinct_id); the books count them no more.';
        """
    )
