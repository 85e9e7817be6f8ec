"""Run a scenario against what is up: ``python -m loadtest``, told by environment variables.

    SCENARIO    a file of scenarios/
    USERS       the number of clients; of `capacity`, the most that it tries
    TIME        how long they go on, as in 90s or 5m; of `capacity`, at most
    PROCESSES   processes of Locust on this machine, one for each core that it may use
    UI          1: Locust's web page on this machine, on port UI_PORT (8089), instead of a run now
    WORKERS     this is the master of so many workers on other hosts. It listens on MASTER_BIND
                (127.0.0.1 unless set: to the master's address in a network that you trust)
    MASTER      this is a worker, and the master is there: host or host:port (5557)
    CERROJO_DEADLINE_SECONDS  of the gateways, as they are told
    RESULTS     the folder under which the report is kept (loadtest/results)
    LOGIN_URL, OPERATOR_URL   where the system is; by default, where settings.py says
    CERROJO_OPERATOR_TOKEN_FILE   an operator's token, without which `mix` and `unblocking` do not
                start; by default, that of `make up` in this folder
    THRESHOLD   judge by this many wrong passwords, and not by what the system says of itself
    P99_MS, STEP, CORES       of `capacity`: the limit (500), the seconds of a step (10), and the
                cores of the system if it runs on other machines

Exit status: 0 when every check holds, 1 when one is broken or the run could not start.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
SCENARIOS = FOLDER / "scenarios"
DEFAULT = "mix"
USERS = {
    "botnet": 200,
    "capacity": 4_000,
    "flash_crowd": 400,
    "mix": 80,
    "monday": 300,
    "morning": 50,
    "one_account": 200,
    "registration": 50,
    "soak": 20,
    "spray": 20,
    "spraying": 5,
    "storm": 100,
    "stuffing": 100,
    "unblocking": 10,
}
TIMES = {"botnet": "90s", "capacity": "15m", "flash_crowd": "60s", "soak": "30m"}
USUAL_TIME = "30s"
MASTER_PORT = 5557
STOP_SECONDS = 15  # for answers under way at the end
LOOPBACK = "127.0.0.1"


def arguments(environ: Mapping[str, str], folder: Path) -> list[str]:
    """Locust's command line for these variables, or ValueError with a sentence."""
    scenario = environ.get("SCENARIO") or DEFAULT
    if scenario not in USERS:
        raise ValueError(f"SCENARIO is {scenario!r}. Set it to one of: {', '.join(USERS)}.")
    command = ["locust", f"--locustfile={SCENARIOS / scenario}.py", "--skip-log-setup"]
    processes = _number(environ, "PROCESSES", 1, 256)
    # The variables that the scenarios read; an error is said here, before anything starts.
    for name, most in {"THRESHOLD": 1_000, "P99_MS": 60_000, "STEP": 3_600, "CORES": 4_096}.items():
        _number(environ, name, 1, most)
    master = environ.get("MASTER")
    if master:
        host, _, port = master.partition(":")
        if environ.get("WORKERS"):
            raise ValueError("MASTER and WORKERS are both set. A process is one of the two.")
        if not host or not (port or "1").isdecimal():
            raise ValueError(f"MASTER is {master!r}. Set it to host or host:port.")
        command += ["--worker", f"--master-host={host}", f"--master-port={port or MASTER_PORT}"]
        return [*command, f"--processes={processes}"] if processes > 1 else command
    command += _load(environ, scenario)
    command += [f"--html={folder}/report.html"]
    return command + _several(environ, processes)


def _load(environ: Mapping[str, str], scenario: str) -> list[str]:
    duration = environ.get("TIME") or TIMES.get(scenario, USUAL_TIME)
    if not re.fullmatch(r"([1-9]\d{0,4}[smh])+", duration):
        raise ValueError(f"TIME is {duration!r}. Set it to a time like 90s, 5m or 1h30m.")
    users = _number(environ, "USERS", 1, 50_000, USERS[scenario])
    command = [
        f"--users={users}",
        f"--spawn-rate={users}",  # all of them at once
        f"--run-time={duration}",
        f"--stop-timeout={STOP_SECONDS}",
    ]
    if environ.get("UI") in (None, "", "0"):
        return [*command, "--headless", "--only-summary"]
    port = _number(environ, "UI_PORT", 1, 65_535, 8089)
    return [*command, f"--web-host={LOOPBACK}", f"--web-port={port}"]


def _several(environ: Mapping[str, str], processes: int) -> list[str]:
    """Options of a master, of its own processes or of workers on other hosts."""
    if environ.get("WORKERS"):
        workers = _number(environ, "WORKERS", 1, 1_000)
        bind = environ.get("MASTER_BIND") or LOOPBACK
        port = _number(environ, "MASTER_PORT", 1, 65_535, MASTER_PORT)
        if processes > 1:
            raise ValueError("WORKERS and PROCESSES are both set. Set PROCESSES for the workers.")
        return [
            "--master",
            f"--expect-workers={workers}",
            f"--master-bind-host={bind}",
            f"--master-bind-port={port}",
        ]
    if processes == 1:
        return []
    with socket.create_server((LOOPBACK, 0)) as server:  # a free port, for this run only
        port = server.getsockname()[1]
    return [
        f"--processes={processes}",
        f"--master-bind-host={LOOPBACK}",
        f"--master-bind-port={port}",
        f"--master-host={LOOPBACK}",
        f"--master-port={port}",
    ]


def _number(environ: Mapping[str, str], name: str, least: int, most: int, usual: int = 1) -> int:
    value = environ.get(name) or str(usual)
    if not (value.isascii() and value.isdecimal()) or not least <= int(value) <= most:
        raise ValueError(f"{name} is {value!r}. Set it to a whole number from {least} to {most}.")
    return int(value)


def main() -> None:
    """Run Locust, which exits with the verdict."""
    results = Path(os.environ.get("RESULTS") or FOLDER / "results")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = results / f"{os.environ.get('SCENARIO') or DEFAULT}-{stamp}"
    try:
        sys.argv = arguments(os.environ, folder)
    except ValueError as error:
        sys.exit(str(error))
    # Here and not above: importing Locust makes all of this process' I/O gevent's.
    import locust.main

    from loadtest.hooks import Hooks

    Hooks(folder).listen()
    locust.main.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
