"""The rules as SQL: three engines, and Python, always say the same."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import chdb
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enrichment_pipeline.classification import EventClassification, Rules, load_rules
from enrichment_pipeline.classification.as_sql import DIALECTS, Dialect, rules_as_sql
from enrichment_pipeline.ingest.sample.sample import sample_events
from enrichment_pipeline.store.database.engine import Store

Event = tuple[str | None, str | None]
Engine = Callable[[Rules, Sequence[Event]], list[EventClassification]]


def in_duckdb(rules: Rules, events: Sequence[Event]) -> list[EventClassification]:
    sql = rules_as_sql(rules, "duckdb")
    frame = table(events)  # noqa: F841  DuckDB finds it by its name
    query = f"SELECT {sql.event_type}, {sql.action_type} FROM frame ORDER BY number"
    return [EventClassification(*row) for row in duckdb.sql(query).fetchall()]


def in_clickhouse(rules: Rules, events: Sequence[Event], folder: Path) -> list[EventClassification]:
    sql = rules_as_sql(rules, "clickhouse")
    file = folder / "events.parquet"
    pq.write_table(table(events), file)
    answer = chdb.query(
        f"SELECT {sql.event_type} AS t, {sql.action_type} AS a FROM file('{file}') ORDER BY number",
        "JSONCompact",
    )
    rows = json.loads(str(answer))["data"]
    return [EventClassification(*row) for row in rows]


def in_postgres(rules: Rules, events: Sequence[Event], store: Store) -> list[EventClassification]:
    sql = rules_as_sql(rules, "postgres")
    # Names hold percent signs, which psycopg takes for its own.
    said = f"{sql.event_type}, {sql.action_type}".replace("%", "%%")
    query = f"""
        SELECT {said}
        FROM unnest(CAST(%s AS text[]), CAST(%s AS text[])) WITH ORDINALITY
            AS event (event, sub_type, number)
        ORDER BY number
    """
    names, kinds = ([event[place] for event in events] for place in (0, 1))
    with store.transaction() as connection:
        cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        cursor.execute(query, (names, kinds))
        return [EventClassification(*row) for row in cursor.fetchall()]


def table(events: Sequence[Event]) -> pa.Table:
    return pa.table(
        {
            "number": range(len(events)),
            "event": pa.array([event for event, _ in events], pa.string()),
            "sub_type": pa.array([kind for _, kind in events], pa.string()),
        }
    )


def in_python(rules: Rules, events: Sequence[Event]) -> list[EventClassification]:
    return [rules.classify(event, kind) for event, kind in events]


def agree(rules: Rules, events: Sequence[Event], store: Store, folder: Path) -> None:
    expected = in_python(rules, events)
    assert in_duckdb(rules, events) == expected
    assert in_clickhouse(rules, events, folder) == expected
    without_nul = [event for event in events if not any("\0" in (part or "") for part in event)]
    assert in_postgres(rules, without_nul, store) == in_python(rules, without_nul)


TRAPS = [
    *("CLICK", "ﬂicﬁ", "CLİCK", "clIck", "click\u212a", "cliC\u212a", "SUBMIẗ", "ſubmit", "ſELECT"),
    *("Straße Complete", "STRASSE", "ﬁniſh", "ﬁNISH", "oﬀpen", "ΣΊΣΥΦΟΣ open", "ﬆart", "ﬅart"),
    *("", " ", "%", "_", "a'b", 'a"b', "a\\b", "\\", "\\'", "\n", "$pageview ", "x$y"),
    *("naviGATE", "na\u0307vigate", "İ", "i̇", "CHOO\u017fE"),
    *("paid_in_$", "US$ purchase completed", "$$heatmap", "$ view", " $pageview", "view$"),
    *("ΣΑΣ", "ΣΑΣ ΣΑΣ", "ΑΣ'Σ", "ΣΑΣ.", "ΣΑΣ.Α", "ΣΑΣ\u0345", "σας", "σασ", "ΣΑσ", "ΣΑΣΑΣ", "'ΣΑΣ"),
    *("ΣΑΣ\n", "ΣΑΣ-ΣΑΣ", "^ΣΑΣ", "ΣΑΣ5", "5Σ", "Α.Σ", ".Σ", "Ά\u0301Σ", "ΣΑΣ𝐀", "𝐀Σ"),
]

NASTY_FILE = """
events:
  "a'b": {event_type: click, action_type: submit}
  'back\\slash': {event_type: click, action_type: change}
  "new\\nline": {event_type: custom, action_type: view}
  "100%": {event_type: custom, action_type: leave}
  "$weird": {event_type: click, action_type: view}
patterns:
  - {contains: ["STRASSE", "ΣΑΣ", "us$", "$5"], action_type: view}
  - {contains: ["Σ'", "ΑΣ.", "5Σ", "𝐀Σ"], action_type: leave}
  - {contains: ["'", "\\\\", "%s", "_x"], action_type: change}
  - {contains: ["İstanbul", "ŉ", "ﬃ"], action_type: leave}
"""


@pytest.fixture
def nasty(tmp_path: Path) -> Rules:
    file = tmp_path / "rules.yaml"
    file.write_text(NASTY_FILE)
    return load_rules(file)


@pytest.mark.slow
def test_the_sample_and_what_is_known_to_be_hard_come_out_alike(
    store: Store, rules: Rules, nasty: Rules, tmp_path: Path
) -> None:
    sample = [json.loads(payload) for payload in sample_events(datetime(2026, 3, 1, tzinfo=UTC))]
    events: list[Event] = [
        (event["event"], event.get("properties", {}).get("$event_type")) for event in sample
    ]
    events += [(name, kind) for name in (*TRAPS, None) for kind in (None, "click", "submit", "?")]
    events += [("$autocapture", kind) for kind in (None, "", "click", "submit", "change", "Click")]
    events += [(name, None) for name in nasty.events]
    events += [(f"x{text}y".upper(), None) for text, _ in nasty.patterns]
    for one in (rules, nasty):
        agree(one, events, store, tmp_path)


# Text that JSON and Parquet can carry; half a surrogate pair they cannot.
_names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_near = st.sampled_from(TRAPS) | st.sampled_from(["click", "submit", "finish", "open", "view"])
_events = st.tuples(
    st.none() | _names | st.builds(lambda a, b, c: a + b + c, _names, _near, _names),
    st.none() | st.sampled_from(["click", "submit", "change"]) | _names,
)


@given(events=st.lists(_events, min_size=1, max_size=60))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.slow
def test_any_name_comes_out_alike(
    store: Store, rules: Rules, tmp_path: Path, events: list[Event]
) -> None:
    agree(rules, events, store, tmp_path)


_any_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4)
_texts = _any_text | st.text("ΣσςΑα.'$ \u0301", min_size=1, max_size=4)


@given(
    patterns=st.lists(_texts, min_size=1, max_size=4),
    name=_names.filter(bool),
    around=st.lists(st.tuples(_names, _names), min_size=1, max_size=4),
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.slow
def test_any_rules_come_out_alike(
    store: Store,
    rules: Rules,
    tmp_path: Path,
    patterns: list[str],
    name: str,
    around: list[tuple[str, str]],
) -> None:
    name = name.replace("\0", "")
    answer = EventClassification("custom", "change")
    more = Rules(
        event_types=rules.event_types,
        action_types=rules.action_types,
        events={**rules.events, name: answer},
        sub_types=rules.sub_types,
        patterns=tuple((text.lower(), answer) for text in patterns) + rules.patterns,
        without_dollar=rules.without_dollar,
        with_dollar=rules.with_dollar,
        not_a_string=rules.not_a_string,
    )
    events: list[Event] = [(name, None)]
    for before, after in around:
        for text_ in patterns:
            events += [
                (before + form + after, None) for form in (text_, text_.upper(), text_.title())
            ]
    agree(more, events, store, tmp_path)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.slow
def test_every_dialect_is_written(dialect: Dialect, nasty: Rules) -> None:
    sql = rules_as_sql(nasty, dialect, event="e.name")
    assert "e.name" in sql.event_type
    assert "'pageview'" in sql.event_type
    assert "'rage_click'" in sql.action_type
