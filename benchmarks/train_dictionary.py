"""Trains the dictionary that payloads are compressed with, from the demo's sample.

Run it when PostHog's SDKs send other properties than they did, and give the file the next number:
stored payloads need the dictionary that they were written with.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import zstandard

from enrichment_pipeline.ingest.sample.sample import sample_events

_BYTES = 16_384


def main(
    number: Annotated[int, typer.Argument(help="Number of the dictionary.")],
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
) -> None:
    """Train a dictionary of 16 KB.

    Example: python -m benchmarks.train_dictionary 2 payload_dictionary_2.zdict
    """
    samples = list(sample_events(datetime(2026, 11, 23, tzinfo=UTC)))
    dictionary = zstandard.train_dictionary(_BYTES, samples, dict_id=number, level=1)
    file.write_bytes(dictionary.as_bytes())


if __name__ == "__main__":
    typer.run(main)
