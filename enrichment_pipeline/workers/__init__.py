"""Scaling out: a broker that carries notifications, and the workers that handle them.

The only package that knows Celery, kombu and the brokers' clients. What a worker does with a batch
is the one path of `enrichment`; without a broker, nothing here runs.
"""
