"""Run a scenario against what is up: ``python -m loadtest``, told by environment variables.

SCENARIO is a file of this folder, USERS the number of clients, TIME how long they go on (as in
90s or 5m). LOGIN_URL and OPERATOR_URL say where the system is; by default, where settings.py says.
Exit status: 0 when every check holds, 1 when one is broken or the run could not start.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT_USERS = {"morning": 50, "one_account": 200, "mix": 150}
MOST_USERS = 5_000
STOP_SECONDS = 15  # for answers under way at the end


def arguments(environ: Mapping[str, str]) -> list[str]:
    """Locust's command line for these variables, or ValueError with a sentence."""
    scenarios = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
    scenario = environ.get("SCENARIO") or "mix"
    users = environ.get("USERS") or str(DEFAULT_USERS.get(scenario, 50))
    duration = environ.get("TIME") or "30s"
    if scenario not in scenarios:
        raise ValueError(f"SCENARIO is {scenario!r}. Set it to one of: {', '.join(scenarios)}.")
    if not users.isdecimal() or not 1 <= int(users) <= MOST_USERS:
        raise ValueError(f"USERS is {users!r}. Set it to a whole number from 1 to {MOST_USERS}.")
    if not re.fullmatch(r"([1-9]\d{0,4}[smh])+", duration):
        raise ValueError(f"TIME is {duration!r}. Set it to a time like 90s, 5m or 1h30m.")
    return [
        "locust",
        f"--locustfile={FOLDER / scenario}.py",
        "--headless",
        "--only-summary",
        "--skip-log-setup",
        f"--users={users}",
        f"--spawn-rate={users}",  # all of them at once
        f"--run-time={duration}",
        f"--stop-timeout={STOP_SECONDS}",
    ]


def main() -> None:
    """Run Locust, which exits with the verdict."""
    try:
        sys.argv = arguments(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    # Here and not above: importing Locust makes all of this process' I/O gevent's.
    import locust.main

    locust.main.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
