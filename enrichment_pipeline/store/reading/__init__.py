"""Reading for people and models: queries, searches, exports, frames."""
