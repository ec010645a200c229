"""The page of the tables: every column with its type and its meaning."""

from collections.abc import Iterator

from sqlalchemy import Column, Table
from sqlalchemy.dialects.postgresql import dialect

from enrichment_pipeline.store.database.meanings import MEANINGS
from enrichment_pipeline.store.database.tables import PARTITIONED, READABLE, metadata
from reference.markdown import code, page, plain, said, table

INTRODUCTION = """\
`enrichment-pipeline sql` reads them. Times are `timestamp with time zone`, shown in UTC. A column that may be NULL says
so beside its type; **key** columns tell rows apart. What is public, and so changes only as the changelog says, are the
columns of `enriched_event`, `session_timeline` and `dead_letter`; the others may change in any version."""

_DIALECT = dialect()  # type: ignore[no-untyped-call]


def tables_page() -> str:
    """The page, as Markdown."""
    return page("Tables and columns", INTRODUCTION, *map(_section, metadata.tables.values()))


def _section(one: Table) -> str:
    words = plain(said(one.comment, f"the table {one.name}", "its comment in tables.py"))
    if one.name in PARTITIONED:
        words += " It has a partition for each UTC day of `occurred_at`."
    if one.name not in READABLE:
        words += " `sql` cannot read it."
    return f"## {one.name}\n\n{words}\n\n" + table(("column", "type", "meaning"), _rows(one))


def _rows(one: Table) -> Iterator[tuple[str, str, str]]:
    for column in one.columns:
        words = MEANINGS.get(one.name, {}).get(column.name)
        meaning = said(words, f"{one.name}.{column.name}", "store/database/meanings.py")
        yield code(column.name), column_type(column), plain(meaning)


def column_type(column: Column[object]) -> str:
    """The type of a column in PostgreSQL's words, and whether it is a key or may be NULL."""
    name = str(column.type.compile(dialect=_DIALECT)).lower()
    name = name.replace("timestamp with time zone", "timestamptz")
    if column.primary_key:
        return f"{name}, **key**"
    return f"{name} or NULL" if column.nullable else name
