"""The reading role, which may read and nothing else, and as which nobody logs in. Running queries
as that role belongs to `query`."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.database.tables import READABLE, store_secret

READER = "enrichment_reader"

SQL_LOGIN = "enrichment_sql"
"""The login role for queries on the embedded server: it has the rights of the reading role and no
others, so a query that resets its role gains nothing. The permissions of the socket's folder keep
all other users out."""


def ensure_reader(connection: Connection) -> None:
    """Create the reading role and let it read every table but the secrets.

    Nobody logs in as that role, which has no password: a server that trusts local connections would
    let everybody in.

    If the owner of the database may not create roles, there is none; `query` then relies on a
    read-only transaction alone.
    """
    connection.execute(
        text(
            f"""
            DO $$ BEGIN
                CREATE ROLE {READER} NOLOGIN;
            EXCEPTION
                WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
            END $$
            """
        )
    )
    # Earlier versions let it log in.
    connection.execute(
        text(
            f"""
            DO $$ BEGIN
                IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}' AND rolcanlogin) THEN
                    ALTER ROLE {READER} NOLOGIN;
                END IF;
            EXCEPTION
                WHEN insufficient_privilege THEN NULL;
            END $$
            """
        )
    )
    # From PostgreSQL 16 on, a role that may create roles may not automatically become one that it
    # created. A statement is parsed before its block has a handler, so an older server must not
    # parse this one.
    how, options = _membership(connection)
    connection.execute(
        text(
            f"""
            DO $$ BEGIN
                IF NOT pg_has_role('{READER}', '{how}') THEN
                    GRANT {READER} TO CURRENT_USER {options};
                END IF;
            EXCEPTION
                WHEN undefined_object OR insufficient_privilege THEN NULL;
            END $$
            """
        )
    )
    if reader_exists(connection):
        schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
        # If it may not be granted, it was granted to everybody, or reading reports it.
        connection.execute(
            text(
                f"""
                DO $$ BEGIN
                    GRANT USAGE ON SCHEMA {schema} TO {READER};
                EXCEPTION
                    WHEN insufficient_privilege THEN NULL;
                END $$
                """
            )
        )
        # A restored backup of an older version does not have all of them yet.
        if readable := _existing(connection, READABLE):
            connection.execute(text(f"GRANT SELECT ON {', '.join(readable)} TO {READER}"))
        if _existing(connection, [store_secret.name]):
            connection.execute(text(f"REVOKE ALL ON {store_secret.name} FROM {READER}, PUBLIC"))


def _existing(connection: Connection, tables: Sequence[str]) -> list[str]:
    found = text("SELECT name FROM unnest(CAST(:names AS text[])) name WHERE to_regclass(name) > 0")
    return list(connection.execute(found, {"names": list(tables)}).scalars())


def ensure_sql_login(connection: Connection) -> None:
    """Create the login role for queries on the embedded server."""
    connection.execute(
        text(
            f"""
            DO $$ BEGIN
                CREATE ROLE {SQL_LOGIN} LOGIN IN ROLE {READER};
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
            END $$
            """
        )
    )


def reader_exists(connection: Connection) -> bool:
    """Whether the reading role exists."""
    return bool(
        connection.execute(
            text("SELECT count(*) FROM pg_roles WHERE rolname = :reader"), {"reader": READER}
        ).scalar_one()
    )


def reads_as_reader(connection: Connection) -> bool:
    """Whether there is a reading role to run queries as.

    Raises:
        StoreError: there is one, but the connected role may not become it.
    """
    if not reader_exists(connection):
        return False
    how, options = _membership(connection)
    user, may = connection.execute(
        text("SELECT current_user, pg_has_role(:reader, :how)"), {"reader": READER, "how": how}
    ).one()
    if not may:
        # Another pipeline on this server created it. Reading as the owner, who may do everything,
        # must not happen without the user's decision.
        grant = f'GRANT {READER} TO "{user}" {options}'.strip()
        raise StoreError(f"{user} may not read as {READER}; let an administrator run: {grant}")
    return True


def _membership(connection: Connection) -> tuple[str, str]:
    """The kind of membership that allows SET ROLE, and the clause that grants it."""
    if (connection.dialect.server_version_info or ()) >= (16,):
        return "SET", "WITH INHERIT FALSE, SET TRUE"
    return "MEMBER", ""
