"""(a) Classifying in memory: an event at a time, and a frame at a time."""

import msgspec
import pandas as pd

from benchmarks.measure import Rate, Report, timed
from enrichment_pipeline.classification import classify_event, load_rules
from enrichment_pipeline.classification.frame import classify_frame

_FRAME_ROWS = 2_000_000


def measure(report: Report, payloads: list[bytes], rounds: int) -> None:
    """Measure both forms; the frame repeats the events until it has two million rows."""
    events = [msgspec.json.decode(payload) for payload in payloads]
    pairs = [(event["event"], event["properties"]) for event in events]
    load_rules()

    def per_event() -> None:
        for name, properties in pairs:
            classify_event(name, properties)

    rates = [timed(per_event, len(pairs)) for _ in range(rounds)]
    report.add(Rate("(a) classify, event by event", len(pairs), rates))
    times = -(-_FRAME_ROWS // len(pairs))
    frame = pd.DataFrame(
        {
            "event": [name for name, _ in pairs],
            "sub_type": [properties.get("$event_type") for _, properties in pairs],
        }
    )
    frame = pd.concat([frame] * times, ignore_index=True)
    rates = [timed(lambda: classify_frame(frame), len(frame)) for _ in range(rounds)]
    report.add(Rate("(a) classify, by frame", len(frame), rates))
    inputs = len(frame.drop_duplicates())
    report.fact("(a) distinct inputs in the frame", f"{inputs:,}", "frame: ≥ 5,000,000/s")
