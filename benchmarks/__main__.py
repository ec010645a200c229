"""`python -m benchmarks`: see `run`."""

# A process that is spawned imports this module again: with all parts it took three seconds for
# that, which an import of events seemed to take.
if __name__ == "__main__":
    from benchmarks.run import run

    run()
