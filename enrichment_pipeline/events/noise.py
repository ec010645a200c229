"""PostHog's own events that say nothing about what a user did."""

NOISE = frozenset(
    {
        *("$web_vitals", "$snapshot", "$snapshot_items", "$$heatmap", "$performance_event"),
        *("$set", "$set_once", "$opt_in", "$feature_enrollment_update", "$feature_flag_called"),
        *("$create_alias", "$merge_dangerously", "$groupidentify", "$$client_ingestion_warning"),
    }
)
"""Their names."""
