"""Reading for somebody else: queries, searches, exports, frames."""
