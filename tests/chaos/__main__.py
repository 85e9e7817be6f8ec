"""`make chaos`: kill and freeze everything under load, and judge what came of it.

CERROJO_CHAOS_SEED repeats a plan, CERROJO_CHAOS_FAULTS says how many faults, and
CERROJO_CHAOS_KINDS which, as in "worker,broker"; "network" is all that can befall a network and its
clocks. With CERROJO_CHAOS_MINUTES it goes on for so long. The faults of one broker of three come
last, in a system of its own. Logs and data are kept where anything differs, or CERROJO_CHAOS_KEEP
is set. The exit status is 1 if anything differs from what the log demands.
"""

from __future__ import annotations

import json
import os
import random
import sys

from tests.chaos import report, resource_growth
from tests.chaos.faults import KINDS
from tests.chaos.network.faults import CLOCK_KINDS, NETWORK_KINDS
from tests.chaos.network.server_clocks import why_no_clocks
from tests.chaos.plan import plan
from tests.chaos.run import ALL_KINDS, in_own_network, in_own_servers
from tests.harness.namespaces import why_not
from tests.paths import PROJECT

FAULTS = 232
NETWORK = "network"
"""Stands for all faults of the network."""


def main() -> int:
    """Run it as the environment says; the exit code."""
    seed = int(os.environ.get("CERROJO_CHAOS_SEED") or random.randrange(1_000_000))
    minutes = float(os.environ.get("CERROJO_CHAOS_MINUTES") or 0) or None
    most = int(minutes * 60) if minutes else FAULTS
    count = int(os.environ.get("CERROJO_CHAOS_FAULTS") or most)
    named = (os.environ.get("CERROJO_CHAOS_KINDS") or ",".join(KINDS)).split(",")
    wanted = [kind for name in named for kind in (NETWORK_KINDS if name == NETWORK else [name])]
    if unknown := set(wanted) - set(ALL_KINDS):
        print(
            f"CERROJO_CHAOS_KINDS names {', '.join(sorted(unknown))}, which are no faults. There"
            f" are: {', '.join(ALL_KINDS)}; and {NETWORK}, which is all from cut-... on.",
            file=sys.stderr,
        )
        return 2
    if NETWORK_KINDS.keys() & set(wanted) and (reason := why_not()):
        print(f"CERROJO_CHAOS_KINDS names faults of the network, and {reason}.", file=sys.stderr)
        return 2
    if CLOCK_KINDS & set(wanted) and (reason := why_no_clocks()):
        print(f"CERROJO_CHAOS_KINDS names clocks of servers, and {reason}.", file=sys.stderr)
        return 2
    kinds = plan(seed, count, {kind: ALL_KINDS[kind].share for kind in wanted})
    cache = PROJECT / ".cerrojo"
    runs = [
        in_own_servers(cache / "cache", seed, some, tell, minutes, brokers)
        for brokers in (1, 3)
        if (some := [kind for kind in kinds if kind in KINDS and KINDS[kind].brokers == brokers])
    ]
    if some := [kind for kind in kinds if kind in NETWORK_KINDS]:
        runs.append(in_own_network(cache / "cache", seed, some, tell, minutes))
    report.show(runs, seed)
    for done in runs:
        resource_growth.show(done.growth)
    results = cache / "chaos.json"
    results.write_text(json.dumps(report.as_json(runs, seed), indent=1) + "\n")
    print(f"Every single fault is in {results}")
    return 1 if any(done.differences for done in runs) else 0


def tell(line: str) -> None:
    """Print it now."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
