"""The one way to keep processes alive: for the workers, the gateway and `make up`.

A :class:`ProcessManager` starts named processes and restarts them when they die or freeze. A
:class:`ManagerLink` is such a process's connection to its manager. Nothing here may know what the
processes do.

It is written by hand, as servers' own managers give up where processes die. granian's respawn is
off by default and gives up at the second quick death; hypercorn stops the whole server when any of
its workers dies [measured]. Here a process is restarted without limit, and alone.
"""

from __future__ import annotations

from processes.events import (
    BackingOff,
    Event,
    Exited,
    Frozen,
    Held,
    Killed,
    NeverReady,
    NotStarted,
    Ready,
    Removed,
    Said,
    Started,
    Unrecorded,
)
from processes.manager import ProcessManager
from processes.manager_link import ManagerLink, manager_link
from processes.signals import StopSignals, stop_signals
from processes.spec import Phase, ProcessSpec, State

__all__ = [
    "BackingOff",
    "Event",
    "Exited",
    "Frozen",
    "Held",
    "Killed",
    "ManagerLink",
    "NeverReady",
    "NotStarted",
    "Phase",
    "ProcessManager",
    "ProcessSpec",
    "Ready",
    "Removed",
    "Said",
    "Started",
    "State",
    "StopSignals",
    "Unrecorded",
    "manager_link",
    "stop_signals",
]
