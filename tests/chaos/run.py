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

from local.servers import Servers
from tests.acceptance.evidence import Evidence, gather
from tests.acceptance.oracle import differences
from tests.chaos.faults import KINDS, Faults, Outcome
from tests.chaos.load import Load
from tests.chaos.plan import luck_of
from tests.chaos.world import World

PAUSE = 3.0
"""Seconds between the answers' return and the next fault, at most."""


@dataclass
class Run:
    """What a run came to."""

    outcomes: list[Outcome]
    evidence: Evidence
    differences: list[str]


def run(
    servers: Servers,
    folder: Path,
    seed: int,
    kinds: Sequence[str],
    tell: Callable[[str], None],
    pause: float = PAUSE,
) -> Run:
    """Bring these faults about, in this order, into a system on these empty servers."""
    world = World(folder, servers)
    tell(f"Seed {seed}; logs are in {folder}")
    try:
        world.start()
        load = Load(world.login_url, world.operator_url, seed)
        outcomes = asyncio.run(_under_load(world, load, seed, kinds, tell, pause))
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
    return Run(outcomes, evidence, found)


async def _under_load(
    world: World,
    load: Load,
    seed: int,
    kinds: Sequence[str],
    tell: Callable[[str], None],
    pause: float,
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    faults = Faults(world, load)
    await load.start()
    for number, kind in enumerate(kinds, start=1):
        luck = luck_of(seed, number)
        await asyncio.sleep(luck.uniform(0.0, pause))
        began = time.monotonic()
        outcome = await KINDS[kind][0](faults, luck)
        outcomes.append(outcome)
        tell(f"{number:3}/{len(kinds)} {_sentence(outcome)} ({time.monotonic() - began:.1f} s)")
    await load.stop()
    return outcomes


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
    cache: Path, seed: int, kinds: Sequence[str], tell: Callable[[str], None]
) -> Run:
    """The same with a Kafka and a Postgres that are there for this run only."""
    folder = Path(tempfile.mkdtemp(prefix="cerrojo-chaos-"))
    os.chmod(folder, 0o755)  # noqa: S103  # Postgres may run as a user of its own
    with Servers(folder / "data", cache) as servers:
        done = run(servers, folder, seed, kinds, tell)
    if not done.differences and "CERROJO_CHAOS_KEEP" not in os.environ:
        shutil.rmtree(folder)
    return done
