"""The keys of the assets, which are defined in `assets` and `session_timelines`."""

import dagster as dg

RAW_EVENTS = dg.AssetKey("raw_events")
ENRICHED_EVENTS = dg.AssetKey("enriched_events")
DEAD_LETTER = dg.AssetKey("dead_letter")
SESSION_TIMELINES = dg.AssetKey("session_timelines")
