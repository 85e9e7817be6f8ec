"""`make pictures`: the operators' pages as people see them, into docs/pictures.

It starts a system of its own, lets five accounts be blocked, and looks at them in Chromium.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import httpx
from playwright.async_api import Browser, Page, async_playwright

from bench.system import CHEAPEST, HOST, Up, up
from settings import OPERATOR_TOKEN
from tests.harness.browser import FLAGS, chromium
from tests.harness.waiting import wait_until
from tests.paths import PROJECT

FOLDER = PROJECT / "docs" / "pictures"
TALL = {"width": 1180, "height": 1000}
WIDE, NARROW = {"width": 1180, "height": 720}, {"width": 400, "height": 720}
BLOCKED = ("admin", "ángela", "ben", "chiara.rossi", "root")
SEEN = "ben"
ATTACK_SECONDS = 15
RIGHT, WRONG = "correct horse battery", "not this one"


def main() -> int:
    """Take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures") as folder:
        data = Path(folder, "data")
        with up(CHEAPEST, data) as system:
            wait_until((data / OPERATOR_TOKEN).exists)  # written when all is ready
            token = (data / OPERATOR_TOKEN).read_text().strip()
            operators = f"http://{HOST}:{system.operator_port}"
            _be_attacked(system, operators, token)
            logins = f"http://{HOST}:{system.login_port}"
            asyncio.run(_look(operators, logins, token))
    return 0


def _be_attacked(system: Up, operators: str, token: str) -> None:
    logins = f"http://{HOST}:{system.login_port}"
    # Each request by itself: with the cookies of the one before, it would come from a known device.
    for user in BLOCKED:
        httpx.post(f"{logins}/register", json={"user": user, "pass": RIGHT})
        httpx.post(f"{logins}/login", json={"user": user, "pass": RIGHT})
        for _ in range(6):
            httpx.post(f"{logins}/login", json={"user": user, "pass": WRONG})
    by = {"Authorization": f"Bearer {token}"}
    path = f"{operators}/blocked/{SEEN}"
    for method, order in (
        ("DELETE", {"reason": "called, knew the answer"}),
        ("POST", {"reason": "phone was stolen", "seconds": 7_200}),
    ):
        httpx.request(method, path, headers=by, json=order).raise_for_status()


async def _look(operators: str, logins: str, token: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = await _page(browser, WIDE, dark=False)
        await page.goto(operators)
        await page.locator("#log-in").click()
        await page.locator("#token").fill(token)
        await page.locator("#login-yes").click()
        await page.locator("#log-out").wait_for()
        await page.locator("#policies tbody tr").wait_for()
        await page.locator("#actions").wait_for()
        await page.set_viewport_size(TALL)
        await _under_attack(page, logins)
        await page.screenshot(path=FOLDER / "overview.png")
        await page.set_viewport_size(WIDE)
        await _choose(page)
        await page.screenshot(path=FOLDER / "console.png")
        cookies = await page.context.cookies()
        await page.goto(f"{operators}/docs")
        await page.locator(".opblock").first.wait_for()
        await page.screenshot(path=FOLDER / "docs.png")

        page = await _page(browser, WIDE, dark=True)
        await page.context.add_cookies([{**each} for each in cookies])  # type: ignore[typeddict-item]  # Cookie is one
        await page.goto(operators)
        await page.locator("#choose-all").check()
        await page.get_by_role("checkbox", name=SEEN).uncheck()
        await page.locator("#lift").click()
        await page.locator("#lift-reason").fill("the attack is over")
        await page.screenshot(path=FOLDER / "several.png")

        page = await _page(browser, NARROW, dark=True)
        await page.context.add_cookies([{**each} for each in cookies])  # type: ignore[typeddict-item]  # Cookie is one
        await page.goto(operators)
        await _choose(page)
        await page.locator("#unblock").click()
        await page.locator("#confirm").wait_for()
        await page.screenshot(path=FOLDER / "console-dark.png")
        await browser.close()


async def _under_attack(page: Page, logins: str) -> None:
    """So many seconds of wrong logins, which the live figures show."""
    async with httpx.AsyncClient() as client:
        for number in range(ATTACK_SECONDS * 20):
            user = f"guessed-{number % 7}"
            body = {"user": user, "pass": f"{WRONG} {number}"}
            await asyncio.gather(
                client.post(f"{logins}/login", json=body), page.wait_for_timeout(50)
            )


async def _page(browser: Browser, size: dict[str, int], dark: bool) -> Page:
    return await browser.new_page(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if dark else "light",
    )


async def _choose(page: Page) -> None:
    await page.locator("#names a", has_text=SEEN).click()
    await page.locator("#attempts tr.entry").first.wait_for()


if __name__ == "__main__":
    sys.exit(main())
