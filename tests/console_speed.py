"""`make console`: how long the console takes among 1,000,000 blocks, also under load.

It starts a system of its own, has the blocks in its tables, and does in Chromium what an operator
does: without other load, and while clients are refused as fast as they ask. It prints seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import httpx
from playwright.async_api import async_playwright

from bench import blocks
from bench.client import Job, Outcome, drive
from bench.system import CHEAPEST, HOST, Up, up
from settings import OPERATOR_TOKEN
from tests.harness.browser import FLAGS, chromium
from tests.harness.console_looks import Looks
from tests.harness.waiting import wait_until

LOADED = "loaded-"
ACCOUNTS = 8
LOAD_SECONDS = 40.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make console", description=__doc__)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=16, help="that are refused meanwhile")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="console") as folder:
        data = Path(folder, "data")
        with up(CHEAPEST, data) as system:
            wait_until((data / OPERATOR_TOKEN).exists)  # written when all is ready
            token = (data / OPERATOR_TOKEN).read_text().strip()
            blocks.insert(system.database_url, asked.blocks)
            measured = asyncio.run(_measure(system, token, asked.blocks, asked.clients))
    sys.stdout.write(f"{json.dumps(measured, indent=2)}\n")
    return 0


async def _measure(system: Up, token: str, count: int, clients: int) -> dict[str, object]:
    origin = f"http://{HOST}:{system.operator_port}"
    by = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=by, timeout=60.0) as client:
        path = f"{origin}/blocked/an.action"
        (await client.post(path, json={"reason": "something that was done"})).raise_for_status()
    quiet = await _look(origin, token, count)
    job = Job(
        port=system.login_port,
        users=LOADED,
        accounts=ACCOUNTS,
        clients=clients,
        seconds=LOAD_SECONDS,
    )
    # Each is blocked by its first five; and again where it was among the hundred that were lifted.
    loading = asyncio.ensure_future(asyncio.to_thread(drive, job, 401, 429))
    loaded = await _look(origin, token, count)
    outcome: Outcome = await loading
    return {
        "blocks": count,
        "seconds": quiet,
        "seconds under load": loaded,
        "refusals a second": round(outcome.statuses[429] / LOAD_SECONDS),
    }


async def _look(origin: str, token: str, count: int) -> dict[str, float]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = await browser.new_page()
        looks = Looks(page, origin, count)
        await looks.log_in(token)
        await looks.all()
        await browser.close()
    return looks.seconds


if __name__ == "__main__":
    sys.exit(main())
