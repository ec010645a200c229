"""Records sessions of a real browser with posthog-js on these pages and on those that npm packages
ship: `python -m enrichment_pipeline_tests.llm.labelled.record NODE_MODULES`.

Each session is a script of what somebody does, with the signals that somebody who watches would
name: written down before any detector saw it. NODE_MODULES holds posthog-js 1.449.2, admin-lte 3
and startbootstrap-sb-admin-2 4. The result is `recorded.json`.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, Route, async_playwright

HERE = Path(__file__).parent
_AT_ONCE = 3
_SETTLE_MS = 3_700
"""How long posthog-js waits for an effect of the last click."""

_HEAD = """<script>{client}</script><script>{dead}</script><script>{exceptions}</script><script>
posthog.init("phc_test", {{api_host: location.origin, capture_dead_clicks: true, autocapture: true,
  advanced_disable_flags: true, opt_out_useragent_filter: true, disable_surveys: true,
  disable_session_recording: true, capture_exceptions: true,
  disable_external_dependency_loading: true,
  before_send: (event) => {{
    const kept = JSON.parse(localStorage.getItem("kept") || "[]");
    const p = event.properties;
    kept.push({{event: event.event, at: +new Date(event.timestamp || Date.now()),
      type: p.$event_type, chain: p.$elements_chain, elements: p.$elements,
      path: location.pathname}});
    localStorage.setItem("kept", JSON.stringify(kept));
    return event;
  }}}});
</script>"""

Script = Callable[[Page], Awaitable[None]]
SESSIONS: list[tuple[str, str, str, set[str], Script]] = []
"""Name, part, page, signals, script."""


def session(part: str, page: str, *signals: str) -> Callable[[Script], Script]:
    def add(script: Script) -> Script:
        SESSIONS.append((script.__name__, part, page, set(signals), script))
        return script

    return add


# A click at the place of the element; without waiting for a frame, which a busy machine is slow at.
_CLICK = """element => {
    const box = element.getBoundingClientRect();
    element.dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true, composed: true,
        clientX: box.x + box.width / 2, clientY: box.y + box.height / 2}));
}"""
_TYPE = """(element, text) => {
    element.value = text;
    element.dispatchEvent(new Event("input", {bubbles: true}));
    element.dispatchEvent(new Event("change", {bubbles: true}));
}"""


async def click(page: Page, what: str, times: int = 1, gap: int = 350, at: int = 0) -> None:
    for _ in range(times):
        await page.locator(what).nth(at).evaluate(_CLICK)
        await page.wait_for_timeout(gap)


async def typed(page: Page, what: str, text: str, at: int = 0) -> None:
    await click(page, what, gap=700, at=at)
    await page.locator(what).nth(at).evaluate(_TYPE, text)
    await page.wait_for_timeout(150)


SHOP, APP, CLINIC = "/own/shop.html", "/own/app.html", "/own/clinic.html"
dev = partial(session, "dev")
held = partial(session, "held")


async def _address(page: Page) -> None:
    await typed(page, "[name=email]", "a@b.example")
    await typed(page, "[name=street]", "Long Street 5")
    await typed(page, "[name=city]", "Rome")


@dev(SHOP)
async def bought(page: Page) -> None:
    await click(page, "#add")
    await _address(page)
    await click(page, "[name=terms]")
    await click(page, "text=Pay now")


@dev(SHOP, "form_not_sent")
async def left_the_checkout(page: Page) -> None:
    await click(page, "#add")
    await _address(page)
    await click(page, "text=Home")
    await page.goto(page.url.replace("shop.html", "app.html"))


@dev(SHOP, "form_not_sent")
async def was_refused_for_a_missing_field(page: Page) -> None:
    await typed(page, "[name=email]", "a@b.example")
    await click(page, "text=Pay now", 2, 1_500)


@dev(SHOP, "form_not_sent")
async def cancelled(page: Page) -> None:
    await _address(page)
    await click(page, "[type=reset]")


@dev(SHOP, "form_not_sent")
async def forgot_the_newsletter(page: Page) -> None:
    await typed(page, "[name=newsletter_email]", "a@b.example")
    await click(page, "#add")


@dev(SHOP)
async def subscribed(page: Page) -> None:
    await typed(page, "[name=newsletter_email]", "a@b.example")
    await click(page, "text=Subscribe")


@dev(SHOP)
async def searched(page: Page) -> None:
    await typed(page, "[name=q]", "lamp")
    await page.locator(".navbar-search").evaluate("form => form.requestSubmit()")
    await page.wait_for_timeout(300)


@dev(SHOP)
async def searched_and_went_on(page: Page) -> None:
    await typed(page, "[name=q]", "lamp")
    await click(page, "#add")


@dev(SHOP)
async def filtered(page: Page) -> None:
    await typed(page, "[name=price_min]", "10")
    await typed(page, "[name=price_max]", "90")
    await click(page, "[name=in_stock]")


@dev(SHOP)
async def tried_the_colours(page: Page) -> None:
    for at in (0, 1, 2):
        await click(page, "[name=colour]", 1, 500, at)
    await click(page, "#add")


@dev(SHOP)
async def ordered_seven(page: Page) -> None:
    await click(page, "text=+", 6, 180)
    await click(page, "#add")


@dev(SHOP)
async def typed_the_quantity(page: Page) -> None:
    await typed(page, "[name=quantity]", "2")
    await click(page, "#add")


@dev(SHOP)
async def looked_at_all_slides(page: Page) -> None:
    await click(page, ".carousel-control-next", 6, 200)


@dev(SHOP)
async def selected_text_in_a_field(page: Page) -> None:
    await click(page, "[name=street]", 5, 120)
    await typed(page, "[name=street]", "x")
    await _address(page)
    await click(page, "text=Pay now")


@dev(SHOP, "rage_click", "dead_click")
async def hammered_the_coupon(page: Page) -> None:
    await click(page, "#coupon", 6, 250)


@dev(SHOP, "rage_click", "dead_click")
async def hammered_what_is_slow(page: Page) -> None:
    await click(page, "#slow", 7, 220)


@dev(SHOP, "dead_click")
async def clicked_what_looks_like_a_button(page: Page) -> None:
    await click(page, "[aria-label='Size guide']")


@dev(SHOP)
async def liked_and_added(page: Page) -> None:
    await click(page, "#heart")
    await click(page, "#add", 2, 900)


@dev(SHOP)
async def chose_a_country_and_wrote_a_mail(page: Page) -> None:
    await click(page, "[name=country]")
    await click(page, "text=Mail us")


@dev(APP)
async def ticked_mails(page: Page) -> None:
    for at in (0, 1, 2):
        await click(page, ".mailbox [type=checkbox]", 1, 400, at)


@dev(APP)
async def changed_settings(page: Page) -> None:
    await click(page, "text=Dark mode")
    await click(page, "[for=news]")
    await page.locator("[name=accent]").evaluate(
        "e=>{e.value='#ff0000';e.dispatchEvent(new Event('change',{bubbles:true}))}"
    )
    await click(page, "[name=volume]")


@dev(APP)
async def toggled_back_and_forth(page: Page) -> None:
    await click(page, "text=Dark mode", 3, 700)


@dev(APP)
async def wrote_a_note(page: Page) -> None:
    await typed(page, "textarea", "buy milk")
    await click(page, "text=Hello")


@dev(APP)
async def signed_up_without_a_form(page: Page) -> None:
    await typed(page, "[name=full_name]", "Ann")
    await typed(page, "[name=mail]", "a@b.example")
    await click(page, "text=Create account")


@dev(APP, "form_not_sent")
async def gave_up_signing_up(page: Page) -> None:
    await typed(page, "[name=full_name]", "Ann")
    await typed(page, "[name=mail]", "a@b.example")
    await click(page, "text=Hello")


@dev(APP, "form_not_sent")
async def left_the_profile(page: Page) -> None:
    await typed(page, "[aria-label=Nickname]", "ann")
    await typed(page, "[aria-label=Company]", "Acme")
    await click(page, "text=Invoice")


@dev(APP)
async def saved_the_profile(page: Page) -> None:
    await typed(page, "[aria-label=Nickname]", "ann")
    await typed(page, "[aria-label=Company]", "Acme")
    await click(page, "text=Save changes")


@dev(APP)
async def entered_the_pin(page: Page) -> None:
    await click(page, ".keypad button", 4, 200, 3)


@dev(APP)
async def turned_pages(page: Page) -> None:
    await click(page, ".page-link", 4, 250, 1)


@dev(APP)
async def went_through_the_wizard(page: Page) -> None:
    await typed(page, "[name=step_name]", "a")
    await typed(page, "[name=step_mail]", "b")
    await click(page, "text=Next", 4, 300)


@dev(APP, "error", "dead_click")
async def ran_into_an_exception(page: Page) -> None:
    await click(page, "#broken")


@dev(APP, "dead_click")
async def clicked_a_dead_button(page: Page) -> None:
    await click(page, "#dead")


@dev(APP, "rage_click", "dead_click")
async def hammered_a_dead_button(page: Page) -> None:
    await click(page, "#dead", 5, 300)


@dev(APP)
async def played(page: Page) -> None:
    await click(page, "#board", 6, 200)


@held(CLINIC)
async def asked_for_an_appointment(page: Page) -> None:
    await typed(page, "input.mt-1", "Ann", 0)
    await typed(page, "input.mt-1", "Meier", 1)
    await typed(page, "textarea", "Rücken")
    await click(page, "text=Termin anfragen")


@held(CLINIC, "form_not_sent")
async def did_not_ask(page: Page) -> None:
    await typed(page, "input.mt-1", "Ann", 0)
    await typed(page, "input.mt-1", "Meier", 1)
    await click(page, "text=Nur heute")


@held(CLINIC, "form_not_sent")
async def did_not_save_the_account(page: Page) -> None:
    await typed(page, "[aria-label=Rechnungsname]", "Ann")
    await typed(page, "[aria-label=IBAN]", "DE1")
    await click(page, "text=Nur heute")


@held(CLINIC)
async def saved_the_account(page: Page) -> None:
    await typed(page, "[aria-label=Rechnungsname]", "Ann")
    await typed(page, "[aria-label=IBAN]", "DE1")
    await click(page, "text=Speichern")


@held(CLINIC)
async def searched_the_clinic(page: Page) -> None:
    await typed(page, "[aria-label=Suchen]", "Knie")
    await click(page, "text=Nur heute")


@held(CLINIC)
async def chose_a_theme(page: Page) -> None:
    await click(page, "text=Hell")
    await click(page, "text=Dunkel")
    await click(page, "text=Hell")


@held(CLINIC)
async def wanted_more(page: Page) -> None:
    await click(page, "[aria-label='Menge erhöhen']", 6, 180)


@held(CLINIC)
async def slid(page: Page) -> None:
    await click(page, ".glide__arrow", 5, 200)


@held(CLINIC)
async def wrote_on_the_keyboard(page: Page) -> None:
    await click(page, ".keyboard button", 4, 150, 1)
    await click(page, "text=⌫", 4, 150)


@held(CLINIC)
async def went_months_on(page: Page) -> None:
    await click(page, "text=Weiter zum nächsten Monat", 6, 300)


@held(CLINIC, "rage_click", "dead_click")
async def waited_for_the_findings(page: Page) -> None:
    await click(page, "text=Befund laden", 6, 260)


@held(CLINIC, "dead_click")
async def wanted_opening_times(page: Page) -> None:
    await click(page, "text=Öffnungszeiten anzeigen")


@held(CLINIC, "dead_click")
async def wanted_the_team(page: Page) -> None:
    await click(page, "text=Alle ansehen")


@held(CLINIC, "rage_click", "dead_click")
async def hammered_the_team(page: Page) -> None:
    await click(page, "text=Alle ansehen", 5, 300)


@held(CLINIC)
async def called(page: Page) -> None:
    await click(page, "text=Anrufen")


LTE = "/admin-lte/pages"
SB_BLANK = "/startbootstrap-sb-admin-2/blank.html"
SB = "/startbootstrap-sb-admin-2"


@held(f"{SB}/register.html", "form_not_sent")
async def registered_with_a_link(page: Page) -> None:
    await typed(page, "#exampleFirstName", "Ann")
    await typed(page, "#exampleInputEmail", "a@b.example")
    await click(page, "text=Already have an account")


@held(f"{SB}/index.html")
async def searched_the_dashboard(page: Page) -> None:
    await typed(page, ".navbar-search input", "report")
    await click(page, "#sidebarToggle")


@held(f"{SB}/tables.html")
async def sorted_the_table(page: Page) -> None:
    await click(page, "text=Position", 4, 500)
    await typed(page, "#dataTable_filter input", "Tokyo")


@held(f"{LTE}/examples/contact-us.html", "form_not_sent")
async def contacted_nobody(page: Page) -> None:
    await typed(page, "#inputName", "Ann")
    await typed(page, "#inputMessage", "Hello")
    await click(page, "text=Home")


@held(f"{LTE}/examples/register.html")
async def registered_at_lte(page: Page) -> None:
    await typed(page, "[placeholder='Full name']", "Ann")
    await typed(page, "[placeholder='Email']", "a@b.example")
    await click(page, "text=I agree")
    await click(page, "button[type=submit]")


@held(f"{LTE}/examples/login.html")
async def signed_in_at_lte(page: Page) -> None:
    await typed(page, "[type=email]", "a@b.example")
    await typed(page, "[type=password]", "secret")
    await click(page, "text=Remember Me")
    await click(page, "button[type=submit]")


@held(f"{LTE}/examples/lockscreen.html", "form_not_sent")
async def stayed_locked_out(page: Page) -> None:
    await typed(page, "[type=password]", "secret")
    await click(page, "text=Or sign in as a different user")


@held(f"{LTE}/mailbox/mailbox.html")
async def ticked_mails_at_lte(page: Page) -> None:
    for at in (0, 1, 2, 3):
        await click(page, ".icheck-primary label", 1, 350, at)


@held(f"{LTE}/mailbox/mailbox.html")
async def searched_mails(page: Page) -> None:
    await typed(page, "[placeholder='Search Mail']", "invoice")
    await click(page, ".icheck-primary label")


@held(f"{LTE}/forms/general.html", "form_not_sent")
async def left_the_quick_example(page: Page) -> None:
    await typed(page, "#exampleInputEmail1", "a@b.example")
    await typed(page, "#exampleInputPassword1", "secret")
    await click(page, "[for=customSwitch1]")


@held(f"{LTE}/forms/general.html")
async def sent_the_quick_example(page: Page) -> None:
    await typed(page, "#exampleInputEmail1", "a@b.example")
    await typed(page, "#exampleInputPassword1", "secret")
    await click(page, "text=Check me out")
    await click(page, ".card-primary button[type=submit]")


@held(f"{LTE}/forms/general.html")
async def switched_switches(page: Page) -> None:
    await click(page, "[for=customSwitch1]", 2, 800)
    await click(page, "[for=customCheckbox1]")
    await click(page, "[for=customRadio1]")


@held(f"{LTE}/examples/e-commerce.html")
async def chose_colours_at_lte(page: Page) -> None:
    for at in (0, 1, 2):
        await click(page, ".btn-group-toggle label", 1, 400, at)


@held(f"{LTE}/examples/e-commerce.html", "rage_click", "dead_click")
async def hammered_the_cart_at_lte(page: Page) -> None:
    await page.evaluate("document.querySelector('.btn-primary.btn-lg').style.cursor='pointer'")
    await click(page, ".btn-primary.btn-lg", 5, 280)


@held(f"{LTE}/examples/project-add.html", "form_not_sent")
async def added_no_project(page: Page) -> None:
    await typed(page, "#inputName", "Bridge")
    await typed(page, "#inputDescription", "A bridge")
    await click(page, "a.btn-secondary")


@held(f"{LTE}/examples/faq.html")
async def read_the_answers(page: Page) -> None:
    for at in (0, 1, 2):
        await click(page, ".card a.d-block", 1, 700, at)


async def _record(browser: Browser, site: str, modules: Path, one: Any) -> dict[str, Any]:
    name, part, where, signals, script = one
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    client = _HEAD.format(
        client=(modules / "posthog-js/dist/array.js").read_text(),
        dead=(modules / "posthog-js/dist/dead-clicks-autocapture.js").read_text(),
        exceptions=(modules / "posthog-js/dist/exception-autocapture.js").read_text(),
    )

    async def serve(route: Route) -> None:
        request = route.request
        if not request.url.startswith(site):
            await route.abort()
        elif request.method == "POST" and request.resource_type == "document":
            # A form was sent: any page of the site will do as the next one.
            got = await route.fetch(url=site + SB_BLANK, method="GET")
            body = (await got.text()).replace("<head>", "<head>" + client, 1)
            await route.fulfill(response=got, body=body)
        elif request.method == "POST":
            await route.abort()
        elif request.resource_type == "document":
            got = await route.fetch()
            body = (await got.text()).replace("<head>", "<head>" + client, 1)
            await route.fulfill(response=got, body=body)
        else:
            await route.continue_()

    await context.route("**/*", serve)
    page = await context.new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    await page.goto(site + where, wait_until="domcontentloaded")
    await page.wait_for_timeout(400)
    await script(page)
    await page.wait_for_timeout(_SETTLE_MS)
    kept = json.loads(await page.evaluate("localStorage.getItem('kept')"))
    await context.close()
    # Some pages throw by themselves: the browser says so, and not the detector.
    there = signals | ({"error"} if thrown else set())
    return {"name": name, "part": part, "signals": sorted(there), "events": kept}


def _compact(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """Each element is written once."""
    from enrichment_pipeline.events.elements import chain_from_list

    known: dict[str, int] = {}
    shown = []
    for one in sessions:
        events = sorted(one["events"], key=lambda event: event["at"])
        start = events[0]["at"]
        rows = []
        for event in events:
            chain = event.get("chain") or chain_from_list(event.get("elements")) or ""
            parts = chain.split(";") if chain else []
            at = [known.setdefault(part, len(known)) for part in parts]
            rows.append([event["at"] - start, event["event"], event.get("type"), event["path"], at])
        shown.append({**one, "events": rows})
    return {"elements": list(known), "sessions": shown}


async def _all(site: str, modules: Path) -> list[dict[str, Any]]:
    free = asyncio.Semaphore(_AT_ONCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )

        async def one(what: Any) -> dict[str, Any]:
            async with free:
                return await _record(browser, site, modules, what)

        done = await asyncio.gather(*(one(what) for what in SESSIONS))
        await browser.close()
    return done


class _Quiet(SimpleHTTPRequestHandler):
    modules = Path()

    def translate_path(self, path: str) -> str:
        path = path.partition("?")[0]
        root = HERE / "pages" if path.startswith("/own/") else self.modules
        return str(root / path.removeprefix("/own/").lstrip("/"))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def main() -> None:
    modules = Path(sys.argv[1]).resolve()
    _Quiet.modules = modules
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sessions = asyncio.run(_all(f"http://127.0.0.1:{server.server_port}", modules))
        server.shutdown()
    text = json.dumps(_compact(sessions), ensure_ascii=False, separators=(",", ":"))
    (HERE / "recorded.json").write_text(text.replace('},{"name"', '},\n{"name"') + "\n")


if __name__ == "__main__":
    main()
