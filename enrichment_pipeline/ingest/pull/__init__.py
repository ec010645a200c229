"""The pull: events fetched from where PostHog keeps them, in place of being sent or imported."""
