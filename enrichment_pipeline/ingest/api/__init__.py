"""The HTTP API that takes events: one process or more speak HTTP, the `writers` commit.

A request goes through `capture`, `encodings`, `bodies`, `micro_batch`, `writers` and `accept`.
"""
