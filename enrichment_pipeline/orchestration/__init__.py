"""Dagster: one module for each of its nouns, each a thin shell around the rooms below.

The only room that knows Dagster.
"""
