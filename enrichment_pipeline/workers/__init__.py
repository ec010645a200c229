"""Scaling out: a broker that carries doorbells, and the workers that answer them.

The only room that knows Celery, kombu and the brokers' clients. What a worker does with a batch is
the one path of `enrichment`; without a broker, nothing here runs.
"""
