"""Alerts: what is wrong, whom to notify of it, and how messages are delivered.

Pure functions decide what is wrong (`conditions`) and what people are notified of (`decisions`);
`messages` holds the wording. Only `channels` knows Apprise. `store.monitoring.alerts` keeps the
facts and the alerts that people were notified of.
"""
