"""SIGTERM and Ctrl-C for a process that has a keeper.

Only the topmost process gets a terminal's Ctrl-C: a keeper starts its children
in sessions of their own and lets them finish by SIGTERM.
"""

from __future__ import annotations

import signal
from types import FrameType

from processes.keeper import Keeper


class StopSignals:
    """What the signals asked for so far."""

    def __init__(self, keeper: Keeper) -> None:
        self.asked = False
        """SIGTERM or Ctrl-C has come: finish."""
        self.impatient = False
        """Ctrl-C has come again: finish without waiting for anything."""
        self._keeper = keeper

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Only note it: a handler may interrupt anything."""
        self.impatient = self.impatient or (self.asked and number == signal.SIGINT)
        self.asked = True
        self._keeper.wake()


def stop_signals(keeper: Keeper) -> StopSignals:
    """Note SIGTERM and SIGINT from now on and wake the keeper. Call it in the main thread."""
    signals = StopSignals(keeper)
    signal.signal(signal.SIGTERM, signals)
    signal.signal(signal.SIGINT, signals)
    return signals


def run_until_stopped(keeper: Keeper, signals: StopSignals) -> None:
    """Step until a signal asks to stop and every process is dead."""
    while not keeper.stopped:
        keeper.step(1.0)
        if signals.impatient:
            keeper.kill()
        elif signals.asked:
            keeper.stop()
