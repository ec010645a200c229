"""Enriching: claimed batches become enriched events (`path`, `writing`); what fails becomes dead
letters, which `replay` tries again.

What is derived from an event belongs to `derive` and `describe`, and runs in the `sandbox`;
`attempts` decides what a failure costs. SQL belongs to `store.queue` and `store.dead_letters`.
"""
