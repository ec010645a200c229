"""Dagster: its assets, jobs, sensors and schedules, each a thin shell around the packages below.

The only package that knows Dagster.
"""
