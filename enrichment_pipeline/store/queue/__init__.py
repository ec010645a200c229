"""The queue: batches, what is derived for them, enriched events, and the feed of what changed."""
