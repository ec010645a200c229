"""What the pages show, and what they say of what they cannot show."""

import re
from datetime import timedelta
from html import unescape

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.web import sessions
from enrichment_pipeline_tests.llm.mcp_asking import NOON
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit
from enrichment_pipeline_tests.outage import begin_outage, end_outage
from enrichment_pipeline_tests.web.conftest import HOSTILE
from enrichment_pipeline_tests.web.crawling import crawl


def listed(client: TestClient, **asked: str) -> list[str]:
    """The sessions that are listed."""
    answer = client.get("/", params=asked)
    assert answer.status_code == 200, answer.text
    return re.findall(r'class="name">(s\d+)</a>', answer.text)


def why_not(client: TestClient, path: str) -> tuple[int, str]:
    """The status, and the one sentence."""
    answer = client.get(path)
    [why] = re.findall(r'<p class="wrong" role="alert">(.*?)</p>', answer.text)
    return answer.status_code, why


@pytest.mark.usefixtures("filled")
def test_sessions_are_found_by_signal_page_text_person_device_and_time(reader: TestClient) -> None:
    everything = listed(reader)
    assert len(everything) == 4
    rage, phone = listed(reader, signal="rage_click"), listed(reader, device="iphone")
    assert len(rage) == 1
    assert phone == []
    three = listed(reader, device="safari on ios")
    assert listed(reader, page="/docs/start") == listed(reader, page="/docs*") == three
    assert listed(reader, page="/users/:id") == rage
    assert listed(reader, page="/docs") == []
    assert listed(reader, contains="order placed") == rage
    assert listed(reader, start="2026-03-02 13:30") == three
    assert listed(reader, end="2026-03-02T11:55:00Z") == everything[-1:]
    of_ann = listed(reader, person="ann@example.com")
    assert set(of_ann) == {*everything} - {*listed(reader, person="bob")}
    assert listed(reader, project="default") == everything
    assert listed(reader, project="other") == []


def test_a_session_is_found_by_the_page_of_an_event_that_has_no_session_id(
    reader: TestClient, store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit(None, NOON, "/quiet", "/other", person="carol"))
    take_in(store, rules, visit("one", NOON, "/", person="dan"))
    take_in(store, rules, visit(None, NOON + timedelta(seconds=5), "/joined", person="dan"))
    take_in(store, rules, visit("two", NOON, "/joined", person="eve"), "elsewhere")
    build_day(store, NOON.date(), is_whole=True)
    [quiet] = listed(reader, page="/quiet")
    assert listed(reader, page="/other", start="2026-03-02T12:00", end="2026-03-02T12:01") == [
        quiet
    ]
    assert listed(reader, page="/quiet", end="2026-03-02T11:00") == []
    [joined] = listed(reader, page="/joined", project="default")
    assert joined != quiet
    assert len(listed(reader, page="/joined")) == 2


@pytest.mark.usefixtures("filled")
def test_a_filter_stays_in_its_form_and_nothing_found_is_one_sentence(reader: TestClient) -> None:
    page = reader.get("/", params={"signal": "error", "page": HOSTILE, "start": "2026-03-02"}).text
    assert '<option value="error" selected>error</option>' in page
    assert 'value="&lt;script&gt;alert(1)&lt;/script&gt;"' in page
    assert 'value="2026-03-02"' in page
    assert "No session is like that; wider filters find more." in page


def test_without_any_event_each_page_says_so(reader: TestClient) -> None:
    assert "No sessions yet: no event is enriched." in reader.get("/").text
    assert "nothing found from " in reader.get("/count").text
    assert "nothing found from " in reader.get("/errors").text
    assert "0 open dead letters of 0 events." in reader.get("/dead-letters").text
    assert "Name two steps or more" in reader.get("/funnel").text


def test_pages_of_sessions_follow_each_other(
    reader: TestClient, store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_ROWS", 2)
    for name in "abcde":
        take_in(store, rules, visit(name, NOON, "/"))
    build_day(store, NOON.date(), is_whole=True)
    path, seen = "/?page=%2F", []
    while path:
        page = reader.get(path).text
        seen += re.findall(r'class="name">(s\d+)</a>', page)
        path = "".join(re.findall(r'href="([^"]+)" rel="next"', page)).replace("&amp;", "&")
    assert len(seen) == len({*seen}) == 5
    assert 'href="/?page=%2F&amp;offset=2" rel="prev"' in page


@pytest.mark.usefixtures("filled")
def test_a_timeline_marks_its_signals_and_names_its_lines(reader: TestClient) -> None:
    [rage] = listed(reader, signal="rage_click")
    page = reader.get(f"/sessions/{rage}").text
    assert f"<h1>Session {rage}</h1>" in page
    assert '<tbody id="t25">' in page
    assert f'<a href="#t25">{rage}:25</a>' in page
    assert f'<a href="/sessions/{rage}#t25">{rage}:25</a> <strong class="signal">rage click' in page
    row = page.partition('<tbody id="t25">')[2].partition("</tbody>")[0]
    assert '<strong class="signal">rage click</strong>' in row
    assert "/users/:id" in page


@pytest.mark.usefixtures("filled")
def test_a_citation_leads_to_its_line(reader: TestClient) -> None:
    [rage] = listed(reader, signal="rage_click")
    for named in (f"{rage}:25", f"{rage}:24-30", f"{rage}:11"):
        there = reader.get("/go", params={"to": named}).headers["Location"]
        assert reader.get(there).headers["Location"] == f"/sessions/{rage}#t25"
    assert reader.get("/go?to=one").headers["Location"] == "/sessions/one"
    assert reader.get("/go?to=p1").headers["Location"] == "/people/p1"
    assert reader.get("/go").headers["Location"] == "/"


def test_a_long_timeline_is_cut_into_pages_and_citations_know_which(
    reader: TestClient, store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_LINES", 5)
    take_in(store, rules, visit("long", NOON, *[f"/{letter}" for letter in "abcdefghijkl"]))
    build_day(store, NOON.date(), is_whole=True)
    assert reader.get("/sessions/s1:70").headers["Location"] == "/sessions/s1?offset=5#t70"
    first, last = reader.get("/sessions/s1").text, reader.get("/sessions/s1?offset=10").text
    assert 'href="/sessions/s1?offset=5#timeline" rel="next"' in first
    assert 'rel="next"' not in last
    assert re.findall(r'<tbody id="t(\d+)">', last) == ["100", "110"]
    assert 'href="/sessions/s1?offset=5#timeline" rel="prev"' in last


@pytest.mark.usefixtures("filled")
def test_a_person_is_shown_over_all_their_sessions(reader: TestClient) -> None:
    page = reader.get("/people/ann@example.com").text
    assert re.search(r"<h1>Person p\d+</h1>", page)
    assert len(re.findall(r'class="name">s\d+</a>', page)) == 3
    assert "ann@" not in page
    earlier = reader.get("/people/ann@example.com?end=2026-03-02T13:00&start=2026-03-02T12:00").text
    assert len(re.findall(r'class="name">s\d+</a>', earlier)) == 1
    nobody = reader.get("/people/ann@example.com?start=2027-01-01").text
    assert "No session in this period; an earlier start finds more." in nobody


@pytest.mark.usefixtures("filled")
def test_counts_are_bars_beside_a_table_with_links_to_the_sessions(reader: TestClient) -> None:
    page = reader.get("/count?by=page").text
    assert '<svg class="bar" aria-hidden="true"' in page
    assert '<rect width="100.00%"' in page
    assert re.search(r'<td class="examples"><a href="/sessions/(s\d+)">\1</a>', page)
    noon = "start=2026-03-02T12:00&end=2026-03-02T13:00"
    two = reader.get(f"/count?by=page&{noon}&compare_to=previous")
    assert 'class="other"' in two.text
    assert "sessions change %" in two.text


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("by=page", "/checkout"),
        ("by=page&where=page=/d*", "/docs/start"),
        ("by=signal&start=2026-03-02", "rage_click"),
        ("by=signal&where=page=/docs/start", "error"),
        ("by=device&where=signal=error", "Mobile, Safari on iOS"),
        ("by=hour&person=ann@example.com", "2026-03-02 12:00"),
        ("by=day&end=2026-03-02T12:30", "2026-03-02"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_a_number_leads_to_as_many_sessions(reader: TestClient, asked: str, name: str) -> None:
    page = reader.get(f"/count?{asked}").text
    row = page.partition(f">{name}</a></th>")
    path = unescape(row[0].rpartition('href="')[2].rstrip('"'))
    sessions_there = re.findall(r'<td class="number">(\d+)</td>', row[2])[1]
    found = re.findall(r'class="name">(s\d+)</a>', reader.get(path).text)
    assert len(found) == int(sessions_there) > 0


@pytest.mark.usefixtures("filled")
def test_a_number_of_what_the_list_cannot_choose_is_no_link(reader: TestClient) -> None:
    for asked in (
        "by=event",
        "by=touched",
        "by=page&where=order placed",
        "by=page&where=signal=any",
    ):
        page = reader.get(f"/count?{asked}").text
        assert '<th scope="row">' in page
        assert '<th scope="row"><a' not in page


@pytest.mark.usefixtures("filled")
def test_counts_over_time_are_columns_too(reader: TestClient) -> None:
    page = reader.get("/count?by=hour").text
    assert 'role="img" aria-label="Events by hour; the table has the numbers"' in page
    assert re.findall(r"<title>(.*?)</title></rect>", page)[0].startswith("2026-03-02 11:00: ")
    assert 'href="/?start=2026-03-02+12%3A00&amp;end=2026-03-02+13%3A00"' in page


@pytest.mark.usefixtures("filled")
def test_a_funnel_is_a_table_with_bars(reader: TestClient) -> None:
    steps = {"step": ["/users/:id", "/checkout", "", "order placed"]}
    page = reader.get("/funnel", params=steps).text
    assert "1 of 1 sessions come to the last step" in page
    assert page.count('<rect width="100.00%"') == 3
    assert 'name="step" value="/checkout"' in page
    of_people = reader.get("/funnel", params=steps | {"within_hours": "48"}).text
    assert "people come to the last step within 2 days" in of_people


@pytest.mark.usefixtures("filled")
def test_paths_and_what_sessions_differ_in_are_tables_too(reader: TestClient) -> None:
    assert "Name a step to see what people do right after it" in reader.get("/paths").text
    after = reader.get("/paths?step=/users/:id&depth=2").text
    assert "1 session took the step page=/users/:id" in after
    assert '<th scope="row">Viewed /checkout &gt; ' in after
    before = reader.get("/paths?step=/checkout&direction=before&within_hours=2").text
    assert '<option value="before" selected>' in before
    assert "1 person took the step page=/checkout" in before
    assert "Name a step or a signal to see" in reader.get("/compare").text
    compared = reader.get("/compare?step=signal=rage_click").text
    assert "1 session with signal=rage_click (these), 3 without (others)" in compared


@pytest.mark.usefixtures("filled")
def test_who_came_back_is_a_table(reader: TestClient) -> None:
    page = reader.get("/retention?every=day&start=2026-03-02").text
    assert "2 people did anything" in page
    assert '<option value="day" selected>' in page
    assert '<th scope="row">2026-03-02</th>' in page
    assert "nothing found from " in reader.get("/retention?step=order placed&end=2026-03-01").text


@pytest.mark.usefixtures("filled")
def test_errors_are_whole_and_masked(reader: TestClient) -> None:
    page = reader.get("/errors").text
    assert '<h2>TypeError <span class="faint">× 1</span></h2>' in page
    assert "of (email)" in page
    assert "2026-03-02 14:00:20" in page
    assert re.search(r"<dd><a href=\"/sessions/s\d+\">s\d+</a> </dd>", page)
    assert "nothing found from " in reader.get("/errors?contains=other").text


@pytest.mark.usefixtures("filled")
def test_dead_letters_are_shown_with_the_command_that_helps(reader: TestClient) -> None:
    page = reader.get("/dead-letters").text
    assert "2 open dead letters of 2 events." in page
    assert "dead-letters discard --reason invalid_json --because" in page
    assert "dead-letters replay --reason refused_by_store" in page
    assert "dead-letters show 1</code>" in page
    assert "(email)" in page
    assert "1 open dead letter of 1 event." in reader.get("/dead-letters?reason=invalid_json").text


def test_an_exhausted_letter_is_replayed_by_its_id(reader: TestClient, filled: Store) -> None:
    with filled.transaction() as connection:
        connection.execute(text("UPDATE dead_letter SET state = 'parked' WHERE id = 2"))
    page = reader.get("/dead-letters").text
    assert "dead-letters replay 2</code>" in page
    assert "2, exhausted" in page


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/sessions/s999", 404, "no session s999 among the enriched events"),
        ("/sessions/s999:3", 404, "no session s999 among the enriched events"),
        ("/people/nobody", 404, "no enriched event of nobody"),
        ("/?singal=error", 400, "&#39;singal&#39; is no filter here; there are signal, page, "),
        ("/?signal=anger", 400, "signal=&#39;anger&#39; is none; there are rage_click, "),
        ("/?start=soon", 400, "start=&#39;soon&#39; is no ISO 8601 time"),
        ("/?start=2026-03-02&end=2026-03-01", 400, "start must be before end"),
        ("/?offset=-1", 400, "offset=&#39;-1&#39; is no number from 0 to 1,000,000"),
        ("/?offset=nan", 400, "offset=&#39;nan&#39; is no number"),
        ("/?contains=%00", 400, "contains has more than 400 characters, or a NUL"),
        ("/count?by=colour", 400, "by=&#39;colour&#39; is none; there are event, touched, "),
        ("/count?where=page%3D/nowhere", 400, "no page is shown as"),
        ("/count?where=page%3D", 400, "is no step"),
        ("/funnel?step=/checkout", 400, "a funnel has 2 to 8 steps, not 1"),
        ("/paths?step=/checkout&depth=7", 400, "depth=&#39;7&#39; is no number from 0 to 6"),
        ("/paths?step=signal%3Dany", 400, "a signal is no step of a path"),
        ("/compare?step=/nowhere", 400, "no page is shown as"),
        ("/errors?by=colour", 400, "by=&#39;colour&#39; is none"),
        ("/sessions/%3Cscript%3E", 404, "no session ‹script› among"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_what_cannot_be_shown_is_one_sentence(
    reader: TestClient, path: str, status: int, sentence: str
) -> None:
    found, why = why_not(reader, path)
    assert found == status
    assert sentence in why


def test_a_session_of_two_projects_says_which_they_are(
    reader: TestClient, store: Store, rules: Rules
) -> None:
    for project in ("blog", "shop"):
        take_in(store, rules, visit("one", NOON, f"/{project}"), project)
    status, why = why_not(reader, "/sessions/one")
    assert (status, why) == (404, "session one is in the projects blog, shop: name one")
    assert "/shop" in reader.get("/sessions/one?project=shop").text


@pytest.mark.usefixtures("filled")
def test_all_links_lead_somewhere_and_no_text_becomes_markup(reader: TestClient) -> None:
    reader.follow_redirects = True
    start = ["/", "/funnel?step=/users/:id&step=/checkout", "/paths?step=/checkout"]
    found = crawl(reader, start)
    assert {path: one for path, one in found.items() if one.status_code != 200} == {}
    assert len(found) > 40
    assert {"/count", "/errors", "/dead-letters", "/people/p1"} <= found.keys()
    for answer in found.values():
        assert "<script" not in answer.text
    everything = "".join(answer.text for answer in found.values())
    assert "button &#34;‹script›alert(1)‹/script›&#34;" in everything
    assert "ann@example" not in everything


def test_an_outage_is_503_and_one_sentence(
    reader: TestClient, store: Store, server: EmbeddedPostgres
) -> None:
    begin_outage(server, store)
    try:
        assert why_not(reader, "/") == (503, "the store does not answer; try again in a minute")
        assert why_not(reader, "/errors")[0] == 503
    finally:
        end_outage(server, store)
    assert reader.get("/").status_code == 200


def test_a_store_that_does_not_answer_in_time_is_503_and_one_sentence(
    reader: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.transaction() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        monkeypatch.setattr(sessions, "SECONDS", 1)
        connection.execute(text("LOCK TABLE session_timeline IN ACCESS EXCLUSIVE MODE"))
        status, why = why_not(reader, "/")
    assert status == 503
    assert why.startswith("this page took longer than 10 s in the store; narrow it")
