"""The queue: batches, their action inputs and outputs, enriched events, and the change feed."""
