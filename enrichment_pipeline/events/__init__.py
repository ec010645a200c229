"""What an event is: parsing one PostHog event into the columns that the store keeps.

Pure: no I/O, no framework, no database. Reading files belongs to `ingest`, writing rows to `store`,
classifying events to `classification`.
"""
