"""Counting in enriched events and sessions: a module for each question."""
