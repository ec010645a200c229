"""The parts of `make bench`: their names, in the order in which they run, and their titles."""

TITLES = {
    "classify": "Classifying, in memory",
    "tokens": "Tokens of timelines",
    "footprint": "Bytes on disk and in the log",
    "load": "Import",
    "enrich": "Enrichment",
    "grow": "The same in a store that grows",
    "api": "The API under load",
    "sessions": "Timelines of sessions",
    "replay": "Replaying dead letters",
    "windows": "Due windows, by Dagster",
    "fresh": "From the acknowledgement to the enriched row, embedded",
    "browsers": "Many browsers, one event now and then",
    "scaled": "API, broker and workers",
    "backlog": "A backlog, drained by one worker and by two",
}
