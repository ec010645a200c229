"""Incoming data: raw events, people, and how far each source has been read."""
