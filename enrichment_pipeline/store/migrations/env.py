"""Alembic's connection and metadata; the migrations themselves are in `versions`.

The connection comes from `enrichment_pipeline.store.database.schema`, the one caller.
"""

from alembic import context

from enrichment_pipeline.store.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
)
with context.begin_transaction():
    context.run_migrations()
