"""How a process of the gateway is started, and how long it may take to end."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway.passwords.hash_protocol import HASH_LISTENER, HASH_SOCKETS, Lane
from processes import ProcessSpec
from processes.start_gate import pass_fds
from settings import SettingsError

LISTENER = "CERROJO_LISTENER"
"""The environment variable with the file descriptor of the listening socket."""

FINISH_SECONDS = 1.0
"""How long a process that ends waits for its answers, beyond the deadline that they keep; those to
changes of accounts may take half a second more."""

CLOSE_SECONDS = 2.0
"""How long it takes then to close its connections, at most."""

KILL_SECONDS = 1.0
"""How long the gateway takes to kill a process that is later than that, and to end itself."""

HASH_SILENCE_SECONDS = {Lane.FOREGROUND: 5.0, Lane.BACKGROUND: 20.0}
"""How long a hash process may be silent. The background's lets others go first."""

LOADED = "loaded"
"""The word to the supervisor once a login process or the operator's can give every answer."""

HASH_BACKLOG = 128
"""Login processes that may wait for a hash process to accept them."""


def process_drain_seconds(deadline_seconds: float) -> float:
    """Seconds that one process may take to end, where logins have this deadline."""
    return deadline_seconds + FINISH_SECONDS + CLOSE_SECONDS


def drain_seconds(deadline_seconds: float) -> float:
    """Seconds that `python -m gateway` may take to end, where logins have this deadline."""
    return process_drain_seconds(deadline_seconds) + KILL_SECONDS


@contextmanager
def hash_sockets(directory: Path) -> Iterator[Mapping[Lane, socket.socket]]:
    """The listening sockets of the hash processes, in a directory that is nobody else's.

    Their supervisor keeps them: while a process starts again, requests wait in its socket. Raises
    SettingsError where the directory has too long a name.
    """
    with contextlib.ExitStack() as stack:
        sockets = {}
        for lane in Lane:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            try:
                listener.bind(str(directory / lane))
            except OSError as error:
                raise SettingsError(
                    f"TMPDIR leads to {directory}, where no Unix socket can be made: {error}. "
                    "Set it to a directory with a shorter name."
                ) from None
            listener.listen(HASH_BACKLOG)
            sockets[lane] = listener
        yield sockets


class Launcher:
    """Says how to start the gateway's processes, and gives them the sockets that they share."""

    def __init__(
        self,
        listeners: Mapping[str, socket.socket],
        hash_sockets: Mapping[Lane, socket.socket],
        deadline_seconds: float,
    ) -> None:
        """`listeners` are those of the roles "login" and "operator". All stay their caller's."""
        self._listeners = listeners
        self._hash_sockets = hash_sockets
        self._drain_seconds = process_drain_seconds(deadline_seconds)

    def spec(self, name: str, module: str = "gateway.process") -> ProcessSpec:
        """The process of this name, as in "login 1" or "operator"; `module` is what it runs."""
        listener = self._listeners[name.split()[0]]
        address = self._hash_sockets[Lane.FOREGROUND].getsockname()
        return ProcessSpec(
            name=f"gateway {name}",
            command=(sys.executable, "-m", module, *name.split()),
            env={
                LISTENER: str(listener.fileno()),
                HASH_SOCKETS: str(Path(address).parent),
            },
            pass_fds=(listener.fileno(), *pass_fds()),
            drain_timeout=self._drain_seconds,
        )

    def hash_spec(self, lane: Lane, module: str = "gateway.passwords.hash_service") -> ProcessSpec:
        """The hash process of this lane. It ends when the login processes have."""
        listener = self._hash_sockets[lane].fileno()
        return ProcessSpec(
            name=f"gateway hash {lane}",
            command=(sys.executable, "-m", module, lane),
            env={HASH_LISTENER: str(listener)},
            pass_fds=(listener,),
            drain_timeout=self._drain_seconds,
            silence_timeout=HASH_SILENCE_SECONDS[lane],
        )
