"""Keeps this host's relay, beside the workers."""

from __future__ import annotations

import sys

from processes import Event, Exited, ProcessManager, ProcessSpec, Started
from processes.logs import log_event
from processes.metrics import forget
from workers import metrics

SPEC = ProcessSpec(
    name="relay",
    command=(sys.executable, "-m", "workers.relay"),
    # A connection to a server that is away may take as long.
    silence_timeout=10.0,
    drain_timeout=4.0,
)


class RelayKeeper:
    """Starts one process and starts it again when it dies; driven like its manager."""

    def __init__(self) -> None:
        self._manager = ProcessManager(self._on_event)
        self._started = False

    def start(self) -> None:
        """Start it, if it was not."""
        if not self._manager.states:
            self._manager.add(SPEC)

    def step(self) -> None:
        """Handle what has happened; waits for nothing."""
        self._manager.step(0)

    def stop(self) -> None:
        """Let it finish; then call :meth:`step` until `stopped`."""
        self._manager.stop()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped and is dead."""
        return self._manager.stopped

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        state = self._manager.states.get(SPEC.name)
        return state.pid if state else None

    def _on_event(self, event: Event) -> None:
        match event:
            case Started() if self._started:
                metrics.RESTARTS.labels("relay").inc()
            case Started():
                self._started = True
            case Exited():
                forget("relay")
        log_event(event)
