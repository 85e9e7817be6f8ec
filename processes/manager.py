"""The loop that keeps named processes running."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from processes import orphans
from processes.events import Event, Unrecorded
from processes.slot import Slot
from processes.spawn import Child, Process
from processes.spec import ProcessSpec, State

STANDSTILL_SECONDS = 2.0
"""If the loop itself stood still for longer (a suspended machine, a frozen container), its children
did too, or could not be heard. Such time does not count against them."""


def ignore(event: Event) -> None:
    """Do nothing with an event."""


class ProcessManager:
    """Keeps named processes running: starts, watches, restarts, drains and kills them.

    A process that dies is restarted: at once the first time, then after 0.1 s, doubling up to
    10 s, without limit, until the process has been ready for 5 s. One that was ready and got a
    SIGKILL waits for 0.4 s at most: the kill was not its own fault, unless the kernel needed its
    memory. Processes do not affect each other.

    All work is done inside :meth:`step`, which has to be called at least once a second. Only
    :meth:`wake` may be called from another thread or from a signal handler; every other method
    may also be called from `on_event`.
    """

    def __init__(
        self,
        on_event: Callable[[Event], None] = ignore,
        records: Path | None = None,
        *,
        spawn: Callable[[ProcessSpec], Process] = Child,
        clock: Callable[[], float] = time.monotonic,
        selector: Callable[[], selectors.BaseSelector] = selectors.DefaultSelector,
    ) -> None:
        """Report events to `on_event`; with `records`, record each process in that directory.

        From the records a later run finds the processes of a killed one
        (:func:`processes.orphans.stop_all`). `spawn` starts a process; raises OSError. Tests
        replay histories with processes, a clock in seconds and a selector of their own.
        """
        self._on_event = on_event
        self._spawn = spawn
        self._clock = clock
        self._records = records
        self._events: deque[Event] = deque()
        self._slots: dict[str, Slot] = {}
        self._stopping = False
        self._stepped_at = self._clock()
        self._selector = selector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._selector.register(self._wake_receiver.fileno(), selectors.EVENT_READ, None)

    @property
    def states(self) -> Mapping[str, State]:
        """The state of each process, by name."""
        return {name: slot.state for name, slot in self._slots.items()}

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called and every process is dead."""
        return self._stopping and not self._slots

    def add(self, spec: ProcessSpec) -> None:
        """Start a process and keep it running. Does nothing once the manager is stopping.

        While a removed process of the same name still drains, the new one waits for its end.
        Raises ValueError where the name is taken.
        """
        if self._stopping:
            return
        slot = self._slots.get(spec.name)
        if slot is None:
            slot = self._slots[spec.name] = Slot(spec, self)
            slot.start(self._clock())
        elif slot.finishing:
            slot.drain(self._clock(), then=spec)
        else:
            raise ValueError(f"There is a process {spec.name!r} already. Remove it first.")

    def remove(self, name: str) -> None:
        """Let a process finish (SIGTERM), kill it after its drain timeout, and free its name.

        Returns at once; the event Removed follows when the name is free.
        """
        self._slot(name).drain(self._clock())

    def retire(self, name: str) -> None:
        """Let a process go on, but do not start it again once it has ended, for whatever reason.

        The event Removed follows then, and the name is free. :meth:`keep` takes it back.
        """
        self._slot(name).retire(self._clock())

    def keep(self, name: str) -> bool:
        """Start a retired process again after its end, as any other one.

        False where that end has begun: it has been told to end, or is being killed.
        """
        return self._slot(name).keep()

    def release(self, name: str) -> None:
        """Restart a process that is held; does nothing where it is not held."""
        self._slot(name).release(self._clock())

    def restart(self, name: str) -> None:
        """Let a process finish and start it again. One that is held stays held."""
        self._slot(name).restart(self._clock())

    def stop(self) -> None:
        """Let all processes finish and restart none; then call :meth:`step` until `stopped`."""
        self._stopping = True
        for slot in list(self._slots.values()):
            slot.drain(self._clock())

    def kill(self) -> None:
        """Kill all processes and restart none; then call :meth:`step` until `stopped`."""
        self.stop()
        for slot in self._slots.values():
            slot.kill(self._clock())

    def wake(self) -> None:
        """Make :meth:`step` return. For signal handlers and other threads."""
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nothing to wake
            self._wake_sender.send(b"\0")

    def step(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for an event or deadline, and handle all that are due."""
        now = self._clock()
        dues = [slot.due - now for slot in self._slots.values() if slot.due is not None]
        wait = 0.0 if self._events else max(0.0, min([timeout, *dues]))
        keys = [key for key, _ in self._selector.select(wait)]
        now = self._clock()
        self._allow_for_standstill(now, now - self._stepped_at - wait)
        self._stepped_at = now
        for slot in {id(key.data): key.data for key in keys}.values():
            if slot is None:
                with contextlib.suppress(BlockingIOError):
                    self._wake_receiver.recv(4096)
            else:
                slot.observe(now)
        for slot in list(self._slots.values()):
            slot.tick(now)
        while self._events:
            self._on_event(self._events.popleft())

    def close(self) -> None:
        """Close the loop's own files. To be called once `stopped`."""
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _slot(self, name: str) -> Slot:
        try:
            return self._slots[name]
        except KeyError:
            known = ", ".join(map(repr, self._slots)) or "none"
            raise KeyError(f"There is no process {name!r}; there are: {known}.") from None

    def _allow_for_standstill(self, now: float, seconds: float) -> None:
        if seconds > STANDSTILL_SECONDS:
            for slot in self._slots.values():
                slot.extend_deadline(now, seconds)

    # The methods that slots call (slot.Host).

    def open(self, spec: ProcessSpec) -> Process:
        """Start the process of a slot and listen to it. Raises OSError."""
        process = self._spawn(spec)
        slot = self._slots[spec.name]
        self._selector.register(process.pipe, selectors.EVENT_READ, slot)
        self._selector.register(process.death, selectors.EVENT_READ, slot)
        if self._records is not None:
            try:
                orphans.record(orphans.path(self._records, spec.name), process.pid)
            except OSError as error:
                self.emit(Unrecorded(spec.name, process.pid, str(error)))
        return process

    def stop_listening(self, process: Process) -> None:
        """Stop listening to a process that has closed its end of the pipe."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(process.pipe)

    def close_process(self, spec: ProcessSpec, process: Process) -> None:
        """Close the files and remove the record of a dead process."""
        self.stop_listening(process)
        self._selector.unregister(process.death)
        process.close()
        if self._records is not None:
            with contextlib.suppress(OSError):  # a later run finds that its process is dead
                orphans.path(self._records, spec.name).unlink()

    def forget(self, name: str) -> None:
        """Free the name of a removed process."""
        del self._slots[name]

    def emit(self, event: Event) -> None:
        """Report an event at the end of this step."""
        self._events.append(event)
