"""`make bench`: everything in one run, on the same events; prints a table and writes JSON."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import (
    api,
    backlog,
    enriching,
    footprint,
    growth,
    in_memory,
    loading,
    replaying,
    scaled,
    sensor,
    sessions,
    tokens,
)
from benchmarks.generate import generate_events
from benchmarks.measure import Report, console, wait_until_stopped
from enrichment_pipeline.classification import load_rules
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import opened_store
from enrichment_pipeline_tests.workers.parts.rabbitmq import RabbitMQPart

RESULTS = Path(__file__).parent / "results"


def main(
    events: Annotated[int, typer.Option(help="Events to measure with.")] = 200_000,
    rounds: Annotated[int, typer.Option(help="Rounds of each form, in turn.")] = 3,
    times: Annotated[int, typer.Option(help="Grow the store to so many times the events.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the generator.")] = 1,
    windows: Annotated[int, typer.Option(help="Due windows for the sensor; 0: leave out.")] = 50,
    letters: Annotated[int, typer.Option(help="Letters to replay; 0: leave out.")] = 100_000,
    soak: Annotated[float, typer.Option(help="Minutes of the API's soak; 0: leave out.")] = 10,
    scaled_minutes: Annotated[
        float, typer.Option(help="Minutes of load on the scaled mode; 0: leave out.")
    ] = 5,
    waiting: Annotated[
        int, typer.Option("--backlog", help="Events that one worker and two drain; 0: leave out.")
    ] = 1_000_000,
    deep: Annotated[
        int, typer.Option("--deep-backlog", help="The same of a deep backlog; some 15 GB.")
    ] = 5_000_000,
    sessions_of: Annotated[
        int, typer.Option("--sessions", help="Events that become timelines; 0: leave out.")
    ] = 1_000_000,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = RESULTS / "bench.json",
) -> None:
    """Measure ours, the limit and the peers side by side, on a PostgreSQL of its own with fsync on.

    Example: python -m benchmarks --events 20000 --rounds 1 --times 2 --windows 0 --letters 0 \
        --soak 0 --scaled-minutes 0 --backlog 0 --deep-backlog 0 --sessions 20000
    """
    report = Report({"events": events, "rounds": rounds, "times": times, "seed": seed})
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=8)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder)
        console.print(f"Generating {events:,} events …", highlight=False)
        payloads = list(generate_events(events, seed=seed, start=start))
        file = home / "events.jsonl"
        file.write_bytes(b"\n".join(payloads) + b"\n")
        report.fact("bytes of an event", f"{sum(map(len, payloads)) / events:,.0f}")
        in_memory.measure(report, payloads, rounds)
        rules = load_rules()
        tokens.measure(report, rules)
        with opened_store(Settings(home=home / "footprint")) as store:
            footprint.measure(report, store, rules, file, events)
        wait_until_stopped(home / "footprint")
        with opened_store(Settings(home=home / "store")) as store:
            loading.measure(report, store, file, payloads, rounds)
            enriching.measure(report, store, rules, rounds, payloads)
            growth.measure(report, store, rules, events, times, start)
        wait_until_stopped(home / "store")
        with opened_store(Settings(home=home / "api")) as store:
            api.measure(report, store, events, rounds, start, soak)
        wait_until_stopped(home / "api")
        if sessions_of:
            with opened_store(Settings(home=home / "sessions")) as store:
                sessions.measure(report, store, rules, sessions_of, rounds)
            wait_until_stopped(home / "sessions")
        if letters:
            with opened_store(Settings(home=home / "replay")) as store:
                replaying.measure(report, store, rules, letters, start)
            wait_until_stopped(home / "replay")
        if windows:
            sensor.measure(report, home / "sensor", windows)
            wait_until_stopped(home / "sensor")
        if missing := RabbitMQPart.cannot():
            report.fact("the scaled mode, left out", missing)
            scaled_minutes = waiting = deep = 0
        if scaled_minutes:
            scaled.measure(report, home, scaled_minutes, payloads, start)
        if waiting or deep:
            backlog.measure(report, home / "backlog", waiting, deep, start)
    report.print()
    report.write(out)
    console.print(f"Written to {out}")


if __name__ == "__main__":
    typer.run(main)
