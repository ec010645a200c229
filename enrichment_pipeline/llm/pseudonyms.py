"""The names of people in output for models: stable, and without any information.

Which ids are one person belongs to `store.ingest.people`.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from enrichment_pipeline.store.ingest.people import people_of, pseudonym_key, pseudonym_of

_MOST_REMEMBERED = 100_000


class Pseudonyms:
    """The pseudonyms of a store's people, as known at the first request."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._key = pseudonym_key(connection)
        self._known: dict[tuple[str, str], str] = {}

    def of(self, project: str, distinct_id: str) -> str:
        """The pseudonym (`person_3f9a12c4d0`) of the person who has this id; the same for all ids
        of one person."""
        if (project, distinct_id) not in self._known:
            self.prepare(project, [distinct_id])
        return self._known[project, distinct_id]

    def prepare(self, project: str, distinct_ids: Iterable[str]) -> None:
        """Read many at once."""
        missing = [one for one in distinct_ids if (project, one) not in self._known]
        if len(self._known) + len(missing) > _MOST_REMEMBERED:
            self._known.clear()
        for distinct_id, person in people_of(self._connection, project, missing).items():
            self._known[project, distinct_id] = pseudonym_of(self._key, person)
