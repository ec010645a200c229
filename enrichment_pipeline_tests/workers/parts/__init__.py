"""The brokers that the tests run against: each a process of its own that is started and killed."""
