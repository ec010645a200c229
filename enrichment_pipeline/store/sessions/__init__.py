"""Sessions: built from enriched events, and read."""
