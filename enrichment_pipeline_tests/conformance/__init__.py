"""The same tests for each broker: real processes under load, and what became of every event."""
