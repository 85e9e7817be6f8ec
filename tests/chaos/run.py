"""One run: bring up a world, load it, bring the planned faults about, and judge."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import NamedTuple

from loadtest import histories
from loadtest.histories import Call
from local.servers import Servers
from oracle.verify import AUDIT_LOG, Report, verify
from tests.chaos.faults import KINDS, Faults, Outcome
from tests.chaos.load import Load
from tests.chaos.network.faults import NETWORK_KINDS, NetworkFaults
from tests.chaos.network.servers import NetworkServers
from tests.chaos.network.world import NODES, NetworkWorld
from tests.chaos.plan import luck_of
from tests.chaos.resource_growth import Growth, excess, measure
from tests.chaos.world import World
from tests.harness.evidence import Evidence, gather
from tests.harness.namespaces import Namespaces
from tests.harness.oracle import differences

PAUSE_SECONDS = 3.0
"""Seconds between the answers' return and the next fault, at most."""

WARM_SECONDS = 30.0
"""Seconds of load before what must not grow is measured first."""


ALL_KINDS = KINDS | NETWORK_KINDS


@dataclass
class Run:
    """The outcome of a run."""

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
    pause: float = PAUSE_SECONDS,
    warm: float = WARM_SECONDS,
    minutes: float | None = None,
) -> Run:
    """Bring these faults about, in this order, into a system on these empty servers.

    With `minutes`, only those for which there is time.
    """
    return run_in(World(folder, servers), Faults, seed, kinds, tell, pause, warm, minutes)


def run_in(
    world: World,
    faults: type[Faults],
    seed: int,
    kinds: Sequence[str],
    tell: Callable[[str], None],
    pause: float = PAUSE_SECONDS,
    warm: float = WARM_SECONDS,
    minutes: float | None = None,
    registers: bool = False,
    end: float = inf,
) -> Run:
    """The same in a world that was not started yet; with `registers` accounts come meanwhile.

    No fault but the first begins after `end`, on the monotonic clock.
    """
    tell(f"Seed {seed}; logs are in {world.folder}")
    try:
        world.start()
        load = Load(world.doors, seed, registers)
        script = _Script(
            *(world, load, faults(world, load), seed, kinds, tell, pause, warm, minutes, end)
        )
        outcomes, growth = asyncio.run(_under_load(script))
        evidence = gather(
            *(world.kafka, world.database.url, load.answers),
            exact=True,
            restored=world.restored,
            clocks=world.clocks,
            database_clocks=world.database_clocks,
        )
        tell("The audit is verified")
        audit = verify(world.database.url, world.opener(AUDIT_LOG))
    finally:
        world.stop()
    tell("The oracle judges")
    found = differences(evidence)
    found += [f"the audit: {sentence}" for sentence in doubts(audit)]
    calls = {user: _without_older_looks(calls, world) for user, calls in load.calls.items()}
    without_order = histories.gaps(calls, world.eras, world.clocks)
    found += [f"{user}: {gap}" for user, gap in without_order]
    if found:
        _keep(world, load)
    for outcome in outcomes:
        if outcome.answered_ms is None:
            found.append(f"{outcome.kind}: logins were not answered again")
        if outcome.trouble:
            found.append(f"{outcome.kind}: {outcome.trouble}")
    found += excess(growth)
    return Run(outcomes, evidence, found, growth)


def doubts(audit: Report) -> list[str]:
    """Why the audit is not to be believed, also where it has nothing that vouches for it."""
    found = [str(difference) for difference in audit.differences]
    if not audit.batches:
        found.append("no batch has a seal")
    if audit.unsealed:
        found.append(f"{audit.unsealed} rows have no seal")
    if not audit.signed:
        found.append("a seal has no signature")
    return found


def _without_older_looks(calls: Sequence[Call], world: World) -> list[Call]:
    """A look reads the database, which after a restore has forgotten until it has read the log."""
    return [
        call
        for call in calls
        if call.kind not in histories.LOOKS
        or not any(span.low <= call.end and call.begin <= span.high for span in world.older)
    ]


def _keep(world: World, load: Load) -> None:
    """Keep the input of the checker of histories, for a look at what it found."""
    notes = {
        "eras": world.eras,
        "clocks": world.clocks,
        "restored": world.restored,
        "older": world.older,
        "calls": {user: [asdict(call) for call in calls] for user, calls in load.calls.items()},
    }
    (world.folder / "calls.json").write_text(json.dumps(notes))


class _Script(NamedTuple):
    world: World
    load: Load
    faults: Faults
    seed: int
    kinds: Sequence[str]
    tell: Callable[[str], None]
    pause: float
    warm: float
    minutes: float | None
    end: float


async def _under_load(script: _Script) -> tuple[list[Outcome], Growth]:
    outcomes: list[Outcome] = []
    await script.load.start()
    await asyncio.sleep(script.warm)
    start, first = time.monotonic(), await asyncio.to_thread(measure, script.world)
    end = min(script.end, start + script.minutes * 60 if script.minutes else inf)
    for number, kind in enumerate(script.kinds, start=1):
        luck = luck_of(script.seed, number)
        await asyncio.sleep(luck.uniform(0.0, script.pause))
        began = time.monotonic()
        if began > end and outcomes:
            break
        outcome = await ALL_KINDS[kind].bring(script.faults, luck)
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


def in_own_network(
    cache: Path,
    seed: int,
    kinds: Sequence[str],
    tell: Callable[[str], None],
    minutes: float | None = None,
) -> Run:
    """The same with every server, gateway and host of workers in a network namespace of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cerrojo-chaos-"))
    os.chmod(folder, 0o755)  # noqa: S103  # Postgres may run as a user of its own
    with Namespaces(NODES) as network, NetworkServers(folder / "data", cache, network) as servers:
        world = NetworkWorld(folder, servers)
        done = run_in(world, NetworkFaults, seed, kinds, tell, minutes=minutes, registers=True)
    if not done.differences and "CERROJO_CHAOS_KEEP" not in os.environ:
        shutil.rmtree(folder)
    return done
