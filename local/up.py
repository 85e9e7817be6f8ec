"""`make up`: the whole system in one terminal, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from local import argon2, datadir, operator_token
from local.errors import LocalError, unusable
from local.hosts import check_ports
from local.parts import Addresses, cerrojo_parts, server_parts, stop_seconds
from local.screen import Screen
from local.system import System
from processes import manager_link, orphans, stop_signals
from settings import Settings

SLACK_SECONDS = 1.0
ORPHANS_GRACE_SECONDS = 2.0  # for the parts of a killed run; most have ended by then
PORTS_SECONDS = 3.0  # until what a killed gateway had started has let its port go, under load
LOOK_AGAIN_SECONDS = 0.05


def run(settings: Settings) -> int:
    """Start everything, and keep it running until a signal stops it; the exit code."""
    started = time.monotonic()
    # For a program that has started this one, such as a test.
    manager_link().watch(stop_seconds(settings) + SLACK_SECONDS)
    data_dir = settings.data_dir
    try:
        data_dir = datadir.create(data_dir)
        with datadir.only_one(data_dir), datadir.environment(data_dir) as tell:
            return _run(settings, data_dir, started, tell)
    except (LocalError, orphans.OrphanError) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(unusable(error, data_dir), file=sys.stderr)
    return 1


def _run(
    settings: Settings, data_dir: Path, started: float, tell: Callable[[dict[str, str]], None]
) -> int:
    screen = Screen(datadir.logs(data_dir))
    system = System(data_dir / "run", screen.show)
    signals = stop_signals(system.manager)
    killed = any((data_dir / "run").glob("*.pid"))  # an earlier run, which left its records
    for name in orphans.stop_all(data_dir / "run", ORPHANS_GRACE_SECONDS):
        screen.note(f"{name} of an earlier run that was killed was still running: stopped")
    _check_ports(settings, PORTS_SECONDS if killed else 0.0)
    addresses = Addresses(settings, data_dir)
    addresses.make_keys()
    tell(addresses.commands_environment)
    with screen.starting():
        system.start([*server_parts(addresses), *cerrojo_parts(addresses)])
        while not (system.complete or system.failure or signals.asked):
            system.step(1.0)
    if system.complete and not signals.asked:
        try:
            operator_token.renew(addresses.database_url, addresses.operator_token)
        except (psycopg.Error, OSError) as error:
            screen.note(f"no operator's token could be made: {str(error).strip()}")
        seconds = time.monotonic() - started
        screen.up(settings, addresses, system.manager.states, seconds, argon2.describe(settings))
    while not (signals.asked or system.failure):
        system.step(1.0)
    screen.stopping(system.failure)
    while not system.stopped:
        if signals.impatient:
            system.kill()
        else:
            system.stop()
        system.step(1.0)
    system.manager.close()
    screen.stopped()
    return 1 if system.failure else 0


def _check_ports(settings: Settings, patience: float) -> None:
    """:func:`check_ports`, and again for up to `patience` seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            check_ports(settings)
        except LocalError:
            if time.monotonic() >= until:
                raise
            time.sleep(LOOK_AGAIN_SECONDS)
        else:
            return
