"""PostHog events in, LLM-ready events out, and every event accounted for.

`classify_event` says what one event is. Whole frames are classified by
`enrichment_pipeline.classification.frame.classify_frame`.
"""

from enrichment_pipeline.classification import EventClassification, classify_event

__all__ = ["EventClassification", "classify_event"]
