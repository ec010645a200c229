"""How long the counting questions take on a large store: 100,000 sessions of 30 events.

    python -m benchmarks.counting --home /tmp/counting

The rows are made in PostgreSQL from one seed, without taking the events in: only reading them is
measured.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import psutil
import typer
from sqlalchemy import Connection, text

from benchmarks.measure import console
from enrichment_pipeline.analytics.answers import Answer
from enrichment_pipeline.analytics.asking import PREVIOUS, Asked
from enrichment_pipeline.analytics.comparison import compare
from enrichment_pipeline.analytics.paths import paths
from enrichment_pipeline.analytics.questions import count, funnel
from enrichment_pipeline.analytics.retention import retention
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.store.database.partitions import ensure_days
from enrichment_pipeline.store.reading.as_reader import reading

_START = datetime(2026, 3, 2, tzinfo=UTC)
_DAYS = 8
_SESSIONS = 100_000
_MOST_SECONDS = 600

_SESSION = """
    CREATE TEMPORARY TABLE made_session AS
    SELECT number, 'user-' || (random() * :people)::int AS distinct_id,
        gen_random_uuid()::text AS session_id,
        random() < 0.05 AS is_without,
        CAST(:start AS timestamptz) + random() * interval '6 days 12 hours' AS started_at,
        10 + (random() * 40)::int AS events,
        CASE WHEN random() < 0.3 THEN 'Safari on iPhone' ELSE 'Chrome on Windows' END AS device
    FROM generate_series(1, :sessions) AS number
"""
_EVENT = """
    INSERT INTO enriched_event (
        occurred_at, uuid, project, batch_id, event, event_type, action_type, distinct_id,
        session_id, path, path_template, title, element_tag, element_label, description,
        properties, rules_version, enriched_at, device
    )
    SELECT occurred_at, gen_random_uuid(), 'shop', 1, event, 'click', 'click', distinct_id,
        CASE WHEN NOT is_without THEN session_id END, page, page, 'A title of the page',
        CASE WHEN is_touch THEN 'button' END, CASE WHEN is_touch THEN label END,
        CASE event
            WHEN '$pageview' THEN 'Viewed ' || page
            WHEN '$pageleave' THEN 'Left ' || page
            WHEN '$web_vitals' THEN 'Had page speed measured on ' || page
            WHEN '$autocapture' THEN 'Clicked button "' || label || '" on ' || page
            ELSE replace(event, '_', ' ') || ' on ' || page || ' (sku=' || random() || ')'
        END,
        CASE WHEN NOT is_touch THEN
            jsonb_build_object('sku', (random() * 9e5)::int, 'plan', 'pro', 'price', random())
        END,
        'rules', now(), device
    FROM (
        SELECT made_session.*, started_at + place * interval '20 seconds' AS occurred_at,
            '/shop/page-' || (200 * power(random(), 3))::int AS page,
            'Button ' || (300 * power(random(), 2))::int AS label,
            CASE WHEN dice < 0.25 THEN '$pageview' WHEN dice < 0.7 THEN '$autocapture'
                WHEN dice < 0.85 THEN '$pageleave' WHEN dice < 0.9 THEN '$web_vitals'
                ELSE 'custom_event_' || (30 * power(random(), 2))::int END AS event,
            dice BETWEEN 0.25 AND 0.7 AS is_touch
        FROM made_session, LATERAL (
            SELECT place, random() + 0 * number AS dice FROM generate_series(1, events) AS place
        ) acts
    ) made
"""
_LISTED = """
    INSERT INTO session_timeline (
        project, session_id, day, distinct_id, started_at, ended_at, events, pages, outline,
        signals, timeline
    )
    SELECT 'shop', session_id, started_at::date, distinct_id, started_at,
        started_at + events * interval '20 seconds', events, 5, '', CASE
            WHEN random() < 0.1 THEN ARRAY['rage_click'] WHEN random() < 0.1 THEN ARRAY['error']
            ELSE '{}' END, repeat(md5(random()::text), 30)
    FROM made_session WHERE NOT is_without
"""
_INPUTS = """
    INSERT INTO enrichment_input (input_key, event, path_template)
    SELECT DISTINCT md5(event || coalesce(path_template, ''))::uuid, event, path_template
    FROM enriched_event
"""


def _fill(store: Store, sessions: int) -> None:
    ensure_days(store, [(_START + timedelta(days=day)).date() for day in range(_DAYS)])
    with store.transaction() as connection:
        if connection.execute(text("SELECT EXISTS (SELECT FROM enriched_event)")).scalar_one():
            return
        given = {"start": _START, "sessions": sessions, "people": sessions // 2}
        connection.execute(text("SELECT setseed(0.5)"))
        for statement in (_SESSION, _EVENT, _LISTED, _INPUTS):
            connection.execute(text(statement), given if ":start" in statement else {})
    with store.engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _questions() -> dict[str, Callable[[Connection], Answer]]:
    week = Asked(_START, _START + timedelta(days=7))
    day = Asked(_START + timedelta(days=3), _START + timedelta(days=4))
    return {
        "count by event, a week": lambda c: count(c, week),
        "count by touched, a week": lambda c: count(c, week, by="touched"),
        "count by page where signal=any, a week": lambda c: count(
            c, week._replace(where="signal=any"), by="page"
        ),
        "count by signal, a week": lambda c: count(c, week, by="signal"),
        "count by hour, a week": lambda c: count(c, week, by="hour"),
        "count by page, a day and the day before": lambda c: count(
            c, day._replace(compare_to=PREVIOUS), by="page"
        ),
        "funnel of three steps, a week": lambda c: funnel(
            c, week, ["/shop/page-0", "touched=Button 1", "event=custom event 3"]
        ),
        "the same by people within a day": lambda c: funnel(
            c,
            week,
            ["/shop/page-0", "touched=Button 1", "event=custom event 3"],
            window=timedelta(days=1),
        ),
        "paths of three acts after a page, a week": lambda c: paths(c, week, "/shop/page-0"),
        "paths of two acts before an event, a week": lambda c: paths(
            c, week, "event=custom event 3", direction="before", depth=2
        ),
        "compare those with an event, a week": lambda c: compare(c, week, "event=custom event 3"),
        "retention by day, a week": lambda c: retention(c, week, every="day"),
    }


def _processor_seconds(connection: Connection) -> float:
    """What this process, its connection's and the workers of ended statements have used."""
    pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    backend = psutil.Process(pid)
    ours, theirs, of_all = (
        psutil.Process().cpu_times(),
        backend.cpu_times(),
        backend.parents()[0].cpu_times(),
    )
    used = ours.user + ours.system + theirs.user + theirs.system
    return float(used + of_all.children_user + of_all.children_system)


def main(
    home: Annotated[Path, typer.Option(help="A folder for the store; it is kept.")],
    sessions: Annotated[int, typer.Option(min=1)] = _SESSIONS,
    only: Annotated[str, typer.Option(help="Questions with this text.")] = "",
) -> None:
    """Ask every question once, and print the seconds that it took, and those of processors: what
    else the machine does matters less to these."""
    with opened_store(Settings(home=home, database_url=None)) as store:
        _fill(store, sessions)
        for name, question in _questions().items():
            if only not in name:
                continue
            started = time.perf_counter()
            with reading(store, _MOST_SECONDS) as connection:
                before = _processor_seconds(connection)
                answer = question(connection)
                used = _processor_seconds(connection) - before
            took = time.perf_counter() - started
            console.print(
                f"{took:6.1f} s, {used:5.1f} s of processors  {name}: {answer.summary}",
                highlight=False,
                soft_wrap=True,
            )


if __name__ == "__main__":
    typer.run(main)
