"""The facts of alerts: failures, heartbeats, and the messages sent."""
