"""Alerts: what is wrong, what people are told of it, and how it reaches them.

What is wrong, and what of it is told, is decided by pure functions (`conditions`, `decisions`); the
words are in `messages`. The only package that knows Apprise (`channels`). The facts, and what was
told, are kept by `store.monitoring.alerts`.
"""
