"""The events that a manager reports about its processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """An event of the process of this name."""

    name: str


@dataclass(frozen=True)
class Started(Event):
    """The process runs and is not ready yet."""

    pid: int


@dataclass(frozen=True)
class NotStarted(Event):
    """The process could not be started at all, for example because its program is missing."""

    reason: str


@dataclass(frozen=True)
class Ready(Event):
    """The process or its probe reported that it is ready."""

    pid: int
    seconds: float
    """Since its start."""


@dataclass(frozen=True)
class Said(Event):
    """The process sent its manager a message (`ManagerLink.say`)."""

    key: str
    value: str


@dataclass(frozen=True)
class NeverReady(Event):
    """The process was not ready within its start timeout and is killed."""

    pid: int
    seconds: float


@dataclass(frozen=True)
class Frozen(Event):
    """The process gave no sign of life within its silence timeout and is killed."""

    pid: int
    seconds: float


@dataclass(frozen=True)
class Killed(Event):
    """The process did not finish within its drain timeout and is killed."""

    pid: int
    seconds: float


@dataclass(frozen=True)
class Exited(Event):
    """The process is dead."""

    pid: int
    code: int
    """The exit code, or minus the number of the signal that ended it."""
    seconds: float
    """Since its start."""
    asked: bool
    """Whether the manager had asked it to finish, or killed it."""


@dataclass(frozen=True)
class BackingOff(Event):
    """The process is restarted after this delay."""

    seconds: float


@dataclass(frozen=True)
class Held(Event):
    """The process ended with one of its hold codes and waits for its release."""

    code: int


@dataclass(frozen=True)
class Removed(Event):
    """The process was removed and is dead; its name is free."""


@dataclass(frozen=True)
class Unrecorded(Event):
    """The process runs, but a later run could not find it if this one were killed."""

    pid: int
    reason: str
