"""Dagster's daemon as `up` starts it: it asks every second whether a sensor is to tick, so that the
next tick of `due_windows` follows the last one. Dagster's own asks every five.

    python -m enrichment_pipeline.orchestration.daemon run --workspace workspace.yaml
"""

from dagster._daemon import sensor
from dagster._daemon.cli import main

if __name__ == "__main__":
    sensor.MIN_INTERVAL_LOOP_TIME = 1
    main()
