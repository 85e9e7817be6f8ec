"""`make up`: the whole system in one terminal, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from local import datadir
from local.errors import LocalError
from local.hosts import check_ports
from local.parts import Addresses, cerrojo_parts, server_parts
from local.screen import Screen
from local.system import System
from processes import leftovers, parent, stop_signals
from settings import Settings

STOP_SECONDS = 10.0
LEFTOVERS_SECONDS = 2.0  # for each part that a killed run left behind; most have ended by then


def run(settings: Settings) -> int:
    """Bring everything up and stay until asked to stop; returns the exit code."""
    started = time.monotonic()
    parent().watch(STOP_SECONDS)  # of a program that started this one, such as a test
    try:
        data_dir = datadir.create(settings.data_dir)
        with datadir.only_one(data_dir):
            return _run(settings, data_dir, started)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1


def _run(settings: Settings, data_dir: Path, started: float) -> int:
    datadir.logs(data_dir)
    screen = Screen()
    system = System(data_dir / "run", screen.heard)
    signals = stop_signals(system.keeper)
    for name in leftovers.stop_all(data_dir / "run", LEFTOVERS_SECONDS):
        screen.note(f"{name} was still running, left behind by a run that was killed: stopped")
    check_ports(settings)
    addresses = Addresses(settings, data_dir)
    with screen.starting():
        system.start([*server_parts(addresses), *cerrojo_parts(addresses)])
        while not (system.complete or system.failure or signals.asked):
            system.step(1.0)
    if system.complete and not signals.asked:
        screen.up(settings, addresses, system.keeper.states, time.monotonic() - started)
    while not (signals.asked or system.failure):
        system.step(1.0)
    screen.stopping(system.failure)
    while not system.stopped:
        if signals.impatient:
            system.kill()
        else:
            system.stop()
        system.step(1.0)
    system.keeper.close()
    screen.stopped()
    return 1 if system.failure else 0
