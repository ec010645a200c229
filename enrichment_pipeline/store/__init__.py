"""The store: all SQL for PostgreSQL, by subject.

database: reaching it, its tables, roles, partitions, errors. queue: batches, what is derived for
them, enriched events, the change feed. ingest: what comes in. reading: queries for somebody else.
windows, dead_letters, sessions, monitoring: each its tables and statements. lifecycle: what goes.
migrations: how the schema came about. Each knows only those named before it.
"""
