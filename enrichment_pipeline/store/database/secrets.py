"""The secrets that the store keeps for itself, and who may read them: neither queries by `sql` nor
the reading role.

What each secret is for belongs to the module that uses it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.database.tables import store_secret
from enrichment_pipeline.wording import command

PSEUDONYM_KEY = "pseudonym_key"
LEDGER_KEY = "ledger_key"

_LENT = "lent_secrets"


def secret(connection: Connection, name: str) -> str:
    """A secret of this store: the one lent to this connection, else read from its table."""
    lent: dict[str, str] | None = connection.info.get(_LENT)
    if lent is not None:
        return lent[name]
    statement = text(f"SELECT value FROM {store_secret.name} WHERE name = :name")
    return str(connection.execute(statement, {"name": name}).scalar_one())


@contextmanager
def lent_secret(connection: Connection, name: str) -> Iterator[None]:
    """Let `secret` return this secret until the end of the block, whatever role the connection has.

    Raises:
        StoreError: the connected role may not read it.
    """
    user, is_there, may_see = connection.execute(
        text(
            """
            SELECT current_user, secret.oid IS NOT NULL,
                coalesce(has_table_privilege(secret.oid, 'SELECT'), false)
            FROM (SELECT to_regclass(:name) AS oid) secret
            """
        ),
        {"name": store_secret.name},
    ).one()
    if not is_there:
        raise StoreError(
            "the store has no keys of its own that may be read: an older version made it; "
            f"`{command('status')}` brings it up to date"
        )
    if not may_see:
        raise StoreError(
            f"{user} may not see the key of the pseudonyms, without which nobody can be named; let "
            f'the owner of the store run: GRANT SELECT ON {store_secret.name} TO "{user}"'
        )
    # Held in a variable: a connection that was lost has no `info` any more.
    info = connection.info
    info[_LENT] = {name: secret(connection, name)}
    try:
        yield
    finally:
        del info[_LENT]
