"""Parts that need each other, started in that order and stopped in the reverse one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from processes import (
    Event,
    Exited,
    Gone,
    Held,
    Keeper,
    NeverReady,
    NotStarted,
    ProcessSpec,
    Ready,
    Said,
)
from processes.keeper import ignore

ANY_CODE = frozenset(range(-64, 256))
ERROR = "error"  # what a part says under this key is why it fails
PROGRESS = "progress"  # ... and what it does
TAIL_LINES = 12


@dataclass(frozen=True)
class Part:
    """A process, and what has to be there before it is started."""

    spec: ProcessSpec
    after: tuple[str, ...] = ()
    once: bool = False
    """It does something and ends, with the exit code 0; it is not kept running."""
    group: str = ""
    """Parts of one group are stopped at the same time."""


class System:
    """Starts parts, keeps them running, and stops them one after the other.

    While it starts, a part that ends or is not ready in time is a failure of the whole, and
    nothing more is started; afterwards the keeper restarts what dies. Driven by
    :meth:`step`, like the keeper.
    """

    def __init__(self, records: Path, on_event: Callable[[Event], None] = ignore) -> None:
        """Note what runs in `records`, for a later run to find if this one is killed."""
        self.keeper = Keeper(self._heard, records)
        self.ready: set[str] = set()
        """The parts that are there."""
        self.failure: str | None = None
        """Why the system cannot be started: sentences for a person."""
        self._parts: dict[str, Part] = {}
        self._on_event = on_event
        self._log_starts: dict[str, int] = {}
        self._errors: dict[str, str] = {}
        self._leaving: dict[str, list[psutil.Process]] = {}  # and what each has started
        self._stopping = False

    @property
    def complete(self) -> bool:
        """Whether every part has been there."""
        return bool(self._parts) and self.ready == self._parts.keys()

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called and nothing is left."""
        return self.keeper.stopped

    def start(self, parts: Sequence[Part]) -> None:
        """Start parts, each as soon as what it needs is there.

        In the order in which they are given; they are stopped from the last to the first.
        """
        self._parts = {part.spec.name: part for part in parts}
        self._start_possible()

    def step(self, timeout: float) -> None:
        """See :meth:`processes.Keeper.step`."""
        self.keeper.step(timeout)

    def stop(self) -> None:
        """Stop the parts in reverse order; then call :meth:`step` until `stopped`."""
        if not self._stopping:
            self._stopping = True
            self._stop_next()

    def kill(self) -> None:
        """Stop without waiting for anything."""
        self._stopping = True
        family = [process for name in self.keeper.states for process in self._descendants(name)]
        self.keeper.kill()
        _kill(family)

    def _start_possible(self) -> None:
        if self._stopping or self.failure:
            return
        for name, part in self._parts.items():
            if name not in self._log_starts and self.ready.issuperset(part.after):
                log = part.spec.log
                self._log_starts[name] = log.stat().st_size if log and log.exists() else 0
                codes = ANY_CODE if part.once else part.spec.hold_codes
                self.keeper.add(replace(part.spec, hold_codes=codes))

    def _stop_next(self) -> None:
        running = [name for name in self._parts if name in self.keeper.states]
        if not running:
            self.keeper.stop()
            return
        last = self._parts[running[-1]]
        group = {name for name in running if last.group and self._parts[name].group == last.group}
        self._leaving = {name: self._descendants(name) for name in {last.spec.name, *group}}
        for name in self._leaving:
            self.keeper.remove(name)

    def _descendants(self, name: str) -> list[psutil.Process]:
        pid = self.keeper.states[name].pid
        try:
            return psutil.Process(pid).children(recursive=True) if pid else []
        except psutil.NoSuchProcess:
            return []

    def _heard(self, event: Event) -> None:
        part = self._parts[event.name]
        if isinstance(event, Said) and event.key == ERROR:
            self._errors[event.name] = event.value
        elif isinstance(event, Gone) and event.name in self._leaving:
            # A part that was killed could not wait for its own processes.
            _kill(self._leaving.pop(event.name))
            if not self._leaving:
                self._stop_next()
        elif isinstance(event, Held) and part.once:
            self.keeper.remove(event.name)
            if event.code == 0:
                self._arrived(event.name)
        elif isinstance(event, Ready) and not part.once:
            self._arrived(event.name)
        if not self._stopping and event.name not in self.ready:
            self._judge(event)
        self._on_event(event)

    def _arrived(self, name: str) -> None:
        self.ready.add(name)
        self._start_possible()

    def _judge(self, event: Event) -> None:
        if self.failure:
            return
        if isinstance(event, NotStarted):
            self.failure = f"{event.name} could not be started: {event.reason}."
        elif isinstance(event, NeverReady):
            self._fail(event.name, f"it was not ready after {event.seconds:.0f} s")
        elif isinstance(event, Exited) and not event.asked:
            once = self._parts[event.name].once
            if not (once and event.code == 0):
                when = "" if once else " before it was ready"
                how = f"exit code {event.code}" if event.code >= 0 else f"signal {-event.code}"
                self._fail(event.name, f"it ended with {how}{when}")

    def _fail(self, name: str, why: str) -> None:
        if name in self._errors:
            self.failure = self._errors[name]
            return
        log = self._parts[name].spec.log
        self.failure = f"{name} could not be started: {why}."
        if log:
            self.failure += f"\nThe end of its log, {log}:\n{self._tail(name, log)}"

    def _tail(self, name: str, log: Path) -> str:
        try:
            with log.open("rb") as file:
                file.seek(max(self._log_starts[name], log.stat().st_size - 8192))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:]) or "    (it is empty)"


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # also where its pid is someone else's now
            process.kill()
