"""What is to be kept running, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True)
class ProcessSpec:
    """One process to keep running. All times are in seconds."""

    name: str
    """Unique within one keeper, as in "worker partition 3"."""
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of the keeper's own process."""
    cwd: Path | None = None
    log: Path | None = None
    """Output and errors are appended to this file; without one they are inherited."""
    pass_fds: tuple[int, ...] = ()
    """Files left open in the child under the same numbers, such as a listening socket."""
    start_timeout: float = 30.0
    """From the start until ready; after that it is killed and started again."""
    silence_timeout: float | None = 5.0
    """Without a sign of life once ready; after that it is frozen: killed and started again."""
    drain_timeout: float = 5.0
    """Between SIGTERM and SIGKILL."""
    probe: Callable[[], bool] | None = None
    """For a program that cannot talk over the pipe: called again and again in a thread.

    True means ready, and alive. False, an exception or no answer at all count as
    silence, so give what it calls a timeout of its own.
    """
    hold_codes: frozenset[int] = frozenset()
    """Exit codes after which it waits for `Keeper.release` instead of a restart."""


class Phase(StrEnum):
    """Where a kept process stands."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # asked to finish, and not yet late
    KILLING = "killing"
    BACKING_OFF = "backing off"  # dead, to be started again when its delay is over
    HELD = "held"  # dead, to be started again when released


@dataclass(frozen=True)
class State:
    """A look at one kept process."""

    phase: Phase
    pid: int | None
    restarts: int
    """Starts after the first."""
    since: float
    """When the phase began, on the keeper's clock."""
