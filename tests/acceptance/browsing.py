"""A page of the operator port in a real browser, which several tests in a row share."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright

from tests.acceptance.system import Client, RunningSystem, run
from tests.harness.browser import FLAGS, chromium
from tests.harness.waiting import NOT_HEARD, PAUSE_SECONDS

Scenario = Callable[[Client, Page], Awaitable[None]]

Visit = Callable[[RunningSystem, Scenario], None]
"""Runs a scenario with a new page, whose every complaint is an error in the end."""


CHANGES = re.compile(r"/blocked(/[^?]+)?$")

PATIENT = """
const [timeout, later] = [AbortSignal.timeout.bind(AbortSignal), setTimeout.bind(window)];
AbortSignal.timeout = () => timeout(90_000);
window.setTimeout = (call, ms, ...more) => later(call, ms === 8000 ? 90_000 : ms, ...more);
"""
"""On a busy machine no answer is given up, and no message goes away before it is read."""


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    """With one browser for all tests of a module: its start takes longer than most of them.

    A page shares nothing with the others, as cookies or a cache.
    """
    with asyncio.Runner() as runner:
        playwright = runner.run(async_playwright().start())
        browser = runner.run(
            playwright.chromium.launch(executable_path=chromium(), args=FLAGS, timeout=180_000),
        )

        def visit(system: RunningSystem, scenario: Scenario) -> None:
            async def with_a_page(client: Client) -> None:
                async with _complaining(browser, system.operator_url) as page:
                    await scenario(client, page)

            run(system, with_a_page, by=runner.run)

        yield visit
        runner.run(browser.close())
        runner.run(playwright.stop())


@asynccontextmanager
async def _complaining(browser: Browser, origin: str) -> AsyncIterator[Page]:
    """A page whose every complaint, dialog and request to elsewhere is an error in the end."""
    complaints: list[str] = []
    page = await browser.new_page()
    page.set_default_timeout(90_000)
    await page.add_init_script(PATIENT)
    await page.route(CHANGES, change_patiently)
    page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: complaints.extend(_foreign(request.url, origin)))
    page.on("response", lambda answer: complaints.extend(_failed(answer.status, answer.url)))
    try:
        yield page
    finally:
        await page.close()
    # The browser itself says on the console what is no complaint of ours; see _failed().
    expected = "error: Failed to load resource: the server responded with a status of "
    fine = tuple(f"{expected}{status}" for status in (404, 503))
    assert [said for said in complaints if not said.startswith(fine)] == []


async def change_patiently(route: Route) -> None:
    """Ask again where nobody can decide now, as `Client` does; a page leaves that to its person."""
    if route.request.method == "GET":
        await route.fallback()
        return
    order = route.request.post_data_json or {}
    lines: list[str] = []
    while True:
        answer = await route.fetch(**({"post_data": order} if order else {}), timeout=90_000)
        said = (await answer.text()).splitlines(keepends=True)
        unheard = [line for line in said if NOT_HEARD in line]
        if not unheard:
            await route.fulfill(response=answer, body="".join(lines + said))
            return
        if "users" in order:
            lines += [line for line in said if line not in unheard]
            order["users"] = [json.loads(line)["user"] for line in unheard]
        await asyncio.sleep(PAUSE_SECONDS)


def _foreign(url: str, origin: str) -> list[str]:
    """A complaint about a request to anywhere else."""
    return [] if url.startswith(f"{origin}/") else [f"request to {url}"]


def _failed(status: int, url: str) -> list[str]:
    """A complaint about an answer, except for one that says that an account has no block.

    Nor is it one that some part of a busy system was not ready for a moment.
    """
    no_block = status == 404 and "/blocked/" in url
    busy = status == 503 and url.endswith("/readyz")
    return [] if status < 400 or no_block or busy else [f"{status} from {url}"]
