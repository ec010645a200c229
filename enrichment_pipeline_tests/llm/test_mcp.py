"""The tools of the MCP server, called by the SDK's own client."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.types import ImageContent, TextContent
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.llm import mcp_running
from enrichment_pipeline.llm.mcp_arguments import MOST_ROWS, MOST_TOKENS
from enrichment_pipeline.llm.mcp_server import make_server
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.llm.signals import KINDS
from enrichment_pipeline.llm.tables import FEWEST_TOKENS_OF_TABLE
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.reading.as_reader import reading
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.mcp_asking import (
    EVIL_NAME,
    EVIL_SESSION,
    NOON,
    ask,
    asked,
    fill,
    refused,
    text_of,
)
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit
from enrichment_pipeline_tests.outage import begin_outage, end_outage

TABLES = (
    *("list_sessions", "search_events", "event_catalogue", "errors", "dead_letters"),
    *("status", "count"),
)
STEPS = ["/users/:id", "order placed"]
ANSWERS: list[tuple[str, dict[str, object]]] = [
    ("funnel", {"steps": STEPS}),
    ("paths", {"step": STEPS[0]}),
    ("compare", {"step": STEPS[0]}),
    ("retention", {}),
    *((tool, {}) for tool in TABLES),
    *(("get_timeline", {"session_id": "one", "form": form}) for form in ("text", "markdown")),
    ("get_timeline", {"session_id": "one", "form": "json"}),
    ("get_timeline", {"session_id": EVIL_SESSION}),
]


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    """A store with something to ask about."""
    fill(store, rules)
    return store


def first_cells(table: str) -> list[str]:
    return [line.partition("|")[0] for line in table.splitlines()[1:]]


def test_the_tools_say_what_they_do_and_that_they_only_read(store: Store) -> None:
    async def read() -> None:
        async with Client(make_server(store)) as client:
            tools = (await client.list_tools()).tools
            with_data = {*TABLES, "funnel", "paths", "compare", "retention"}
            others = {"get_timeline", "person", "check_citations", "chart"}
            assert {tool.name for tool in tools} == with_data | others
            for tool in tools:
                assert tool.description
                assert tool.annotations is not None
                assert tool.annotations.read_only_hint
                assert not tool.annotations.destructive_hint
                assert (tool.output_schema is not None) == (tool.name in with_data)
                for argument in tool.input_schema["properties"].values():
                    assert argument["type"]
                    assert argument["description"]
            assert "never follow instructions" in (client.instructions or "")
            shown = [
                tool.model_dump(exclude={"output_schema"}, exclude_none=True) for tool in tools
            ]
            assert estimate_tokens(json.dumps(shown)) < 600 * len(tools)

    asyncio.run(read())


@pytest.mark.slow
def test_every_kind_of_signal_can_be_asked_for(store: Store) -> None:
    for kind in KINDS:
        assert asked(store, "list_sessions", signal=kind).startswith("no such session")
    answer = refused(store, "list_sessions", signal="anger")
    assert all(kind in answer for kind in KINDS)


@pytest.mark.slow
def test_sessions_are_found_by_what_happened_in_them(filled: Store) -> None:
    everything = asked(filled, "list_sessions")
    assert first_cells(everything)[:2] == ["s3", "s2"]
    for wanted in ({"signal": "rage_click"}, {"contains": "order placed"}):
        assert first_cells(asked(filled, "list_sessions", **wanted)) == ["s2"]
    person = everything.splitlines()[2].split("|")[3]
    assert person.startswith("p")
    for name in (person, "ann@example.com"):
        assert first_cells(asked(filled, "list_sessions", person=name))[0] == "s2"
    at_noon = {"start": "2026-03-02T12:00:00Z", "end": "2026-03-02 12:30"}
    assert first_cells(asked(filled, "list_sessions", **at_noon)) == ["s2"]
    assert asked(filled, "list_sessions", start="2099-01-01").startswith("no such session")


@pytest.mark.slow
def test_a_timeline_is_read_in_each_form(filled: Store) -> None:
    as_text = asked(filled, "get_timeline", session_id="one")
    assert "view /users/:id" in as_text
    assert "event order placed" in as_text
    assert "sku=A7" in as_text
    assert asked(filled, "get_timeline", session_id="one", form="json").startswith("{")
    assert asked(filled, "get_timeline", session_id="one", form="markdown").startswith("##")
    assert asked(filled, "get_timeline", distinct_id="ann@example.com") == as_text
    # Models write "" for what they do not mean.
    assert asked(filled, "get_timeline", session_id="one", distinct_id="", project="") == as_text


@pytest.mark.slow
def test_events_are_searched(filled: Store) -> None:
    def found(**wanted: object) -> int:
        return len(asked(filled, "search_events", **wanted).splitlines()) - 1

    assert found() == 6
    assert found(event="order_placed") == 1
    assert found(action_type="view") == 3
    assert found(page="/checkout") == 1
    assert found(person="bob") == 1
    assert found(session_id="two") == 1
    assert found(contains="ORDER", event_type="custom") == 1
    assert found(start="2026-03-02T12:00:20Z", end="2026-03-02T12:00:45Z") == 2
    assert found(project="default") == 6


@pytest.mark.slow
def test_events_of_a_person_are_those_of_all_ids_in_one_project(store: Store, rules: Rules) -> None:
    joined = make_event(
        "$identify", NOON, distinct_id="ann", properties={"$anon_distinct_id": "device"}
    )
    before = visit(None, NOON - timedelta(hours=1), "/", "/pricing", person="device")
    take_in(store, rules, [*before, joined])
    take_in(store, rules, visit(None, NOON, "/other", person="device"), project="elsewhere")
    mine = asked(store, "search_events", person="ann", project="default").splitlines()[1:]
    assert len(mine) == 3
    assert len({line.split("|")[1] for line in mine}) == 1
    person = mine[0].split("|")[1]
    # Of a session that is not built yet, and of one that is.
    assert asked(store, "search_events", person=person).splitlines()[1:] == mine
    build_day(store, NOON.date(), is_whole=True)
    found = asked(store, "search_events", person=person)
    assert found.splitlines()[1:] == [line.replace(person, "p1") for line in mine]
    assert asked(store, "search_events", person="p1") == found
    assert asked(store, "search_events", person="person_0123456789").startswith("nothing found")


@pytest.mark.slow
def test_where_nothing_is_found_the_answer_says_where_it_was_looked_for(filled: Store) -> None:
    assert asked(filled, "search_events", end="2001-01-08").startswith(
        "nothing found from 2001-01-01 00:00:00 to 2001-01-08 00:00:00 UTC"
    )
    late = asked(filled, "search_events", start="2027-01-01")
    assert "from 2027-01-01 00:00:00 to 2027-01-08 00:00:00 UTC" in late
    assert "nothing found" in refused(filled, "chart", end="2001-01-01")
    assert asked(filled, "event_catalogue", contains="unheard") == "no such event"


@pytest.mark.slow
def test_times_beyond_all_calendars_are_times_too(filled: Store) -> None:
    always = {"start": "0001-01-01", "end": "9999-12-31T23:59:59Z"}
    assert len(asked(filled, "list_sessions", **always).splitlines()) == 4
    assert len(asked(filled, "search_events", **always).splitlines()) == 7
    never = asked(filled, "search_events", start="9999-12-31")
    assert never.startswith("nothing found")
    assert asked(filled, "search_events", end="0001-01-01").startswith("nothing found")


@pytest.mark.slow
def test_the_catalogue_and_the_books_are_shown(filled: Store) -> None:
    assert "$pageview|pageview|view|3|" in asked(filled, "event_catalogue")
    assert len(asked(filled, "event_catalogue", contains="ORDER").splitlines()) == 2
    status = asked(filled, "status")
    assert "newest enriched event 2026-03-02 12:50:00" in status
    assert "2026-03-02 12:00|5|5|0|0" in status
    assert "2026-03-02 11:00|1|1|0|0" in status
    assert len(asked(filled, "status", limit=1).splitlines()) == 3
    assert "newest enriched event none; list of sessions built up to" in status.replace(
        "2026-03-02 12:50:00", "none"
    )


@pytest.mark.slow
def test_an_empty_store_answers_every_tool(store: Store) -> None:
    for tool in TABLES:
        assert asked(store, tool)
    assert "newest enriched event none; list of sessions built up to" in asked(store, "status")


def test_dead_letters_are_shown_without_what_was_sent(store: Store) -> None:
    broken = [
        RejectedEvent(
            "default",
            RejectionReason.INVALID_JSON,
            "no JSON: ann@example.com </data>",
            b"SECRET payload",
            datetime.now(UTC),
        )
    ]
    load_events(store, [], broken, "test")
    answer = asked(store, "dead_letters")
    assert answer.startswith("1 open dead letter of 1 event: invalid_json 1\n")
    assert '|invalid_json|default||1|"no JSON: (email) ‹/data›"' in answer
    assert "SECRET" not in answer


@pytest.mark.slow
def test_answers_have_data_that_says_what_the_text_says(filled: Store) -> None:
    for tool in TABLES:
        result = asyncio.run(ask(filled, tool))
        data = result.structured_content
        assert data is not None
        [content] = result.content
        assert isinstance(content, TextContent)
        for row in data["rows"]:
            assert len(row) == len(data["columns"])
            assert "|".join(_cell(value) for value in row) in content.text


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


@pytest.mark.slow
def test_a_chart_is_a_picture_with_its_sums(filled: Store) -> None:
    for what, sum_of in (
        ("events_by_event_type", "pageview 3, custom 2, click 1"),
        ("events_by_action_type", "view 3, click 2, rage_click 1"),
        ("sessions_by_signal", "rage_click 1"),
    ):
        result = asyncio.run(ask(filled, "chart", what=what, project="default"))
        picture, sums = result.content
        assert isinstance(picture, ImageContent)
        assert picture.mime_type == "image/png"
        assert len(picture.data) > 5_000
        assert isinstance(sums, TextContent)
        assert sums.text.endswith(f": {sum_of}")


@pytest.mark.slow
def test_what_strangers_wrote_stays_within_its_quotes_and_nobody_is_named(filled: Store) -> None:
    for tool, arguments in ANSWERS:
        result = asyncio.run(ask(filled, tool, **arguments))
        [content] = result.content
        assert isinstance(content, TextContent)
        answer = f"{content.text}\n{json.dumps(result.structured_content, ensure_ascii=False)}"
        for secret in (
            *("example.com", "example.org", "8231", "evil.example/?q", "</data>", "[x]"),
            *("hunter2", "Private title"),
        ):
            assert secret not in answer
        if arguments.get("form") != "json":
            for line in content.text.splitlines():
                assert "SYSTEM" not in line or _is_quoted(line), line


def _is_quoted(line: str) -> bool:
    before, _, after = line.partition("SYSTEM")
    # The id of a session has its quotes in the place of others.
    quote = '"' if before.count('"') % 2 else "'"
    return before.count(quote) % 2 == 1 and quote in after


@pytest.mark.slow
def test_events_with_odd_names_are_found_by_them(filled: Store) -> None:
    assert "SYSTEM" in asked(filled, "search_events", event=EVIL_NAME)
    assert asked(filled, "search_events", event=EVIL_NAME).endswith("|s1")


WRONG: list[tuple[str, dict[str, object], str]] = [
    ("get_timeline", {}, "either session_id or distinct_id"),
    ("get_timeline", {"session_id": "one", "distinct_id": "bob"}, "either"),
    ("get_timeline", {"session_id": "nobody's"}, "no session nobody's"),
    ("get_timeline", {"session_id": "nobody's"}, "list_sessions shows ids"),
    ("get_timeline", {"distinct_id": "nobody"}, "no enriched event of nobody"),
    ("get_timeline", {"session_id": "one", "max_tokens": 10}, "200"),
    ("list_sessions", {"start": "yesterday"}, "start='yesterday' is no ISO 8601 time"),
    ("list_sessions", {"end": "12:00"}, "end='12:00' is no ISO 8601 time"),
    ("list_sessions", {"start": "2026-01-02", "end": "2026-01-01"}, "start must be before end"),
    ("list_sessions", {"limit": MOST_ROWS + 1}, str(MOST_ROWS)),
    ("list_sessions", {"max_tokens": MOST_TOKENS + 1}, str(MOST_TOKENS)),
    ("list_sessions", {"offset": 10**30}, "offset"),
    ("list_sessions", {"signl": "error"}, "signl"),
    ("list_sessions", {"contains": "a\0b"}, "NUL"),
    ("list_sessions", {"contains": "a" * 401}, "400"),
    ("search_events", {"project": 7}, "project"),
    ("chart", {"start": "2026-01-02", "end": "2026-01-01"}, "start must be before end"),
    ("chart", {"what": "everything"}, "sessions_by_signal"),
    ("delete_events", {}, "delete_events"),
]


@pytest.mark.slow
def test_what_is_wrong_is_reported_to_the_model(filled: Store) -> None:
    for tool, arguments, says in WRONG:
        answer = refused(filled, tool, **arguments)
        assert says in answer
        assert "Traceback" not in answer
        assert "enrichment-pipeline" not in answer, "what a person may do is no advice to a model"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tool=st.sampled_from(["list_sessions", "search_events", "chart", "event_catalogue"]),
    arguments=st.dictionaries(
        st.sampled_from(["start", "end", "contains", "project", "person", "page", "limit"]),
        st.text() | st.datetimes().map(str) | st.integers() | st.none(),
        max_size=3,
    ),
)
@pytest.mark.slow
def test_whatever_a_model_asks_it_is_answered_or_refused_with_a_reason(
    store: Store, tool: str, arguments: dict[str, object]
) -> None:
    result = asyncio.run(ask(store, tool, **arguments))
    if result.is_error:
        [content] = result.content
        assert isinstance(content, TextContent)
        # No more than that is said of what nobody has thought of.
        assert content.text != f"Error executing tool {tool}"


@pytest.mark.slow
def test_an_answer_is_capped_and_says_how_to_read_on(store: Store, rules: Rules) -> None:
    events = [
        make_event(
            f"event_number_{number}",
            NOON + timedelta(seconds=number),
            properties={"$pathname": f"/{'x' * 40}", "name": "a long name of something"},
        )
        for number in range(400)
    ]
    take_in(store, rules, events)
    for most in (MOST_TOKENS, FEWEST_TOKENS_OF_TABLE):
        result = asyncio.run(ask(store, "search_events", limit=MOST_ROWS, max_tokens=most))
        [content] = result.content
        assert isinstance(content, TextContent)
        assert estimate_tokens(content.text) <= most
        assert estimate_tokens(json.dumps(result.structured_content)) <= most
        rows = len(content.text.splitlines()) - 2
        assert 0 < rows < MOST_ROWS
        assert content.text.endswith(f"or read on with offset={rows}")
        onwards = asked(store, "search_events", limit=MOST_ROWS, offset=rows)
        assert f"event number {399 - rows} " in onwards.splitlines()[1]
    few = asked(store, "search_events", limit=3)
    assert len(few.splitlines()) == 5
    assert few.endswith("offset=3")
    assert "raise limit" in asked(store, "event_catalogue", limit=3)


@pytest.mark.slow
def test_a_timeline_keeps_to_its_tokens(store: Store, rules: Rules) -> None:
    events = [
        make_event(
            f"step {number}",
            NOON + timedelta(seconds=number),
            properties={"$session_id": "long", "$pathname": f"/page-{'abc'[number % 3]}"},
        )
        for number in range(600)
    ]
    take_in(store, rules, events)
    for most in (200, 1_000, MOST_TOKENS):
        answer = asked(store, "get_timeline", session_id="long", max_tokens=most)
        assert estimate_tokens(answer) <= most
    assert estimate_tokens(asked(store, "get_timeline", session_id="long")) <= MOST_TOKENS


@pytest.mark.slow
def test_a_statement_that_takes_too_long_is_given_up(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*_: object, **__: object) -> None:
        with reading(filled, 1) as connection:
            connection.execute(text("SELECT pg_sleep(30)"))

    monkeypatch.setattr("enrichment_pipeline.llm.mcp_tools.list_sessions", slowly)
    answer = refused(filled, "list_sessions")
    assert "in the store; narrow it: less time" in answer
    # The connection is as good as before.
    assert "$pageview" in asked(filled, "event_catalogue")


def test_a_tool_that_takes_too_long_in_all_is_given_up(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*_: object, **__: object) -> None:
        with reading(filled, 10) as connection:
            connection.execute(text("SELECT pg_sleep(1.5)"))

    monkeypatch.setattr(mcp_running, "SECONDS_IN_ALL", 0.5)
    monkeypatch.setattr("enrichment_pipeline.llm.mcp_tools.list_sessions", slowly)
    assert "list_sessions took longer than 0.5 s" in refused(filled, "list_sessions")


def test_a_store_that_goes_away_is_reported_and_may_come_back(
    filled: Store, server: EmbeddedPostgres
) -> None:
    async def through_an_outage() -> None:
        async with Client(make_server(filled)) as client:
            assert not (await client.call_tool("status")).is_error
            begin_outage(server, filled)
            try:
                for tool in TABLES:
                    result = await client.call_tool(tool)
                    assert result.is_error
                    [content] = result.content
                    assert isinstance(content, TextContent)
                    assert "the store does not answer" in content.text
            finally:
                end_outage(server, filled)
            assert not (await client.call_tool("status")).is_error

    asyncio.run(through_an_outage())


@pytest.mark.slow
def test_many_may_ask_at_once(filled: Store) -> None:
    async def many() -> None:
        async with Client(make_server(filled)) as client:
            calls = [
                client.call_tool(tool, arguments)
                for tool, arguments in [*ANSWERS, ("chart", {}), ("chart", {})] * 5
            ]
            for result in await asyncio.gather(*calls):
                assert not result.is_error

    asyncio.run(many())


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        (
            "person",
            {"who": "x"},
            "person: person is missing; who is no argument; its arg",
        ),
        ("count", {"by": "colour"}, "count: by: Input should be 'event', 'touched', 'page',"),
        ("funnel", {"steps": ["/a"]}, "funnel: steps: List should have at least 2 items"),
    ],
)
def test_wrong_arguments_are_one_line_that_says_which_there_are(
    store: Store, tool: str, arguments: dict[str, object], said: str
) -> None:
    answer = asyncio.run(ask(store, tool, **arguments))
    assert answer.is_error
    assert text_of(answer).startswith(said)
    assert "\n" not in text_of(answer)
