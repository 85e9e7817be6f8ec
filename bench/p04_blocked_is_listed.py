"""P4: a client that has the fifth 401 in hand finds the account among the blocked."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request

import uvloop

from bench import accounts
from bench.errors import BenchError
from bench.figures import Figure, Goal, Row
from bench.harness import Bench
from bench.load import Load, Samples, get, post
from bench.system import HOST, Up

NAMES = "listed-"
AT_ONCE = 32
FIFTH = 5
PAGE = 100_000


def measure(bench: Bench) -> Row:
    """Five wrong passwords for each of many accounts, and at once a look at the operator port."""
    system = bench.system()
    count = bench.size.blocked_accounts
    accounts.insert(system.database_url, NAMES, count, accounts.cheap_hash())
    bench.say(f"P4: blocking {count} accounts")
    looks, seconds = uvloop.run(_block_all(bench, system, count))
    missing = count - len(_listed(system))
    misses = len(looks) - looks.statuses()[200]
    return Row(
        figures=[
            Figure(
                row="P4",
                what=f"misses of GET /blocked/<user> right after the fifth 401, {count} accounts",
                unit="",
                ours=[float(misses)],
                goal=Goal(at_most=0),
            ),
            Figure(
                row="P4",
                what="of them missing in GET /blocked at the end",
                unit="",
                ours=[float(missing)],
                goal=Goal(at_most=0),
            ),
        ],
        notes=[
            f"{count} accounts in {seconds:.0f} s, {AT_ONCE} at once; the look at the list took "
            f"{looks.percentile(0.5) * 1000:.1f} ms at p50, "
            f"{looks.percentile(0.99) * 1000:.1f} ms at p99"
        ],
    )


async def _block_all(bench: Bench, system: Up, count: int) -> tuple[Samples, float]:
    guesses, operator = Load(HOST, system.login_port), Load(HOST, system.operator_port)
    looks = Samples()
    numbers = iter(range(1, count + 1))
    began = time.monotonic()

    async def client() -> None:
        for number in numbers:
            user = f"{NAMES}{number}"
            guess = post("/login", user, "a wrong password")
            for _ in range(FIFTH):
                answer = await guesses.ask(guess)
                if answer.status != 401:
                    raise BenchError(f"A wrong password was answered with {answer.status}.")
            looks.append(await operator.ask(get(f"/blocked/{user}")))
            if len(looks) % 2000 == 0:
                bench.say(f"P4: {len(looks)} of {count}")

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    guesses.close()
    operator.close()
    return looks, time.monotonic() - began


def _listed(system: Up) -> set[str]:
    """The accounts of these that the whole list has."""
    path = f"/blocked?limit={PAGE}"
    listed: set[str] = set()
    while path:
        url = f"http://{HOST}:{system.operator_port}{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            listed.update(json.load(answer)["users-blocked"])
            path = (answer.headers["Link"] or "").partition("<")[2].partition(">")[0]
    return {user for user in listed if user.startswith(NAMES)}
