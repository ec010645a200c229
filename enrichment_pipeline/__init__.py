"""PostHog events in, LLM-ready events out, and every event accounted for.

`classify_event` says what one event is. Whole frames are classified by
`enrichment_pipeline.classification.frame.classify_frame`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enrichment_pipeline.classification import EventClassification, classify_event

__all__ = ["EventClassification", "classify_event"]


def __getattr__(name: str) -> object:
    # A command that classifies nothing does not wait for the rules.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from enrichment_pipeline import classification

    return getattr(classification, name)
