"""What a keeper reports about its processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that happened to the process of this name."""

    name: str


@dataclass(frozen=True)
class Started(Event):
    """It runs; it is not ready yet."""

    pid: int


@dataclass(frozen=True)
class NotStarted(Event):
    """It could not be started at all, as when its program is missing."""

    reason: str


@dataclass(frozen=True)
class Ready(Event):
    """It said that it is ready, or its probe did."""

    pid: int
    seconds: float
    """Since its start."""


@dataclass(frozen=True)
class Said(Event):
    """It told its keeper something."""

    key: str
    value: str


@dataclass(frozen=True)
class NeverReady(Event):
    """It was not ready within its start timeout, and is killed."""

    pid: int
    seconds: float


@dataclass(frozen=True)
class Frozen(Event):
    """It gave no sign of life for its silence timeout, and is killed."""

    pid: int
    seconds: float


@dataclass(frozen=True)
class Killed(Event):
    """It was asked to finish, did not within its drain timeout, and is killed."""

    pid: int
    seconds: float


@dataclass(frozen=True)
class Exited(Event):
    """It is dead."""

    pid: int
    code: int
    """Its exit code; minus the signal's number where a signal ended it."""
    seconds: float
    """Since its start."""
    asked: bool
    """Whether its keeper had asked it to finish, or killed it."""


@dataclass(frozen=True)
class BackingOff(Event):
    """It is started again after this delay."""

    seconds: float


@dataclass(frozen=True)
class Held(Event):
    """It ended with one of its hold codes and waits for its release."""

    code: int


@dataclass(frozen=True)
class Gone(Event):
    """It was removed, is dead, and its name is free."""


@dataclass(frozen=True)
class Unrecorded(Event):
    """It runs, but a later run could not recognise it if this one were killed."""

    pid: int
    reason: str
