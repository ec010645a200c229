"""Questions that are answered with numbers, and the sessions behind each number."""
