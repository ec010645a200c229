"""The role that may read and nothing else. Asking as that role belongs to `query`."""

from sqlalchemy import Connection, text

from enrichment_pipeline.store.tables import READABLE

READER = "enrichment_reader"


def ensure_reader(connection: Connection) -> None:
    """Make the reading role and let it read every table.

    Where the owner of the database may not make roles, there is none; `query` then has only a
    read-only transaction to rely on.
    """
    connection.execute(
        text(
            f"""
            DO $$ BEGIN
                CREATE ROLE {READER} LOGIN;
            EXCEPTION
                WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
            END $$
            """
        )
    )
    # Who may make roles may not become one that it has made, from PostgreSQL 16 on.
    connection.execute(
        text(
            f"""
            DO $$ BEGIN
                IF NOT pg_has_role('{READER}', 'SET') THEN
                    GRANT {READER} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
                END IF;
            EXCEPTION
                WHEN undefined_object OR insufficient_privilege OR invalid_parameter_value
                    OR syntax_error THEN NULL;
            END $$
            """
        )
    )
    if reader_exists(connection):
        connection.execute(text(f"GRANT SELECT ON {', '.join(READABLE)} TO {READER}"))


def reader_exists(connection: Connection) -> bool:
    """Whether the reading role is there."""
    return bool(
        connection.execute(
            text("SELECT count(*) FROM pg_roles WHERE rolname = :reader"), {"reader": READER}
        ).scalar_one()
    )
