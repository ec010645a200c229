"""The store: all SQL for PostgreSQL, by subject.

database: connections, tables, roles, partitions, errors. queue: batches, action inputs and outputs,
enriched events, the change feed. ingest: incoming events. reading: queries for people and models.
windows, dead_letters, sessions, monitoring: each its tables and statements. lifecycle: deletion.
migrations: the history of the schema. Each knows only those named before it.
"""
