"""The phases of one named process: starting, ready, draining, killing, backing off and held.

No clock and no I/O: the time is passed in, and everything else goes through the process object and
the host. So a test can replay any history.
"""

from __future__ import annotations

import signal
from typing import Protocol

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
)
from processes.spawn import Process
from processes.spec import Phase, ProcessSpec, State

FIRST_DELAY_SECONDS = 0.1  # of the second restart; the first is immediate
LONGEST_DELAY_SECONDS = 10.0  # the longest that a person waits once the cause is repaired
STEADY_SECONDS = 5.0  # after being ready for this long, a death starts a new series
KILLED_FAILURES = 4  # counted at most after a SIGKILL of a ready process: a delay of 0.4 s
KILL_AGAIN_SECONDS = 1.0  # between SIGKILLs; a process deep in the kernel may need longer to die


class Host(Protocol):
    """The methods of a manager that a slot calls."""

    def open(self, spec: ProcessSpec) -> Process: ...

    def stop_listening(self, process: Process) -> None: ...

    def close_process(self, spec: ProcessSpec, process: Process) -> None: ...

    def forget(self, name: str) -> None: ...

    def emit(self, event: Event) -> None: ...


def delay(failures: int) -> float:
    """Seconds before the restart after this number of deaths in a row."""
    if failures <= 1:
        return 0.0
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(failures - 2, 30))


class Slot:
    """A name with at most one live process, and the phase of that process."""

    def __init__(self, spec: ProcessSpec, host: Host) -> None:
        self.spec = spec
        self.due: float | None = None  # the deadline of this phase
        self.finishing = False  # its process is to finish; then ...
        self._next: ProcessSpec | None = None  # ... this one takes the name, if there is one
        self._host = host
        self._phase = Phase.STARTING
        self._since = 0.0
        self._patience: float | None = None
        self._process: Process | None = None
        self._started = 0.0
        self._ready_at: float | None = None
        self._failures = 0  # deaths in a row
        self._restarts = 0

    @property
    def state(self) -> State:
        pid = self._process.pid if self._process else None
        return State(self._phase, pid, self._restarts, self._since)

    # Commands of the manager.

    def start(self, now: float) -> None:
        """Start a process. Only to be called while there is none."""
        assert self._process is None
        self._started = now
        self._ready_at = None
        try:
            self._process = self._host.open(self.spec)
        except OSError as error:
            self._host.emit(NotStarted(self.spec.name, str(error)))
            self._after_failure(now)
            return
        self._enter(Phase.STARTING, now, self.spec.start_timeout)
        self._host.emit(Started(self.spec.name, self._process.pid))

    def drain(self, now: float, then: ProcessSpec | None = None) -> None:
        """Let the process finish; afterwards start `then`, or free the name."""
        self.finishing = True
        self._next = then
        if self._process is None:
            self._replace(now)
        elif self._phase in (Phase.STARTING, Phase.READY):
            self._enter(Phase.DRAINING, now, self.spec.drain_timeout)
            self._process.terminate()

    def retire(self, now: float) -> None:
        """Let the process go on, and free the name once it has ended by itself."""
        self.finishing, self._next = True, None
        if self._process is None:
            self._replace(now)

    def keep(self) -> bool:
        """Undo :meth:`retire`; False where the process ends all the same."""
        goes_on = self._phase in (Phase.STARTING, Phase.READY)
        if goes_on:
            self.finishing = False
        return goes_on

    def restart(self, now: float) -> None:
        """Drain and start again. A process that is held or finishing is left as it is."""
        if not self.finishing and self._phase is not Phase.HELD:
            self._restarts += 1
            self.drain(now, self.spec)

    def release(self, now: float) -> None:
        """Restart the process if it is held."""
        if self._phase is Phase.HELD:
            self._restarts += 1
            self.start(now)

    def kill(self, now: float) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._enter(Phase.KILLING, now, KILL_AGAIN_SECONDS)
            self._process.kill()

    # Events of the process.

    def observe(self, now: float) -> None:
        """Handle the messages of the process, and its death."""
        process = self._process
        if process is None:
            return
        lines = process.receive()
        if lines is None:
            self._host.stop_listening(process)
        for line in lines or ():
            self._handle_line(line, now)
        code = process.poll()
        if code is not None:
            self._exited(process, code, now)

    def tick(self, now: float) -> None:
        """Act if the deadline of this phase has passed."""
        if not self._late(now):
            return
        self.observe(now)  # messages that arrived while the manager was busy still count
        if not self._late(now):
            return
        name, process, waited = self.spec.name, self._process, now - self._since
        if process is None:  # backing off
            self._restarts += 1
            self.start(now)
            return
        if self._phase is Phase.STARTING:
            self._host.emit(NeverReady(name, process.pid, waited))
        elif self._phase is Phase.READY:
            self._host.emit(Frozen(name, process.pid, self.spec.silence_timeout or 0.0))
        elif self._phase is Phase.DRAINING:
            self._host.emit(Killed(name, process.pid, waited))
        self.kill(now)

    def extend_deadline(self, now: float, seconds: float) -> None:
        """Do not count these last seconds against a living process."""
        if self._process is not None and self._patience is not None and self.due is not None:
            self.due = min(self.due + seconds, now + self._patience)

    def _late(self, now: float) -> bool:
        return self.due is not None and now >= self.due

    def _enter(self, phase: Phase, now: float, patience: float | None) -> None:
        self._phase = phase
        self._since = now
        self._patience = patience
        self.due = None if patience is None else now + patience

    def _handle_line(self, line: str, now: float) -> None:
        word, _, rest = line.partition(" ")
        if word == "ready" and self._phase is Phase.STARTING and self._process:
            self._ready_at = now
            self._enter(Phase.READY, now, self.spec.silence_timeout)
            self._host.emit(Ready(self.spec.name, self._process.pid, now - self._started))
        elif word == "waits" and self._phase is Phase.STARTING:
            self._enter(Phase.STARTING, now, self.spec.start_timeout)
        elif word == "say":
            key, _, value = rest.partition(" ")
            self._host.emit(Said(self.spec.name, key, value))
        if self._phase is Phase.READY and self.spec.silence_timeout is not None:
            self.due = now + self.spec.silence_timeout  # any line is a sign of life

    def _exited(self, process: Process, code: int, now: float) -> None:
        asked = self._phase in (Phase.DRAINING, Phase.KILLING)
        killed = self._phase is Phase.READY and code == -signal.SIGKILL
        self._process = None
        self._host.close_process(self.spec, process)
        self._host.emit(Exited(self.spec.name, process.pid, code, now - self._started, asked))
        held = code in self.spec.hold_codes
        if held and not (self.finishing and self._next is None):
            # The reason to hold this process applies to its successor, too, so that one waits.
            self.spec = self._next or self.spec
            self.finishing, self._next = False, None
            self._enter(Phase.HELD, now, None)
            self._host.emit(Held(self.spec.name, code))
        elif self.finishing:
            self._replace(now)
        else:
            self._after_failure(now, killed)

    def _replace(self, now: float) -> None:
        if self._next is None:
            self.due = None
            self._host.forget(self.spec.name)
            self._host.emit(Removed(self.spec.name))
            return
        self.spec, self._next, self.finishing = self._next, None, False
        self.start(now)

    def _after_failure(self, now: float, killed: bool = False) -> None:
        """Restart after a delay. `killed`: by a person, or by the kernel for want of memory."""
        steady = self._ready_at is not None and now - self._ready_at >= STEADY_SECONDS
        self._failures = 1 if steady else self._failures + 1
        if killed:
            self._failures = min(self._failures, KILLED_FAILURES)
        seconds = delay(self._failures)
        self._enter(Phase.BACKING_OFF, now, seconds)
        if seconds:
            self._host.emit(BackingOff(self.spec.name, seconds))
