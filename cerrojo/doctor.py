"""`cerrojo doctor`: whether this machine, Kafka and Postgres are as they must be."""

from __future__ import annotations

import os
from collections import Counter
from difflib import get_close_matches
from itertools import chain

import typer
from rich.console import Console
from rich.text import Text

from cerrojo import config
from cerrojo.check_kafka import check_kafka
from cerrojo.check_machine import check_disks, check_files, check_hosts
from cerrojo.check_postgres import check_postgres, used_partitions
from cerrojo.errors import FAILED
from cerrojo.findings import Finding, Findings, State, failed, ok, warning
from cerrojo.output import in_terminal, show_line, text
from settings import FIELDS, FILE, SettingsError

ALIKE = 0.85
"""From this on, of 1, two names are so alike that one may be meant by the other."""

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red"}


def doctor() -> None:
    """Check settings, files, disks, Kafka, Postgres, clocks and hosts, and say what to do.

    Exit code 1: something does not work.
    """
    console = Console() if in_terminal() else None
    found = []
    for finding in _examine():
        found.append(finding)
        if console:
            console.print(_line(finding), soft_wrap=True)
    states = Counter(finding.state for finding in found)
    if console:
        console.print(Text(", ".join(f"{states[state]} {state}" for state in State)))
    else:
        show_line({"ok": not states[State.FAILED], "checks": found})
    if states[State.FAILED]:
        raise typer.Exit(FAILED)


def _examine() -> Findings:
    try:
        settings = config.load()
        settings.require_database()
        settings.require_kafka()
    except SettingsError as error:
        for sentence in str(error).splitlines():
            yield failed("settings", sentence)
        return
    yield ok("settings", "All of them can be used.")
    yield from chain(
        _misspelt(),
        check_files(settings),
        check_disks(settings),
        check_kafka(settings, used_partitions(settings)),
        check_postgres(settings),
        check_hosts(settings),
    )


def _misspelt() -> Findings:
    """Variables that are nearly settings. Others may have names of their own that begin so."""
    known = {field.variable for field in FIELDS.values()}
    known |= {field.variable + FILE for field in FIELDS.values() if field.secret}
    for name in sorted(name for name in os.environ if name not in known):
        if name.startswith("CERROJO_") and (near := get_close_matches(name, known, 1, ALIKE)):
            yield warning(
                "settings", f"{name} is no setting, and does nothing. Is {near[0]} meant?"
            )


def _line(finding: Finding) -> Text:
    state = text(f"{finding.state:7}", style=_STYLES[finding.state])
    return Text("  ").join(
        [state, text(f"{finding.check:17}", style="bold"), text(finding.sentence)]
    )
