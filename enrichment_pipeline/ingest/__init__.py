"""Taking events in: files (`files`, `file_*`) and their import (`importer`, `chunks`), the API
(`api`), the pull (`pull`).

Parsing one event belongs to `events`, storing events to `store.ingest`.
"""
