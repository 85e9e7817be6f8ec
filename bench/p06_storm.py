"""P6: a storm on one blocked account costs nothing but the reading of its requests."""

from __future__ import annotations

import uvloop

from bench import accounts
from bench.client import Job, drive
from bench.figures import Figure, Row, share_of_limit
from bench.harness import Bench
from bench.hello import serving
from bench.load import Load, post
from bench.system import HOST, Up
from bench.usage import Usage

NAME = "stormed-"
WRONG = "a wrong password"


def measure(bench: Bench) -> Row:
    """All clients send the same; the limit is P2's."""
    system = bench.system()
    uvloop.run(_block(system))
    connections, notes = bench.size.connections, {}

    def rate(port: int, usage: Usage, whose: str, status: int) -> float:
        job = Job(
            port=port,
            users=NAME,
            accounts=1,
            password=WRONG,
            clients=connections,
            seconds=bench.size.seconds,
        )
        outcome = drive(job, status)
        notes[whose] = f"{whose}: {usage.sentence(outcome.cpu)}"
        return outcome.rate

    with serving() as (port, processes):
        rates, limits = bench.in_turn(
            "P6",
            lambda: rate(port, Usage(processes + system.family()), "the bare route", 200),
            lambda: rate(system.login_port, Usage(system.family()), "refusals", 429),
        )
    figure = Figure(
        row="P6",
        what=f"refusals of one blocked account, {connections} connections, of a bare route",
        unit="/s",
        ours=rates,
        limit=limits,
        goal=share_of_limit(1.5),
    )
    return Row(figures=[figure], notes=list(notes.values()))


async def _block(system: Up) -> None:
    accounts.insert(system.database_url, NAME, 1, accounts.cheap_hash())
    load = Load(HOST, system.login_port)
    await load.each([post("/login", f"{NAME}1", WRONG)] * 6, at_once=1)
    load.close()
