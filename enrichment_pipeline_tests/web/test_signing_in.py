"""Who may read the pages: the form, the cookie, the header."""

import re
import time

import pytest
from starlette.testclient import TestClient

from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.web.pages import Pages
from enrichment_pipeline.web.signing_in import COOKIE, Readers
from enrichment_pipeline_tests.web.conftest import BROWSER, TOKEN

OPEN_TO_ALL = {"/sign-in", "/sign-out", "/page.css"}


def test_who_is_not_signed_in_gets_the_form_and_then_the_page_that_was_asked_for(
    client: TestClient,
) -> None:
    asked = client.get("/count?by=day&project=a%2Fb")
    assert asked.status_code == 303
    form = client.get(asked.headers["Location"])
    assert form.status_code == 200
    assert 'value="/count?by=day&amp;project=a%2Fb"' in form.text
    wanted = "/count?by=day&project=a%2Fb"
    signed_in = client.post("/sign-in", data={"token": TOKEN, "next": wanted})
    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, wanted)
    assert client.get(wanted).status_code == 200


def test_the_first_page_shows_the_form_to_a_browser_and_text_to_others(client: TestClient) -> None:
    form = client.get("/")
    assert form.status_code == 200
    assert form.headers["Vary"] == "Accept, Origin"
    assert '<form class="sign-in" action="/sign-in" method="post">' in form.text
    assert "cat .enrichment/read_token" in form.text
    for accept in ("*/*", "text/plain", ""):
        text = client.get("/", headers={"Accept": accept})
        assert text.headers["Content-Type"].startswith("text/plain")
        assert "/batch/" in text.text
        assert "/sign-in" not in text.text


def test_the_cookie_is_not_the_token_and_scripts_do_not_get_it(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"token": TOKEN})
    cookie = answer.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    over_tls = client.post("https://testserver/sign-in", data={"token": TOKEN})
    assert "Secure" in over_tls.headers["Set-Cookie"]


@pytest.mark.parametrize("sent", [{"token": "wrong"}, {"token": ""}, {}, {"token": "x" * 20_000}])
def test_with_another_token_nobody_is_signed_in(client: TestClient, sent: dict[str, str]) -> None:
    answer = client.post("/sign-in", data=sent)
    assert answer.status_code == 401
    assert "This is not the read token." in answer.text
    assert "Set-Cookie" not in answer.headers


def test_no_page_is_open_to_all(client: TestClient, store: Store) -> None:
    routes = {route.path for route in Pages(store, TOKEN).routes} - OPEN_TO_ALL
    assert len(routes) > 5
    for path in (re.sub("{.*}", "s1", route) for route in routes):
        assert client.get(path).headers["Location"].startswith("/sign-in?next=%2F"), path
        refused = client.get(path, headers={"Accept": "*/*"})
        assert refused.status_code == 401, path
        assert refused.text == "the read token is needed, as Authorization: Bearer …"
        wrong = client.get(path, headers={"Accept": "*/*", "Authorization": "Bearer wrong"})
        assert wrong.status_code == 401, path


def test_a_cookie_is_good_until_its_time_and_with_its_token_alone(client: TestClient) -> None:
    now = int(time.time())
    good = Readers(TOKEN).cookie(now + 60)
    until, _, signature = good.partition(".")
    cookies = {
        good: 200,
        Readers(TOKEN).cookie(now - 1): 303,
        Readers("another").cookie(now + 60): 303,
        Readers("").cookie(now + 60): 303,
        f"{int(until) + 60}.{signature}": 303,
        f"{until}.": 303,
        "": 303,
        "9" * 30: 303,
        "é": 303,
    }
    for cookie, status in cookies.items():
        header = f"{COOKIE}={cookie}".encode()
        answer = client.get("/count", headers={"Cookie": header})  # type: ignore[dict-item]
        assert answer.status_code == status, cookie


def test_the_header_is_as_good_as_the_cookie(client: TestClient) -> None:
    answer = client.get("/count", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_who_signs_out_has_to_sign_in_again(reader: TestClient) -> None:
    assert reader.get("/count").status_code == 200
    assert reader.post("/sign-out").headers["Location"] == "/"
    assert reader.get("/count").status_code == 303


def test_a_script_of_another_page_reads_nothing_with_the_cookie(reader: TestClient) -> None:
    """The API lets pages of any origin read its answers; one on the same host has the cookie."""
    for origin in ("http://127.0.0.1:3000", "null", "https://evil.example"):
        answer = reader.get("/count", headers={"Origin": origin})
        assert answer.status_code == 303
        first = reader.get("/", headers={"Origin": origin})
        assert "Sign in" in first.text


def test_a_link_on_another_page_leads_to_the_page_by_a_second_request(client: TestClient) -> None:
    """A browser keeps a strict cookie back until a page of ours asks."""
    answer = client.get("/count?by=day", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in answer.text
    assert '<a href="/count?by=day">' in answer.text
    for_a_form = client.post(
        "/sign-in", data={"token": TOKEN}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert for_a_form.status_code == 401


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/x", "evil", ""]
)
def test_signing_in_leads_nowhere_else(client: TestClient, elsewhere: str) -> None:
    signed_in = client.post("/sign-in", data={"token": TOKEN, "next": elsewhere})
    assert signed_in.headers["Location"] == "/"
    form = client.get("/sign-in", params={"next": elsewhere})
    assert 'name="next" value="/"' in form.text


def test_an_empty_read_token_lets_nobody_in_and_the_form_says_so(
    store: Store, settings: Settings
) -> None:
    with TestClient(create_app(store, settings, parts=Parts(pages=Pages(store, "")))) as client:
        client.headers |= BROWSER
        assert "ENRICHMENT_READ_TOKEN is empty" in client.get("/").text
        assert client.post("/sign-in", data={"token": ""}).status_code == 401
        assert client.get("/count", headers={"Authorization": "Bearer "}).url.path == "/sign-in"


def test_every_answer_forbids_scripts_frames_and_caches(reader: TestClient) -> None:
    answers = [reader.get(path) for path in ("/", "/count", "/sessions/none", "/sign-in", "/go")]
    answers.append(reader.post("/sign-in", data={"token": "wrong"}))
    answers.append(reader.post("/sign-out"))
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "<script" not in answer.text
        assert " style=" not in answer.text


def test_the_style_may_be_kept_by_the_browser(client: TestClient) -> None:
    style = client.get("/page.css?version=1")
    assert style.headers["Content-Type"].startswith("text/css")
    assert "immutable" in style.headers["Cache-Control"]
    assert "url(" not in style.text
    assert "@import" not in style.text
