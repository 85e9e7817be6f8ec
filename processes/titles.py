"""The names of processes in ps and top."""

from __future__ import annotations

from setproctitle import setproctitle


def title(what: str) -> None:
    """Name this process "cerrojo: <what>", as in "cerrojo: worker partition 3"."""
    setproctitle(f"cerrojo: {what}")
