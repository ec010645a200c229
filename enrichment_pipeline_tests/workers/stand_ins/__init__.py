"""Servers that stand in for brokers that cannot run here, each a process of its own."""
