"""Starts parts in the order of their dependencies, and stops them in the reverse order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from processes import (
    Event,
    Exited,
    Held,
    NeverReady,
    NotStarted,
    ProcessManager,
    ProcessSpec,
    Ready,
    Removed,
    Said,
)
from processes.manager import ignore
from processes.start_gate import StartGate

ANY_CODE = frozenset(range(-64, 256))
ERROR = "error"  # the key of a part's message with the reason of its failure
PROGRESS = "progress"  # the key of a part's message about its progress
TAIL_LINES = 12


@dataclass(frozen=True)
class Part:
    """A process, and the names of the parts that must be ready before it is started."""

    spec: ProcessSpec
    after: tuple[str, ...] = ()
    once: bool = False
    """Whether it is a step that ends with exit code 0, instead of being kept running."""
    group: str = ""
    """Parts of one group are stopped at the same time."""
    early: tuple[str, ...] | None = None
    """The parts after which it is started already: it loads its programs, and waits at a gate
    (:mod:`processes.start_gate`) for those of `after`. None: it is started only then."""


class System:
    """Starts parts, keeps them running, and stops them one after the other.

    A part that ends or is not ready in time at its first start is a failure of the whole system,
    and no further part is started. Afterwards the manager restarts parts that die. Driven by
    :meth:`step`, like the manager.
    """

    def __init__(self, records: Path, on_event: Callable[[Event], None] = ignore) -> None:
        """Record the processes in `records`, where a later run finds them if this one is killed."""
        self.manager = ProcessManager(self._handle, records)
        self.ready: set[str] = set()
        """The parts that have been ready, or are done."""
        self.failure: str | None = None
        """Why the system cannot be started: sentences for a person."""
        self._parts: dict[str, Part] = {}
        self._on_event = on_event
        self._log_starts: dict[str, int] = {}
        self._gates: dict[str, StartGate] = {}  # those that are closed
        self._errors: dict[str, str] = {}
        self._ending: dict[str, list[psutil.Process]] = {}  # with each part's descendants
        self._stopping = False

    @property
    def complete(self) -> bool:
        """Whether every part has been ready, or is done."""
        return bool(self._parts) and self.ready == self._parts.keys()

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called and every process is dead."""
        return self.manager.stopped

    def start(self, parts: Sequence[Part]) -> None:
        """Start the parts in this order, each as soon as the parts it needs are ready.

        They are stopped from the last to the first.
        """
        self._parts = {part.spec.name: part for part in parts}
        self._start_possible()

    def step(self, timeout: float) -> None:
        """See :meth:`processes.ProcessManager.step`."""
        self.manager.step(timeout)

    def stop(self) -> None:
        """Stop the parts in reverse order; then call :meth:`step` until `stopped`."""
        if not self._stopping:
            self._stopping = True
            self._stop_next()

    def kill(self) -> None:
        """Kill all parts and their descendants; then call :meth:`step` until `stopped`."""
        self._stopping = True
        descendants = [p for name in self.manager.states for p in self._descendants(name)]
        self.manager.kill()
        _kill(descendants)

    def _start_possible(self) -> None:
        if self._stopping or self.failure:
            return
        for name, part in self._parts.items():
            begins = self.ready.issuperset(part.after)
            early = part.early is not None and self.ready.issuperset(part.early)
            if name not in self._log_starts and (begins or early):
                self._start_part(part, waits=not begins)
            if begins and name in self._gates:
                self._gates.pop(name).open()

    def _start_part(self, part: Part, waits: bool) -> None:
        spec = part.spec
        self._log_starts[spec.name] = (
            spec.log.stat().st_size if spec.log and spec.log.exists() else 0
        )
        if waits:
            gate = self._gates[spec.name] = StartGate()
            spec = gate.before(spec)
        codes = ANY_CODE if part.once else spec.hold_codes
        self.manager.add(replace(spec, hold_codes=codes))

    def _stop_next(self) -> None:
        running = [name for name in self._parts if name in self.manager.states]
        if not running:
            self.manager.stop()
            return
        last = self._parts[running[-1]]
        group = {name for name in running if last.group and self._parts[name].group == last.group}
        self._ending = {name: self._descendants(name) for name in {last.spec.name, *group}}
        for name in self._ending:
            self.manager.remove(name)

    def _descendants(self, name: str) -> list[psutil.Process]:
        pid = self.manager.states[name].pid
        try:
            return psutil.Process(pid).children(recursive=True) if pid else []
        except psutil.NoSuchProcess:
            return []

    def _handle(self, event: Event) -> None:
        part = self._parts[event.name]
        if isinstance(event, Said) and event.key == ERROR:
            self._errors[event.name] = event.value
        elif isinstance(event, Removed) and event.name in self._ending:
            # A part that was killed could not wait for its own processes.
            _kill(self._ending.pop(event.name))
            if not self._ending:
                self._stop_next()
        elif isinstance(event, Held) and part.once:
            if event.name in self.manager.states:  # else a stop has removed it since
                self.manager.remove(event.name)
            if event.code == 0:
                self._mark_ready(event.name)
        elif isinstance(event, Ready) and not part.once:
            self._mark_ready(event.name)
        if not self._stopping and event.name not in self.ready:
            self._check_start(event)
        self._on_event(event)

    def _mark_ready(self, name: str) -> None:
        self.ready.add(name)
        self._start_possible()

    def _check_start(self, event: Event) -> None:
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
        with contextlib.suppress(psutil.NoSuchProcess):  # also if another process has its pid now
            process.kill()
