"""Dagster: one module for each of its nouns, each a thin shell around the packages below.

The only package that knows Dagster.
"""
