"""`make chaos`: kill and freeze everything under load, and judge what came of it.

CERROJO_CHAOS_SEED repeats a plan, CERROJO_CHAOS_FAULTS says how many faults, and
CERROJO_CHAOS_KINDS which, as in "worker,broker". With CERROJO_CHAOS_MINUTES it goes on for so
long. What befalls one broker of three comes last, in a system of its own. Logs and data are kept
where anything differs, or CERROJO_CHAOS_KEEP is set. The exit status is 1 if anything differs from
what the log demands.
"""

from __future__ import annotations

import json
import os
import random
import sys

from tests.chaos import growth, report
from tests.chaos.faults import KINDS
from tests.chaos.plan import plan
from tests.chaos.run import in_own_servers
from tests.chaos.world import PROJECT

FAULTS = 218


def main() -> int:
    """Run it as the environment says; the exit code."""
    seed = int(os.environ.get("CERROJO_CHAOS_SEED") or random.randrange(1_000_000))
    minutes = float(os.environ.get("CERROJO_CHAOS_MINUTES") or 0) or None
    most = int(minutes * 60) if minutes else FAULTS
    count = int(os.environ.get("CERROJO_CHAOS_FAULTS") or most)
    wanted = (os.environ.get("CERROJO_CHAOS_KINDS") or ",".join(KINDS)).split(",")
    if unknown := set(wanted) - set(KINDS):
        print(
            f"CERROJO_CHAOS_KINDS names {', '.join(sorted(unknown))}, which are no faults."
            f" There are: {', '.join(KINDS)}.",
            file=sys.stderr,
        )
        return 2
    kinds = plan(seed, count, {kind: KINDS[kind].share for kind in wanted})
    cache = PROJECT / ".cerrojo"
    runs = [
        in_own_servers(cache / "cache", seed, some, tell, minutes, brokers)
        for brokers in (1, 3)
        if (some := [kind for kind in kinds if KINDS[kind].brokers == brokers])
    ]
    report.show(runs, seed)
    for done in runs:
        growth.show(done.growth)
    results = cache / "chaos.json"
    results.write_text(json.dumps(report.as_json(runs, seed), indent=1) + "\n")
    print(f"Every single fault is in {results}")
    return 1 if any(done.differences for done in runs) else 0


def tell(line: str) -> None:
    """Print it now."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
