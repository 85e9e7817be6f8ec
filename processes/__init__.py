"""The one way to keep processes alive: for the workers, the gateway and `make up`.

A :class:`Keeper` starts named processes and starts them again when they die or
freeze; a :class:`Parent` is what such a process sees of its keeper.
"""

from __future__ import annotations

from processes.events import (
    BackingOff,
    Event,
    Exited,
    Frozen,
    Gone,
    Held,
    Killed,
    NeverReady,
    NotStarted,
    Ready,
    Said,
    Started,
    Unrecorded,
)
from processes.keeper import Keeper
from processes.parent import Parent, parent
from processes.signals import StopSignals, run_until_stopped, stop_signals
from processes.spec import Phase, ProcessSpec, State

__all__ = [
    "BackingOff",
    "Event",
    "Exited",
    "Frozen",
    "Gone",
    "Held",
    "Keeper",
    "Killed",
    "NeverReady",
    "NotStarted",
    "Parent",
    "Phase",
    "ProcessSpec",
    "Ready",
    "Said",
    "Started",
    "State",
    "StopSignals",
    "Unrecorded",
    "parent",
    "run_until_stopped",
    "stop_signals",
]
