"""One run: bring up a world, load it, bring the planned faults about, and judge."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from local.servers import Servers
from tests.acceptance.evidence import Evidence, gather
from tests.acceptance.oracle import differences
from tests.chaos.faults import KINDS, Faults, Outcome
from tests.chaos.growth import Growth, measure
from tests.chaos.load import Load
from tests.chaos.plan import luck_of
from tests.chaos.world import World

PAUSE = 3.0
"""Seconds between the answers' return and the next fault, at most."""

WARM = 30.0
"""Seconds of load before what must not grow is measured first."""


@dataclass
class Run:
    """What a run came to."""

    outcomes: list[Outcome]
    evidence: Evidence
    differences: list[str]
    growth: Growth


def run(
    servers: Servers,
    folder: Path,
    seed: int,
    kinds: Sequence[str],
    tell: Callable[[str], None],
    pause: float = PAUSE,
    warm: float = WARM,
    minutes: float | None = None,
) -> Run:
    """Bring these faults about, in this order, into a system on these empty servers.

    With `minutes`, only those for which there is time.
    """
    world = World(folder, servers)
    tell(f"Seed {seed}; logs are in {folder}")
    try:
        world.start()
        load = Load(world.login_url, world.operator_url, seed)
        script = _Script(world, load, seed, kinds, tell, pause, warm, minutes)
        outcomes, growth = asyncio.run(_under_load(script))
        evidence = gather(world.kafka, world.database.url, load.answers, exact=True)
    finally:
        world.stop()
    tell("The oracle judges")
    found = differences(evidence)
    for outcome in outcomes:
        if outcome.answered_ms is None:
            found.append(f"{outcome.kind}: logins were not answered again")
        if outcome.trouble:
            found.append(f"{outcome.kind}: {outcome.trouble}")
    return Run(outcomes, evidence, found, growth)


class _Script(NamedTuple):
    world: World
    load: Load
    seed: int
    kinds: Sequence[str]
    tell: Callable[[str], None]
    pause: float
    warm: float
    minutes: float | None


async def _under_load(script: _Script) -> tuple[list[Outcome], Growth]:
    outcomes: list[Outcome] = []
    faults = Faults(script.world, script.load)
    await script.load.start()
    await asyncio.sleep(script.warm)
    start, first = time.monotonic(), await asyncio.to_thread(measure, script.world)
    end = start + script.minutes * 60 if script.minutes else float("inf")
    for number, kind in enumerate(script.kinds, start=1):
        luck = luck_of(script.seed, number)
        await asyncio.sleep(luck.uniform(0.0, script.pause))
        began = time.monotonic()
        if began > end:
            break
        outcome = await KINDS[kind].bring(faults, luck)
        outcomes.append(outcome)
        seconds = time.monotonic() - began
        script.tell(f"{number:3}/{len(script.kinds)} {_sentence(outcome)} ({seconds:.1f} s)")
    await asyncio.sleep(script.warm)  # the last fault is none of what is measured
    last = await asyncio.to_thread(measure, script.world)
    await script.load.stop()
    return outcomes, Growth(first, last, (time.monotonic() - start) / 60)


def _sentence(outcome: Outcome) -> str:
    if outcome.answered_ms is None:
        return f"{outcome.kind}: not answered again"
    sentence = f"{outcome.kind}: answered after {outcome.answered_ms - outcome.started_ms:.0f} ms"
    if outcome.returned_ms is not None:
        sentence += (
            f", {max(0.0, outcome.answered_ms - outcome.returned_ms):.0f} ms after its return"
        )
    return sentence


def in_own_servers(
    cache: Path,
    seed: int,
    kinds: Sequence[str],
    tell: Callable[[str], None],
    minutes: float | None = None,
    brokers: int = 1,
) -> Run:
    """The same with a Kafka and a Postgres that are there for this run only."""
    folder = Path(tempfile.mkdtemp(prefix="cerrojo-chaos-"))
    os.chmod(folder, 0o755)  # noqa: S103  # Postgres may run as a user of its own
    with Servers(folder / "data", cache, brokers) as servers:
        done = run(servers, folder, seed, kinds, tell, minutes=minutes)
    if not done.differences and "CERROJO_CHAOS_KEEP" not in os.environ:
        shutil.rmtree(folder)
    return done
