"""What an operator does in the console, and how long each takes until it is on the page."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable

from playwright.async_api import Page, expect

from bench.blocks import NAMES

PAGE = 100
"""Blocks in one page of the list."""


class Looks:
    """Does it one after the other, and notes the seconds. `count` accounts of the bench's names
    are blocked."""

    def __init__(self, page: Page, origin: str, count: int) -> None:
        self._page = page
        self._origin = origin
        self._count = count
        self.seconds: dict[str, float] = {}

    async def log_in(self, token: str) -> None:
        """As this operator."""
        await self._page.goto(self._origin)
        await self._page.locator("#log-in").click()
        await self._page.locator("#token").fill(token)
        await self._page.locator("#login-yes").click()
        await expect(self._page.locator("#log-out")).to_be_visible()

    async def all(self) -> None:
        """Every look, from the first page of the list to lifting all blocks of it."""
        page, names = self._page, self._page.locator("#names a")
        await page.goto("about:blank")
        await self._take("the newest blocks", page.goto(self._origin), names, PAGE)
        await self._take("live figures", _shown(page, "#live"))
        await self._take("what operators did", _shown(page, "#actions"))
        await self._take("the next page", self._turned(), names, PAGE)
        rare = f"{NAMES}{self._count // 2}"
        await self._take(
            "a name among all", self._typed(rare), page.locator(f"#names a >> text=/{rare}$/"), 1
        )
        await self._take("a user's history", self._opened(rare))
        await self._take("a name that nobody has", self._missed())
        await page.locator("#filter").fill("")
        await expect(names).to_have_count(PAGE)
        await page.locator("#choose-all").check()
        await page.locator("#lift").click()
        await page.locator("#lift-reason").fill("the attack is over")
        await self._take("a hundred lifted", self._lifted())

    async def _take(
        self, what: str, done: Awaitable[object], names: object = None, number: int = 0
    ) -> None:
        began = time.monotonic()
        await done
        if names is not None:
            await expect(names).to_have_count(number)  # type: ignore[call-overload]  # a locator
        self.seconds[what] = round(time.monotonic() - began, 2)

    async def _turned(self) -> None:
        first = self._page.locator("#names li").first
        before = await first.text_content() or ""
        await self._page.locator("#next").click()
        await expect(first).not_to_have_text(before)
        await expect(self._page.locator("#page")).to_have_text("Page 2")

    async def _typed(self, text: str) -> None:
        await self._page.locator("#filter").fill(text)

    async def _missed(self) -> None:
        await self._typed("nobody-has-this")
        await expect(self._page.locator("#list-empty")).to_have_text(
            "Nobody with this in the name is blocked."
        )

    async def _opened(self, user: str) -> None:
        await self._page.evaluate("user => { location.hash = user; }", user)
        await expect(self._page.locator("#state")).to_have_text("Blocked")

    async def _lifted(self) -> None:
        await self._page.locator("#lifting-yes").click()
        await expect(self._page.locator("#said")).to_have_text(
            re.compile(r"^(\d+) of \1 accounts? unblocked\.$")
        )


async def _shown(page: Page, part: str) -> None:
    await expect(page.locator(part)).to_be_visible()
