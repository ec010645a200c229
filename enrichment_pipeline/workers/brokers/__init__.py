"""The brokers: how each is reached, and how its queues are made. One module for each.

Publishing and handling messages is the same for all, and belongs to the modules above.
"""
