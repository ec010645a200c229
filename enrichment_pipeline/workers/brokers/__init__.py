"""The brokers: how each is reached, and how its queues are made. One module for each.

What is published and answered is the same for all, and belongs to the modules above.
"""
