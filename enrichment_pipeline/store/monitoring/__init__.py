"""What alerts follow from: failures, heartbeats, and what was sent."""
