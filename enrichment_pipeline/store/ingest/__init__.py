"""What comes in: raw events, people, and how far each source is read."""
