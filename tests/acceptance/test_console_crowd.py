"""The console of a system with very many blocks, and of one that is under load."""

from __future__ import annotations

import asyncio
import threading
from urllib.parse import urlsplit

import msgspec
import pytest
from playwright.async_api import Page, expect

from bench import blocks
from bench.client import Job, drive
from bench.errors import BenchError
from tests.acceptance.browsing import Visit
from tests.acceptance.conftest import StartSystem
from tests.acceptance.system import CHEAPEST, Client, RunningSystem
from tests.acceptance.test_console import WRONG, look_at_everything
from tests.harness.console_looks import Looks
from tests.harness.operators import OPERATOR_TOKEN

pytestmark = pytest.mark.slow

BLOCKS = 100_000
"""`make console` does the same with 1,000,000, and says how long it takes."""

LOAD = Job(port=0, users="crowd-", accounts=4, clients=16, seconds=1.0, password=WRONG)


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> RunningSystem:
    """One of these tests' own: `cerrojo verify` would find these blocks, which nothing decided."""
    return start_system(CHEAPEST)


@pytest.fixture(scope="module")
def crowded(system: RunningSystem) -> RunningSystem:
    """With so many blocks."""
    blocks.insert(system.database_url, BLOCKS)
    return system


def test_everything_can_be_done_among_very_many_blocks(crowded: RunningSystem, visit: Visit):
    """Every question of the page looks at a bounded number of them."""

    async def scenario(client: Client, page: Page) -> None:
        looks = Looks(page, crowded.operator_url, BLOCKS)
        await client.operator("POST", "/blocked/crowd.by.hand", {"reason": "for a first action"})
        await looks.log_in(OPERATOR_TOKEN)
        await looks.all()
        assert len(looks.seconds) == 8

    visit(crowded, scenario)


def test_a_newer_block_comes_to_a_list_of_old_ones(crowded: RunningSystem, visit: Visit):
    """The old one was behind more blocks than an answer looks at."""

    async def scenario(client: Client, page: Page) -> None:
        oldest = f"{blocks.NAMES}{BLOCKS}"  # by their order, of those that are blocked at once
        names = page.locator("#names a")
        await page.goto(crowded.operator_url)
        await page.locator("#filter").fill(oldest)
        await expect(names).to_have_text([oldest])
        newer = await client.operator("POST", f"/blocked/{oldest}-newer", {"reason": "an attack"})
        assert newer.status == 200
        await look_at_everything(page)
        await expect(names).to_have_text([f"{oldest}-newer"])
        await page.locator("#next").click()
        await expect(names).to_have_text([oldest])

    visit(crowded, scenario)


def test_the_page_goes_on_during_a_load_of_refusals(system: RunningSystem, visit: Visit):
    """Live figures tell of it, and a block is lifted meanwhile."""

    async def scenario(client: Client, page: Page) -> None:
        for number in range(1, LOAD.accounts + 1):
            order = {"reason": "under load"}
            path = f"/blocked/{LOAD.users}{number}"
            assert (await client.operator("POST", path, order)).status == 200
        await Looks(page, system.operator_url, 0).log_in(OPERATOR_TOKEN)
        job = msgspec.structs.replace(LOAD, port=urlsplit(system.login_url).port or 0)
        seen = threading.Event()
        refused = 0

        def load() -> None:
            nonlocal refused
            while not seen.is_set():
                try:
                    refused += drive(job, 403, 503).statuses.get(403, 0)  # 503: it stood still
                except BenchError as error:
                    if "are {}:" not in str(error):  # else for the whole second
                        raise

        loading = asyncio.ensure_future(asyncio.to_thread(load))
        try:
            await expect(page.locator("#live-results")).to_contain_text("final")
            by_hand = await client.operator("POST", "/blocked/crowd.other", {"reason": "x"})
            assert by_hand.status == 200
            await page.evaluate("location.hash = 'crowd.other'")
            await expect(page.locator("#state")).to_have_text("Blocked")
            await page.locator("#unblock").click()
            await page.locator("#confirm-yes").click()
            await expect(page.locator("#state")).to_have_text("Not blocked")
        finally:
            seen.set()
            await loading
        assert refused

    visit(system, scenario)
