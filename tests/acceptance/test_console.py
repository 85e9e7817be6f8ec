"""The operators' console, as a person uses it in a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.acceptance.system import Client, RunningSystem, run
from tests.harness.browser import FLAGS, chromium
from tests.harness.operators import OPERATOR_TOKEN

RIGHT = "a good password"
WRONG = "a wrong password"

# As long as a name can be, and all that a page, an address or a query could take for its own.
LONGEST = "<img/src=//x.test/x/onerror=alert(1)>&lt;\"'+%2f?#a/../b;".ljust(64, "w")

Visit = Callable[[Client, Page], Awaitable[None]]


@asynccontextmanager
async def browsing(origin: str) -> AsyncIterator[Page]:
    """A page whose every complaint, dialog and request to elsewhere is an error in the end."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = await browser.new_page()
        page.set_default_timeout(90_000)
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: complaints.extend(foreign(request.url, origin)))
        page.on("response", lambda answer: complaints.extend(failed(answer.status, answer.url)))
        yield page
        await browser.close()
    # The browser itself says on the console what is no complaint of ours; see failed().
    expected = "error: Failed to load resource: the server responded with a status of "
    fine = tuple(f"{expected}{status}" for status in (404, 503))
    assert [said for said in complaints if not said.startswith(fine)] == []


def foreign(url: str, origin: str) -> list[str]:
    """A complaint about a request to anywhere else."""
    return [] if url.startswith(f"{origin}/") else [f"request to {url}"]


def failed(status: int, url: str) -> list[str]:
    """A complaint about an answer, except for one that says that an account has no block.

    Nor is it one that some part of a busy system was not ready for a moment.
    """
    no_block = status == 404 and "/blocked/" in url
    busy = status == 503 and url.endswith("/readyz")
    return [] if status < 400 or no_block or busy else [f"{status} from {url}"]


def visit(system: RunningSystem, scenario: Visit) -> None:
    """Run a scenario with a browser on the operator port."""

    async def with_a_page(client: Client) -> None:
        async with browsing(system.operator_url) as page:
            await scenario(client, page)

    run(system, with_a_page)


async def block(client: Client, user: str) -> None:
    """Five wrong passwords."""
    await client.register(user, RIGHT)
    for _ in range(5):
        assert (await client.login(user, WRONG)).status == 401


@pytest.mark.parametrize(
    "user", ["console.ana", "ángela-ñ", LONGEST], ids=["ana", "ángela", "the longest"]
)
def test_an_operator_finds_a_block_and_lifts_it(system: RunningSystem, user: str):
    """From the list to the account's block and attempts, a second thought, and back in."""

    async def scenario(client: Client, page: Page) -> None:
        await block(client, user)
        await page.goto(system.operator_url)
        name = page.locator("#names a", has_text=re.compile(f"^{re.escape(user)}$"))
        await name.click()
        await expect(page.locator("#user")).to_have_text(user)
        await expect(page).to_have_title(f"\u2068{user}\u2069 · Cerrojo")
        await expect(page.locator("#state")).to_have_text("Blocked")
        await expect(page.locator("#failures")).to_have_text("5")
        await expect(page.locator("#why")).not_to_be_empty()
        attempts = page.locator("#attempts tbody tr")
        await expect(attempts.filter(has_text="wrong")).to_have_count(5)
        await expect(attempts).to_have_count(6)  # and the registration

        await page.locator("#unblock").click()
        await page.locator("#token").fill(OPERATOR_TOKEN)
        await page.locator("#login-yes").click()
        await expect(page.locator("#operator-name")).to_have_text("tests (administer)")
        await expect(page.locator("#confirm-title")).to_have_text(f"Unblock {user}?")
        await page.get_by_role("button", name="Keep blocked").click()
        await expect(page.locator("#confirm")).to_be_hidden()
        assert (await client.login(user, RIGHT)).status == 429

        await page.locator("#unblock").click()
        await page.locator("#confirm-yes").click()
        await expect(page.locator("#said")).to_have_text(f"\u2068{user}\u2069 is unblocked.")
        await expect(page.locator("#state")).to_have_text("Not blocked")
        await expect(name).to_have_count(0)
        await expect(attempts.filter(has_text="unblock")).to_have_count(1)
        # Every process has heard of it soon.
        assert (await client.login_once_heard(user, RIGHT)).status == 200
        assert await page.locator("img").count() == 1  # the console's own

    visit(system, scenario)


def test_the_newest_blocks_come_first_and_a_part_of_a_name_finds_them(system: RunningSystem):
    """Each with the time that is left of it."""

    async def scenario(client: Client, page: Page) -> None:
        for user in ("filter-older", "filter-newer", "another-one"):
            await block(client, user)
        await page.goto(system.operator_url)
        await expect(page.locator("#names a", has_text="another-one")).to_be_visible()
        await page.locator("#filter").fill("FILTER-")
        await expect(page.locator("#names a")).to_have_text(["filter-newer", "filter-older"])
        left = re.compile(r"^for (2\d|30) min$")
        await expect(page.locator("#names li span")).to_have_text([left, left])
        await page.locator("#filter").fill("nobody has this")
        await expect(page.locator("#list-empty")).to_have_text(
            "Nobody with this in the name is blocked."
        )

    visit(system, scenario)


def test_an_operator_blocks_by_hand(system: RunningSystem):
    """With a reason, for a time; it stands in the history with both."""

    async def scenario(client: Client, page: Page) -> None:
        await client.register("by-hand", RIGHT)
        await page.goto(f"{system.operator_url}/#by-hand")
        await expect(page.locator("#state")).to_have_text("Not blocked")
        await page.locator("#block").click()
        await page.locator("#token").fill(OPERATOR_TOKEN)
        await page.locator("#login-yes").click()
        await expect(page.locator("#blocking-title")).to_have_text("Block by-hand?")
        await page.locator("#block-reason").fill("phone <b>stolen</b>")
        await page.locator("#block-for").select_option("a day")
        await page.locator("#blocking-yes").click()
        await expect(page.locator("#said")).to_have_text("\u2068by-hand\u2069 is blocked.")
        await expect(page.locator("#state")).to_have_text("Blocked")
        await expect(page.locator("#why")).to_have_text("by hand: phone <b>stolen</b>")
        await expect(page.locator("#until")).to_contain_text("(in 23 h)")
        entry = page.locator("#attempts tbody tr").first
        await expect(entry).to_contain_text("block by hand")
        await expect(entry.locator("q")).to_have_text("phone <b>stolen</b>")
        await expect(entry).to_contain_text("tests")
        assert (await client.login("by-hand", RIGHT)).status == 429

    visit(system, scenario)


def test_the_first_look_is_at_attacks_and_the_policy(system: RunningSystem):
    """Who is refused most, and what blocks an account."""
    attack = {
        "known": True,
        "attack": True,
        "failed_accounts": 5_210,
        "succeeded_accounts": 31,
        "since": "2026-11-28T09:15:00.000Z",
        "sources": [{"source": "192.0.2.0/24", "refusals": 4_711, "error": 12}],
        "accounts": [{"user": LONGEST, "refusals": 903, "error": 0}],
    }

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        await expect(page.locator("#attack")).to_have_text("No attack")  # none counts from loopback
        await page.route("**/attacks?*", lambda route: route.fulfill(json=attack))
        await expect(page.locator("#attack")).to_have_text("An attack goes on")
        await expect(page.locator("#sources tbody tr")).to_have_text(["192.0.2.0/244,711"])
        await page.locator("#accounts a", has_text=LONGEST).click()
        await expect(page.locator("#user")).to_have_text(LONGEST)
        await expect(page.locator("#overview")).to_be_hidden()
        await page.goto(f"{system.operator_url}/#")
        await expect(page.locator("#policy")).to_contain_text(
            "5 wrong passwords within 900 s block an account for 1,800 s"
        )
        await expect(page.locator("#policies tbody tr")).to_have_count(1)

    visit(system, scenario)


def test_a_name_can_be_looked_up(system: RunningSystem):
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

    visit(system, scenario)


def test_the_documentation_shows_every_operation_and_tries_ours(system: RunningSystem):
    """By Swagger UI, which asks nobody else, and which our policy for pages hinders in nothing."""

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(f"{system.operator_url}/docs")
        paths = (await client.operator("GET", "/openapi.json")).body["paths"]
        operations = [each for methods in paths.values() for each in methods.values()]
        shown = page.locator(".opblock")
        await expect(shown).to_have_count(len(operations))
        for operation in await page.locator(".opblock-summary-control").all():
            await operation.click()
        # A page of this port may not ask the login port.
        ours = [each for each in operations if each["tags"] == ["operator"]]
        await expect(page.get_by_role("button", name="Try it out")).to_have_count(len(ours))
        blocked = page.locator("#operations-operator-blocked_list_blocked")
        await blocked.get_by_role("button", name="Try it out").click()
        await blocked.get_by_role("button", name="Execute").click()
        answered = blocked.locator(".live-responses-table")
        await expect(answered.locator("tbody .response-col_status")).to_have_text("200")
        await expect(answered).to_contain_text("users-blocked")

    visit(system, scenario)
