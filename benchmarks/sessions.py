"""What sentences cost the enrichment, and how fast enriched events become timelines."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import text

from benchmarks.enriching import enrich_all, reset
from benchmarks.generate import generate_events
from benchmarks.loading import import_all
from benchmarks.measure import Rate, Report, console, timed
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import derive
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue import enriched

_WITHOUT = "enrichment, {}, without sentences"
_WITH = "enrichment, {}, with sentences"
_SECONDS = 60
_FOR_SENTENCES = 200_000


def measure(report: Report, store: Store, rules: Rules, events: int, rounds: int) -> None:
    """Take in so many events, enrich them with and without sentences in turn, and report their
    sessions."""
    start = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0)
    start -= timedelta(days=1)
    few = min(_FOR_SENTENCES, events)
    _take_in(store, few, start, seed=1)
    _sentences(report, store, rules, few, rounds)
    if events > few:
        _take_in(store, events - few, start, seed=2)
        enrich_all(store, rules, events - few)
    _timelines(report, store, events, start)


def _take_in(store: Store, events: int, start: datetime, seed: int) -> None:
    file = store.settings.home / f"sessions-{seed}.jsonl"
    console.print(f"Generating and importing {events:,} events …", highlight=False)
    with Path(file).open("wb") as lines:
        for payload in generate_events(events, seed=seed, start=start):
            lines.write(payload + b"\n")
    import_all(store, file, events)
    file.unlink()


def _sentences(report: Report, store: Store, rules: Rules, events: int, rounds: int) -> None:
    for name in ("cold", "warm"):
        without, with_ = [], []
        for _ in range(rounds):
            for rates, form in ((without, _without_sentences), (with_, _as_it_is)):
                with form():
                    reset(store, forget=True)
                    if name == "warm":
                        enrich_all(store, rules, events)
                        reset(store)
                    rates.append(timed(lambda: enrich_all(store, rules, events), events))
        report.add(Rate(_WITHOUT.format(name), events, without))
        report.add(
            Rate(_WITH.format(name), events, with_, against=_WITHOUT.format(name), target=0.8)
        )


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _without_sentences() -> Iterator[None]:
    """The enrichment as it would be if it described nothing."""
    bare = enriched._WRITE.replace(enriched.DESCRIPTION, "''")
    with (
        patch.object(derive, "describe", lambda *_: ""),
        patch.object(enriched, "_WRITE", bare),
    ):
        assert bare != enriched.INSERT_ENRICHED
        yield


def _timelines(report: Report, store: Store, events: int, start: datetime) -> None:
    with store.transaction() as connection:
        days = list(
            connection.execute(
                text("SELECT DISTINCT (occurred_at AT TIME ZONE 'UTC')::date FROM enriched_event")
            ).scalars()
        )
    reports = [build_day(store, day, is_whole=True) for day in sorted(days)]
    seconds = sum(one.seconds for one in reports)
    sessions = sum(one.sessions for one in reports)
    report.add(Rate("timelines built, one process", events, [events / seconds]))
    report.fact(
        f"{events:,} events become {sessions:,} timelines",
        f"{seconds:.1f} s",
        f"{_SECONDS} s for a million",
    )
