"""The operators' console, as a person uses it in a browser."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.acceptance.system import Client, RunningSystem, run
from tests.acceptance.waiting import until

RIGHT = "a good password"
WRONG = "a wrong password"

# As long as a name can be, and all that a page, an address or a query could take for its own.
LONGEST = "<img/src=//x.test/x/onerror=alert(1)>&lt;\"'+%2f?#a/../b;".ljust(64, "w")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Visit = Callable[[Client, Page], Awaitable[None]]


@pytest.fixture(scope="module")
def chromium() -> str:
    """The system's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail(
            "There is no program `chromium` on the PATH; install Chromium, as with "
            "`apt install chromium`, to test the console."
        )
    return path


@asynccontextmanager
async def browsing(chromium: str, origin: str) -> AsyncIterator[Page]:
    """A page whose every complaint, dialog and request to elsewhere is an error in the end."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = await browser.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: complaints.extend(foreign(request.url, origin)))
        page.on("response", lambda answer: complaints.extend(failed(answer.status, answer.url)))
        yield page
        await browser.close()
    # The browser itself says on the console what is no complaint of ours; see failed().
    expected = "error: Failed to load resource: the server responded with a status of 404"
    assert [said for said in complaints if not said.startswith(expected)] == []


def foreign(url: str, origin: str) -> list[str]:
    """A complaint about a request to anywhere else."""
    return [] if url.startswith(f"{origin}/") else [f"request to {url}"]


def failed(status: int, url: str) -> list[str]:
    """A complaint about an answer, except for one that says that an account has no block."""
    no_block = status == 404 and "/blocked/" in url
    return [] if status < 400 or no_block else [f"{status} from {url}"]


def visit(system: RunningSystem, chromium: str, scenario: Visit) -> None:
    """Run a scenario with a browser on the operator port."""

    async def with_a_page(client: Client) -> None:
        async with browsing(chromium, system.operator_url) as page:
            await scenario(client, page)

    run(system, with_a_page)


async def block(client: Client, user: str) -> None:
    """Five wrong passwords."""
    await client.register(user, RIGHT)
    for _ in range(5):
        assert (await client.login(user, WRONG)).status == 401


@pytest.mark.parametrize("user", ["ana", "ángela-ñ", LONGEST], ids=["ana", "ángela", "the longest"])
def test_an_operator_finds_a_block_and_lifts_it(system: RunningSystem, chromium: str, user: str):
    """From the list to the account's block and attempts, a second thought, and back in."""

    async def scenario(client: Client, page: Page) -> None:
        await block(client, user)
        await page.goto(system.operator_url)
        name = page.locator("#names a", has_text=re.compile(f"^{re.escape(user)}$"))
        await name.click()
        await expect(page.locator("#user")).to_have_text(user)
        await expect(page).to_have_title(f"{user} · Cerrojo")
        await expect(page.locator("#state")).to_have_text("Blocked")
        await expect(page.locator("#failures")).to_have_text("5")
        await expect(page.locator("#why")).not_to_be_empty()
        attempts = page.locator("#attempts tbody tr")
        await expect(attempts.filter(has_text="wrong")).to_have_count(5)
        await expect(attempts).to_have_count(6)  # and the registration

        await page.locator("#unblock").click()
        await expect(page.locator("#confirm-title")).to_have_text(f"Unblock {user}?")
        await page.get_by_role("button", name="Keep blocked").click()
        await expect(page.locator("#confirm")).to_be_hidden()
        assert (await client.login(user, RIGHT)).status == 429

        await page.locator("#unblock").click()
        await page.locator("#confirm-yes").click()
        await expect(page.locator("#said")).to_have_text(f"{user} is unblocked.")
        await expect(page.locator("#state")).to_have_text("Not blocked")
        await expect(name).to_have_count(0)
        await expect(attempts.filter(has_text="unblock")).to_have_count(1)
        # Every process has heard of it soon.
        answer = await until(lambda: client.login(user, RIGHT), lambda a: a.status != 429)
        assert answer.status == 200
        assert await page.locator("img").count() == 1  # the console's own

    visit(system, chromium, scenario)


def test_a_name_can_be_looked_up(system: RunningSystem, chromium: str):
    """In whatever form it is typed, also where it is not blocked, or is no name at all."""

    async def scenario(client: Client, page: Page) -> None:
        await client.register("looked-up", RIGHT)
        assert (await client.login("looked-up", RIGHT)).status == 200
        await page.goto(system.operator_url)
        await page.keyboard.press("/")
        await page.keyboard.type("Looked-Up")
        await page.keyboard.press("Enter")
        await expect(page.locator("#state")).to_have_text("Not blocked")
        await expect(page.locator("#attempts tbody tr")).to_have_count(2)
        await expect(page.locator("#unblock")).to_be_hidden()

    visit(system, chromium, scenario)


def test_the_documentation_shows_every_operation(system: RunningSystem, chromium: str):
    """Each has its heading."""

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(f"{system.operator_url}/docs")
        paths = (await client.operator("GET", "/openapi.json")).body["paths"]
        operations = [path for path, methods in paths.items() for _ in methods.keys() - {"servers"}]
        await expect(page.locator("h2")).to_have_count(len(operations))
        await asyncio.gather(
            *(
                expect(page.locator("h2", has_text=path).first).to_be_visible()
                for path in operations
            )
        )

    visit(system, chromium, scenario)
