"""SIGTERM and Ctrl-C for a process that has a manager.

Only the topmost process gets a terminal's Ctrl-C: a manager starts its children in sessions of
their own and stops them by SIGTERM.
"""

from __future__ import annotations

import signal
from types import FrameType

from processes.manager import ProcessManager


class StopSignals:
    """The stop signals that have come so far."""

    def __init__(self, manager: ProcessManager) -> None:
        self.asked = False
        """SIGTERM or Ctrl-C has come: stop."""
        self.impatient = False
        """Ctrl-C has come again: stop without waiting for anything."""
        self._manager = manager

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Only note the signal, since a handler may interrupt anything."""
        self.impatient = self.impatient or (self.asked and number == signal.SIGINT)
        self.asked = True
        self._manager.wake()


def stop_signals(manager: ProcessManager) -> StopSignals:
    """Note SIGTERM and SIGINT from now on and wake the manager. For the main thread."""
    signals = StopSignals(manager)
    signal.signal(signal.SIGTERM, signals)
    signal.signal(signal.SIGINT, signals)
    return signals
