"""The loop that keeps named processes running."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from processes import leftovers
from processes.events import Event, Unrecorded
from processes.slot import Slot
from processes.spawn import Child, Process
from processes.spec import ProcessSpec, State

# s; when the loop itself stood still for longer (a suspended machine, a frozen container), its
# children did too, or could not be heard: the time does not count against them.
BLIND = 2.0


def ignore(event: Event) -> None:
    """Do nothing with an event."""


class Keeper:
    """Keeps named processes running: starts, hears, restarts, drains and kills them.

    A death is followed by a restart: the first is immediate, the next ones wait
    0.1 s, doubling up to 10 s, without limit, until the process has been ready for
    5 s. One that was ready and got a SIGKILL waits for 0.4 s at most: that was no fault of
    its own, unless the kernel wanted its memory. Processes do not affect each other.

    Nothing happens but inside :meth:`step`, which has to be called at least once a
    second. Only :meth:`wake` may be called from another thread or from a signal
    handler; every other method may also be called from `on_event`.
    """

    # Attributes, so that tests replay histories through a clock and processes of their own.
    clock: Callable[[], float] = staticmethod(time.monotonic)
    spawn: Callable[[ProcessSpec], Process] = staticmethod(Child)
    selector: Callable[[], selectors.BaseSelector] = staticmethod(selectors.DefaultSelector)

    def __init__(
        self, on_event: Callable[[Event], None] = ignore, records: Path | None = None
    ) -> None:
        """Report events to `on_event`; with `records`, note each process in that directory.

        The notes let a later run find what a killed one left behind
        (:func:`processes.leftovers.stop_all`).
        """
        self._on_event = on_event
        self._records = records
        self._events: deque[Event] = deque()
        self._slots: dict[str, Slot] = {}
        self._stopping = False
        self._seen = self.clock()
        self._selector = self.selector()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._selector.register(self._bell.fileno(), selectors.EVENT_READ, None)

    @property
    def states(self) -> Mapping[str, State]:
        """A look at each process, by name."""
        return {name: slot.state for name, slot in self._slots.items()}

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called and every process is dead."""
        return self._stopping and not self._slots

    def add(self, spec: ProcessSpec) -> None:
        """Start a process and keep it running. Does nothing once the keeper is stopping.

        While a removed process of the same name still drains, the new one waits for
        its end. Raises ValueError where the name is taken.
        """
        if self._stopping:
            return
        slot = self._slots.get(spec.name)
        if slot is None:
            slot = self._slots[spec.name] = Slot(spec, self)
            slot.start(self.clock())
        elif slot.leaving:
            slot.drain(self.clock(), then=spec)
        else:
            raise ValueError(f"There is a process {spec.name!r} already. Remove it first.")

    def remove(self, name: str) -> None:
        """Let it finish (SIGTERM), kill it when it is late, and forget it.

        Returns at once; the event Gone says when the name is free.
        """
        self._slot(name).drain(self.clock())

    def release(self, name: str) -> None:
        """Start again a process that is held; nothing where it is not held."""
        self._slot(name).release(self.clock())

    def restart(self, name: str) -> None:
        """Let it finish and start it again. One that is held stays held."""
        self._slot(name).restart(self.clock())

    def stop(self) -> None:
        """Let all finish, restart none; then call :meth:`step` until `stopped`."""
        self._stopping = True
        for slot in list(self._slots.values()):
            slot.drain(self.clock())

    def kill(self) -> None:
        """Stop without waiting for anything."""
        self.stop()
        for slot in self._slots.values():
            slot.kill(self.clock())

    def wake(self) -> None:
        """Make :meth:`step` return. For signal handlers and other threads."""
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nothing to wake
            self._button.send(b"\0")

    def step(self, timeout: float) -> None:
        """Wait for the next thing to do, at most `timeout` seconds, and do all that is due."""
        now = self.clock()
        dues = [slot.due - now for slot in self._slots.values() if slot.due is not None]
        wait = 0.0 if self._events else max(0.0, min([timeout, *dues]))
        keys = [key for key, _ in self._selector.select(wait)]
        now = self.clock()
        self._forgive(now, now - self._seen - wait)
        self._seen = now
        for slot in {id(key.data): key.data for key in keys}.values():
            if slot is None:
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(4096)
            else:
                slot.look(now)
        for slot in list(self._slots.values()):
            slot.tick(now)
        while self._events:
            self._on_event(self._events.popleft())

    def close(self) -> None:
        """Free the loop's own files, once it is stopped."""
        self._selector.close()
        self._bell.close()
        self._button.close()

    def _slot(self, name: str) -> Slot:
        try:
            return self._slots[name]
        except KeyError:
            known = ", ".join(map(repr, self._slots)) or "none"
            raise KeyError(f"There is no process {name!r}; there are: {known}.") from None

    def _forgive(self, now: float, blind: float) -> None:
        if blind > BLIND:
            for slot in self._slots.values():
                slot.forgive(now, blind)

    # What the slots ask for (slot.Host).

    def open(self, spec: ProcessSpec) -> Process:
        """Start the process of a slot and listen to it, or raise OSError."""
        process = self.spawn(spec)
        slot = self._slots[spec.name]
        self._selector.register(process.pipe, selectors.EVENT_READ, slot)
        self._selector.register(process.death, selectors.EVENT_READ, slot)
        if self._records is not None:
            try:
                leftovers.record(leftovers.path(self._records, spec.name), process.pid)
            except OSError as error:
                self.emit(Unrecorded(spec.name, process.pid, str(error)))
        return process

    def deafen(self, process: Process) -> None:
        """Listen no more to a process that has closed its end of the pipe."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(process.pipe)

    def close_process(self, spec: ProcessSpec, process: Process) -> None:
        """Free what is kept of a dead process."""
        self.deafen(process)
        self._selector.unregister(process.death)
        process.close()
        if self._records is not None:
            with contextlib.suppress(OSError):  # a later run sees that its process is dead
                leftovers.path(self._records, spec.name).unlink()

    def forget(self, name: str) -> None:
        """Free the name of a removed process."""
        del self._slots[name]

    def emit(self, event: Event) -> None:
        """Report an event at the end of this step."""
        self._events.append(event)
