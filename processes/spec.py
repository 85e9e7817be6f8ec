"""The specification and the state of a managed process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True)
class ProcessSpec:
    """One process to keep running. All times are in seconds."""

    name: str
    """Unique within one manager, as in "worker partition 3"."""
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of the manager's own process."""
    cwd: Path | None = None
    log: Path | None = None
    """The file to which stdout and stderr are appended; None inherits them."""
    pass_fds: tuple[int, ...] = ()
    """Files left open in the child under the same numbers, such as a listening socket."""
    start_timeout: float = 30.0
    """The longest time from the start until ready; then it is killed and restarted."""
    silence_timeout: float | None = 5.0
    """The longest time without a sign of life once ready; then it is killed and restarted."""
    drain_timeout: float = 5.0
    """Between SIGTERM and SIGKILL."""
    probe: Callable[[], bool] | None = None
    """For a program that cannot use the pipe: called repeatedly in a thread.

    True means ready and alive. False, an exception or no answer count as silence, so everything
    that it calls needs a timeout of its own.
    """
    hold_codes: frozenset[int] = frozenset()
    """Exit codes after which it waits for `ProcessManager.release` instead of a restart."""


class Phase(StrEnum):
    """The phase of a managed process."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # asked to finish, within its drain timeout
    KILLING = "killing"
    BACKING_OFF = "backing off"  # dead; restarted after a delay
    HELD = "held"  # dead; restarted when released


@dataclass(frozen=True)
class State:
    """The state of one managed process at one moment."""

    phase: Phase
    pid: int | None
    restarts: int
    """The number of starts after the first."""
    since: float
    """When the phase began, on the manager's clock."""
